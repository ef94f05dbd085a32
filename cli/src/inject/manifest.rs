//! Manifests: YAML or JSON, one or more documents, pods or workloads with a pod template.

use serde_json::Value;

/// Whether a text is JSON. The output then is JSON too.
pub(crate) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Parses the documents. The items of a `List` are documents themselves.
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
    if items.is_empty() { Err("the file has no document".to_owned()) } else { Ok(items) }
}

/// The pod in a document: the document itself or its pod template. A template has no `kind`, which
/// the decision does not need.
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

/// Formats the documents.
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

/// A parser's message without the excerpt of the manifest, which may hold plaintext secrets.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_found_in_every_workload_kind() {
        for (kind, path) in [
            ("Pod", ""),
            ("Deployment", "/spec/template"),
            ("Job", "/spec/template"),
            ("CronJob", "/spec/jobTemplate/spec/template"),
        ] {
            let template = serde_json::json!({"spec": 1});
            let mut document = serde_json::json!({"kind": kind, "spec": {
                "template": template, "jobTemplate": {"spec": {"template": template}},
            }});
            let expected = document.pointer(path).cloned();
            assert_eq!(pod_in(&mut document).cloned(), expected, "{kind}");
        }
        assert_eq!(pod_in(&mut serde_json::json!({"kind": "Service"})), None);
    }

    #[test]
    fn multiple_documents_and_lists_are_parsed() {
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
    fn printed_documents_parse_to_the_same_values() {
        let document = serde_json::json!({"kind": "Pod", "spec": {
            "a": "yes", "b": "0400", "c": "line\nline\n", "d": "",
            "e": [1, true, null], "f": "- x: y",
        }});
        for json in [false, true] {
            let text = print(std::slice::from_ref(&document), json).unwrap();
            assert_eq!(documents(&text).unwrap(), std::slice::from_ref(&document), "{text}");
        }
    }
}
