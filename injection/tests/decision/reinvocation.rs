//! Reinvocation: what a second pass accepts as the work of the first, adds, and refuses.

use injection::{Decision, PodPatch};
use serde_json::{Value, json};

use crate::support::{Change, admitted, annotate, decide, one, pod, refused, with_spec};

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
        Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() }
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
        Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() }
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
        Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() }
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

/// Its files would not be there yet, and the policy refuses a pod with such a mount.
#[test]
fn an_init_container_that_another_webhook_put_first_comes_after_the_agent_if_it_gets_secrets() {
    for (name, agent) in [("istio-init", 1), ("prepare", 0)] {
        let mut later = injected();
        let inits = later["spec"]["initContainers"].as_array_mut().unwrap();
        inits.insert(0, json!({ "name": name }));
        let (patched, _) = admitted(&later);
        let inits = &patched["spec"]["initContainers"];
        assert_eq!(inits[agent]["name"], "enclii-agent", "{name}");
        assert_eq!(inits[1 - agent]["volumeMounts"].is_array(), agent == 0, "{name}");
        let nothing = Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() };
        assert_eq!(decide(&patched), nothing);
    }
}

/// With a mesh's CNI plugin, nothing can be reached before its proxy runs.
#[test]
fn the_agent_starts_after_the_proxy_of_a_mesh_that_is_first() {
    let names = |pod: &Value| -> Vec<String> {
        let init = pod["spec"]["initContainers"].as_array().unwrap();
        init.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let sidecar = |name: &str| json!({ "name": name, "restartPolicy": "Always" });
    let ends = |name: &str| json!({ "name": name });
    for (init, expected) in [
        (json!([ends("istio-validation"), sidecar("istio-proxy"), ends("migrate")]), 2),
        (json!([ends("migrate"), sidecar("istio-proxy")]), 0),
        (json!([ends("istio-init"), ends("migrate")]), 0),
        // Of the application, which may want its secrets.
        (json!([sidecar("logs"), sidecar("istio-proxy")]), 0),
        (json!([]), 0),
    ] {
        let (patched, _) = admitted(&with_spec(one(json!({})), json!({ "initContainers": init })));
        let found = names(&patched);
        assert_eq!(found.iter().position(|it| it == "enclii-agent"), Some(expected), "{found:?}");
        assert_eq!(admitted(&patched).0, patched, "{found:?}");
    }
    let init = json!({ "initContainers": [sidecar("istio-proxy")] });
    let named = annotate(with_spec(one(json!({})), init), &[("containers", "api,istio-proxy")]);
    assert_eq!(names(&admitted(&named).0), ["enclii-agent", "istio-proxy"], "it reads the secrets");
}

/// The pod with its agent changed, admitted.
fn readmitted(change: Change) -> Value {
    let mut changed = injected();
    change(&mut changed["spec"]["initContainers"][0]);
    let (patched, warnings) = admitted(&changed);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        decide(&patched),
        Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() },
        "another pass changes it again"
    );
    patched
}

fn push(list: &mut Value, element: Value) {
    list.as_array_mut().unwrap().push(element);
}

#[test]
fn what_runs_in_the_agent_is_put_back() {
    let changes: [(&str, Change); 25] = [
        ("image", |agent| agent["image"] = json!("evil")),
        ("command", |agent| agent["command"] = json!(["sh"])),
        ("args", |agent| agent["args"] = json!(["x"])),
        ("envFrom", |agent| agent["envFrom"] = json!([{ "secretRef": { "name": "x" } }])),
        ("ports", |agent| agent["ports"] = json!([{ "containerPort": 1 }])),
        ("probe", |agent| agent["livenessProbe"] = json!({ "exec": { "command": ["sh"] } })),
        ("devices", |agent| agent["volumeDevices"] = json!([])),
        ("directory", |agent| agent["workingDir"] = json!("/")),
        ("hook", |agent| {
            agent["lifecycle"]["preStop"] = json!({ "exec": { "command": ["sh"] } });
        }),
        ("restarts", |agent| agent["restartPolicy"] = json!("Never")),
        ("message", |agent| agent["terminationMessagePath"] = json!("/enclii-agent")),
        ("preload", |agent| {
            push(&mut agent["env"], json!({ "name": "LD_PRELOAD", "value": "x" }));
        }),
        ("config", |agent| agent["env"][0]["value"] = json!("{}")),
        ("config twice", |agent| {
            let mut other = agent["env"][0].clone();
            other["value"] = json!("{}");
            push(&mut agent["env"], other);
        }),
        ("switchyard", |agent| {
            let value = agent["env"][0]["value"].as_str().unwrap();
            agent["env"][0]["value"] = json!(value.replace("https://switchyard", "https://evil"));
        }),
        ("another config first", |agent| {
            let evil = json!({ "name": "ENCLII_AGENT_CONFIG", "value": "{}" });
            agent["env"].as_array_mut().unwrap().insert(0, evil);
        }),
        ("uid", |agent| {
            agent["env"][1]["valueFrom"]["fieldRef"]["fieldPath"] = json!("metadata.name");
        }),
        ("host", |agent| {
            push(&mut agent["volumeMounts"], json!({ "name": "h", "mountPath": "/host" }));
        }),
        ("program", |agent| {
            push(&mut agent["volumeMounts"], json!({ "name": "h", "mountPath": "/enclii-agent" }));
        }),
        ("around", |agent| {
            let path = "/etc/ssl/../../enclii-agent";
            push(&mut agent["volumeMounts"], json!({ "name": "h", "mountPath": path }));
        }),
        ("elsewhere", |agent| agent["volumeMounts"][1]["mountPath"] = json!("/x")),
        ("unmounted", |agent| agent["volumeMounts"] = json!([])),
        ("privileged", |agent| agent["securityContext"]["privileged"] = json!(true)),
        ("capability", |agent| {
            agent["securityContext"]["capabilities"]["add"] = json!(["SYS_PTRACE"]);
        }),
        ("context", |agent| agent["securityContext"] = json!(null)),
    ];
    // In any order, since where an element stands does not matter.
    let canonical = |pod: &Value| {
        let mut agent = pod["spec"]["initContainers"][0].clone();
        for list in ["env", "volumeMounts"] {
            let elements = agent[list].as_array_mut().unwrap();
            elements.retain(|it| it["name"] != "kube-api-access-x");
            elements.sort_by_key(|it| it["name"].to_string());
        }
        agent.as_object_mut().unwrap().remove("terminationMessagePath");
        agent
    };
    for (what, change) in changes {
        assert_eq!(canonical(&readmitted(change)), canonical(&injected()), "{what}");
    }
    let without_resources = readmitted(|agent| agent["resources"] = json!(null));
    let resources = &without_resources["spec"]["initContainers"][0]["resources"];
    assert!(resources["limits"].is_object(), "{resources}");
}

