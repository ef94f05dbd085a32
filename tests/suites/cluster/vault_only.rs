//! Pods that get their secrets from a real Vault, by the API server's own review of their tokens,
//! and from no switchyard.

use e2e::api_server::ApiServer;
use e2e::kubectl::{Namespace, apply, describe, kubectl, object};
use e2e::vault::MOUNT;
use e2e::wait;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, pod, pod_spec, service_account};
use crate::harness::{STEP_TIMEOUT, exclusive, kubernetes_minor, project, value};
use crate::policy::DRY;
use crate::vault_server::VaultForPods;
use crate::webhook_setting::VaultAsSource;

/// Where the application's secrets are.
const PATH: &str = "shop/api";

/// What the pod's role may do, as docs/vault-agent.md has it.
const POLICY: &str = r#"
path "secret/data/shop/*"     { capabilities = ["read"] }
path "secret/metadata/shop/*" { capabilities = ["read"] }
"#;

struct VaultOnly {
    namespace: Namespace,
    vault: VaultForPods,
    app: App,
    key: String,
    _source: VaultAsSource,
}

impl VaultOnly {
    /// An application whose webhook has Vault as the source, with a first value.
    fn start() -> Option<Self> {
        let namespace = Namespace::create(&project("vaultonly"), &[]).unwrap();
        let vault = VaultForPods::start(&namespace)?;
        let role = format!("{}_api", namespace.name());
        vault.role(&role, namespace.name(), "api", POLICY);
        let of = |field: &str| json!({"type": "kv", "mount": MOUNT, "path": PATH, "field": field});
        let bundle = json!({
            "apiVersion": "enclii.io/v1", "kind": "SecretBundle",
            "metadata": {"name": "api-prod", "namespace": namespace.name()},
            "spec": {"vault": {
                "DATABASE_URL": of("url"), "STRIPE_API_KEY": of("stripe"),
            }}
        });
        apply(&bundle.to_string()).unwrap();
        let source = VaultAsSource::set(&vault.address, &vault.ca);
        let app = App::new(namespace.name(), "signal=SIGHUP");
        let setup = Self { namespace, vault, app, key: value("stripe"), _source: source };
        Some(setup)
    }

    /// Writes a new value, which is returned.
    fn put(&self, hint: &str) -> String {
        let url = value(hint);
        self.vault.put(PATH, json!({"url": url, "stripe": self.key}));
        url
    }

    fn holds(&self, url: &str) {
        self.app
            .holds("DATABASE_URL", url)
            .unwrap_or_else(|error| panic!("{error}\n{}", describe(self.namespace.name())));
    }

