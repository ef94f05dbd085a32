//! Reinvocation: what a second pass accepts as the work of the first, adds, and refuses.

use injection::Decision;
use json_patch::Patch;
use serde_json::{Value, json};

use crate::support::{admitted, annotate, decide, one, pod, refused, with_spec};

/// The pod after a first pass, with the API server's defaults.
fn injected() -> Value {
    let annotated = annotate(
        one(json!({
            "securityContext": { "runAsUser": 1000 },
            "env": [{ "name": "DATABASE_URL", "value": "x" }],
        })),
        &[("reload", "signal=SIGHUP")],
    );
    let (mut patched, _) = admitted(&annotated);
    let agent = &mut patched["spec"]["initContainers"][0];
    agent["terminationMessagePath"] = json!("/dev/termination-log");
    agent["terminationMessagePolicy"] = json!("File");
    agent["imagePullPolicy"] = json!("Always");
    agent["resources"]["limits"]["memory"] = json!("67108864");
    let token = json!({
        "name": "kube-api-access-x",
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "readOnly": true,
    });
    agent["volumeMounts"].as_array_mut().unwrap().push(token.clone());
    patched["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(token);
    patched
}

#[test]
fn a_second_pass_changes_nothing() {
    assert_eq!(
        decide(&injected()),
        Decision::Inject { patch: Patch::default(), warnings: Vec::new() }
    );
}

#[test]
fn a_container_added_later_gets_the_mount_and_can_read_the_files() {
    let mut later = injected();
    later["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "mesh", "securityContext": { "runAsUser": 1337 } }));
    let (patched, _) = admitted(&later);
    assert_eq!(patched["spec"]["containers"][1]["volumeMounts"][0]["mountPath"], "/run/secrets");
    let agent = &patched["spec"]["initContainers"][0];
    assert_eq!(agent["securityContext"]["runAsUser"], 1000);
    assert!(
        agent["env"][0]["value"].as_str().unwrap().contains(r#""mode":"0444""#),
        "another user must be able to read"
    );
    assert_eq!(patched["spec"]["initContainers"].as_array().unwrap().len(), 1);
    assert_eq!(
        decide(&patched),
        Decision::Inject { patch: Patch::default(), warnings: Vec::new() }
    );
}

#[test]
fn the_agent_follows_a_user_set_later() {
    let (mut later, _) = admitted(&one(json!({})));
    later["spec"]["securityContext"] = json!({ "runAsUser": 0 });
    let (patched, _) = admitted(&later);
    let context = &patched["spec"]["initContainers"][0]["securityContext"];
    assert_eq!((&context["runAsUser"], &context["runAsNonRoot"]), (&json!(0), &json!(false)));
    assert_eq!(
        decide(&patched),
        Decision::Inject { patch: Patch::default(), warnings: Vec::new() }
    );
}

#[test]
fn an_older_ca_of_another_replica_is_replaced() {
    let mut earlier = injected();
    let value = &mut earlier["spec"]["initContainers"][0]["env"][0]["value"];
    *value = json!(value.as_str().unwrap().replace(r#""ca":"PEM\n""#, r#""ca":"OLD\n""#));
    assert!(value.as_str().unwrap().contains("OLD"));
    assert_eq!(admitted(&earlier).0, injected());
}

#[test]
fn an_init_container_that_another_webhook_put_first_stays_first() {
    let mut later = injected();
    later["spec"]["initContainers"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({ "name": "mesh-init" }));
    let (patched, _) = admitted(&later);
    assert_eq!(patched["spec"]["initContainers"][0]["volumeMounts"][0]["name"], "enclii-secrets");
    assert_eq!(patched["spec"]["initContainers"][1]["name"], "enclii-agent");
}

#[test]
fn a_forged_agent_is_refused() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 21] = [
        (|agent| agent["image"] = json!("evil"), "its image differs"),
        (|agent| agent["command"] = json!(["sh"]), "it has command"),
        (|agent| agent["args"] = json!(["x"]), "it has args"),
        (|agent| agent["envFrom"] = json!([]), "it has envFrom"),
        (|agent| agent["ports"] = json!([]), "it has ports"),
        (
            |agent| agent["livenessProbe"] = json!({ "exec": { "command": ["sh"] } }),
            "it has livenessProbe",
        ),
        (|agent| agent["volumeDevices"] = json!([]), "it has volumeDevices"),
        (|agent| agent["workingDir"] = json!("/"), "it has workingDir"),
        (
            |agent| agent["lifecycle"]["preStop"] = json!({ "exec": { "command": ["sh"] } }),
            "its lifecycle differs",
        ),
        (|agent| agent["restartPolicy"] = json!("Never"), "its restartPolicy differs"),
        (|agent| agent["resources"] = json!(null), "its resources differs"),
        (
            |agent| {
                agent["env"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "name": "LD_PRELOAD", "value": "x" }))
            },
            "its env differs",
        ),
        (|agent| agent["env"][0]["value"] = json!("{}"), "its env differs"),
        (
            |agent| {
                agent["env"][0]["value"] = json!(
                    agent["env"][0]["value"]
                        .as_str()
                        .unwrap()
                        .replace("https://switchyard", "https://evil")
                )
            },
            "its ENCLII_AGENT_CONFIG differs",
        ),
        (
            |agent| agent["env"][1]["valueFrom"]["fieldRef"]["fieldPath"] = json!("metadata.name"),
            "its env differs",
        ),
        (
            |agent| {
                agent["volumeMounts"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "name": "h", "mountPath": "/host" }))
            },
            "its volumeMounts differs",
        ),
        (|agent| agent["volumeMounts"][1]["mountPath"] = json!("/x"), "its volumeMounts differs"),
        (|agent| agent["volumeMounts"] = json!([]), "its volumeMounts differs"),
        (
            |agent| agent["securityContext"]["privileged"] = json!(true),
            "its securityContext differs",
        ),
        (
            |agent| agent["securityContext"]["capabilities"]["add"] = json!(["SYS_PTRACE"]),
            "its securityContext differs",
        ),
        (|agent| agent["securityContext"] = json!(null), "its securityContext differs"),
    ];
    for (change, difference) in changes {
        let mut spoofed = injected();
        change(&mut spoofed["spec"]["initContainers"][0]);
        assert_eq!(
            refused(&spoofed),
            format!(
                "spec.initContainers[0]: is named enclii-agent, a name that is reserved for the \
                    agent, and is not the agent ({difference}): rename it"
            )
        );
    }
}