#[test]
fn what_other_webhooks_add_to_every_container_stays() {
    let changes: [(&str, Change); 6] = [
        ("variable", |agent| {
            push(&mut agent["env"], json!({ "name": "AWS_REGION", "value": "x" }))
        }),
        ("variable first", |agent| {
            let variable = json!({ "name": "DD_ENV", "value": "x" });
            agent["env"].as_array_mut().unwrap().insert(0, variable);
        }),
        ("cloud identity", |agent| {
            let path = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
            push(
                &mut agent["volumeMounts"],
                json!({ "name": "aws-iam-token", "mountPath": path, "readOnly": true }),
            );
        }),
        ("CA", |agent| {
            push(
                &mut agent["volumeMounts"],
                json!({ "name": "ca", "mountPath": "/etc/ssl/certs" }),
            );
        }),
        ("resources", |agent| agent["resources"] = json!({ "limits": { "cpu": "1" } })),
        ("pull policy", |agent| agent["imagePullPolicy"] = json!("IfNotPresent")),
    ];
    for (what, change) in changes {
        let mut changed = injected();
        change(&mut changed["spec"]["initContainers"][0]);
        assert_eq!(readmitted(change), changed, "{what}");
    }
}

/// EKS, Azure, Istio and the like, before or after the webhook.
#[test]
fn mounts_below_the_secrets_directory_get_mount_points() {
    let mounts = json!([
        { "name": "aws", "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount" },
        { "name": "azure", "mountPath": "/var/run/secrets/azure/tokens/" },
        { "name": "istio", "mountPath": "/run/./secrets/tokens" },
        { "name": "ca", "mountPath": "/run/secrets/pki/root.pem", "subPath": "root.pem" },
        { "name": "data", "mountPath": "/run/secrets/data", "subPath": "x" },
    ]);
    let volumes = json!([
        { "name": "aws", "projected": { "sources": [] } },
        { "name": "azure", "projected": { "sources": [] } },
        { "name": "istio", "projected": { "sources": [] } },
        { "name": "ca", "configMap": { "name": "ca" } },
        { "name": "data", "emptyDir": {} },
    ]);
    let expected = concat!(
        r#""mount_points":[{"path":"azure/tokens"},{"path":"data"},"#,
        r#"{"path":"eks.amazonaws.com/serviceaccount"},{"path":"pki/root.pem","file":true},"#,
        r#"{"path":"tokens"}]"#
    );
    let before = with_spec(
        one(json!({ "securityContext": { "runAsUser": 1000 }, "volumeMounts": mounts })),
        json!({ "volumes": volumes }),
    );
    let mut after = injected();
    for mount in mounts.as_array().unwrap() {
        push(&mut after["spec"]["containers"][0]["volumeMounts"], mount.clone());
    }
    for volume in volumes.as_array().unwrap() {
        push(&mut after["spec"]["volumes"], volume.clone());
    }
    for annotated in [before, after] {
        let (patched, warnings) = admitted(&annotated);
        assert_eq!(warnings, [""; 0]);
        let config = patched["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
        assert!(config.contains(expected), "{config}");
        assert_eq!(
            decide(&patched),
            Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() }
        );
    }
}

#[test]
fn an_agent_among_the_containers_is_moved_and_a_second_one_is_refused() {
    let agent =
        |env: Value| pod(json!([{ "name": "api" }, { "name": "enclii-agent", "env": env }]));
    let (moved, _) = admitted(&agent(json!([{ "name": "ENCLII_AGENT_CONFIG", "value": "x" }])));
    assert_eq!(moved, admitted(&pod(json!([{ "name": "api" }]))).0);
    // The application's own is not taken away from it.
    assert!(refused(&agent(json!([]))).contains("is none that the webhook has made): rename it"));
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
