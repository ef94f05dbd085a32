//! Pods that reload on a signal: the mark of the container, and programs without a handler.

use serde_json::{Value, json};

use crate::support::{Change, admitted, annotate, decide, one, pod, refused, with_spec};

fn mark(container: &str) -> Value {
    json!({
        "name": "enclii-secrets",
        "mountPath": "/run/enclii/container",
        "subPath": format!(".container/{container}"),
        "readOnly": true,
    })
}

fn mounts(pod: &Value, container: usize) -> Vec<Value> {
    let list = &pod["spec"]["containers"][container]["volumeMounts"];
    list.as_array().cloned().unwrap_or_default()
}

fn signalled(parts: Value) -> Value {
    let mut pod = annotate(one(parts), &[("reload", "signal=SIGHUP")]);
    if pod["spec"]["containers"][0]["securityContext"].is_null() {
        pod["spec"]["securityContext"] = json!({ "runAsUser": 1000 });
    }
    pod
}

#[test]
fn only_the_container_that_is_signalled_has_its_mark() {
    let two = annotate(
        pod(json!([
            { "name": "api", "securityContext": { "runAsUser": 1 } },
            { "name": "log", "securityContext": { "runAsUser": 1 } },
        ])),
        &[("reload", "signal=SIGHUP"), ("reload-container", "log")],
    );
    let (patched, _) = admitted(&two);
    assert!(!mounts(&patched, 0).contains(&mark("api")) && mounts(&patched, 0).len() == 1);
    assert_eq!(mounts(&patched, 1)[1], mark("log"));
    // Not what a second pass takes for somebody else's.
    assert_eq!(admitted(&patched).0, patched);
    for reload in ["none", "http=http://127.0.0.1:80/", "restart"] {
        let (patched, _) = admitted(&annotate(one(json!({})), &[("reload", reload)]));
        assert_eq!(mounts(&patched, 0).len(), 1, "{reload}");
    }
}

#[test]
fn a_container_that_reads_no_file_has_a_mark_too() {
    let pod = annotate(signalled(json!({})), &[("deliver", "env")]);
    let (patched, _) = admitted(&pod);
    assert_eq!(mounts(&patched, 0), [mark("api")]);
    assert_eq!(admitted(&patched).0, patched);
}

#[test]
fn a_mark_that_is_not_the_container_s_own_is_refused() {
    let edits: [(&str, Change); 6] = [
        ("another's", |it| it["subPath"] = json!(".container/other")),
        ("all of the volume", |it| it["subPath"] = Value::Null),
        ("another part", |it| it["subPath"] = json!("..data")),
        ("an expression", |it| it["subPathExpr"] = json!("x")),
        ("one to write to", |it| it["readOnly"] = json!(false)),
        ("one elsewhere", |it| it["mountPath"] = json!("/mine")),
    ];
    for (name, edit) in edits {
        let mut mount = mark("api");
        edit(&mut mount);
        let message = refused(&signalled(json!({ "volumeMounts": [mount] })));
        assert!(message.contains("mounts the volume enclii-secrets"), "{name}: {message}");
    }
    // Twice, and where no signal is sent.
    let twice = signalled(json!({ "volumeMounts": [mark("api"), mark("api")] }));
    assert!(refused(&twice).contains("volumeMounts[1] in container api: mounts the volume"));
    let unasked = one(json!({ "volumeMounts": [mark("api")] }));
    assert!(refused(&unasked).contains("mounts the volume enclii-secrets"));
}

