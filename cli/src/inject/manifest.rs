//! Manifests: YAML or JSON, one document or several, a pod or a workload that makes pods.

use serde_json::Value;

/// Whether a text is JSON: then the answer is too.
pub(crate) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// The documents of a text; the items of a `List` count as documents.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut documents: Vec<Value> = Vec::new();
    if is_json(text) {
        documents.push(serde_json::from_str(text).map_err(|error| {
            format!("line {} column {} is not JSON", error.line(), error.column())
        })?);
    } else {
        documents =
            serde_saphyr::from_multiple(text).map_err(|error| first_line(&error.to_string()))?;
    }
    documents.retain(|it| !it.is_null());
    let items: Vec<Value> = documents
        .into_iter()
        .flat_map(|document| match document.get("items") {
            Some(Value::Array(items)) if document["kind"] == "List" => items.clone(),
            _ => vec![document],
        })
        .collect();
    if items.is_empty() { Err("there is no document in it".to_owned()) } else { Ok(items) }
}

/// The part of a document that is a pod: itself, or the template of what it makes. A template lacks
/// `kind`, which the decision does not need.
pub(crate) fn pod_in(document: &mut Value) -> Option<&mut Value> {
    let path = match document["kind"].as_str()? {
        "Pod" => "",
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => "/spec/template",
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ => return None,
    };
    document.pointer_mut(path)
}

/// The documents as text.
pub(crate) fn print(documents: &[Value], json: bool) -> Result<String, String> {
    let one = |document: &Value| {
        if json {
            serde_json::to_string_pretty(document)
                .map(|text| text + "\n")
                .map_err(|error| error.to_string())
        } else {
            serde_saphyr::to_string(document).map_err(|error| error.to_string())
        }
    };
    let texts = documents.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join(if json { "" } else { "---\n" }))
}

/// A parser's message without the excerpt that may follow it: a manifest may hold plaintext.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_makes_pods_is_known() {
        for (kind, path) in [
            ("Pod", ""),
            ("Deployment", "/spec/template"),
            ("Job", "/spec/template"),
            ("CronJob", "/spec/jobTemplate/spec/template"),
        ] {
            let mut document = serde_json::json!({"kind": kind, "spec": {"template": {"spec": 1}, "jobTemplate": {"spec": {"template": {"spec": 1}}}}});
            let expected = document.pointer(path).cloned();
            assert_eq!(pod_in(&mut document).cloned(), expected, "{kind}");
        }
        assert_eq!(pod_in(&mut serde_json::json!({"kind": "Service"})), None);
    }

    #[test]
    fn several_documents_and_lists() {
        let found = documents("kind: A\n---\nkind: B\nx: 'a: b'\n---\n").unwrap();
        assert_eq!(
            found.iter().map(|it| it["kind"].as_str().unwrap()).collect::<Vec<_>>(),
            ["A", "B"]
        );
        let found = documents(r#"{"kind":"List","items":[{"kind":"A"},{"kind":"B"}]}"#).unwrap();
        assert_eq!(found.len(), 2);
        assert!(documents("").is_err());
        assert!(documents("a: [").is_err());
        assert!(documents("{\"a\": ").is_err());
    }

    #[test]
    fn what_is_printed_reads_the_same() {
        let document = serde_json::json!({"kind": "Pod", "spec": {"a": "yes", "b": "0400", "c": "line\nline\n", "d": "", "e": [1, true, null], "f": "- x: y"}});
        for json in [false, true] {
            let text = print(std::slice::from_ref(&document), json).unwrap();
            assert_eq!(documents(&text).unwrap(), std::slice::from_ref(&document), "{text}");
        }
    }
}
