//! Where a document has its pods: the pod itself, the template of a workload of any kind.

use serde_json::Value;

use super::escape_step;

/// A pod or a pod template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// Where it is in the document: empty for a pod itself.
    pub(crate) pointer: String,
    /// Whether pods come of it: what has containers in its own `spec`, and is no Pod, may be
    /// anything.
    pub(crate) makes_pods: bool,
}

/// Every pod in a document. A template is known by its shape, a `spec` with `containers`, so that
/// kinds of other projects (Rollout, CloneSet, a Knative Service, a job of Kubeflow) have theirs
/// found too.
pub(crate) fn templates(document: &Value) -> Vec<Template> {
    let is_pod = document["kind"] == "Pod" && document["spec"].is_object();
    if is_pod || has_containers(document) {
        return vec![Template { pointer: String::new(), makes_pods: is_pod }];
    }
    let mut found = Vec::new();
    walk(document, &mut String::new(), &mut found);
    found
}

fn has_containers(value: &Value) -> bool {
    value.get("spec").and_then(|spec| spec.get("containers")).is_some_and(Value::is_array)
}

/// The reader bounds how deep a document is.
fn walk(value: &Value, pointer: &mut String, found: &mut Vec<Template>) {
    if has_containers(value) {
        found.push(Template { pointer: pointer.clone(), makes_pods: true });
        return;
    }
    let length = pointer.len();
    let mut below = |step: &str, value: &Value| {
        pointer.push('/');
        pointer.push_str(step);
        walk(value, pointer, found);
        pointer.truncate(length);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, it)| below(&escape_step(key), it)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, it)| below(&index.to_string(), it));
        }
        _ => {}
    }
}
