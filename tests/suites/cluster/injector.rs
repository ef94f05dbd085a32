//! Manifests of the Vault Agent Injector, a real Vault, and only the operator's switch.

mod component;

use std::collections::BTreeMap;

use e2e::kubectl::{Namespace, apply, describe, kubectl, object, objects, ready_pods, repository};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::service_account;
use crate::harness::{STEP_TIMEOUT, exclusive, project, value};
use crate::servers::IMAGE;
use crate::vault_database::Database;
use crate::vault_server::VaultForPods;
use crate::webhook_setting::VaultAsSource;
use component::Component;

/// The folder of the manifests and of the switch. What each becomes is in the webhook's tests.
const FOLDER: &str = "tests/injector";

/// One role of Vault: its name, the service account's, the auth method's mount, and what it reads.
const ROLES: [(&str, &str, &str, &[&str]); 10] = [
    ("catalog", "catalog", "kubernetes", &["secret/data/catalog/database"]),
    ("orders-app", "orders", "kubernetes", &["database/creds/orders-app"]),
    ("storefront", "storefront", "kubernetes", &["secret/data/storefront"]),
    ("report", "report", "kubernetes", &["secret/data/report/smtp"]),
    ("gateway", "gateway", "kubernetes", &["pki/issue/gateway"]),
    ("billing", "billing", "kubernetes", &["secret/data/billing"]),
    ("importer", "importer", "kubernetes", &["secret/data/importer/*"]),
    ("sessions", "sessions", "kubernetes", &["secret/data/sessions"]),
    ("search", "search", "kubernetes-shop", &["kv/search/index"]),
    ("worker", "worker", "kubernetes", &["rabbitmq/creds/worker", "secret/data/worker/api"]),
];

/// What a container finds in a file: each of these words.
struct Expected {
    /// The pod's label `app`, or its name.
    pod: &'static str,
    container: &'static str,
    file: &'static str,
    words: Vec<String>,
}

/// The pods of the manifests, and what they need.
struct InjectorPods {
    namespace: Namespace,
    vault: VaultForPods,
    /// The secrets by a name of this test.
    values: BTreeMap<&'static str, String>,
    _source: VaultAsSource,
    _component: Component,
}

impl InjectorPods {
    fn start() -> Option<Self> {
        let namespace = Namespace::create(&project("injector"), &[]).unwrap();
        let vault = VaultForPods::start(&namespace)?;
        vault.auth_method("kubernetes-shop");
        for (role, account, mount, paths) in ROLES {
            service_account(namespace.name(), account).unwrap();
            let rule = |path: &&str| {
                format!("path \"{path}\" {{ capabilities = [\"read\", \"update\"] }}\n")
            };
            let policy: String = paths.iter().map(rule).collect();
            vault.role_of(mount, role, (namespace.name(), account), &policy);
        }
        let names = [
            "catalog",
            "storefront",
            "smtp",
            "billing",
            "ftp",
            "s3",
            "sessions",
            "search",
            "worker",
        ];
        let values = names.map(|name| (name, value(name))).into();
        let switch = std::fs::read_to_string(repository().join(FOLDER).join("webhook.yaml"));
        let mut switch: Value = serde_saphyr::from_str(&switch.unwrap()).unwrap();
        for variable in ["source", "vaultAddress"] {
            switch.as_object_mut().unwrap().remove(variable);
        }
        let _source = VaultAsSource::with(&vault.address, &vault.ca, &switch);
        let _component = Component::install();
        let pods = Self { namespace, vault, values, _source, _component };
        pods.fill();
        Some(pods)
    }