#[test]
fn an_agent_among_the_containers_or_a_second_one_is_refused() {
    let among_applications = pod(json!([{ "name": "api" }, { "name": "enclii-agent" }]));
    assert_eq!(
        refused(&among_applications),
        "spec.containers[1]: is named enclii-agent, a name that is reserved for the agent, and is \
            not the agent (it is not an init container): rename it"
    );
    let mut twice = injected();
    let agent = twice["spec"]["initContainers"][0].clone();
    twice["spec"]["initContainers"].as_array_mut().unwrap().push(agent);
    assert!(refused(&twice).contains(
        "spec.initContainers[1]: is named enclii-agent, a name that is reserved for the agent, \
            and is not the agent (there are two)"
    ));
}

#[test]
fn forged_volumes_are_refused() {
    type Change = fn(&mut Value);
    let changes: [Change; 5] = [
        |volumes| volumes[0] = json!({ "name": "enclii-secrets", "emptyDir": {} }),
        |volumes| volumes[0]["emptyDir"] = json!({ "medium": "Memory" }),
        |volumes| volumes[0]["hostPath"] = json!({ "path": "/" }),
        |volumes| {
            volumes[1]["projected"]["sources"][0]["serviceAccountToken"]["audience"] =
                json!("other")
        },
        |volumes| {
            volumes[1]["projected"]["sources"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "secret": { "name": "x" } }))
        },
    ];
    for change in changes {
        let mut spoofed = injected();
        change(&mut spoofed["spec"]["volumes"]);
        assert!(refused(&spoofed).contains("is named enclii-"), "{}", spoofed["spec"]["volumes"]);
    }
    let mut resized = injected();
    resized["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] = json!("64Mi");
    assert!(
        matches!(decide(&resized), Decision::Inject { .. }),
        "the operator may have changed the size since"
    );
}

#[test]
fn a_literal_added_later_is_replaced() {
    let mut later = injected();
    later["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "STRIPE_API_KEY", "value": "x" }));
    let (patched, _) = admitted(&with_spec(later, json!({})));
    assert_eq!(
        patched["spec"]["containers"][0]["env"][3],
        json!({ "name": "STRIPE_API_KEY_FILE", "value": "/run/secrets/STRIPE_API_KEY" })
    );
}
