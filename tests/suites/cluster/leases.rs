//! Credentials and certificates that Vault makes for a while, in an application under load.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use e2e::kubectl::{Namespace, apply, describe, kubectl, objects, rolled_out};
use e2e::wait;
use reqwest::Method;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::app::service_account;
use crate::harness::{STEP_TIMEOUT, exclusive, project, shared};
use crate::servers::{IMAGE, ONE_AT_A_TIME};
use crate::tls_load::{self, Load, Protocol};
use crate::vault_database::Database;
use crate::vault_server::VaultForPods;
use crate::webhook_setting::VaultAsSource;

const POLICY: &str = r#"
path "database/creds/app" { capabilities = ["read"] }
path "pki/issue/web"      { capabilities = ["update"] }
"#;

/// After which a user of the database ends, whatever anybody does.
const LEASE: &str = "12s";
const CERTIFICATE: &str = "30s";
/// Users that take the place of one another under load.
const USERS: usize = 20;
/// For all of them, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(400);
const PORT: u16 = 8443;

/// `PgBouncer` in a pod. It logs in to the database with Vault's users and shows Vault's
/// certificate.
struct Pooler {
    namespace: Namespace,
    vault: VaultForPods,
    database: Database,
    tls: Arc<ClientConfig>,
}

impl Pooler {
    /// Starts it. `None` on a foreign cluster.
    fn start(namespace: Namespace) -> Option<Self> {
        let vault = VaultForPods::start(&namespace)?;
        let database = Database::start(&namespace);
        database.serve(&vault, "database", "app", LEASE);
        let tls = tls_load::trusting(certificate_authority(&vault));
        let role = format!("{}_api", namespace.name());
        vault.role(&role, namespace.name(), "api", POLICY);
        service_account(namespace.name(), "api").unwrap();
        let pooler = Self { namespace, vault, database, tls };
        let _source = VaultAsSource::set(&pooler.vault.address, &pooler.vault.ca);
        pooler.manifests().iter().for_each(|object| apply(&object.to_string()).unwrap());
        rolled_out(pooler.namespace.name(), "deployment/api", STEP_TIMEOUT).unwrap();
        Some(pooler)
    }

    fn manifests(&self) -> [Value; 3] {
        let namespace = self.namespace.name();
        let user =
            |field: &str| json!({"type": "dynamic", "path": "database/creds/app", "field": field});
        let certificate = |field: &str| {
            json!({
                "type": "pki", "path": "pki/issue/web", "field": field,
                "parameters": {"common_name": "localhost"}
            })
        };
        let database = format!(
            "postgres = host={} dbname=postgres user={{{{ DB_USER }}}} \
             password={{{{ DB_PASSWORD }}}}\n",
            self.database.ip
        );
        let labels = json!({"app": "api"});
        [
            json!({
                "apiVersion": "enclii.io/v1", "kind": "SecretBundle",
                "metadata": {"name": "api-prod", "namespace": namespace},
                "spec": {"vault": {
                    "DB_USER": user("username"), "DB_PASSWORD": user("password"),
                    "tls.crt": certificate("certificate"), "tls.key": certificate("private_key"),
                    "ca.crt": certificate("issuing_ca"),
                }}
            }),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "pgbouncer", "namespace": namespace},
                "data": {"pgbouncer.ini": include_str!("leases/pgbouncer.ini")}
            }),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "api", "namespace": namespace},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels, "annotations": {
                            "enclii.io/secrets": "api-prod",
                            "enclii.io/template-database.ini": database,
                            "enclii.io/reload": "signal=SIGHUP",
                            "enclii.io/verify": format!("tls={PORT},starttls=postgres"),
                        }},
                        "spec": {
                            "serviceAccountName": "api",
                            "terminationGracePeriodSeconds": 5,
                            "volumes": [{"name": "conf", "configMap": {"name": "pgbouncer"}}],
                            "containers": [{
                                "name": "pgbouncer", "image": IMAGE, "imagePullPolicy": "Never",
                                "command": ["pgbouncer", "/conf/pgbouncer.ini"],
                                "securityContext": {"runAsUser": 65534},
                                "ports": [{"containerPort": PORT}],
                                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                                "volumeMounts": [{"name": "conf", "mountPath": "/conf"}]
                            }]
                        }
                    }
                }
            }),
        ]
    }

    fn address(&self) -> SocketAddr {
        let pods = objects(self.namespace.name(), "pod", "app=api").unwrap();
        let ip = pods.iter().find_map(|pod| pod["status"]["podIP"].as_str()).unwrap();
        SocketAddr::new(ip.parse().unwrap(), PORT)
    }

    /// The leases that have not ended.
    fn leases(&self) -> usize {
        let path = "sys/leases/lookup/database/creds/app?list=true";
        let list = self.vault.vault.api(Method::GET, path, &Value::Null).unwrap();
        list["data"]["keys"].as_array().map_or(0, Vec::len)
    }

    fn agents_log(&self) -> String {
        let words = ["logs", "deployment/api", "-c", "enclii-agent", "--tail=100"];
        kubectl(&[&["-n", self.namespace.name()][..], &words].concat()).unwrap_or_default()
    }
}

