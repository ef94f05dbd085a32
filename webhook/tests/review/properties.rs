//! Any bytes get a reply.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use webhook::review::{ReviewContext, respond};

use crate::support::{catalog, config};

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
}
