//! Variables from a Secret that a bundle replaces.

use serde_json::{Value, json};

use crate::support::{admitted, annotate, one, refused};

fn env(pod: &Value, index: usize) -> &Value {
    &pod["spec"]["containers"][index]["env"]
}

#[test]
fn a_secret_key_ref_to_the_bundle_s_secret_is_replaced() {
    let key_of = |secret| json!({ "secretKeyRef": { "name": secret, "key": "DATABASE_URL" } });
    let (patched, _) = admitted(&one(json!({ "env": [
        { "name": "DB", "valueFrom": key_of("api-prod") },
        { "name": "OTHER", "valueFrom": key_of("other") },
    ] })));
    assert_eq!(
        *env(&patched, 0),
        json!([
            { "name": "DB_FILE", "value": "/run/secrets/DATABASE_URL" },
            { "name": "OTHER", "valueFrom": key_of("other") },
        ])
    );
}

#[test]
fn an_optional_secret_key_ref_is_replaced_or_left_out_as_kubelet_does() {
    let key_of = |key: &str, optional: bool| {
        let key = json!({ "name": "api-prod", "key": key, "optional": optional });
        json!({ "name": "EXTRA", "valueFrom": { "secretKeyRef": key } })
    };
    let with = |variable: Value| one(json!({ "env": [variable, { "name": "B", "value": "b" }] }));
    let (patched, warnings) = admitted(&with(key_of("DATABASE_URL", true)));
    assert_eq!(env(&patched, 0)[0]["value"], "/run/secrets/DATABASE_URL");
    assert!(warnings.is_empty(), "{warnings:?}");

    let (patched, warnings) = admitted(&with(key_of("ABSENT", true)));
    assert_eq!(*env(&patched, 0), json!([{ "name": "B", "value": "b" }]));
    let left_out = "EXTRA is left out, since it is optional and bundle api-prod has no key ABSENT";
    assert_eq!(warnings, [format!("spec.containers[0].env[0] in container api: {left_out}")]);
    // The author knows of a key that the webhook does not know yet.
    let (patched, _) = admitted(&annotate(with(key_of("ABSENT", true)), &[("env", "EXTRA")]));
    assert_eq!(env(&patched, 0)[0]["value"], "/run/secrets/ABSENT");
    assert!(refused(&with(key_of("ABSENT", false))).contains("ABSENT"));
}

#[test]
fn an_env_from_of_the_bundle_s_secret_is_replaced() {
    let (patched, _) = admitted(&one(json!({
        "env": [{ "name": "DATABASE_URL", "value": "x" }],
        "envFrom": [
            { "configMapRef": { "name": "api-prod" } },
            { "secretRef": { "name": "api-prod" } },
            { "secretRef": { "name": "other" } },
            { "prefix": "P_", "secretRef": { "name": "api-prod" } },
        ],
    })));
    assert_eq!(
        *env(&patched, 0),
        json!([
            { "name": "DATABASE_URL_FILE", "value": "/run/secrets/DATABASE_URL" },
            { "name": "STRIPE_API_KEY_FILE", "value": "/run/secrets/STRIPE_API_KEY" },
            { "name": "P_DATABASE_URL_FILE", "value": "/run/secrets/DATABASE_URL" },
            { "name": "P_STRIPE_API_KEY_FILE", "value": "/run/secrets/STRIPE_API_KEY" },
        ])
    );
    assert_eq!(
        patched["spec"]["containers"][0]["envFrom"],
        json!([{ "configMapRef": { "name": "api-prod" } }, { "secretRef": { "name": "other" } }])
    );
}
