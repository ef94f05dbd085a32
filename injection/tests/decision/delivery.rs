//! How values are delivered: `enclii.io/deliver`.

use injection::{InjectionConfig, KubernetesVersion};
use serde_json::{Value, json};

use crate::support::{
    admitted, admitted_by, annotate, config, decide_by, one, refused, refused_by, with_spec,
};

/// The variable that kubelet reads from the agent's file.
fn from_file(name: &str, secret: &str) -> Value {
    json!({
        "name": name,
        "valueFrom": { "fileKeyRef": {
            "volumeName": "enclii-secrets",
            "path": format!(".env/{secret}"),
            "key": secret,
            "optional": false,
        } },
    })
}

/// A pod with these variables whose secrets are all delivered as variables.
fn env_pod(parts: Value) -> Value {
    annotate(one(parts), &[("deliver", "env")])
}

fn agent_config(pod: &Value) -> Value {
    let text = pod["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
    serde_json::from_str(&text.replace("$$", "$")).unwrap()
}

#[test]
fn each_kind_of_variable_is_read_from_the_agents_file_in_its_place() {
    let pod = env_pod(json!({ "env": [
        { "name": "FIRST", "value": "1" },
        { "name": "DATABASE_URL", "value": "postgres://a:b@c/d" },
        { "name": "STRIPE", "valueFrom": { "secretKeyRef": {
            "name": "api-prod", "key": "STRIPE_API_KEY",
        } } },
        { "name": "LAST", "value": "$(DATABASE_URL)?x" },
    ], "args": ["--db=$(DATABASE_URL)"] }));
    let (patched, warnings) = admitted(&pod);
    let container = &patched["spec"]["containers"][0];
    assert_eq!(
        container["env"],
        json!([
            { "name": "FIRST", "value": "1" },
            from_file("DATABASE_URL", "DATABASE_URL"),
            from_file("STRIPE", "STRIPE_API_KEY"),
            { "name": "LAST", "value": "$(DATABASE_URL)?x" },
        ])
    );
    assert_eq!(container["volumeMounts"], Value::Null, "it reads no file");
    assert_eq!(agent_config(&patched)["files"]["mode"], "0400");
    assert_eq!(agent_config(&patched)["files"]["env"], json!(["DATABASE_URL", "STRIPE_API_KEY"]));
    assert!(matches!(&*warnings, [one] if one.contains("rollout restart")), "{warnings:?}");
}

#[test]
fn a_source_becomes_variables_that_entries_refer_to_and_override() {
    let pod = env_pod(json!({
        "env": [
            { "name": "DSN", "value": "$(P_DATABASE_URL)" },
            { "name": "P_STRIPE_API_KEY", "value": "of the pod" },
        ],
        "envFrom": [
            { "configMapRef": { "name": "other" } },
            { "prefix": "P_", "secretRef": { "name": "api-prod" } },
            { "prefix": "P_", "secretRef": { "name": "api-prod" } },
        ],
    }));
    let container = |pod: &Value| pod["spec"]["containers"][0].clone();
    let (patched, _) = admitted(&pod);
    assert_eq!(
        container(&patched)["env"],
        json!([
            from_file("P_DATABASE_URL", "DATABASE_URL"),
            { "name": "DSN", "value": "$(P_DATABASE_URL)" },
            { "name": "P_STRIPE_API_KEY", "value": "of the pod" },
        ])
    );
    assert_eq!(container(&patched)["envFrom"], json!([{ "configMapRef": { "name": "other" } }]));
    let source = json!([{ "secretRef": { "name": "api-prod" } }]);
    let (patched, _) = admitted(&env_pod(json!({ "envFrom": source })));
    let expected = ["DATABASE_URL", "STRIPE_API_KEY"].map(|name| from_file(name, name));
    assert_eq!(container(&patched)["env"], json!(expected));
}

#[test]
fn deliveries_mix_and_the_volume_is_mounted_for_files() {
    let env = json!({ "env": [
        { "name": "DATABASE_URL", "value": "x" },
        { "name": "STRIPE_API_KEY", "value": "y" },
    ] });
    for deliver in ["env,STRIPE_API_KEY=files", "DATABASE_URL=env"] {
        let (patched, _) = admitted(&annotate(one(env.clone()), &[("deliver", deliver)]));
        let container = &patched["spec"]["containers"][0];
        assert_eq!(
            container["env"],
            json!([
                from_file("DATABASE_URL", "DATABASE_URL"),
                { "name": "STRIPE_API_KEY_FILE", "value": "/run/secrets/STRIPE_API_KEY" },
            ]),
            "{deliver}"
        );
        assert_eq!(container["volumeMounts"][0]["mountPath"], "/run/secrets", "{deliver}");
        assert_eq!(agent_config(&patched)["files"]["env"], json!(["DATABASE_URL"]), "{deliver}");
    }
    // A reference to one that became a file is refused as ever.
    let mut container = env;
    container["args"] = json!(["$(DATABASE_URL)", "$(STRIPE_API_KEY)"]);
    let message = refused(&annotate(one(container), &[("deliver", "DATABASE_URL=env")]));
    assert!(message.contains("$(STRIPE_API_KEY)") && !message.contains("$(DATABASE_URL)"));
}

#[test]
fn a_container_that_reads_no_file_may_mount_what_it_likes_at_the_secrets_directory() {
    let mount = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/run/secrets" }] });
    let volumes = json!({ "volumes": [{ "name": "v", "emptyDir": {} }] });
    let (patched, warnings) = admitted(&with_spec(env_pod(mount.clone()), volumes.clone()));
    assert_eq!(patched["spec"]["containers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
    assert!(warnings.is_empty(), "nothing is delivered: {warnings:?}");
    assert!(refused(&with_spec(one(mount), volumes)).contains("is where the secrets are mounted"));
}

#[test]
fn a_second_pass_restores_what_another_webhook_made_of_a_variable() {
    let pod = env_pod(json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] }));
    let (patched, _) = admitted(&pod);
    let canonical = from_file("DATABASE_URL", "DATABASE_URL");
    let of_another = json!({ "name": "X", "valueFrom": { "fileKeyRef": {
        "volumeName": "another", "path": "..x", "key": "X",
    } } });
    let mut optional = canonical.clone();
    optional["valueFrom"]["fileKeyRef"]["optional"] = json!(true);
    let mut defaulted = canonical.clone();
    defaulted["valueFrom"]["fileKeyRef"].as_object_mut().unwrap().remove("optional");
    let mut renamed = canonical.clone();
    renamed["name"] = json!("OTHER");
    for (found, expected) in [
        (canonical.clone(), canonical.clone()),
        (optional, canonical.clone()),
        (defaulted, canonical.clone()),
        (renamed, from_file("OTHER", "DATABASE_URL")),
        (json!({ "name": "DATABASE_URL", "value": "put back" }), canonical),
    ] {
        let mut between = patched.clone();
        between["spec"]["containers"][0]["env"] = json!([of_another, found]);
        let (again, _) = admitted(&between);
        assert_eq!(again["spec"]["containers"][0]["env"], json!([of_another, expected]));
        assert_eq!(agent_config(&again), agent_config(&patched));
    }
}

