//! Real servers whose certificate rotates under load, and a broken one that they never keep.

mod kind;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard};

use contract::AgentStatus;
use contract::layout::AGENT_CONTAINER;
use contract::stream::CheckStage;
use e2e::kubectl::{Namespace, apply, kubectl, objects, ready_pods, rolled_out};
use e2e::wait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::app::service_account;
use crate::harness::{self, Cluster, STEP_TIMEOUT, shared};
use crate::tls_load::{self, Counts, Load};
use kind::{PORT, ServerKind};

/// Built by tests/cluster/servers-image.sh.
pub(crate) const IMAGE: &str = "enclii.test/servers:1";

/// The load of one server is enough for a small machine.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A certificate and its key.
struct ServerPem {
    certificate: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl ServerPem {
    fn both(&self) -> String {
        format!("{}{}", self.pem, self.key)
    }
}

/// Signs the certificates of one server.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    tls: Arc<ClientConfig>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let tls = tls_load::trusting(certificate.der().clone());
        Self { issuer: Issuer::new(params, key), tls }
    }

    fn issue(&self) -> ServerPem {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        ServerPem { certificate: signed.der().clone(), pem: signed.pem(), key: key.serialize_pem() }
    }
}

/// A server in a pod of its own.
struct ServerPod {
    kind: ServerKind,
    cluster: &'static Cluster,
    namespace: Namespace,
    scope: String,
    authority: Authority,
    _guards: (RwLockReadGuard<'static, ()>, MutexGuard<'static, ()>),
}

impl ServerPod {
    /// Starts it with a first certificate. `None` where its image is not in the cluster.
    fn start(kind: ServerKind) -> Option<Self> {
        harness::own_cluster_setting("ENCLII_LEAK_PATHS")?;
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (cluster, guard) = shared();
        let project = &harness::project(kind.name);
        let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
        let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
        let scope = format!("{project}.prod.api");
        let authority = Authority::new();
        cluster.set(&scope, "server.pem", authority.issue().both().as_bytes()).unwrap();
        for (name, value) in kind.secrets {
            cluster.set(&scope, name, value.as_bytes()).unwrap();
        }
        cluster.set(&scope, "more.conf", b"# nothing\n").unwrap();
        cluster.wait_for_bundle(namespace.name(), "api-prod", "more.conf").unwrap();
        service_account(namespace.name(), "api").unwrap();
        let pod = Self { kind, cluster, namespace, scope, authority, _guards: (guard, alone) };
        pod.manifests().iter().for_each(|object| apply(&object.to_string()).unwrap());
        rolled_out(pod.namespace.name(), "deployment/api", STEP_TIMEOUT).unwrap();
        Some(pod)
    }

