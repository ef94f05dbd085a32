//! Any bytes get a reply.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use webhook::review::{ReviewContext, respond};

use crate::support::{catalog, config, one};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_body_panics(text in "[\\[\\]{}:,\"a-z0-9 ]{0,80}", bytes in vec(any::<u8>(), 0..200)) {
        let (catalog, config) = (catalog(), config());
        let context = ReviewContext { bundles: &catalog, config: &config, waiting_for: None };
        let _ = respond(&bytes, &context);
        let _ = respond(text.as_bytes(), &context);
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "1", "operation": "CREATE", "resource": { "resource": "pods" }, "object": 0,
            },
        });
        let _ = respond(review.to_string().replace(":0", &format!(":{text}")).as_bytes(), &context);
    }

    /// A review of a pod that somebody damaged: pieces of it removed, repeated or put elsewhere.
    #[test]
    fn no_damaged_pod_panics(
        edits in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3_u8), 1..8),
        annotation in "[ -~\u{7f}-\u{2030}]{0,60}",
    ) {
        let (catalog, config) = (catalog(), config());
        let context = ReviewContext { bundles: &catalog, config: &config, waiting_for: None };
        let mut pod = one(json!({
            "env": [
                { "name": "DATABASE_URL", "value": "postgres://a:b@c/d" },
                {
                    "name": "A",
                    "valueFrom": { "secretKeyRef": { "name": "api-prod", "key": "B" } },
                },
            ],
            "envFrom": [{ "prefix": "P_", "secretRef": { "name": "api-prod" } }],
            "args": ["$(DATABASE_URL)", "$($(A)"],
            "volumeMounts": [{ "name": "x", "mountPath": "/var/run/../run/secrets/x" }],
        }));
        for key in [
            "reload", "reload-container", "reload-timeout", "verify", "env", "plain-env",
            "containers", "file-mode",
        ] {
            pod["metadata"]["annotations"][format!("enclii.io/{key}")] = json!(annotation);
        }
        let mut text: Vec<char> = pod.to_string().chars().collect();
        for (from, to, kind) in edits {
            if text.len() < 2 {
                break;
            }
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            let (start, end) = (from.min(to), from.max(to));
            let end = end.min(start + 40);
            match kind {
                0 => drop(text.drain(start..end)),
                1 => {
                    let piece: Vec<char> = text[start..end].to_vec();
                    text.splice(start..start, piece);
                }
                _ => text.swap(from, to),
            }
        }
        let text: String = text.into_iter().collect();
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "1", "operation": "CREATE", "resource": { "resource": "pods" },
                "namespace": "shop-prod", "object": "HERE",
            },
        });
        let review = review.to_string().replace("\"HERE\"", &text);
        let reply = respond(review.as_bytes(), &context);
        prop_assert!(reply.body.len() < 64 << 10);
    }
}