#[test]
fn a_mount_in_the_way_of_the_mark_is_refused() {
    let with = |path: &str, read_only: bool, volume: Value| {
        let mount = json!({ "name": "v", "mountPath": path, "readOnly": read_only });
        let mut volume = volume;
        volume["name"] = json!("v");
        let pod = signalled(json!({ "volumeMounts": [mount] }));
        with_spec(pod, json!({ "volumes": [volume] }))
    };
    let memory = || json!({ "emptyDir": {} });
    for (path, read_only, volume) in [
        ("/run/enclii/container", false, memory()),
        ("/var/run/enclii/container/x", false, memory()),
        ("/run/enclii", true, memory()),
        ("/run/enclii", false, json!({ "configMap": { "name": "x" } })),
    ] {
        assert_eq!(
            refused(&with(path, read_only, volume)),
            format!(
                "spec.containers[0].volumeMounts[0] in container api: mountPath {path} overlaps \
                 /run/enclii/container, where the container that is signalled has its mark: mount \
                 it somewhere else, or reload with http=… or none"
            )
        );
    }
    for path in ["/run/enclii", "/run", "/run/enclii/containers"] {
        let (patched, warnings) = admitted(&with(path, false, memory()));
        assert_eq!(warnings, [""; 0]);
        assert_eq!(mounts(&patched, 0)[2], mark("api"), "{path}");
    }
    // Without a signal it is nobody's.
    let mount = json!([{ "name": "v", "mountPath": "/run/enclii/container" }]);
    admitted(&with_spec(
        one(json!({ "volumeMounts": mount })),
        json!({ "volumes": [{ "name": "v" }] }),
    ));
}

#[test]
fn root_is_signalled_by_root_without_capabilities() {
    let root = json!({ "runAsUser": 0 });
    let (patched, warnings) = admitted(&signalled(json!({ "securityContext": root })));
    assert_eq!(warnings, [""; 0]);
    let agent = &patched["spec"]["initContainers"][0];
    assert_eq!(
        agent["securityContext"],
        json!({
            "runAsUser": 0,
            "runAsNonRoot": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    );
    let config = agent["env"][0]["value"].as_str().unwrap();
    assert!(config.contains(r#""mode":"0400""#), "{config}");
    // Where another user reads them too, everybody can.
    let two = annotate(
        pod(json!([
            { "name": "web", "securityContext": root },
            { "name": "log", "securityContext": { "runAsUser": 7 } },
        ])),
        &[("reload", "signal=SIGHUP"), ("reload-container", "web")],
    );
    let (patched, _) = admitted(&two);
    let config = patched["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
    assert!(config.contains(r#""mode":"0444""#), "{config}");
}

#[test]
fn a_program_without_a_handler_is_a_warning() {
    let warnings = |parts: Value, reload: &str| {
        let pod = annotate(signalled(parts), &[("reload", reload)]);
        let (patched, warnings) = admitted(&pod);
        // Another pass says the same, also behind the agent's program.
        let again = match decide(&patched) {
            injection::Decision::Inject { warnings, .. } => warnings,
            other => panic!("{other:?}"),
        };
        assert_eq!(again, warnings);
        warnings
    };
    let java = || json!({ "command": ["java", "-jar", "app.jar"] });
    assert_eq!(
        warnings(java(), "signal=SIGUSR1"),
        ["spec.containers[0].command in container api: java does not handle SIGUSR1 by itself: \
          unless the application does, it ends or is not told; install a handler, or use another \
          value of enclii.io/reload (docs/guide.md, 'Programs without a handler')"]
    );
    let node = json!({ "args": ["node", "server.js"] });
    assert!(warnings(node, "signal=SIGHUP")[0].starts_with("spec.containers[0].args in container"));
    for (parts, reload) in [
        (java(), "none"),
        (java(), "http=http://127.0.0.1:80/"),
        (json!({ "command": ["nginx", "-g", "daemon off;"] }), "signal=SIGHUP"),
        (json!({}), "signal=SIGHUP"),
    ] {
        assert_eq!(warnings(parts, reload), [""; 0]);
    }
    let exec = annotate(signalled(java()), &[("deliver", "exec")]);
    let (patched, first) = admitted(&exec);
    assert_eq!((first.len(), admitted(&patched).1), (1, first));
    // It is the container that is signalled that counts.
    let mut other = signalled(json!({}));
    other["spec"]["containers"].as_array_mut().unwrap().push(json!({
        "name": "java", "command": ["java"],
    }));
    let other = annotate(other, &[("reload-container", "api")]);
    assert_eq!(admitted(&other).1, [""; 0]);
}
