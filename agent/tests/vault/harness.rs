//! A real Vault with the Kubernetes auth method, and agents as pods have them.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use contract::agent_config::{AgentConfig, Files, Source, VERSION};
use contract::annotations::FileMode;
use contract::layout::CONFIG_VARIABLE;
use contract::{Reload, VaultSource};
use e2e::process::Process;
use e2e::token_review::{AUDIENCE, TokenReviews};
use e2e::vault::Vault;
use e2e::wait;
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// More than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

const PROGRAM: &str = env!("CARGO_BIN_EXE_enclii-agent");

/// What a role may do, as docs/vault-agent.md has it.
pub(crate) const KV_POLICY: &str = r#"
path "secret/data/shop/*"     { capabilities = ["read"] }
path "secret/metadata/shop/*" { capabilities = ["read"] }
"#;

/// A Vault for the pods of one test.
pub(crate) struct Cluster {
    pub(crate) vault: Vault,
    reviews: TokenReviews,
}

impl Cluster {
    /// A Vault whose role `api` is for the service account `api` in the namespace `shop`. Its
    /// tokens have the policy `api`.
    pub(crate) fn start(policy: &str, (ttl, max_ttl): (&str, &str)) -> Self {
        let _ = runtime::provider::install();
        let cluster =
            Self { vault: Vault::start().unwrap(), reviews: TokenReviews::start().unwrap() };
        cluster.post("sys/auth/kubernetes", json!({"type": "kubernetes"}));
        let (host, is_local) = (cluster.reviews.address(), false);
        let config = json!({"kubernetes_host": host, "disable_local_ca_jwt": !is_local});
        cluster.post("auth/kubernetes/config", config);
        cluster.set_policy(policy);
        let role = json!({
            "bound_service_account_names": "api",
            "bound_service_account_namespaces": "shop",
            "audience": AUDIENCE,
            "token_policies": ["api"],
            "token_ttl": ttl,
            "token_max_ttl": max_ttl,
        });
        cluster.post("auth/kubernetes/role/api", role);
        cluster
    }

    pub(crate) fn set_policy(&self, policy: &str) {
        self.post("sys/policies/acl/api", json!({"policy": policy}));
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        self.vault.api(Method::POST, path, &body).unwrap()
    }

    /// Writes a version of an entry of the KV engine.
    pub(crate) fn put(&self, path: &str, data: Value) {
        self.post(&format!("secret/data/{path}"), json!({"data": data}));
    }

    /// The keys of a list; none if there is no such list.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let method = Method::from_bytes(b"LIST").unwrap();
        let (_, answer) = self.vault.ask(method, path, &Value::Null).unwrap();
        let keys = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// The tokens of logins that are valid, and how many of them were renewed.
    pub(crate) fn tokens(&self) -> (usize, usize) {
        let (mut valid, mut renewed) = (0, 0);
        for accessor in self.list("auth/token/accessors") {
            let accessor = json!({"accessor": accessor});
            let lookup = "auth/token/lookup-accessor";
            let (status, token) = self.vault.ask(Method::POST, lookup, &accessor).unwrap();
            if status == 200 && token["data"]["path"] == json!("auth/kubernetes/login") {
                valid += 1;
                renewed += usize::from(!token["data"]["last_renewal"].is_null());
            }
        }
        (valid, renewed)
    }

    pub(crate) fn revoke_tokens(&self) {
        self.vault
            .api(Method::PUT, "sys/leases/revoke-force/auth/kubernetes/login", &Value::Null)
            .unwrap();
    }

    /// A pod of the service account `api` in the namespace `shop`, with these secrets of the
    /// bundle `api-prod`, polled every second.
    pub(crate) fn pod(&self, secrets: Value) -> VaultPod {
        self.pod_of("api", secrets)
    }

