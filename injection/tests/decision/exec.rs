//! Variables that the agent's program sets: `enclii.io/deliver: exec`.

use injection::InjectionConfig;
use serde_json::{Value, json};

use crate::support::{admitted, admitted_by, annotate, config, one, pod, refused, with_spec};

const PROGRAM: [&str; 3] = ["/run/enclii/bin/enclii-agent", "exec", "--"];

fn exec_pod(parts: Value) -> Value {
    annotate(one(parts), &[("deliver", "exec")])
}

fn program_of(container: &Value) -> Value {
    let variables = container["env"].as_array().unwrap();
    let found: Vec<_> = variables.iter().filter(|it| it["name"] == "ENCLII_EXEC").collect();
    assert_eq!(found.len(), 1, "{variables:?}");
    serde_json::from_str(&found[0]["value"].as_str().unwrap().replace("$$", "$")).unwrap()
}

fn database() -> Value {
    json!({ "name": "DATABASE_URL", "value": "postgres://a:b@c/d" })
}

#[test]
fn the_program_starts_the_command_with_the_variables() {
    let pod = exec_pod(json!({
        "command": ["app", "serve"],
        "args": ["--port=1"],
        "env": [
            { "name": "FIRST", "value": "1" },
            database(),
            { "name": "STRIPE", "valueFrom": { "secretKeyRef": {
                "name": "api-prod", "key": "STRIPE_API_KEY",
            } } },
        ],
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    }));
    let (patched, warnings) = admitted(&pod);
    assert!(warnings.is_empty(), "{warnings:?}");
    let container = &patched["spec"]["containers"][0];
    assert_eq!(container["command"], json!([PROGRAM[0], "exec", "--", "app", "serve"]));
    assert_eq!(container["args"], json!(["--port=1"]));
    assert_eq!(
        program_of(container),
        json!({
            "version": 1,
            "directory": "/run/secrets",
            "variables": ["DATABASE_URL", "STRIPE=STRIPE_API_KEY"],
        })
    );
    let names: Vec<_> = container["env"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["FIRST", "ENCLII_EXEC"]);
    let mount =
        |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    assert_eq!(
        container["volumeMounts"],
        json!([
            { "name": "data", "mountPath": "/data" },
            mount("enclii-secrets", "/run/secrets"),
            mount("enclii-program", "/run/enclii/bin"),
        ])
    );
    assert_eq!(
        patched["spec"]["volumes"][2],
        json!({ "name": "enclii-program", "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } })
    );
    let agent = &patched["spec"]["initContainers"][0];
    assert_eq!(
        agent["volumeMounts"][2],
        json!({ "name": "enclii-program", "mountPath": "/run/enclii/bin" })
    );
    let agent: Value = serde_json::from_str(agent["env"][0]["value"].as_str().unwrap()).unwrap();
    assert_eq!(agent["program_directory"], "/run/enclii/bin");
    assert_eq!(admitted(&patched).0, patched);
}

#[test]
fn a_container_without_variables_of_ours_is_left_alone() {
    let mut pod = exec_pod(json!({ "command": ["app"], "env": [database()] }));
    let other = json!({ "name": "other", "image": "x", "env": [{ "name": "A", "value": "1" }] });
    pod["spec"]["containers"].as_array_mut().unwrap().push(other);
    let (patched, _) = admitted(&pod);
    let other = &patched["spec"]["containers"][1];
    assert_eq!(other["command"], Value::Null);
    assert_eq!(other["env"], json!([{ "name": "A", "value": "1" }]));
    assert_eq!(other["volumeMounts"].as_array().unwrap().len(), 1);
    // Without any, there is no program in the pod.
    let (patched, _) = admitted(&exec_pod(json!({})));
    assert_eq!(patched["spec"]["volumes"].as_array().unwrap().len(), 2);
}

#[test]
fn init_containers_and_sources_work_too() {
    let source = json!([{ "prefix": "P_", "secretRef": { "name": "api-prod" } }]);
    let pod = exec_pod(json!({
        "command": ["app"],
        "env": [{ "name": "P_STRIPE_API_KEY", "value": "of the pod" }],
        "envFrom": source,
    }));
    let init = json!([{ "name": "migrate", "command": ["m"], "env": [database()] }]);
    let (patched, _) = admitted(&with_spec(pod, json!({ "initContainers": init })));
    let container = &patched["spec"]["containers"][0];
    assert_eq!(program_of(container)["variables"], json!(["P_DATABASE_URL=DATABASE_URL"]));
    assert_eq!(container["envFrom"], json!([]));
    let migrate = &patched["spec"]["initContainers"][1];
    assert_eq!(migrate["command"], json!([PROGRAM[0], "exec", "--", "m"]));
    assert_eq!(program_of(migrate)["variables"], json!(["DATABASE_URL"]));
    assert_eq!(admitted(&patched).0, patched);
}

#[test]
fn without_a_command_the_pod_is_refused_with_the_ways_out() {
    for command in [json!(null), json!([]), json!(PROGRAM)] {
        let message = refused(&exec_pod(json!({ "command": command, "env": [database()] })));
        assert!(message.starts_with("spec.containers[0] in container api: has no command"));
        for way in ["crane config IMAGE", "enclii.io/deliver: env (Kubernetes 1.35", "or files"] {
            assert!(message.contains(way), "{message}");
        }
    }
}

#[test]
fn deliveries_mix() {
    let parts = json!({
        "command": ["app"],
        "env": [database(), { "name": "STRIPE_API_KEY", "value": "x" }],
    });
    let pod = annotate(one(parts), &[("deliver", "STRIPE_API_KEY=exec")]);
    let (patched, _) = admitted(&pod);
    let container = &patched["spec"]["containers"][0];
    assert_eq!(program_of(container)["variables"], json!(["STRIPE_API_KEY"]));
    assert_eq!(container["env"][0]["name"], "DATABASE_URL_FILE");
}

#[test]
fn what_other_webhooks_do_between_two_passes_is_put_right() {
    let first = exec_pod(json!({ "command": ["app"], "env": [database()] }));
    let (patched, _) = admitted(&first);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut pod = patched.clone();
        change(&mut pod["spec"]["containers"][0]);
        admitted(&pod).0
    };
    // The plaintext comes back, the program or its mount is taken away, its variable is doubled.
    assert_eq!(changed(&|it| it["env"].as_array_mut().unwrap().push(database())), patched);
    assert_eq!(changed(&|it| it["command"] = json!(["app"])), patched);
    assert_eq!(changed(&|it| drop(it["volumeMounts"].as_array_mut().unwrap().pop())), patched);
    let doubled = changed(&|it| {
        let variable = it["env"][0].clone();
        it["env"].as_array_mut().unwrap().push(variable);
    });
    assert_eq!(doubled, patched);
    // A program before ours stays there, and ours does not come twice.
    let wrapped = json!(["wrap", PROGRAM[0], "exec", "--", "app"]);
    let found = changed(&|it| it["command"] = wrapped.clone());
    assert_eq!(found["spec"]["containers"][0]["command"], wrapped);
    // A container that a webhook adds gets its own.
    let mut pod = patched.clone();
    let added = json!({ "name": "added", "command": ["b"], "env": [database()] });
    pod["spec"]["containers"].as_array_mut().unwrap().push(added);
    let (again, _) = admitted(&pod);
    assert_eq!(again["spec"]["containers"][1]["command"][0], PROGRAM[0]);
    assert_eq!(admitted(&again).0, again);
}

#[test]
fn an_author_chooses_neither_the_program_nor_foreign_files() {
    let variable = |variables: &str| {
        let text = format!(
            r#"{{"version":1,"directory":"/etc","variables":[{variables}],"restart_grace_seconds":9}}"#
        );
        json!({ "name": "ENCLII_EXEC", "value": text })
    };
    let own = json!(["/tmp/enclii-agent", "exec", "--", "app"]);
    let pod = exec_pod(json!({
        "command": own,
        "env": [database(), variable(r#""X=STRIPE_API_KEY","Y=UNKNOWN_KEY""#)],
    }));
    let (patched, _) = admitted(&pod);
    let container = &patched["spec"]["containers"][0];
    assert_eq!(container["command"][0], PROGRAM[0]);
    assert_eq!(
        program_of(container),
        json!({
            "version": 1,
            "directory": "/run/secrets",
            "variables": ["DATABASE_URL", "X=STRIPE_API_KEY"],
        })
    );
    for mount in [
        json!({ "name": "enclii-program", "mountPath": "/x", "readOnly": true }),
        json!({ "name": "enclii-program", "mountPath": "/run/enclii/bin" }),
    ] {
        let pod =
            exec_pod(json!({ "command": ["a"], "env": [database()], "volumeMounts": [mount] }));
        assert!(refused(&pod).contains("mounts the volume enclii-program"));
    }
    let volumes = json!({ "volumes": [{ "name": "enclii-program", "hostPath": { "path": "/" } }] });
    let pod = exec_pod(json!({ "command": ["a"], "env": [database()] }));
    assert!(refused(&with_spec(pod, volumes)).contains("is named enclii-program"));
}

#[test]
fn a_restart_is_one_of_the_command_with_the_grace_of_the_pod() {
    let old = InjectionConfig { kubernetes: Some("1.30".parse().unwrap()), ..config() };
    for (seconds, grace) in
        [(json!(null), 30), (json!(45), 45), (json!(0), 1), (json!(3600), 300), (json!(-1), 1)]
    {
        let pod = exec_pod(json!({ "command": ["app"], "env": [database()] }));
        let pod = annotate(pod, &[("reload", "restart")]);
        let migrate = json!({ "name": "migrate", "command": ["m"], "env": [database()] });
        let pod = with_spec(
            pod,
            json!({ "terminationGracePeriodSeconds": seconds, "initContainers": [migrate] }),
        );
        let (patched, warnings) = admitted_by(&pod, &old);
        assert!(warnings.is_empty(), "{warnings:?}");
        let spec = &patched["spec"];
        assert_eq!(program_of(&spec["containers"][0])["restart_grace_seconds"], grace);
        let migrate = &spec["initContainers"][1];
        assert_eq!(program_of(migrate)["restart_grace_seconds"], Value::Null);
        let agent = spec["initContainers"][0]["env"][0]["value"].as_str().unwrap();
        assert!(agent.contains(r#""reload":"none""#), "{agent}");
        assert_eq!(spec["initContainers"][0]["restartPolicyRules"], Value::Null);
        assert_eq!(admitted_by(&patched, &old).0, patched);
    }
}

#[test]
fn the_program_s_own_variable_is_no_secret() {
    let key = json!({ "secretKeyRef": { "name": "api-prod", "key": "DATABASE_URL" } });
    let env = json!([database(), { "name": "ENCLII_EXEC", "valueFrom": key }]);
    let message = refused(&exec_pod(json!({ "command": ["a"], "env": env })));
    assert!(message.contains("ENCLII_EXEC is the variable by which"), "{message}");
}

#[test]
fn too_many_names_are_refused() {
    let long = "N".repeat(200);
    let env: Vec<_> = (0..600)
        .map(|at| {
            json!({ "name": format!("{long}{at}"), "valueFrom": { "secretKeyRef": {
                "name": "api-prod", "key": "DATABASE_URL",
            } } })
        })
        .collect();
    let pod = annotate(
        pod(json!([{ "name": "api", "command": ["a"], "env": env }])),
        &[("deliver", "exec")],
    );
    let message = refused(&pod);
    assert!(message.contains("has 600 variables from secrets, whose names have more"), "{message}");
}
