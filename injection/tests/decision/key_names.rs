//! What an asker who may be anybody is told.

use injection::Decision;
use serde_json::json;

use crate::support::{annotate, decide, decide_for_anybody, one};

#[test]
fn anybody_is_refused_what_would_list_keys() {
    let sources = one(json!({ "envFrom": [{ "secretRef": { "name": "api-prod" } }] }));
    let clash = annotate(one(json!({})), &[("secrets", "api-prod,clash-prod")]);
    for (pod, message) in [
        (
            sources,
            "spec.containers[0].envFrom[0] in container api: takes its variables from the Secret \
                api-prod, which the bundle replaces, and the webhook lists a bundle's keys to the \
                API server alone, which it cannot tell from others here: name each variable in \
                env with a secretKeyRef instead, or have the operator set up the API server's \
                client certificate (docs/guide.md, 'Who may ask the webhook')",
        ),
        (
            clash,
            "annotation enclii.io/secrets: bundles api-prod and clash-prod have keys in common, \
                and both would write the same files: `enclii secrets list` shows them; rename \
                the keys in one of the bundles, or list only one of them",
        ),
    ] {
        let Decision::Refuse { message: found, .. } = decide_for_anybody(&pod) else {
            panic!("not refused")
        };
        assert_eq!(found, message);
    }
    // What the pod names is confirmed: its variables are replaced as ever.
    let named = one(json!({ "env": [
        { "name": "DATABASE_URL", "value": "x" },
        { "name": "KEY", "valueFrom": {
            "secretKeyRef": { "name": "api-prod", "key": "STRIPE_API_KEY" },
        } },
    ] }));
    assert_eq!(decide_for_anybody(&named), decide(&named));
}