    pub(crate) fn pod_of(&self, service_account: &str, secrets: Value) -> VaultPod {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(path("secrets")).unwrap();
        let token = self.reviews.issue("shop", service_account);
        File::create(path("token")).unwrap().write_all(token.as_bytes()).unwrap();
        let source = json!({
            "address": self.vault.address(),
            "auth_mount": "kubernetes",
            "role": "api",
            "token_file": path("token"),
            "poll_seconds": 1,
            "secrets": {"api-prod": secrets},
        });
        let source: VaultSource = serde_json::from_value(source).unwrap();
        let config = AgentConfig {
            version: VERSION,
            source: Source::Vault(source),
            bundles: vec!["api-prod".parse().unwrap()],
            files: Files::new(path("secrets"), FileMode::OWNER),
            program_directory: None,
            reload: Reload::None,
            reload_timeout_seconds: None,
            verify: Vec::new(),
            readiness: None,
            metrics: None,
            agent_metrics: None,
        };
        VaultPod { directory, config, agent: None }
    }
}

/// A pod: its volume, and its agent while it runs.
pub(crate) struct VaultPod {
    directory: TempDir,
    config: AgentConfig,
    agent: Option<Process>,
}

impl VaultPod {
    pub(crate) fn source(&mut self) -> &mut VaultSource {
        let Source::Vault(source) = &mut self.config.source else { panic!("another source") };
        source
    }

    /// The files that the agent is to write.
    pub(crate) fn files(&mut self) -> &mut Files {
        &mut self.config.files
    }

    /// Starts the agent as a sidecar.
    pub(crate) fn start(&mut self) {
        self.start_as("run");
    }

    /// Runs the agent as an init container.
    pub(crate) fn run_once(&mut self) {
        self.start_as("init");
        let status = self.agent.take().unwrap().finish(PATIENCE).unwrap();
        assert!(status.success(), "{}", self.log());
    }

    fn start_as(&mut self, word: &str) {
        let mut command = Command::new(PROGRAM);
        command
            .arg(word)
            .env_clear()
            .env(CONFIG_VARIABLE, self.config.to_json().unwrap())
            .env("ENCLII_LOG_FILTER", "debug");
        self.agent = Some(Process::start("agent", &mut command, self.directory.path()).unwrap());
    }

    /// The agent's process id.
    pub(crate) fn process(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// Ends the agent by a signal, and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) {
        let mut agent = self.agent.take().unwrap();
        agent.signal(signal).unwrap();
        let status = agent.finish(PATIENCE).unwrap();
        assert!(signal == Signal::KILL || status.success(), "{}", self.log());
    }

    /// Waits until the agent ends by itself, with an error.
    pub(crate) fn until_it_ends(&mut self) {
        let status = self.agent.take().unwrap().finish(PATIENCE).unwrap();
        assert!(!status.success(), "{}", self.log());
    }

    /// The log of all its agents.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("agent.log")).unwrap_or_default()
    }

    /// A file's text.
    pub(crate) fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.volume().join(name)).ok()
    }

    pub(crate) fn volume(&self) -> PathBuf {
        self.directory.path().join("secrets")
    }

    /// The name of the current generation's directory.
    pub(crate) fn generation(&self) -> String {
        fs::read_link(self.volume().join("..data")).unwrap().to_str().unwrap().to_owned()
    }

    /// Waits until something is so. Fails when the agent ends before.
    pub(crate) fn until(&mut self, what: &str, mut there: impl FnMut(&Self) -> bool) {
        let waited = wait::until(what, PATIENCE, || {
            if let Some(agent) = &mut self.agent {
                agent.check()?;
            }
            Ok(there(self).then_some(()))
        });
        waited.unwrap_or_else(|error| panic!("{error}; the log:\n{}", self.log()));
    }

    pub(crate) fn until_file(&mut self, name: &str, text: &str) {
        self.until(&format!("{name} to be {text}"), |pod| pod.file(name).as_deref() == Some(text));
    }

    pub(crate) fn until_logged(&mut self, text: &str) {
        self.until(&format!("the log to have {text:?}"), |pod| pod.log().contains(text));
    }
}