/// Makes the CA of Vault's certificates, which is returned.
fn certificate_authority(vault: &VaultForPods) -> CertificateDer<'static> {
    vault.post("sys/mounts/pki", json!({"type": "pki"}));
    let root = json!({"common_name": "the CA of a test", "ttl": "24h", "key_type": "ec"});
    let root = vault.vault.api(Method::POST, "pki/root/generate/internal", &root).unwrap();
    let role = json!({
        "allowed_domains": ["localhost"], "allow_bare_domains": true,
        "key_type": "ec", "key_bits": 256, "ttl": CERTIFICATE, "max_ttl": "1h",
    });
    vault.post("pki/roles/web", role);
    let pem = root["data"]["certificate"].as_str().unwrap();
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn an_application_outlives_its_credentials_and_certificates_under_load() {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let namespace = Namespace::create(&project("leases"), &[]).unwrap();
    let started = {
        let (_cluster, _guard) = exclusive();
        Pooler::start(namespace)
    };
    let Some(pooler) = started else { return };
    let (_cluster, _guard) = shared();
    let address = pooler.address();
    let load = Load::start(Protocol::Postgres, address, &pooler.tls);
    let (mut users, mut certificates, mut most) = (BTreeSet::new(), HashSet::new(), 0);
    let pause = Duration::from_millis(500);
    let what = "twenty users of the database, one after the other";
    let seen = wait::until_every(pause, what, TIMEOUT, || {
        // A machine that is busy may not answer in time.
        users.extend(pooler.database.users().into_iter().flatten());
        let connection = Protocol::Postgres.connect(address, &pooler.tls)?;
        certificates.extend(connection.certificate());
        most = most.max(pooler.leases());
        Ok((users.len() >= USERS).then_some(()))
    });
    let counts = load.counts();
    println!(
        "{} users, {} certificates, {most} leases at once: {} queries, {} failed, {} kept \
         connections closed on reuse, slowest {:?}",
        users.len(),
        certificates.len(),
        counts.sent,
        counts.failures.len(),
        counts.closed,
        counts.slowest
    );
    let shown = || format!("{}\n{}", pooler.agents_log(), describe(pooler.namespace.name()));
    seen.unwrap_or_else(|error| panic!("{error}\n{}", shown()));
    assert!(counts.failures.is_empty(), "{:?}\n{}", counts.failures, shown());
    assert!(certificates.len() >= 3, "{} certificates", certificates.len());
    // The one in use, those that the application has just left, and one that Vault is to end.
    assert!(most <= 4, "{most} leases at once");
    drop(alone);
}
