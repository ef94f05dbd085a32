//! Checks of the cluster, through kubectl.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contract::layout::{ENVIRONMENT_LABEL, PROJECT_LABEL};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use super::check::Check;
use crate::kubectl;

const WEBHOOK_CONFIGURATION: &str = "enclii-webhook";

pub(super) async fn checks(kubectl: &Path) -> Vec<Check> {
    if let Err(reason) = query(kubectl, &["version"]).await {
        return vec![Check::skipped("cluster", reason)];
    }
    let configuration = query(
        kubectl,
        &["get", "mutatingwebhookconfigurations", WEBHOOK_CONFIGURATION, "--ignore-not-found"],
    )
    .await;
    let namespaces = query(kubectl, &["get", "namespaces"]).await;
    let bundles = query(kubectl, &["get", "secretbundles.enclii.io", "--all-namespaces"]).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    vec![
        check("webhook", configuration, |it| check_webhook(it, now)),
        check("namespaces", namespaces, check_labels),
        check("bundles", bundles, check_keys),
    ]
}

/// The JSON that kubectl prints, or null if it prints nothing.
async fn query(kubectl: &Path, words: &[&str]) -> Result<Value, String> {
    let output = kubectl::run(kubectl, &[words, &["--output", "json"]].concat()).await?;
    if !output.status.success() {
        return Err(kubectl::reason(&output));
    }
    if output.stdout.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&output.stdout).map_err(|_| "kubectl: the output is not JSON".to_owned())
}

/// Checks an object. A failed query, for example without permission, skips the check.
fn check(
    name: &'static str,
    answer: Result<Value, String>,
    check_object: impl FnOnce(&Value) -> Check,
) -> Check {
    answer.map_or_else(|reason| Check::skipped(name, reason), |it| check_object(&it))
}

fn check_webhook(object: &Value, now: Duration) -> Check {
    let name = "webhook";
    if object.is_null() {
        let detail = format!("there is no MutatingWebhookConfiguration {WEBHOOK_CONFIGURATION}");
        return Check::failed(
            name,
            detail,
            "install the manifests: kubectl apply -k manifests/overlays/default",
        );
    }
    let webhooks = object["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    for webhook in webhooks {
        if let Err(reason) = check_ca_bundle(&webhook["clientConfig"]["caBundle"], now) {
            let detail = format!(
                "caBundle of {}: {reason}",
                webhook["name"].as_str().unwrap_or("a webhook")
            );
            return Check::failed(
                name,
                detail,
                "deploy/enclii-certificates fills it in: see its log in enclii-system",
            );
        }
    }
    match webhooks.len() {
        0 => Check::failed(
            name,
            format!("{WEBHOOK_CONFIGURATION} has no webhook"),
            "apply the manifests again",
        ),
        _ => Check::ok(name, format!("{WEBHOOK_CONFIGURATION} exists, and its caBundle is valid")),
    }
}

/// Fails unless the caBundle holds a certificate that is valid now.
fn check_ca_bundle(bundle: &Value, now: Duration) -> Result<(), String> {
    let text = bundle.as_str().filter(|it| !it.is_empty()).ok_or("is empty")?;
    // Standard base64, as in the API's values.
    let pem: contract::Redacted =
        serde_json::from_value(Value::from(text)).map_err(|_| "is not base64")?;
    let mut reason = "holds no certificate".to_owned();
    for certificate in CertificateDer::pem_slice_iter(pem.expose()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        let (_, certificate) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|error| error.to_string())?;
        let at = x509_parser::time::ASN1Time::from_timestamp(
            i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        )
        .map_err(|it| it.to_string())?;
        if certificate.validity().is_valid_at(at) {
            return Ok(());
        }
        reason = format!("the certificate was valid until {}", certificate.validity().not_after);
    }
    Err(reason)
}

/// A namespace needs both labels; with only one, the other was forgotten.
fn check_labels(list: &Value) -> Check {
    let name = "namespaces";
    let (mut both, mut half) = (Vec::new(), Vec::new());
    for namespace in list["items"].as_array().into_iter().flatten() {
        let label = |key: &str| namespace["metadata"]["labels"][key].is_string();
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        match (label(PROJECT_LABEL), label(ENVIRONMENT_LABEL)) {
            (true, true) => both.push(name),
            (false, false) => {}
            _ => half.push(name),
        }
    }
    let way_out = format!(
        "kubectl label namespace NAME {PROJECT_LABEL}=PROJECT {ENVIRONMENT_LABEL}=ENVIRONMENT"
    );
    if !half.is_empty() {
        return Check::failed(
            name,
            format!("one of the two labels is missing: {}", half.join(", ")),
            way_out,
        );
    }
    if both.is_empty() {
        return Check::failed(name, "no namespace belongs to a project and environment", way_out);
    }
    Check::ok(name, format!("labelled: {}", both.join(", ")))
}

fn check_keys(list: &Value) -> Check {
    let bundles = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let without_keys = bundles
        .iter()
        .filter(|it| !it["spec"]["keys"].is_array() && !it["status"]["keys"].is_array());
    let names: Vec<_> = without_keys.filter_map(|it| it["metadata"]["name"].as_str()).collect();
    if !names.is_empty() {
        let way_out = "switchyard fills them in: kubectl -n enclii-system logs deploy/switchyard";
        return Check::failed(
            "bundles",
            format!("SecretBundle without keys: {}", names.join(", ")),
            way_out,
        );
    }
    Check::ok("bundles", format!("{} SecretBundle objects", bundles.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::CheckState;
    use super::*;

    #[test]
    fn webhook_configurations() {
        let now = Duration::from_secs(1_800_000_000);
        let with = |bundle: &str| {
            let client_config = json!({"caBundle": bundle});
            json!({"webhooks": [{"name": "pods.enclii.io", "clientConfig": client_config}]})
        };
        assert_eq!(check_webhook(&Value::Null, now).state, CheckState::Failed);
        assert_eq!(check_webhook(&json!({"webhooks": []}), now).state, CheckState::Failed);
        for (bundle, reason) in
            [("", "is empty"), ("!", "is not base64"), ("eA==", "holds no certificate")]
        {
            assert_eq!(
                check_webhook(&with(bundle), now).detail,
                format!("caBundle of pods.enclii.io: {reason}")
            );
        }
    }

    #[test]
    fn namespaces() {
        let list = |items: &[Value]| json!({"items": items});
        let one = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let good =
            one("shop-prod", json!({"enclii.io/project": "shop", "enclii.io/environment": "prod"}));
        let half = one("shop-dev", json!({"enclii.io/project": "shop"}));
        let other = one("default", json!({}));
        assert_eq!(
            check_labels(&list(&[good.clone(), other.clone()])),
            Check::ok("namespaces", "labelled: shop-prod")
        );
        assert_eq!(
            check_labels(&list(&[good, half])).detail,
            "one of the two labels is missing: shop-dev"
        );
        assert_eq!(check_labels(&list(&[other])).state, CheckState::Failed);
    }
}
