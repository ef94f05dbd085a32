//! Pods as the properties take them.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Part of every variable's value, so that a leaked value is found in any text.
pub(crate) const CANARY: &str = "cAnArY7Q";

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
        Just(json!({ "runAsUser": 0 })),
        Just(json!({}))
    ];
    let words = prop_oneof![
        4 => Just(json!(["app", "--flag"])),
        1 => Just(json!(["java", "-jar", "app.jar"])),
        1 => Just(json!(["sh", "-c", "echo $DATABASE_URL"])),
        1 => Just(json!(["/run/enclii/bin/enclii-agent", "exec", "--", "app"])),
        1 => Just(json!(["wrapper", "/run/enclii/bin/enclii-agent", "exec", "--", "app"])),
        1 => Just(json!([])),
    ];
    let probes = prop_oneof![
        Just(json!({ "httpGet": { "path": "/ready", "port": 80 } })),
        Just(json!({ "tcpSocket": { "port": "web" } })),
        Just(json!({ "exec": { "command": ["check"] } })),
    ];
    let parts = (
        optional(env),
        optional(env_from),
        optional(mounts),
        optional(context),
        optional(words),
        optional(probes),
    );
    parts.prop_map(|(env, env_from, mounts, context, words, probe)| {
        let mut container = json!({ "image": "x", "futureField": { "deep": [1, null, "ü"] } });
        for (key, value) in [
            ("env", env),
            ("envFrom", env_from),
            ("volumeMounts", mounts),
            ("securityContext", context),
            ("command", words),
            ("readinessProbe", probe),
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

/// A pod that asks for secrets, with much that may meet them.
pub(crate) fn pod() -> impl Strategy<Value = Value> {
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
        prop_oneof![3 => Just(None), 1 => Just(Some("tls=1;postgres=DATABASE_URL"))],
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
        let (secrets, reload, containers_named, env, plain, template, path, verify, deliver) =
            annotations;
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
            ("verify", verify),
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
