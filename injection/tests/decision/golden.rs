//! A whole injected pod, as a person would read it.

use serde_json::json;

use crate::support::{admitted, annotate, pod, with_spec};

#[test]
fn the_sample_application() {
    let annotated = annotate(
        with_spec(
            pod(json!([{
                "name": "api",
                "image": "shop/api:1",
                "ports": [{ "containerPort": 8080 }],
                "env": [
                    { "name": "DATABASE_URL", "value": "postgres://api:pw@db/shop" },
                    { "name": "STRIPE_API_KEY", "value": "sample" },
                    { "name": "LOG_LEVEL", "value": "info" },
                ],
            }])),
            json!({ "securityContext": { "runAsUser": 10001, "runAsNonRoot": true } }),
        ),
        &[("reload", "signal=SIGHUP")],
    );
    let (patched, warnings) = admitted(&annotated);
    assert!(warnings.is_empty(), "{warnings:?}");
    insta::assert_snapshot!(serde_json::to_string_pretty(&patched).unwrap());
}

/// The pod that an unmodified application needs.
#[test]
fn an_application_that_reads_variables() {
    let annotated = annotate(
        with_spec(
            pod(json!([{
                "name": "api",
                "image": "shop/api:1",
                "args": ["--database=$(DATABASE_URL)"],
                "env": [
                    { "name": "DATABASE_URL", "value": "postgres://api:pw@db/shop" },
                    { "name": "LOG_LEVEL", "value": "info" },
                ],
            }])),
            json!({ "securityContext": { "runAsUser": 10001, "runAsNonRoot": true } }),
        ),
        &[("deliver", "env"), ("reload", "restart")],
    );
    let (patched, warnings) = admitted(&annotated);
    assert!(warnings.is_empty(), "{warnings:?}");
    insta::assert_snapshot!(serde_json::to_string_pretty(&patched).unwrap());
}
