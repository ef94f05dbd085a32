//! Properties of the decision on every pod.

use injection::{AgentUser, Decision, InjectionConfig, PlacementPolicy, Pod, admit};
use json_patch::{Patch, PatchOperation};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    KEYS, NAMESPACE, apply, catalog, config, decide, decide_by, decide_for_anybody,
};

/// Part of every variable's value, so that a leaked value is found in any text.
const CANARY: &str = "cAnArY7Q";

fn variable() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("DATABASE_URL"),
        Just("STRIPE_API_KEY"),
        Just("DATABASE_URL_FILE"),
        Just("REDIS_URL"),
        Just("LOG_LEVEL"),
        Just("MY_PASSWORD"),
        Just("ENCLII_CONTAINER"),
        Just("ENCLII_EXEC"),
    ];
    let sources = prop_oneof![
        4 => "[a-z:/@$(){}\"\\\\\n]{0,12}"
            .prop_map(|text| json!({ "value": format!("{text}{CANARY}") })),
        1 => Just(json!({ "value": format!("postgres://a:{CANARY}@b/c") })),
        1 => Just(json!({ "value": format!("x$(DATABASE_URL){CANARY}") })),
        1 => Just(json!({ "value": format!("ghp_{CANARY}{}", "a".repeat(40)) })),
        1 => Just(json!({ "value": "/run/secrets/DATABASE_URL" })),
        1 => Just(json!({ "value": format!("vault:{CANARY}/a#{CANARY}") })),
        1 => Just(json!({})),
        1 => Just(json!({
            "valueFrom": { "secretKeyRef": { "name": "api-prod", "key": "DATABASE_URL" } },
        })),
        1 => Just(json!({ "valueFrom": { "secretKeyRef": { "name": "other", "key": "k" } } })),
        1 => file_key(),
        1 => Just(json!({
            "value": r#"{"version":1,"directory":"/x","variables":["A=REDIS_URL","DATABASE_URL"]}"#,
        })),
    ];
    (names, sources).prop_map(|(name, mut source)| {
        source["name"] = json!(name);
        source
    })
}

/// A variable from a file: as the webhook writes it, nearly so, and of another volume.
fn file_key() -> impl Strategy<Value = Value> {
    let volumes = prop_oneof![3 => Just("enclii-secrets"), 1 => Just("v")];
    let secrets = prop_oneof![3 => Just("DATABASE_URL"), 1 => Just("REDIS_URL")];
    let optional = prop_oneof![Just(None), Just(Some(false)), Just(Some(true))];
    let path = prop_oneof![9 => Just(".env/"), 1 => Just("")];
    (volumes, secrets, path, optional).prop_map(|(volume, secret, path, optional)| {
        let mut found =
            json!({ "volumeName": volume, "path": format!("{path}{secret}"), "key": secret });
        if let Some(optional) = optional {
            found["optional"] = json!(optional);
        }
        json!({ "valueFrom": { "fileKeyRef": found } })
    })
}

fn optional<S: Strategy<Value = Value> + 'static>(
    strategy: S,
) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 4 => strategy.prop_map(Some)]
}

fn container() -> impl Strategy<Value = Value> {
    let env = vec(variable(), 0..6).prop_map(Value::Array);
    let env_from = vec(prop_oneof![Just("api-prod"), Just("other")], 0..3).prop_map(|names| {
        names
            .into_iter()
            .map(|name| json!({ "secretRef": { "name": name, "unknownField": 1 } }))
            .collect()
    });
    let mounts = vec(
        prop_oneof![9 => Just("/data"), 1 => Just("/run/secrets"), 1 => Just("/var/run")],
        0..2,
    )
    .prop_map(|paths| {
        let mount = |path| json!({ "name": "v", "mountPath": path });
        let secret = json!({ "name": "s", "mountPath": "/secret", "subPath": "DATABASE_URL" });
        let is_first = paths.first() == Some(&"/data");
        paths.into_iter().map(mount).chain(is_first.then_some(secret)).collect()
    });
    let context = prop_oneof![
        Just(json!({ "runAsUser": 1000 })),
        Just(json!({ "runAsUser": 2000 })),
        Just(json!({}))
    ];
    let words = prop_oneof![
        4 => Just(json!(["app", "--flag"])),
        1 => Just(json!(["sh", "-c", "echo $DATABASE_URL"])),
        1 => Just(json!(["/run/enclii/bin/enclii-agent", "exec", "--", "app"])),
        1 => Just(json!(["wrapper", "/run/enclii/bin/enclii-agent", "exec", "--", "app"])),
        1 => Just(json!([])),
    ];
    let parts =
        (optional(env), optional(env_from), optional(mounts), optional(context), optional(words));
    parts.prop_map(|(env, env_from, mounts, context, words)| {
        let mut container = json!({ "image": "x", "futureField": { "deep": [1, null, "ü"] } });
        for (key, value) in [
            ("env", env),
            ("envFrom", env_from),
            ("volumeMounts", mounts),
            ("securityContext", context),
            ("command", words),
        ] {
            if let Some(value) = value {
                container[key] = value;
            }
        }
        container
    })
}

