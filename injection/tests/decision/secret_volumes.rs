//! Volumes of Secrets that bundles replace: the agent fills them where they are.

use injection::InjectionConfig;
use serde_json::{Value, json};

use crate::support::{admitted, admitted_by, annotate, config, one, refused, with_spec};

/// A pod with these volumes, each mounted at `/mnt/NAME`.
fn with(volumes: Value) -> Value {
    let mount = |volume: &Value| {
        let name = volume["name"].as_str().unwrap();
        json!({ "name": name, "mountPath": format!("/mnt/{name}") })
    };
    let mounts: Vec<_> = volumes.as_array().unwrap().iter().map(mount).collect();
    with_spec(one(json!({ "volumeMounts": mounts })), json!({ "volumes": volumes }))
}

fn secret(more: Value) -> Value {
    let mut source = json!({ "secretName": "api-prod" });
    for (key, value) in more.as_object().unwrap() {
        source[key] = value.clone();
    }
    with(json!([{ "name": "certs", "secret": source }]))
}

fn agent_config(pod: &Value) -> Value {
    let text = pod["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
    serde_json::from_str(&text.replace("$$", "$")).unwrap()
}

/// The admitted pod; a second pass changes nothing.
fn injected(pod: &Value) -> Value {
    let (patched, warnings) = admitted(pod);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(admitted(&patched).0, patched);
    patched
}

#[test]
fn the_agent_fills_the_volume_and_the_mounts_stay() {
    let patched = injected(&secret(json!({})));
    let memory =
        json!({ "name": "certs", "emptyDir": { "medium": "Memory", "sizeLimit": "32Mi" } });
    assert_eq!(patched["spec"]["volumes"][0], memory);
    assert_eq!(
        patched["spec"]["containers"][0]["volumeMounts"][0],
        json!({ "name": "certs", "mountPath": "/mnt/certs", "readOnly": true })
    );
    assert_eq!(
        agent_config(&patched)["files"]["volumes"],
        json!([{
            "directory": "/run/enclii/volumes/certs",
            "sources": [{ "bundle": "api-prod", "mode": "0644" }],
        }])
    );
    let mounts = patched["spec"]["initContainers"][0]["volumeMounts"].as_array().unwrap();
    let mount = json!({ "name": "certs", "mountPath": "/run/enclii/volumes/certs" });
    assert!(mounts.contains(&mount), "{mounts:?}");
}

#[test]
fn items_modes_and_optional_are_the_agents() {
    let items = json!([
        { "key": "DATABASE_URL", "path": "db/url", "mode": 0o400 },
        { "key": "STRIPE_API_KEY", "path": ".stripe" },
        { "key": "LATER", "path": "later" },
    ]);
    let pod = secret(json!({ "items": items, "defaultMode": 0o440, "optional": true }));
    let sources = |pod| agent_config(&injected(pod))["files"]["volumes"][0]["sources"].clone();
    assert_eq!(
        sources(&pod),
        json!([{ "bundle": "api-prod", "mode": "0440", "optional": true, "items": [
            { "secret": "DATABASE_URL", "path": "db/url", "mode": "0400" },
            { "secret": "STRIPE_API_KEY", "path": ".stripe" },
            { "secret": "LATER", "path": "later" },
        ] }])
    );
    // In a pod with a group, kubelet lets the group read.
    let context = json!({ "securityContext": { "fsGroup": 2000 } });
    let found = sources(&with_spec(secret(json!({ "defaultMode": 0o400 })), context));
    assert_eq!(found[0]["mode"], "0440");
}

#[test]
fn a_projected_volume_of_bundles_is_one_volume() {
    let projected = json!([{ "name": "all", "projected": { "defaultMode": 0o400, "sources": [
        { "secret": { "name": "api-prod", "items": [{ "key": "DATABASE_URL", "path": "url" }] } },
        { "secret": { "name": "shared-prod", "optional": true } },
    ] } }]);
    let pod = annotate(with(projected), &[("secrets", "api-prod,shared-prod")]);
    assert_eq!(
        agent_config(&injected(&pod))["files"]["volumes"][0]["sources"],
        json!([
            { "bundle": "api-prod", "mode": "0400", "items": [
                { "secret": "DATABASE_URL", "path": "url" },
            ] },
            { "bundle": "shared-prod", "mode": "0400", "optional": true },
        ])
    );
}

#[test]
fn volumes_of_other_objects_stay() {
    let volumes = json!([
        { "name": "a", "secret": { "secretName": "other" } },
        { "name": "b", "configMap": { "name": "api-prod" } },
        { "name": "c", "emptyDir": { "medium": "Memory", "sizeLimit": "32Mi" } },
        { "name": "d", "projected": { "sources": [
            { "secret": { "name": "other" } }, { "configMap": { "name": "x" } },
        ] } },
    ]);
    let patched = injected(&with(volumes.clone()));
    for at in 0..4 {
        assert_eq!(patched["spec"]["volumes"][at], volumes[at]);
        let mount = &patched["spec"]["containers"][0]["volumeMounts"][at];
        assert!(mount["readOnly"].is_null(), "{mount}");
    }
    assert!(agent_config(&patched)["files"]["volumes"].is_null());
}

#[test]
fn what_cannot_be_equal_is_refused_with_the_way_out() {
    let item = |key: &str, path: &str| json!([{ "key": key, "path": path }]);
    let mode = json!([{ "key": "DATABASE_URL", "path": "x", "mode": 0o1777 }]);
    let overlap = json!([
        { "key": "DATABASE_URL", "path": "x/y" }, { "key": "STRIPE_API_KEY", "path": "x" },
    ]);
    let mixed = json!([{ "name": "certs", "projected": { "sources": [
        { "secret": { "name": "api-prod" } }, { "configMap": { "name": "x" } },
    ] } }]);
    let many: Vec<_> = (0..17)
        .map(|at| json!({ "name": format!("v{at}"), "secret": { "secretName": "api-prod" } }))
        .collect();
    let long: Vec<_> = (0..100)
        .map(|at| json!({ "key": "DATABASE_URL", "path": format!("{}{at}", "p/".repeat(200)) }))
        .collect();
    for (pod, words) in [
        (
            secret(json!({ "items": item("TLS", "x") })),
            "the bundle has no key TLS: write it with `enclii secrets set TLS=-",
        ),
        (secret(json!({ "items": item(".netrc", "x") })), ".netrc is no name of a secret"),
        (secret(json!({ "items": item("DATABASE_URL", "../x") })), "path ../x is not a relative"),
        (secret(json!({ "items": item("DATABASE_URL", "/x") })), "path /x is not a relative"),
        (secret(json!({ "items": mode })), "it has a mode that is none"),
        (secret(json!({ "defaultMode": -1 })), "it has a mode that is none"),
        (secret(json!({ "items": overlap })), "x would be a file and a directory"),
        (with(mixed), "it has other sources too"),
        (with(json!(many)), "a pod may have 16 of these volumes"),
        (secret(json!({ "items": long })), "more than 24 KiB"),
    ] {
        let message = refused(&pod);
        assert!(message.starts_with("spec.volumes"), "{message}");
        assert!(
            message.contains("the Secret api-prod, which the bundle replaces, but"),
            "{message}"
        );
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn every_container_that_gets_secrets_sees_the_volume_and_no_other() {
    let mut pod = secret(json!({}));
    let mounts = json!([
        { "name": "certs", "mountPath": "/a", "subPath": "DATABASE_URL", "readOnly": false },
        { "name": "certs", "mountPath": "/b", "readOnly": true, "recursiveReadOnly": "Enabled" },
    ]);
    let container = json!({ "name": "migrate", "image": "x", "volumeMounts": mounts });
    pod["spec"]["initContainers"] = json!([container]);
    let patched = injected(&pod);
    let found = &patched["spec"]["initContainers"][1]["volumeMounts"];
    assert_eq!(
        found[0],
        json!({
            "name": "certs", "mountPath": "/a", "subPath": "DATABASE_URL", "readOnly": true,
        })
    );
    assert_eq!(found[1], mounts[1]);
    let message = refused(&annotate(pod, &[("containers", "api")]));
    let expected = "spec.initContainers[0].volumeMounts[1] in container migrate: mounts the Secret \
                    api-prod, which the bundle replaces, but the container is not in \
                    enclii.io/containers: add the container there, or remove the mount";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn a_mount_below_the_secrets_has_the_same_mount_point_in_every_pass() {
    let mut pod = secret(json!({}));
    pod["spec"]["containers"][0]["volumeMounts"] = json!([
        { "name": "certs", "mountPath": "/run/secrets/db", "subPath": "DATABASE_URL" },
        { "name": "certs", "mountPath": "/var/run/secrets/all" },
    ]);
    assert_eq!(
        agent_config(&injected(&pod))["files"]["mount_points"],
        json!([{ "path": "all" }, { "path": "db", "file": true }])
    );
    pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = json!("/run/secrets");
    assert!(refused(&pod).contains("is where the secrets are mounted"));
}

#[test]
fn a_second_pass_takes_no_volume_for_the_agents_that_is_not() {
    let filled = injected(&secret(json!({})));
    // Another operator's size is the same volume.
    let larger = InjectionConfig { volume_size: "8Mi".parse().unwrap(), ..config() };
    assert_eq!(admitted_by(&filled, &larger).0["spec"]["volumes"], filled["spec"]["volumes"]);
    let host = json!({ "name": "certs", "hostPath": { "path": "/" } });
    let disk = json!({ "name": "certs", "emptyDir": { "sizeLimit": "32Mi" } });
    for volume in [host, disk] {
        let mut forged = filled.clone();
        forged["spec"]["volumes"][0] = volume.clone();
        let (patched, _) = admitted(&forged);
        assert_eq!(patched["spec"]["volumes"][0], volume);
        assert!(agent_config(&patched)["files"]["volumes"].is_null());
        let mounts = patched["spec"]["initContainers"][0]["volumeMounts"].to_string();
        assert!(!mounts.contains("certs"), "{mounts}");
    }
    // Nor the secrets of a bundle that the pod does not ask for.
    let text = filled["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
    for (from, to) in [
        (r#""sources":[{"bundle":"api-prod""#, r#""sources":[{"bundle":"shared-prod""#),
        ("/run/enclii/volumes/certs", "/run/enclii/identity"),
    ] {
        let mut forged = filled.clone();
        assert!(text.contains(from));
        forged["spec"]["initContainers"][0]["env"][0]["value"] = json!(text.replace(from, to));
        let (patched, _) = admitted(&forged);
        assert!(agent_config(&patched)["files"]["volumes"].is_null());
    }
}

#[test]
fn the_delivery_of_variables_does_not_matter() {
    for deliver in ["env", "init", "exec"] {
        let mut pod = annotate(secret(json!({})), &[("deliver", deliver)]);
        pod["spec"]["containers"][0]["command"] = json!(["app"]);
        assert!(agent_config(&injected(&pod))["files"]["volumes"].is_array(), "{deliver}");
    }
}