    /// Waits until every agent says so in its log.
    fn agents_say(&self, words: &str) {
        wait::until(&format!("agents that say {words}"), STEP_TIMEOUT, || {
            let pods = self.app.pods()?;
            let log = |pod: &String| {
                kubectl(&["-n", self.namespace.name(), "logs", pod, "-c", "enclii-agent"])
            };
            let logs = pods.iter().map(log).collect::<anyhow::Result<Vec<_>>>()?;
            Ok((!logs.is_empty() && logs.iter().all(|log| log.contains(words))).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", describe(self.namespace.name())));
    }

    /// The agent's configuration in a pod, and its token's audience.
    fn of_agent(&self, pod: &str) -> (Value, Value) {
        let pod = object(self.namespace.name(), "pod", pod).unwrap().unwrap();
        let agents = pod["spec"]["initContainers"].as_array().unwrap();
        let agent = agents.iter().find(|it| it["name"] == "enclii-agent").unwrap();
        let env = agent["env"].as_array().unwrap();
        let config = env.iter().find(|it| it["name"] == "ENCLII_AGENT_CONFIG").unwrap();
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let token = volumes.iter().find(|it| it["name"] == "enclii-token").unwrap();
        let token = &token["projected"]["sources"][0]["serviceAccountToken"];
        let config = serde_json::from_str(config["value"].as_str().unwrap()).unwrap();
        (config, token["audience"].clone())
    }
}

#[test]
fn an_application_lives_on_vault_alone() {
    let (_cluster, _guard) = exclusive();
    let Some(setup) = VaultOnly::start() else { return };
    let first = setup.put("first");
    setup.app.deploy().unwrap_or_else(|error| {
        panic!("{error}\n{}", describe(setup.namespace.name()));
    });
    setup.holds(&first);

    // At admission the pod got the mapping and Vault's login, and nothing of switchyard.
    let name = setup.app.pods().unwrap().remove(0);
    let (config, audience) = setup.of_agent(&name);
    let source = &config["source"];
    assert_eq!((source["type"].as_str(), audience), (Some("vault"), json!("vault")));
    assert_eq!(source["role"], format!("{}_api", setup.namespace.name()));
    assert_eq!(source["secrets"]["api-prod"]["DATABASE_URL"]["path"], PATH);
    assert!(!config.to_string().contains("switchyard"), "{config}");

    rotates_and_keeps(&setup);
    a_role_that_is_not_there_is_said(&setup);
    what_the_policy_says(&setup, &name);
}

/// Rotation, deletion, a sealed Vault: the application is told of what is new, and keeps what it
/// has.
fn rotates_and_keeps(setup: &VaultOnly) {
    let before = setup.app.states().unwrap();
    let second = setup.put("second");
    setup.holds(&second);
    let api = |method: Method, path: &str, body: Value| {
        setup.vault.vault.api(method, &format!("{MOUNT}/{path}/{PATH}"), &body).unwrap()
    };
    api(Method::DELETE, "data", Value::Null);
    setup.agents_say("version 2 is deleted");
    setup.holds(&second);
    api(Method::POST, "undelete", json!({"versions": [2]}));
    let third = setup.put("third");
    setup.holds(&third);

    setup.vault.vault.seal().unwrap();
    setup.agents_say("Vault is sealed");
    setup.holds(&third);
    setup.vault.vault.unseal().unwrap();
    let fourth = setup.put("fourth");
    setup.holds(&fourth);
    let after = setup.app.states().unwrap();
    let starts = |states: &[e2e::sample::AppState]| {
        let mut starts: Vec<_> = states.iter().map(|it| it.started_at).collect();
        starts.sort_unstable();
        starts
    };
    assert_eq!(starts(&before), starts(&after), "an application was restarted");
    assert!(after.iter().all(|it| it.reload_trigger.as_deref() == Some("signal")));
}

/// A service account without a role of its own gets nothing, and its pod says why.
fn a_role_that_is_not_there_is_said(setup: &VaultOnly) {
    let namespace = setup.namespace.name();
    service_account(namespace, "stranger").unwrap();
    let mut spec = pod_spec(&[("DATABASE_URL", "x")]);
    spec["serviceAccountName"] = json!("stranger");
    apply(&pod(namespace, "stranger", spec).to_string()).unwrap();
    let message = wait::until("the agent's last state", STEP_TIMEOUT, || {
        let pod = object(namespace, "pod", "stranger")?.unwrap_or_default();
        let agent = &pod["status"]["initContainerStatuses"][0];
        let messages = ["state", "lastState"]
            .map(|state| agent[state]["terminated"]["message"].as_str().map(str::to_owned));
        Ok(messages.into_iter().flatten().find(|it| !it.is_empty()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
    let role = format!("{namespace}_stranger");
    assert!(message.contains("log in at auth/kubernetes/login"), "{message}");
    assert!(message.contains(&role), "{message}");
    kubectl(&["-n", namespace, "delete", "pod", "stranger", "--wait=false"]).unwrap();
}

/// The API server takes the pod that the webhook makes, and not when it goes to another Vault than
/// the policy has. What else the policy looks at: the module `policy`.
fn what_the_policy_says(setup: &VaultOnly, running: &str) {
    if kubernetes_minor() < 30 {
        return;
    }
    let namespace = setup.namespace.name();
    let found = object(namespace, "pod", running).unwrap().unwrap();
    let manifest = |name: &str| {
        let mut spec = found["spec"].clone();
        spec.as_object_mut().unwrap().remove("nodeName");
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": namespace,
                "annotations": found["metadata"]["annotations"],
            },
            "spec": spec,
        })
    };
    let api = ApiServer::connect().unwrap();
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let again = api.create(&pods, DRY, &manifest("again")).unwrap();
    assert!(again.is_admitted(), "{}", again.message());
    VaultAsSource::policy_takes("https://elsewhere.example:8200");
    let refusal = wait::until("the policy to refuse the address", STEP_TIMEOUT, || {
        let other = api.create(&pods, DRY, &manifest("other"))?;
        Ok((!other.is_admitted()).then(|| other.message().to_owned()))
    })
    .unwrap();
    assert!(refusal.contains("leads to another address than the operator's"), "{refusal}");
    VaultAsSource::policy_takes(&setup.vault.address);
}
