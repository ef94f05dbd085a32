//! The `AdmissionReview` that kube-apiserver sends to a webhook for a pod of a workload.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The documents of a YAML text.
///
/// # Errors
/// If it is not YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    yaml.split("\n---")
        .filter(|part| {
            part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        })
        .map(|part| serde_saphyr::from_str(part).context("parse YAML"))
        .collect()
}

/// The pod that a workload's template makes, as the ReplicaSet controller would create it.
///
/// # Errors
/// If the document has no pod template.
pub fn pod_of(workload: &Value) -> Result<Value> {
    let template =
        workload.pointer("/spec/template").context("the document has no pod template")?;
    let mut metadata = template["metadata"].clone();
    metadata["generateName"] =
        json!(format!("{}-", workload["metadata"]["name"].as_str().unwrap_or("pod")));
    metadata["namespace"] = workload["metadata"]["namespace"].clone();
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}))
}

/// The review of a pod's creation.
#[must_use]
pub fn review(pod: &Value, uid: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": pod["metadata"]["namespace"],
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"}
        }
    })
}

/// The pod after the webhook's response.
///
/// # Errors
/// If the pod was refused, or the patch does not apply.
pub fn apply(mut pod: Value, answer: &Value) -> Result<Value> {
    let response = &answer["response"];
    anyhow::ensure!(
        response["allowed"] == true,
        "the webhook refused the pod: {}",
        response["status"]["message"]
    );
    if let Some(patch) = response["patch"].as_str() {
        use base64::Engine;
        let patch =
            base64::engine::general_purpose::STANDARD.decode(patch).context("decode patch")?;
        let patch: json_patch::Patch = serde_json::from_slice(&patch).context("parse patch")?;
        json_patch::patch(&mut pod, &patch).context("apply patch")?;
    }
    Ok(pod)
}
