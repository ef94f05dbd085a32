//! Pods whose HAProxy is told over its socket, and whose PostgreSQL or Redis by a login.

use serde_json::{Value, json};

use crate::support::{Change, admitted, annotate, one, pod, refused, with_spec};

const SOCKET: &str = "haproxy=/var/run/haproxy/admin.sock";

fn agent(pod: &Value) -> &Value {
    &pod["spec"]["initContainers"][0]
}

fn reload(pod: &Value) -> Value {
    let text = agent(pod)["env"][0]["value"].as_str().unwrap().replace("$$", "$");
    serde_json::from_str::<Value>(&text).unwrap()["reload"].clone()
}

/// A pod whose only container runs HAProxy, as its own user.
fn haproxy(mount: Value, volume: Value) -> Value {
    let parts = json!({ "volumeMounts": [mount], "securityContext": { "runAsUser": 99 } });
    let mut volume = volume;
    volume["name"] = json!("socket");
    annotate(with_spec(one(parts), json!({ "volumes": [volume] })), &[("reload", SOCKET)])
}

fn ordinary() -> Value {
    haproxy(json!({ "name": "socket", "mountPath": "/var/run/haproxy" }), json!({ "emptyDir": {} }))
}

#[test]
fn the_agent_mounts_what_haproxy_has_at_the_socket_s_directory() {
    for (mount, expected, path) in [
        (json!({ "mountPath": "/var/run/haproxy" }), json!({}), "admin.sock"),
        (json!({ "mountPath": "/run/haproxy/" }), json!({}), "admin.sock"),
        (json!({ "mountPath": "/var/run" }), json!({}), "haproxy/admin.sock"),
        (
            json!({ "mountPath": "/var/run/haproxy", "subPath": "a/b" }),
            json!({ "subPath": "a/b" }),
            "admin.sock",
        ),
    ] {
        let mut mount = mount;
        mount["name"] = json!("socket");
        let (patched, _) = admitted(&haproxy(mount, json!({ "emptyDir": { "medium": "Memory" } })));
        assert_eq!(reload(&patched), json!(format!("haproxy=/run/enclii/socket/{path}")));
        let mut own = json!({
            "name": "socket", "mountPath": "/run/enclii/socket", "readOnly": true,
        });
        if let Some(part) = expected.get("subPath") {
            own["subPath"] = part.clone();
        }
        let mounts = agent(&patched)["volumeMounts"].as_array().unwrap();
        assert!(mounts.contains(&own), "{mounts:?}");
        assert_eq!(agent(&patched)["securityContext"]["runAsUser"], 99);
        assert_eq!(admitted(&patched).0, patched, "another pass");
    }
}

#[test]
fn the_nearest_mount_counts_and_the_pod_may_name_the_container() {
    let containers = json!([
        {
            "name": "web",
            "volumeMounts": [{ "name": "other", "mountPath": "/var/run/haproxy" }],
        },
        {
            "name": "proxy",
            "volumeMounts": [
                { "name": "other", "mountPath": "/var/run" },
                { "name": "socket", "mountPath": "/var/run/haproxy" },
            ],
        },
    ]);
    let volumes = json!({ "volumes": [
        { "name": "other", "emptyDir": {} },
        { "name": "socket", "emptyDir": {} },
    ] });
    let of_two = with_spec(pod(containers), volumes);
    let both = annotate(of_two.clone(), &[("reload", SOCKET)]);
    assert!(refused(&both).contains("name HAProxy's in enclii.io/reload-container"));
    let (patched, _) =
        admitted(&annotate(of_two, &[("reload", SOCKET), ("reload-container", "proxy")]));
    let mounts = agent(&patched)["volumeMounts"].to_string();
    assert!(mounts.contains(r#""name":"socket""#) && !mounts.contains(r#""name":"other""#));
}

#[test]
fn a_socket_that_the_agent_cannot_reach_is_refused_with_the_reason() {
    let edits: [(&str, Change); 7] = [
        ("mounts a volume at the socket's directory", |it| {
            it["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = json!("/var/run/hap");
        }),
        ("mounts a volume at the socket's directory", |it| {
            // A file alone, which a new HAProxy replaces.
            it["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] =
                json!("/var/run/haproxy/admin.sock");
        }),
        ("mounts a volume at the socket's directory", |it| {
            it["spec"]["initContainers"] = it["spec"]["containers"].take();
            it["spec"]["containers"] = json!([{ "name": "app" }]);
        }),
        ("is no emptyDir", |it| {
            it["spec"]["volumes"][0] = json!({ "name": "socket", "hostPath": { "path": "/run" } });
        }),
        ("is no emptyDir", |it| it["spec"]["volumes"] = json!([])),
        ("subPathExpr", |it| {
            it["spec"]["containers"][0]["volumeMounts"][0]["subPathExpr"] = json!("$(A)");
        }),
        ("gets no secrets, and could take HAProxy's place", |it| {
            let mounts = it["spec"]["containers"][0]["volumeMounts"].clone();
            let other = json!({ "name": "other", "volumeMounts": mounts });
            it["spec"]["containers"].as_array_mut().unwrap().push(other);
            it["metadata"]["annotations"]["enclii.io/containers"] = json!("api");
        }),
    ];
    for (expected, edit) in edits {
        let mut pod = ordinary();
        edit(&mut pod);
        let message = refused(&pod);
        assert!(message.contains("annotation enclii.io/reload: haproxy=/var/run"), "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
    }
    // One that only reads cannot be somebody else.
    let mut read_only = ordinary();
    let other = json!({ "name": "other", "volumeMounts": [
        { "name": "socket", "mountPath": "/x", "readOnly": true },
    ] });
    read_only["spec"]["containers"].as_array_mut().unwrap().push(other);
    admitted(&annotate(read_only, &[("containers", "api")]));
}

#[test]
fn a_user_that_is_not_known_is_a_warning() {
    let mut pod = ordinary();
    pod["spec"]["containers"][0]["securityContext"] = Value::Null;
    let (patched, warnings) = admitted(&pod);
    assert_eq!(agent(&patched)["securityContext"]["runAsUser"], 65532);
    assert!(warnings[0].contains("so the agent runs as 65532"), "{warnings:?}");
    assert_eq!(admitted(&ordinary()).1, [""; 0]);
}

#[test]
fn a_reload_by_a_login_needs_its_secret() {
    for word in ["postgres-reload", "redis-config"] {
        let with = |name: &str| annotate(one(json!({})), &[("reload", &format!("{word}={name}"))]);
        let (patched, _) = admitted(&with("DATABASE_URL"));
        assert_eq!(reload(&patched), json!(format!("{word}=DATABASE_URL")));
        assert_eq!(admitted(&patched).0, patched);
        let message = refused(&with("NOWHERE"));
        assert!(message.contains("NOWHERE is no key of the pod's bundles"), "{message}");
        let once = annotate(with("DATABASE_URL"), &[("deliver", "init")]);
        assert!(refused(&once).contains("needs an agent beside the application"));
    }
}
