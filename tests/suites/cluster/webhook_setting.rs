//! Settings of the webhook, for as long as a test needs them.

use e2e::kubectl::{kubectl, object, set_variable, set_variables};
use serde_json::{Value, json};

use crate::harness::{STEP_TIMEOUT, SYSTEM};

const WEBHOOK: &str = "enclii-webhook";

/// A variable of the webhook's Deployment, which counts more than its file, until this is dropped.
/// Only for tests that have the system for themselves.
pub(crate) struct WebhookSetting(&'static str);

impl WebhookSetting {
    pub(crate) fn new(variable: &'static str, value: &str) -> Self {
        let setting = Self(variable);
        set_variable(SYSTEM, WEBHOOK, &format!("{variable}={value}"), STEP_TIMEOUT).unwrap();
        setting
    }
}

impl Drop for WebhookSetting {
    fn drop(&mut self) {
        let word = format!("{}-", self.0);
        if let Err(error) = set_variable(SYSTEM, WEBHOOK, &word, STEP_TIMEOUT) {
            println!("{} stays set: {error}", self.0);
        }
    }
}

/// Vault as the source of every pod that is made until this is dropped. Only for tests that have
/// the system for themselves.
pub(crate) struct VaultAsSource {
    /// The webhook's file as it was.
    file: Value,
}

const FILE: &str = "enclii-webhook-config";
const POLICY: &str = "pods.enclii.io";

/// What [`VaultAsSource`] sets, besides the address.
const SET: [&str; 2] = ["ENCLII_SOURCE=vault", "ENCLII_TRUST_EVERY_CALLER=true"];

impl VaultAsSource {
    pub(crate) fn set(address: &str, ca: &str) -> Self {
        Self::with(address, ca, &json!({ "vaultRole": "{namespace}_{service_account}" }))
    }

    /// With these settings besides.
    pub(crate) fn with(address: &str, ca: &str, more: &Value) -> Self {
        let before = object(SYSTEM, "configmap", FILE).unwrap().unwrap();
        let setting = Self { file: before["data"]["webhook.yaml"].clone() };
        let mut settings = json!({ "vaultCa": ca, "vaultPollSeconds": 1 });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // JSON is YAML. The replicas that start now read it.
        write_file(&json!(settings.to_string())).unwrap();
        Self::policy_takes(address);
        let address = format!("ENCLII_VAULT_ADDRESS={address}");
        let words = [&SET[..], &[&*address]].concat();
        set_variables(SYSTEM, WEBHOOK, &words, STEP_TIMEOUT).unwrap();
        setting
    }

    /// Has the policy accept this address of Vault and no other, where there is a policy.
    pub(crate) fn policy_takes(address: &str) {
        let Some(policy) = object("default", "validatingadmissionpolicy", POLICY).ok().flatten()
        else {
            return;
        };
        let variables = policy["spec"]["variables"].as_array().unwrap();
        let at = variables.iter().position(|it| it["name"] == "vault").unwrap();
        let path = format!("/spec/variables/{at}/expression");
        let value = format!("'{address}'");
        let patch = json!([{"op": "replace", "path": path, "value": value}]).to_string();
        let words = ["patch", "validatingadmissionpolicy", POLICY, "--type", "json", "-p", &patch];
        kubectl(&words).unwrap();
    }
}

impl Drop for VaultAsSource {
    fn drop(&mut self) {
        let words = ["ENCLII_SOURCE-", "ENCLII_TRUST_EVERY_CALLER-", "ENCLII_VAULT_ADDRESS-"];
        // A replica does not start with what is only for Vault and another source.
        let restored = write_file(&self.file)
            .and_then(|()| set_variables(SYSTEM, WEBHOOK, &words, STEP_TIMEOUT));
        if let Err(error) = restored {
            println!("Vault stays the source: {error}");
        }
        Self::policy_takes("");
    }
}

fn write_file(text: &Value) -> anyhow::Result<()> {
    let patch = json!({ "data": { "webhook.yaml": text } }).to_string();
    let target = ["-n", SYSTEM, "patch", "configmap", FILE];
    kubectl(&[&target[..], &["--type", "merge", "-p", &patch]].concat()).map(drop)
}
