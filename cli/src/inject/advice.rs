//! What the author of a manifest should know and the webhook can't say: it sees pods alone.

use contract::annotations;
use serde_json::Value;

/// Something about a document that keeps its pods from getting secrets.
pub(super) fn of_document(document: &Value, templates: &[&Value]) -> Option<String> {
    let has = |value: &Value, field: &str| {
        value["metadata"][field]
            .as_object()
            .is_some_and(|map| map.contains_key(annotations::SECRETS))
    };
    let kind = document["kind"].as_str().unwrap_or("document");
    let is_pod = kind == "Pod";
    if !is_pod && has(document, "annotations") && !templates.iter().any(|it| has(it, "annotations"))
    {
        let place = match templates {
            [] => "the pods' own metadata",
            _ => "metadata.annotations of the pod template",
        };
        return Some(format!(
            "annotation {} is on the {kind} itself, where the webhook does not see it: move it to \
             {place}",
            annotations::SECRETS
        ));
    }
    let is_label = has(document, "labels") || templates.iter().any(|it| has(it, "labels"));
    is_label.then(|| {
        format!("{} is a label here, and has to be an annotation of the pod", annotations::SECRETS)
    })
}

/// A service account that switchyard will refuse unless a grant says otherwise.
pub(super) fn of_service_account(service_account: &str, bundles: Option<&str>) -> Option<String> {
    let others: Vec<_> = bundles?
        .split(',')
        .map(str::trim)
        .filter(|bundle| !bundle.is_empty() && !bundle.starts_with("default-"))
        .collect();
    (service_account == "default" && !others.is_empty()).then(|| {
        format!(
            "the pod runs as service account default, which may not read {} without a grant: set \
             serviceAccountName to the service's own",
            others.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_annotation_at_the_wrong_place_is_pointed_out() {
        let annotated = json!({ "annotations": { "enclii.io/secrets": "api-prod" } });
        let plain = json!({ "spec": {} });
        let with = json!({ "metadata": annotated, "spec": {} });
        let deployment = json!({ "kind": "Deployment", "metadata": annotated });
        let said = of_document(&deployment, &[&plain]).unwrap();
        assert!(said.contains("on the Deployment itself"), "{said}");
        assert_eq!(of_document(&deployment, &[&with]), None);
        assert!(of_document(&deployment, &[]).is_some());
        assert_eq!(of_document(&json!({ "kind": "Pod", "metadata": annotated }), &[&with]), None);
        let label = json!({ "metadata": { "labels": { "enclii.io/secrets": "api-prod" } } });
        assert!(of_document(&json!({ "kind": "Job" }), &[&label]).unwrap().contains("a label"));
    }

    #[test]
    fn the_default_service_account_is_warned_of() {
        assert!(of_service_account("default", Some("api-prod")).unwrap().contains("api-prod"));
        assert_eq!(of_service_account("default", Some("default-prod")), None);
        assert_eq!(of_service_account("api", Some("api-prod")), None);
        assert_eq!(of_service_account("default", None), None);
    }
}
