//! Converts a `SecretBundle` object to a bundle of the catalog.

use contract::{Scope, SecretBundle, layout};
use injection::Bundle;
use serde_json::Value;

/// Converts a whole object. `None` if nobody has written the bundle's keys yet.
pub(super) fn from_value(object: &Value) -> Option<Bundle> {
    let labels = object.pointer("/metadata/labels");
    from_parts(object, |name| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str))
}

/// Converts an object whose metadata has been parsed already.
///
/// Ignores keys that are not valid names: a person may write anything into `spec`, and a key
/// becomes the last component of a path.
pub(super) fn from_parts<'l>(
    object: &Value,
    label: impl Fn(&str) -> Option<&'l str>,
) -> Option<Bundle> {
    let part = |name: &str| object.get(name).filter(|part| !part.is_null()).cloned();
    let spec = part("spec").map(serde_json::from_value).transpose().ok()?;
    let status = part("status").map(serde_json::from_value).transpose().ok()?;
    let bundle = SecretBundle { spec, status };
    let keys = bundle.keys()?;
    let mut vault = bundle.vault().cloned().unwrap_or_default();
    // No agent could be given all of it, so none of it is kept in memory.
    let mapping = object.pointer("/spec/vault").map(Value::to_string).unwrap_or_default();
    if mapping.len() > 2 * layout::MAX_CONFIG_BYTES {
        vault.values_mut().for_each(|secret| *secret = None);
    }
    let scope = bundle.status.and_then(|status| status.scope);
    let label = |name| label(name)?.parse().ok();
    Some(Bundle {
        keys,
        vault,
        project: scope
            .as_ref()
            .map(Scope::project)
            .cloned()
            .or_else(|| label(layout::PROJECT_LABEL)),
        environment: scope
            .as_ref()
            .and_then(Scope::environment)
            .cloned()
            .or_else(|| label(layout::ENVIRONMENT_LABEL)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_valid_keys_and_the_labels_are_taken() {
        let found = from_value(&json!({
            "metadata": { "labels": {
                "enclii.io/project": "shop",
                "enclii.io/environment": "prod",
                "x": "y",
            } },
            "spec": { "keys": ["A", "../etc/passwd", "kubernetes.io", ""] },
            "status": { "keys": ["B"], "generation": 3 },
        }))
        .unwrap();
        assert_eq!(found.keys, ["A", "B"].map(|key| key.parse().unwrap()).into());
        assert_eq!((found.project, found.environment), ("shop".parse().ok(), "prod".parse().ok()));
    }

    #[test]
    fn the_scope_in_the_status_overrides_the_labels() {
        let found = from_value(&json!({
            "metadata": { "labels": { "enclii.io/project": "x" } },
            "status": { "keys": [], "scope": "shop.prod.api" },
        }))
        .unwrap();
        assert_eq!((found.project, found.environment), ("shop".parse().ok(), "prod".parse().ok()));
    }

    #[test]
    fn the_mapping_to_vault_is_taken() {
        let found = from_value(&json!({ "spec": { "vault": {
            "A": { "type": "kv", "mount": "secret", "path": "shop/api", "field": "a" },
            "B": { "type": "kv" },
            "../C": { "type": "kv", "mount": "secret", "path": "shop/api", "field": "c" },
        } } }))
        .unwrap();
        let usable = found.vault.iter().map(|(key, secret)| (key.as_str(), secret.is_some()));
        assert_eq!(usable.collect::<Vec<_>>(), [("A", true), ("B", false)]);
        assert_eq!(found.keys, [].into());
    }

    #[test]
    fn a_mapping_that_no_agent_can_be_given_is_not_kept() {
        let of = |length: usize| {
            let parameters = json!({ "common_name": "a".repeat(length) });
            let pki = json!({
                "type": "pki", "path": "pki/issue/a", "field": "b", "parameters": parameters,
            });
            from_value(&json!({ "spec": { "vault": { "A": pki } } })).unwrap().vault["A"].is_some()
        };
        assert!(of(1000));
        assert!(!of(300_000));
    }

    #[test]
    fn an_object_without_keys_is_not_a_bundle_yet() {
        for object in [
            json!({}),
            json!({ "spec": null }),
            json!({ "status": "x" }),
            json!({ "spec": { "keys": [1] } }),
            json!(null),
        ] {
            assert_eq!(from_value(&object), None, "{object}");
        }
        assert_eq!(from_value(&json!({ "status": {} })), Some(Bundle::default()));
    }
}