#[test]
fn the_secrets_volume_is_read_only_as_the_webhook_has_it_read() {
    let reads = |path: &str, key: &str| {
        json!({ "env": [{ "name": "X", "valueFrom": { "fileKeyRef": {
            "volumeName": "enclii-secrets", "path": path, "key": key,
        } } }] })
    };
    for (path, key) in [
        ("DATABASE_URL", "DATABASE_URL"),
        (".env/DATABASE_URL", "STRIPE_API_KEY"),
        (".env/UNKNOWN", "UNKNOWN"),
        (".env/", ""),
    ] {
        for deliver in ["env", "files"] {
            let pod = annotate(one(reads(path, key)), &[("deliver", deliver)]);
            assert!(refused(&pod).contains("remove the fileKeyRef"), "{path} {deliver}");
        }
    }
    // Whoever asks for files gets files.
    let own = reads(".env/DATABASE_URL", "DATABASE_URL");
    let (patched, _) = admitted(&one(own.clone()));
    let expected = json!([{ "name": "X_FILE", "value": "/run/secrets/DATABASE_URL" }]);
    assert_eq!(patched["spec"]["containers"][0]["env"], expected);
    let mut outside = annotate(one(json!({})), &[("deliver", "env"), ("containers", "api")]);
    let mut other = own;
    other["name"] = json!("other");
    outside["spec"]["containers"].as_array_mut().unwrap().push(other);
    assert!(refused(&outside).contains("the container is not in enclii.io/containers"));
}

#[test]
fn variables_need_kubernetes_1_35() {
    let pod = env_pod(json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] }));
    let at = |version: Option<&str>| InjectionConfig {
        kubernetes: version.map(|text| text.parse::<KubernetesVersion>().unwrap()),
        ..config()
    };
    let message = refused_by(&pod, &at(Some("1.34")));
    let expected = "annotation enclii.io/deliver: env needs Kubernetes 1.35, and the cluster has \
                    1.34: use exec or files";
    assert_eq!(message, expected);
    assert!(refused_by(&pod, &at(None)).contains("has not learned yet"));
    for version in ["1.35", "1.37", "1.40"] {
        assert!(matches!(decide_by(&pod, &at(Some(version))), injection::Decision::Inject { .. }));
    }
    // Files need no version.
    let files = one(json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] }));
    assert!(matches!(decide_by(&files, &at(None)), injection::Decision::Inject { .. }));
}

