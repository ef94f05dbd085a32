//! A `SecretBundle` object as the catalog keeps it, whoever it comes from.

use contract::{SecretBundle, SecretName, layout};
use serde_json::Value;

use crate::bundles::Bundle;

/// Takes the keys and nothing else. `None` where nobody has said yet what the bundle holds.
///
/// Keys that are no legal names are left out: a person may write anything into `spec`, and a key
/// becomes the last part of a path.
pub(super) fn bundle<'l>(object: SecretBundle, labels: impl Fn(&str) -> Option<&'l str>) -> Option<Bundle> {
    let keys = object.keys()?.into_iter().filter(|key| key.parse::<SecretName>().is_ok()).collect();
    let label = |name| labels(name).map(str::to_owned);
    Some(Bundle { keys, project: label(layout::PROJECT_LABEL), environment: label(layout::ENVIRONMENT_LABEL) })
}

/// The same of a whole object.
pub(super) fn from_value(object: &Value) -> Option<Bundle> {
    let parts = |name: &str| object.get(name).filter(|part| !part.is_null()).cloned();
    let spec = parts("spec").map(serde_json::from_value).transpose().ok()?;
    let status = parts("status").map(serde_json::from_value).transpose().ok()?;
    let labels = object.pointer("/metadata/labels");
    bundle(SecretBundle { spec, status }, |name| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_legal_keys_and_the_labels() {
        let found = from_value(&json!({
            "metadata": { "labels": { "enclii.io/project": "shop", "enclii.io/environment": "prod", "x": "y" } },
            "spec": { "keys": ["A", "../etc/passwd", "kubernetes.io", ""] },
            "status": { "keys": ["B"], "generation": 3 },
        }))
        .unwrap();
        assert_eq!(found.keys, ["A".to_owned(), "B".to_owned()].into());
        assert_eq!((found.project.as_deref(), found.environment.as_deref()), (Some("shop"), Some("prod")));
    }

    #[test]
    fn what_is_no_bundle_yet() {
        for object in [json!({}), json!({ "spec": null }), json!({ "status": "x" }), json!({ "spec": { "keys": [1] } }), json!(null)] {
            assert_eq!(from_value(&object), None, "{object}");
        }
        assert_eq!(from_value(&json!({ "status": {} })), Some(Bundle::default()));
    }
}
