//! Properties of the decision on every pod.

use injection::{AgentUser, Decision, InjectionConfig, PlacementPolicy, Pod, admit};
use json_patch::{Patch, PatchOperation};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::generated::{CANARY, pod};
use crate::support::{
    KEYS, NAMESPACE, apply, catalog, config, decide, decide_by, decide_for_anybody, vault_config,
};

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

/// The fields that an injection must not change.
fn unrelated_fields(pod: &Value) -> Vec<Value> {
    let parts =
        containers(pod).filter(|container| container["name"] != "enclii-agent").map(|container| {
            json!([
                container["name"],
                container["image"],
                container["futureField"],
                container["securityContext"]
            ])
        });
    // The webhook's own.
    let mut metadata = pod["metadata"].clone();
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.remove("enclii.io/status");
        annotations.remove("kubectl.kubernetes.io/default-container");
    }
    parts.chain([metadata, pod["status"].clone(), pod["spec"]["futureField"].clone()]).collect()
}

fn check(pod: &Value, config: &InjectionConfig) -> Result<bool, TestCaseError> {
    match decide_by(pod, config) {
        Decision::Skip(_) => Err(TestCaseError::fail("a pod with the annotation was skipped")),
        Decision::Refuse { message, warnings } => {
            prop_assert!(!message.contains(CANARY), "{message}");
            prop_assert!(warnings.iter().all(|warning| !warning.contains(CANARY)), "{warnings:?}");
            Ok(false)
        }
        Decision::Inject { patch, warnings } => {
            prop_assert!(warnings.iter().all(|warning| !warning.contains(CANARY)), "{warnings:?}");
            prop_assert!(
                !serde_json::to_string(&patch).unwrap().contains(CANARY),
                "a value is in the patch"
            );
            // A `test` operation would carry the value that it compares with.
            prop_assert!(patch.iter().all(|operation| matches!(
                operation,
                PatchOperation::Add(_) | PatchOperation::Remove(_) | PatchOperation::Replace(_)
            )));
            let patched = apply(pod, &patch);
            prop_assert_eq!(unrelated_fields(pod), unrelated_fields(&patched));
            let plain = pod["metadata"]["annotations"]["enclii.io/plain-env"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            for variable in containers(&patched)
                .flat_map(|container| container["env"].as_array().into_iter().flatten())
            {
                let name = variable["name"].as_str().unwrap();
                let is_path = variable["value"]
                    .as_str()
                    .is_some_and(|value| value.starts_with("/run/secrets/"));
                let stays = variable["valueFrom"].is_object()
                    || is_path
                    || plain.split(',').any(|plain| plain == name);
                prop_assert!(!KEYS.contains(&name) || stays, "{} is still there", name);
            }
            // A second pass changes nothing.
            match decide_by(&patched, config) {
                Decision::Inject { patch, .. } => prop_assert_eq!(patch, Patch::default()),
                other => prop_assert!(false, "the second pass: {:?}", other),
            }
            Ok(true)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_pod_is_injected_or_refused_without_a_leak(pod in pod(), config in settings()) {
        check(&pod, &config)?;
    }

    #[test]
    fn what_another_configuration_has_made_becomes_what_this_one_makes(
        pod in pod(),
        earlier in settings(),
        config in settings(),
    ) {
        if let Decision::Inject { patch, .. } = decide_by(&pod, &earlier)
            && matches!(decide_by(&pod, &config), Decision::Inject { .. })
        {
            check(&apply(&pod, &patch), &config)?;
        }
    }

    #[test]
    fn anybody_learns_no_key_that_the_pod_does_not_name(pod in pod()) {
        let (asked, answer) = (pod.to_string(), answer_for_anybody(&pod));
        for key in KEYS.into_iter().chain(["REDIS_URL"]) {
            prop_assert!(asked.contains(key) || !answer.contains(key), "{key} is in {answer}");
        }
    }

    #[test]
    fn the_same_pod_gets_the_same_answer(pod in pod()) {
        prop_assert_eq!(decide(&pod), decide(&pod));
    }

    #[test]
    fn no_field_of_a_pod_panics(
        mut pod in pod(),
        at in any::<prop::sample::Index>(),
        with in member(),
    ) {
        let pointers = pointers(&pod);
        let pointer = &pointers[at.index(pointers.len())];
        *pod.pointer_mut(pointer).unwrap() = with;
        let json = pod.to_string();
        if let Ok(pod) = Pod::parse(&json)
            && let Decision::Refuse { message, .. } = admit(&pod, NAMESPACE, &catalog(), &config())
        {
            prop_assert!(!message.contains(CANARY), "{message}");
        }
    }
}

/// What an operator may have set.
fn settings() -> impl Strategy<Value = InjectionConfig> {
    let versions = prop_oneof![4 => Just("1.37"), 1 => Just("1.34"), 1 => Just("1.28")];
    let placements = prop::sample::select(&PlacementPolicy::ALL[..]);
    let users = prop::sample::select(&AgentUser::ALL[..]);
    let sources = prop_oneof![2 => Just(false), 1 => Just(true)];
    (placements, users, versions, sources).prop_map(|(placement, agent_user, version, vault)| {
        InjectionConfig {
            placement,
            agent_user,
            kubernetes: version.parse().ok(),
            ..if vault { vault_config() } else { config() }
        }
    })
}

/// Everything that an asker gets to see.
fn answer_for_anybody(pod: &Value) -> String {
    match decide_for_anybody(pod) {
        Decision::Skip(reason) => reason.to_string(),
        Decision::Refuse { message, warnings } => format!("{message}{warnings:?}"),
        Decision::Inject { patch, warnings } => {
            format!("{}{warnings:?}", serde_json::to_string(&patch).unwrap())
        }
    }
}

fn member() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("enclii-agent")),
        Just(json!("enclii-secrets")),
        Just(json!(-1)),
        Just(json!(["", null])),
        any::<String>().prop_map(Value::String),
    ]
}

/// The pointers to everything in a value.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(elements) => {
            elements.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in below {
        found.extend(pointers(value).into_iter().map(|rest| format!("/{key}{rest}")));
    }
    found
}

/// If the generator made only refused pods, the properties above would prove nothing.
#[test]
fn many_of_the_pods_are_admitted() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let admitted = (0..300)
        .filter(|_| check(&pod().new_tree(&mut runner).unwrap().current(), &config()).unwrap())
        .count();
    assert!(admitted > 30, "{admitted} of 300");
}
