//! The policy of a namespace for credentials in plain text.

use injection::{InjectionConfig, PlaintextMode, PlaintextVerdict, Pod, plaintext_verdict};
use serde_json::{Value, json};

const SECRET: &str = "correct-horse-battery";

fn verdict(pod: &Value, place: &str, mode: PlaintextMode) -> PlaintextVerdict {
    let json = pod.to_string();
    let mut config = InjectionConfig::new("x".into(), "https://x".into(), String::new());
    config.plain_env = ["PUBLIC_URL".to_owned()].into();
    let found = plaintext_verdict(&Pod::parse(&json).unwrap(), place, mode, &config);
    let words = format!("{found:?}");
    assert!(!words.contains(SECRET), "{words}");
    found
}

fn url() -> String {
    format!("postgres://shop:{SECRET}@db/shop")
}

fn pod(env: Value) -> Value {
    json!({"spec": {"containers": [{"name": "app", "env": env}]}})
}

#[test]
fn what_is_certain_is_refused_and_a_name_alone_is_a_warning() {
    let certain = json!([{"name": "DB_URL", "value": url()}]);
    let likely = json!([{"name": "DB_PASSWORD", "value": SECRET}]);
    let clean = json!([{"name": "LOG_LEVEL", "value": "info"}]);
    for (env, mode, is_refused, warns) in [
        (&certain, PlaintextMode::Deny, true, false),
        (&certain, PlaintextMode::Warn, false, true),
        (&likely, PlaintextMode::Deny, false, true),
        (&likely, PlaintextMode::Warn, false, true),
        (&clean, PlaintextMode::Deny, false, false),
        (&clean, PlaintextMode::Warn, false, false),
    ] {
        let PlaintextVerdict { refusal, warnings } = verdict(&pod(env.clone()), "", mode);
        let found = (refusal.is_some(), !warnings.is_empty());
        assert_eq!(found, (is_refused, warns), "{env} {mode:?}: {refusal:?} {warnings:?}");
    }
}

#[test]
fn messages_name_the_place_the_variable_and_the_way_out() {
    let pod = pod(json!([{"name": "A", "value": "x"}, {"name": "DB_URL", "value": url()}]));
    let refusal = verdict(&pod, "spec.template.", PlaintextMode::Deny).refusal.unwrap();
    for words in [
        "spec.template.spec.containers[0].env[1] in container app: DB_URL is",
        "enclii secrets set",
        "spec.template.metadata the annotation enclii.io/secrets",
        "enclii.io/plain-env",
    ] {
        assert!(refusal.contains(words), "{refusal}");
    }
    let warnings = verdict(&pod, "", PlaintextMode::Warn).warnings;
    assert!(warnings[0].starts_with("spec.containers[0].env[1] in container app: DB_URL is"));
    assert!(warnings[1].contains("enclii.io/plain-env"), "{warnings:?}");
    assert!(warnings.iter().all(|it| it.is_ascii() && it.len() < 256), "{warnings:?}");
}

#[test]
fn an_author_may_say_that_something_is_not_secret() {
    let mut pod = json!({
        "metadata": {"annotations": {"enclii.io/plain-env": "OTHER, DB_URL,password"}},
        "spec": {"containers": [{
            "name": "app",
            "env": [{"name": "DB_URL", "value": url()}],
            "args": [format!("--password={SECRET}")],
        }]},
    });
    assert_eq!(verdict(&pod, "", PlaintextMode::Deny), PlaintextVerdict::default());
    pod["metadata"]["annotations"]["enclii.io/plain-env"] = json!("OTHER");
    let found = verdict(&pod, "", PlaintextMode::Deny);
    assert!(found.refusal.is_some() && !found.warnings.is_empty(), "{found:?}");
}

#[test]
fn an_operator_may_say_it_for_every_pod() {
    let pod = pod(json!([{"name": "PUBLIC_URL", "value": url()}]));
    assert_eq!(verdict(&pod, "", PlaintextMode::Deny), PlaintextVerdict::default());
}

#[test]
fn a_pod_that_asks_for_secrets_is_not_looked_at() {
    let mut pod = pod(json!([{"name": "DB_URL", "value": url()}]));
    pod["metadata"] = json!({"annotations": {"enclii.io/secrets": "api-prod"}});
    assert_eq!(verdict(&pod, "", PlaintextMode::Deny), PlaintextVerdict::default());
}

/// The injection leaves the variables of such a pod alone, whoever wrote the name.
#[test]
fn the_bundle_of_the_injectors_annotations_is_no_way_around() {
    let mut pod = pod(json!([{"name": "DB_URL", "value": url()}]));
    pod["metadata"] = json!({"annotations": {
        "enclii.io/secrets": " vault-annotations", "vault.hashicorp.com/agent-inject": "true"
    }});
    assert!(verdict(&pod, "", PlaintextMode::Deny).refusal.is_some());
}

#[test]
fn a_long_list_is_cut() {
    let env: Vec<_> =
        (0..50).map(|it| json!({"name": format!("URL_{it}"), "value": url()})).collect();
    let refusal = verdict(&pod(json!(env)), "", PlaintextMode::Deny).refusal.unwrap();
    assert!(refusal.contains("and 40 more"), "{refusal}");
    let warnings = verdict(&pod(json!(env)), "", PlaintextMode::Warn).warnings;
    assert_eq!(warnings.len(), 12, "{warnings:?}");
}