    /// Has Vault hold what the manifests read.
    fn fill(&self) {
        let it = |name: &str| self.values[name].as_str();
        let put = |path: &str, data: Value| self.vault.put(path, data);
        put("catalog/database", json!({"username": "catalog", "password": it("catalog")}));
        put("storefront", json!({"username": "shop", "password": it("storefront")}));
        put("report/smtp", json!({"password": it("smtp")}));
        put("billing", json!({"key": it("billing"), "url": "https://billing.example"}));
        put("importer/ftp", json!({"password": it("ftp")}));
        put("importer/s3", json!({"secretKey": it("s3")}));
        put("sessions", json!({"password": it("sessions")}));
        put("worker/api", json!({"key": format!(" {} ", it("worker")), "home-region": "eu"}));
        self.vault.post("sys/mounts/kv", json!({"type": "kv", "options": {"version": "1"}}));
        self.vault.post("kv/search/index", json!({"api_key": it("search")}));
        self.vault.post("sys/mounts/pki", json!({"type": "pki"}));
        self.vault.post("sys/mounts/pki/tune", json!({"max_lease_ttl": "8760h"}));
        let root = json!({"common_name": "the CA of a test", "ttl": "8760h", "key_type": "ec"});
        self.vault.post("pki/root/generate/internal", root);
        let role = json!({
            "allowed_domains": ["shop.example"], "allow_subdomains": true,
            "key_type": "ec", "key_bits": 256,
        });
        self.vault.post("pki/roles/gateway", role);
        let database = Database::start(&self.namespace);
        database.serve(&self.vault, "database", "orders-app", "1h");
        // An engine's answer has a user and a password, whatever makes them.
        database.serve(&self.vault, "rabbitmq", "worker", "1h");
    }