    fn manifests(&self) -> [Value; 2] {
        let kind = self.kind;
        let files: serde_json::Map<String, Value> =
            kind.files.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        let labels = json!({"app": "api"});
        let mut mounts = vec![json!({"name": "conf", "mountPath": "/conf"})];
        mounts.extend(kind.shared.map(|path| json!({"name": "shared", "mountPath": path})));
        let container = json!({
            "name": "server", "image": IMAGE, "command": kind.command,
            "imagePullPolicy": "Never",
            "securityContext": {"runAsUser": kind.uid},
            "ports": [{"containerPort": PORT}],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            "volumeMounts": mounts
        });
        let annotations = json!({
            "enclii.io/secrets": "api-prod",
            "enclii.io/reload": kind.reload,
            "enclii.io/file-mode": "0400",
            "enclii.io/verify": kind.verify
        });
        [
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": files,
                "metadata": {"name": "server", "namespace": self.namespace.name()}
            }),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "api", "namespace": self.namespace.name()},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels, "annotations": annotations},
                        "spec": {
                            "serviceAccountName": "api",
                            "volumes": [
                                {"name": "conf", "configMap": {"name": "server"}},
                                {"name": "shared", "emptyDir": {"medium": "Memory"}}
                            ],
                            "containers": [container]
                        }
                    }
                }
            }),
        ]
    }

    fn set(&self, name: &str, value: &str) {
        self.cluster.set(&self.scope, name, value.as_bytes()).unwrap();
    }

    /// Where it listens. The tests are on the node, which reaches its pods.
    fn address(&self) -> SocketAddr {
        let pods = objects(self.namespace.name(), "pod", "app=api").unwrap();
        let ip = pods.iter().find_map(|pod| pod["status"]["podIP"].as_str()).unwrap();
        SocketAddr::new(ip.parse().unwrap(), PORT)
    }

    /// What the agent says of itself.
    fn status(&self) -> AgentStatus {
        let pod = ready_pods(self.namespace.name(), "app=api").unwrap().remove(0);
        let words = ["exec", &pod, "-c", AGENT_CONTAINER, "--"];
        let program = ["/enclii-agent", "status", "--json"];
        let namespace = ["-n", self.namespace.name()];
        let text = kubectl(&[&namespace[..], &words[..], &program[..]].concat()).unwrap();
        AgentStatus::from_json(text.as_bytes()).unwrap()
    }

    /// Waits until the server serves a certificate.
    fn serves(&self, pem: &ServerPem) {
        let address = self.address();
        wait::until("the server to serve its certificate", STEP_TIMEOUT, || {
            let served = self.kind.protocol.connect(address, &self.authority.tls);
            let served = served.ok().and_then(|it| it.certificate());
            Ok(served.filter(|it| *it == pem.certificate).map(drop))
        })
        .unwrap();
    }

    /// Waits until the agent knows that what the files hold works. A generation that is replaced
    /// before that is none to come back to.
    fn is_checked(&self) {
        wait::until("checks of the current generation", STEP_TIMEOUT, || {
            let status = self.status();
            let run = status.checks.iter().rfind(|run| run.stage == CheckStage::After);
            let checked = run.and_then(|run| run.generations.first());
            let holds = status.bundles.first().and_then(|it| it.generation);
            Ok((checked.map(|it| it.generation) == holds).then_some(()))
        })
        .unwrap();
    }

    /// Waits until the agent has checked a generation that it took back. It refuses the newer one
    /// before that.
    fn is_restored(&self) {
        wait::until("checks of the generation before", STEP_TIMEOUT, || {
            let status = self.status();
            let restored = status.checks.iter().any(|run| run.stage == CheckStage::Restored);
            Ok(restored.then_some(()))
        })
        .unwrap();
    }

    /// Waits until the agent has refused one generation more, and returns why.
    fn refused(&self, count: usize) -> String {
        wait::until("a refused generation", STEP_TIMEOUT, || {
            Ok(Some(self.status()).filter(|it| it.refused.len() == count))
        })
        .unwrap()
        .refused
        .remove(count - 1)
        .reason
    }

    /// A certificate that takes the place of the one that is served.
    fn rotates(&self) -> ServerPem {
        let pem = self.authority.issue();
        self.set("server.pem", &pem.both());
        self.serves(&pem);
        pem
    }

    /// Three rotations in a row under load, a certificate without its key, and one that works
    /// again: no request fails.
    fn holds_under_load(&self) -> (ServerPem, Counts) {
        let load = Load::start(self.kind.protocol, self.address(), &self.authority.tls);
        for _ in 0..3 {
            self.rotates();
        }
        let last = self.rotates();
        let broken = ServerPem { key: last.key.clone(), ..self.authority.issue() };
        self.set("server.pem", &broken.both());
        let reason = self.refused(1);
        assert!(reason.contains("no secret has a certificate whose private key"), "{reason}");
        self.serves(&last);
        let pem = self.rotates();
        self.is_checked();
        let before = load.counts().sent;
        wait::until("more requests", STEP_TIMEOUT, || {
            Ok((load.counts().sent > before + 500).then_some(()))
        })
        .unwrap();
        let counts = load.counts();
        println!(
            "{}: {} requests, {} failed, {} kept connections closed on reuse, slowest {:?}",
            self.kind.name,
            counts.sent,
            counts.failures.len(),
            counts.closed,
            counts.slowest
        );
        assert!(counts.failures.is_empty(), "{:?}", counts.failures);
        assert_eq!(restarts(&self.namespace), 0);
        (pem, counts)
    }
}

fn restarts(namespace: &Namespace) -> u64 {
    let pods = objects(namespace.name(), "pod", "app=api").unwrap();
    let statuses = pods.iter().filter_map(|pod| pod["status"]["containerStatuses"].as_array());
    statuses.flatten().filter_map(|it| Value::as_u64(&it["restartCount"])).sum()
}

fn holds_under_load(kind: ServerKind) {
    if let Some(server) = ServerPod::start(kind) {
        server.holds_under_load();
    }
}

fn holds_every_connection(kind: ServerKind) {
    if let Some(server) = ServerPod::start(kind) {
        assert_eq!(server.holds_under_load().1.closed, 0, "kept connections that were closed");
    }
}

#[test]
fn nginx_takes_up_certificates_and_loses_a_broken_one() {
    let Some(nginx) = ServerPod::start(kind::NGINX) else {
        return;
    };
    let (served, _) = nginx.holds_under_load();

    // A configuration that nginx refuses keeps the old certificate, and nginx stays ready.
    nginx.set("more.conf", "this is no directive;\n");
    nginx.is_checked();
    let pem = nginx.authority.issue();
    nginx.set("server.pem", &pem.both());
    let reason = nginx.refused(2);
    assert!(reason.contains("serves another certificate than server.pem"), "{reason}");
    nginx.serves(&served);
    nginx.is_restored();
    nginx.set("more.conf", "# nothing\n");
    nginx.serves(&pem);
    assert_eq!(restarts(&nginx.namespace), 0);
}

#[test]
fn haproxy_takes_up_certificates_by_a_reload() {
    holds_under_load(kind::HAPROXY);
}

#[test]
fn haproxy_takes_up_certificates_over_its_runtime_api() {
    holds_every_connection(kind::HAPROXY_SOCKET);
}

#[test]
fn redis_takes_up_certificates_by_a_login() {
    holds_every_connection(kind::REDIS);
}

#[test]
fn postgres_takes_up_certificates_by_a_login() {
    holds_every_connection(kind::POSTGRES_LOGIN);
}

#[test]
fn postgres_takes_up_certificates() {
    holds_under_load(kind::POSTGRES);
}

#[test]
fn prometheus_takes_up_certificates() {
    holds_under_load(kind::PROMETHEUS);
}

#[test]
fn node_takes_up_certificates() {
    holds_under_load(kind::NODE);
}

#[test]
fn java_takes_up_certificates() {
    holds_under_load(kind::JAVA);
}

#[test]
fn gunicorn_takes_up_certificates() {
    holds_under_load(kind::GUNICORN);
}
