//! Bundles and a configuration to decide with, and builders of pods.

use std::collections::HashMap;
use std::sync::Arc;

use contract::SecretName;
use contract::vault_source::{VaultRead, VaultSecret};
use injection::{
    Bundle, BundleLookup, Decision, InjectionConfig, KeyNames, Pod, SecretSource, VaultSettings,
    admit,
};
use json_patch::Patch;
use serde_json::{Value, json};

/// A change of a part of a pod.
pub(crate) type Change = fn(&mut Value);

/// The namespace that the bundles are in.
pub(crate) const NAMESPACE: &str = "shop-prod";

/// The keys of bundle `api-prod`.
pub(crate) const KEYS: [&str; 2] = ["DATABASE_URL", "STRIPE_API_KEY"];

pub(crate) fn config() -> InjectionConfig {
    InjectionConfig::new(
        "enclii/agent:1".into(),
        "https://switchyard.enclii-system.svc".into(),
        "PEM\n".into(),
    )
}

/// The configuration of an operator who has Vault and no switchyard.
pub(crate) fn vault_config() -> InjectionConfig {
    let vault = VaultSettings {
        address: Some("https://vault.vault.svc:8200".parse().unwrap()),
        role: Some("{namespace}_{service_account}".parse().unwrap()),
        ..VaultSettings::default()
    };
    InjectionConfig { source: SecretSource::Vault, vault, ..config() }
}

/// A secret in a KV engine.
pub(crate) fn in_kv(field: &str) -> VaultSecret {
    let (mount, path) = ("secret".parse().unwrap(), "shop/api".parse().unwrap());
    VaultSecret { read: VaultRead::Kv { mount, path, version: None }, field: field.to_owned() }
}

/// The bundles of [`NAMESPACE`], by name.
pub(crate) struct Catalog(pub(crate) HashMap<&'static str, Arc<Bundle>>);

impl BundleLookup for Catalog {
    fn bundle(&self, namespace: &str, name: &str) -> Option<Arc<Bundle>> {
        self.0.get(name).filter(|_| namespace == NAMESPACE).cloned()
    }
}

pub(crate) fn catalog() -> Catalog {
    let bundle = |keys: &[&str]| {
        Arc::new(Bundle {
            keys: keys.iter().map(|key| key.parse::<SecretName>().unwrap()).collect(),
            project: Some("shop".parse().unwrap()),
            environment: Some("prod".parse().unwrap()),
            // Only counts where Vault is the source.
            vault: keys.iter().map(|key| (key.parse().unwrap(), Some(in_kv(key)))).collect(),
        })
    };
    Catalog(HashMap::from([
        ("api-prod", bundle(&KEYS)),
        ("shared-prod", bundle(&["REDIS_URL"])),
        ("clash-prod", bundle(&["DATABASE_URL"])),
    ]))
}

/// A pod with the annotation `enclii.io/secrets: api-prod` and the given containers.
pub(crate) fn pod(containers: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "generateName": "api-", "annotations": { "enclii.io/secrets": "api-prod" } },
        "spec": { "serviceAccountName": "api", "containers": containers },
    })
}

/// Such a pod with one container, which has `parts` besides its name and image.
pub(crate) fn one(parts: Value) -> Value {
    let mut container = json!({ "name": "api", "image": "shop/api:1" });
    merge(&mut container, parts);
    pod(json!([container]))
}

pub(crate) fn annotate(mut pod: Value, annotations: &[(&str, &str)]) -> Value {
    for (key, value) in annotations {
        pod["metadata"]["annotations"][format!("enclii.io/{key}")] = json!(value);
    }
    pod
}

/// Adds fields to the pod's spec.
pub(crate) fn with_spec(mut pod: Value, parts: Value) -> Value {
    merge(&mut pod["spec"], parts);
    pod
}

fn merge(into: &mut Value, parts: Value) {
    let Value::Object(parts) = parts else { panic!("parts of an object") };
    for (key, value) in parts {
        into[key] = value;
    }
}

pub(crate) fn decide(pod: &Value) -> Decision {
    decide_by(pod, &config())
}

/// The decision for an asker who may be anybody.
pub(crate) fn decide_for_anybody(pod: &Value) -> Decision {
    decide_by(pod, &InjectionConfig { key_names: KeyNames::OfThePod, ..config() })
}

pub(crate) fn decide_by(pod: &Value, config: &InjectionConfig) -> Decision {
    let json = pod.to_string();
    admit(&Pod::parse(&json).unwrap(), NAMESPACE, &catalog(), config)
}

pub(crate) fn apply(pod: &Value, patch: &Patch) -> Value {
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, patch).unwrap();
    patched
}

/// The admitted pod, and the warnings.
pub(crate) fn admitted(pod: &Value) -> (Value, Vec<String>) {
    admitted_by(pod, &config())
}

pub(crate) fn admitted_by(pod: &Value, config: &InjectionConfig) -> (Value, Vec<String>) {
    match decide_by(pod, config) {
        Decision::Inject { patch, warnings } => (apply(pod, &patch), warnings),
        other => panic!("not injected: {other:?}"),
    }
}

/// The message of a refusal.
pub(crate) fn refused(pod: &Value) -> String {
    refused_by(pod, &config())
}

pub(crate) fn refused_by(pod: &Value, config: &InjectionConfig) -> String {
    match decide_by(pod, config) {
        Decision::Refuse { message, .. } => message,
        other => panic!("not refused: {other:?}"),
    }
}