fn named(containers: Vec<Value>, prefix: &str) -> Value {
    let name = |(index, mut container): (usize, Value)| {
        container["name"] = json!(format!("{prefix}{index}"));
        container
    };
    containers.into_iter().enumerate().map(name).collect()
}

fn pod() -> impl Strategy<Value = Value> {
    let annotations = (
        prop_oneof![3 => Just("api-prod"), 1 => Just("api-prod,shared-prod")],
        prop_oneof![
            Just(None),
            Just(Some("signal=SIGHUP")),
            Just(Some("restart")),
            Just(Some("http=http://127.0.0.1:1/$(A)"))
        ],
        prop_oneof![3 => Just(None), 1 => Just(Some("a0"))],
        prop_oneof![3 => Just(None), 1 => Just(Some("MY_PASSWORD,LOG_LEVEL"))],
        prop_oneof![
            1 => Just(None),
            2 => Just(Some("MY_PASSWORD,REDIS_URL,DATABASE_URL_FILE,LOG_LEVEL,ENCLII_CONTAINER")),
        ],
        prop_oneof![
            3 => Just(None),
            1 => Just(Some("configmap=a/b")),
            1 => Just(Some("{{ DATABASE_URL }}$(B)")),
        ],
        prop_oneof![3 => Just(None), 1 => Just(Some("db/url"))],
        prop_oneof![
            3 => Just(None),
            3 => Just(Some("env")),
            1 => Just(Some("DATABASE_URL=env,MY_PASSWORD=env")),
            1 => Just(Some("env,STRIPE_API_KEY=files")),
            1 => Just(Some("env,init")),
            3 => Just(Some("exec")),
            1 => Just(Some("exec,STRIPE_API_KEY=files,REDIS_URL=env")),
        ],
    );
    let init = optional(vec(container(), 0..2).prop_map(|containers| named(containers, "i")));
    let volumes = optional(prop_oneof![
        Just(json!([{ "name": "v", "emptyDir": {}, "later": true }])),
        Just(json!([
            { "name": "v", "emptyDir": {}, "later": true },
            { "name": "s", "secret": { "secretName": "api-prod" } },
        ])),
        Just(json!([{ "name": "s", "projected": { "sources": [
            { "secret": {
                "name": "api-prod", "items": [{ "key": "DATABASE_URL", "path": "a/b" }],
            } },
        ] } }])),
    ]);
    let parts = (annotations, vec(container(), 1..3), init, volumes, any::<bool>());
    parts.prop_map(|(annotations, containers, init, volumes, share)| {
        let (secrets, reload, containers_named, env, plain, template, path, deliver) = annotations;
        let mut pod = json!({
            "metadata": {
                "annotations": { "enclii.io/secrets": secrets, "a/b~c": "x" },
                "unknown": 1,
            },
            "spec": { "containers": named(containers, "a"), "futureField": ["x"] },
            "status": { "kept": true },
        });
        for (key, value) in [
            ("reload", reload),
            ("containers", containers_named),
            ("env", env),
            ("plain-env", plain),
            ("template-a.conf", template),
            ("path-DATABASE_URL", path),
            ("deliver", deliver),
        ] {
            if let Some(value) = value {
                pod["metadata"]["annotations"][format!("enclii.io/{key}")] = json!(value);
            }
        }
        for (key, value) in [
            ("restartPolicy", share.then_some(json!("OnFailure"))),
            ("resources", share.then_some(json!({ "limits": { "memory": "48Mi" } }))),
            ("initContainers", init),
            ("volumes", volumes),
            ("shareProcessNamespace", share.then_some(json!(true))),
        ] {
            if let Some(value) = value {
                pod["spec"][key] = value;
            }
        }
        pod
    })
}

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
    (placements, users, versions).prop_map(|(placement, agent_user, version)| InjectionConfig {
        placement,
        agent_user,
        kubernetes: version.parse().ok(),
        ..config()
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