#[test]
fn a_delivery_for_an_unknown_name_is_a_warning() {
    let env = json!({ "env": [{ "name": "LISTED", "value": "x" }] });
    let pod =
        annotate(one(env), &[("deliver", "env,DATABASE_ULR=files,LISTED=env"), ("env", "LISTED")]);
    let (patched, warnings) = admitted(&pod);
    let unknown: Vec<_> =
        warnings.iter().filter(|it| it.contains("no bundle of the pod")).collect();
    assert!(matches!(&*unknown, [one] if one.contains("DATABASE_ULR")), "{warnings:?}");
    assert_eq!(agent_config(&patched)["files"]["env"], json!(["LISTED"]));
}

#[test]
fn the_agents_exit_restarts_all_containers_where_kubernetes_can() {
    let env = json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] });
    let pod = annotate(one(env.clone()), &[("deliver", "env"), ("reload", "restart")]);
    let (patched, warnings) = admitted(&pod);
    assert!(warnings.is_empty(), "{warnings:?}");
    let agent = &patched["spec"]["initContainers"][0];
    assert_eq!(
        agent["restartPolicyRules"],
        json!([{
            "action": "RestartAllContainers",
            "exitCodes": { "operator": "In", "values": [88] },
        }])
    );
    assert_eq!(agent_config(&patched)["reload"], "restart");

    // Another webhook's agent would never restart them.
    let mut between = patched.clone();
    between["spec"]["initContainers"][0].as_object_mut().unwrap().remove("restartPolicyRules");
    assert_eq!(admitted(&between).0, patched);
    // And one that restarts them without being asked to is put right.
    let (mut between, _) = admitted(&one(env));
    between["spec"]["initContainers"][0]["restartPolicyRules"] =
        agent["restartPolicyRules"].clone();
    assert_eq!(
        admitted(&between).0["spec"]["initContainers"][0]["restartPolicyRules"],
        Value::Null
    );

    let at = |version: &str| InjectionConfig {
        kubernetes: Some(version.parse::<KubernetesVersion>().unwrap()),
        ..config()
    };
    let (patched, warnings) = admitted_by(&pod, &at("1.35"));
    assert_eq!(patched["spec"]["initContainers"][0]["restartPolicyRules"], Value::Null);
    assert_eq!(agent_config(&patched)["reload"], "none");
    let expected = "annotation enclii.io/reload: restart needs Kubernetes 1.36, and the cluster \
                    has 1.35, so a new value reaches the application by a rolling restart: \
                    kubectl -n shop-prod rollout restart deployment/NAME";
    assert_eq!(warnings, [expected]);
    let unknown = InjectionConfig { kubernetes: None, ..config() };
    let files = annotate(one(json!({})), &[("reload", "restart")]);
    assert!(refused_by(&files, &unknown).contains("enclii.io/reload: it depends on"));
}

#[test]
fn an_agent_that_writes_the_files_once_is_an_ordinary_init_container() {
    let env = json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] });
    let init = json!({ "initContainers": [{ "name": "migrate", "image": "x" }] });
    for (deliver, variable) in [
        ("init", json!({ "name": "DATABASE_URL_FILE", "value": "/run/secrets/DATABASE_URL" })),
        ("init,env", from_file("DATABASE_URL", "DATABASE_URL")),
    ] {
        let pod = annotate(with_spec(one(env.clone()), init.clone()), &[("deliver", deliver)]);
        let (patched, warnings) = admitted(&pod);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(patched["spec"]["containers"][0]["env"], json!([variable]));
        let agent = &patched["spec"]["initContainers"][0];
        assert_eq!((&agent["name"], &agent["args"]), (&json!("enclii-agent"), &json!(["init"])));
        assert!(agent["restartPolicy"].is_null() && agent["lifecycle"].is_null(), "{agent}");
        // The second pass makes it what it was, whatever another webhook made of it.
        let mut between = patched.clone();
        between["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
        between["spec"]["initContainers"][0]["args"] = json!(["run"]);
        between["spec"]["initContainers"][0]["lifecycle"] = json!({ "preStop": {} });
        assert_eq!(admitted(&between).0, patched);
    }
    for reload in ["signal=SIGHUP", "http=http://127.0.0.1:1/", "restart"] {
        let pod = annotate(one(env.clone()), &[("deliver", "init"), ("reload", reload)]);
        let message = refused(&pod);
        assert!(message.contains(&format!("reload: {reload} needs an agent beside")), "{message}");
    }
}
