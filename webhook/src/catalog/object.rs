//! A `SecretBundle` object as the catalog keeps it, whoever it comes from.

use contract::{Label, Scope, SecretBundle, layout};
use serde_json::Value;

use injection::bundles::Bundle;

/// Takes the keys of a whole object and nothing else. `None` where nobody has said yet what the
/// bundle holds.
pub(super) fn from_value(object: &Value) -> Option<Bundle> {
    let labels = object.pointer("/metadata/labels");
    from_parts(object, |name| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str))
}

/// The same of an object whose metadata somebody else has read.
pub(super) fn from_parts<'l>(
    object: &Value,
    label: impl Fn(&str) -> Option<&'l str>,
) -> Option<Bundle> {
    let part = |name: &str| object.get(name).filter(|part| !part.is_null()).cloned();
    let spec = part("spec").map(serde_json::from_value).transpose().ok()?;
    let status = part("status").map(serde_json::from_value).transpose().ok()?;
    let bundle = SecretBundle { spec, status };
    let keys = bundle.keys()?;
    let scope = bundle.status.and_then(|status| status.scope);
    let label = |name| label(name).map(str::to_owned);
    let said = |part: Option<&Label>| part.map(ToString::to_string);
    Some(Bundle {
        keys,
        project: said(scope.as_ref().map(Scope::project)).or_else(|| label(layout::PROJECT_LABEL)),
        environment: said(scope.as_ref().and_then(Scope::environment))
            .or_else(|| label(layout::ENVIRONMENT_LABEL)),
    })
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
        assert_eq!(found.keys, ["A", "B"].map(|name| name.parse().unwrap()).into());
        assert_eq!(
            (found.project.as_deref(), found.environment.as_deref()),
            (Some("shop"), Some("prod"))
        );
    }

    #[test]
    fn what_switchyard_says_of_the_scope_counts_before_labels() {
        let found = from_value(&json!({
            "metadata": { "labels": { "enclii.io/project": "x" } },
            "status": { "keys": [], "scope": "shop.prod.api" },
        }))
        .unwrap();
        assert_eq!(
            (found.project.as_deref(), found.environment.as_deref()),
            (Some("shop"), Some("prod"))
        );
    }

    #[test]
    fn what_is_no_bundle_yet() {
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