    /// A manifest with its annotations as they are, and an image that this cluster has.
    fn deploy(&self, file: &str) {
        let text = std::fs::read_to_string(repository().join(FOLDER).join(file)).unwrap();
        // The address of a Vault, which a pod may name if it is the operator's.
        let text = text.replace("https://vault.vault.svc:8200", &self.vault.address);
        let mut manifest: Value = serde_saphyr::from_str(&text).unwrap();
        manifest["metadata"]["namespace"] = json!(self.namespace.name());
        let paths = ["/spec/jobTemplate/spec/template", "/spec/template", ""];
        let is_pod = |path: &&str| manifest.pointer(&format!("{path}/spec/containers")).is_some();
        let path = *paths.iter().find(|path| is_pod(path)).unwrap();
        let ends = manifest["kind"] == "CronJob";
        let spec = manifest.pointer_mut(&format!("{path}/spec")).unwrap();
        spec["terminationGracePeriodSeconds"] = json!(1);
        for container in spec["containers"].as_array_mut().unwrap() {
            container["image"] = json!(IMAGE);
            container["imagePullPolicy"] = json!("Never");
            container["command"] = json!(["sleep", "infinity"]);
            if ends {
                container["command"] = json!(["sha256sum", "/vault/secrets/smtp"]);
            }
            container.as_object_mut().unwrap().remove("args");
        }
        apply(&manifest.to_string()).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    fn kubectl(&self, words: &[&str]) -> anyhow::Result<String> {
        kubectl(&[&["-n", self.namespace.name()][..], words].concat())
    }

    /// Waits until a container finds the words in a file.
    fn finds(&self, expected: &Expected) {
        let Expected { pod, container, file, words } = expected;
        let namespace = self.namespace.name();
        wait::until(&format!("{file} in {pod}"), STEP_TIMEOUT, || {
            let ready = ready_pods(namespace, &format!("app={pod}"))?.pop();
            let name = ready.unwrap_or_else(|| (*pod).to_owned());
            let text = self.kubectl(&["exec", &name, "-c", container, "--", "cat", file]);
            let finds = |text: &String| words.iter().all(|word| text.contains(word));
            Ok(text.ok().filter(finds).map(drop))
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
    }

    /// What each manifest promises its containers.
    fn expected(&self) -> Vec<Expected> {
        let it = |name: &str| self.values[name].clone();
        let file = |pod, container, file, words: &[String]| Expected {
            pod,
            container,
            file,
            words: words.to_vec(),
        };
        let pem = |kind: &str| format!("-----BEGIN {kind}-----");
        vec![
            file(
                "catalog",
                "catalog",
                "/vault/secrets/database-config.txt",
                &[it("catalog"), "username".to_owned()],
            ),
            file(
                "orders",
                "orders",
                "/vault/secrets/db-creds",
                &["postgres://v-".to_owned(), "@postgres:5432/orders?sslmode=disable".to_owned()],
            ),
            file(
                "storefront",
                "storefront",
                "/vault/secrets/config",
                &[format!("export DB_PASSWORD=\"{}\"", it("storefront"))],
            ),
            file("gateway", "nginx", "/etc/nginx/tls/tls.crt", &[pem("CERTIFICATE")]),
            file("gateway", "nginx", "/etc/nginx/tls/tls.key", &[pem("EC PRIVATE KEY")]),
            file(
                "billing",
                "metrics",
                "/app/vault/config/application.properties",
                &[
                    format!("billing.key={}\n", it("billing")),
                    "billing.url=https://billing.example".to_owned(),
                ],
            ),
            file("importer", "importer", "/vault/secrets/FTP", &[it("ftp")]),
            file("importer", "importer", "/vault/secrets/cloud/.s3.json", &[it("s3")]),
            file(
                "sessions",
                "sessions",
                "/vault/secrets/redis.conf",
                &[format!("requirepass {}", it("sessions"))],
            ),
            file("search", "search", "/vault/secrets/index", &[it("search")]),
            file(
                "worker",
                "worker",
                "/vault/secrets/settings.ini",
                &[
                    "url = amqp://v-".to_owned(),
                    format!("key = {}\n", it("worker")),
                    "region = EU".to_owned(),
                ],
            ),
        ]
    }
}

#[test]
fn ten_manifests_of_the_injector_run() {
    let (_cluster, _guard) = exclusive();
    let Some(pods) = InjectorPods::start() else { return };
    let mut files: Vec<_> = std::fs::read_dir(repository().join(FOLDER))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    files.sort();
    assert_eq!(files.len(), 10);
    files.iter().for_each(|file| pods.deploy(file));
    pods.kubectl(&["create", "job", "report-now", "--from=cronjob/report"]).unwrap();

    pods.expected().iter().for_each(|it| pods.finds(it));
    the_job_has_read_its_secret(&pods);

    // A container that is not named gets nothing.
    let pod = ready_pods(pods.namespace.name(), "app=sessions").unwrap().remove(0);
    let listed = pods.kubectl(&["exec", &pod, "-c", "sidecar", "--", "ls", "/vault/secrets"]);
    let refusal = listed.unwrap_err().to_string();
    assert!(refusal.contains("No such file or directory"), "{refusal}");

    // A new version reaches the pods that run.
    let second = value("catalog");
    pods.vault.put("catalog/database", json!({"username": "catalog", "password": second}));
    pods.finds(&Expected {
        pod: "catalog",
        container: "catalog",
        file: "/vault/secrets/database-config.txt",
        words: vec![second],
    });
}

/// It ends, since no sidecar stays, and has seen the whole of the file.
fn the_job_has_read_its_secret(pods: &InjectorPods) {
    let namespace = pods.namespace.name();
    wait::until("the end of the job", STEP_TIMEOUT, || {
        let job = object(namespace, "job", "report-now")?.unwrap_or_default();
        Ok((job["status"]["succeeded"] == 1).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
    let found = objects(namespace, "pod", "job-name=report-now").unwrap();
    let pod = found[0]["metadata"]["name"].as_str().unwrap();
    let printed = pods.kubectl(&["logs", pod, "-c", "report"]).unwrap();
    let secret = json!({"password": pods.values["smtp"]});
    let digest = e2e::sample::sha256(format!("{secret}\n").as_bytes());
    assert!(printed.starts_with(&digest), "{printed}");
}
