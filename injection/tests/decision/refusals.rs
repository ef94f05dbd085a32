//! Every refusal, with the whole of its message: the place, what is wrong, the way out.

use injection::admit::{Decision, admit};
use injection::pod::Pod;
use serde_json::json;

use crate::support::{annotate, catalog, config, one, pod, refused, with_spec};

#[test]
fn annotations() {
    for (asks, message) in [
        (
            annotate(one(json!({})), &[("secrets", "api")]),
            "annotation enclii.io/secrets: parse bundle name \"api\": must be <service>-<environment>, of a-z, 0-9 and '-', as api-prod",
        ),
        (
            annotate(one(json!({})), &[("file-mode", "0777")]),
            "annotation enclii.io/file-mode: \"0777\" is not a valid file mode; write three or four octal digits as 0400 or 0444, readable and not executable or writable by others",
        ),
        (
            annotate(one(json!({})), &[("env", "kubernetes.io")]),
            "annotation enclii.io/env: kubernetes.io cannot be the name of a file; write names of letters, digits, '_', '.' and '-'",
        ),
        (
            annotate(one(json!({})), &[("containers", "web")]),
            "annotation enclii.io/containers: the pod has no container web; it has api",
        ),
        (
            annotate(one(json!({})), &[("reload-container", "web")]),
            "annotation enclii.io/reload-container: the pod has no container web; it has api",
        ),
        (
            annotate(one(json!({})), &[("containers", "enclii-agent")]),
            "annotation enclii.io/containers: the pod has no container enclii-agent; it has api",
        ),
    ] {
        assert_eq!(refused(&asks), message);
    }
}

#[test]
fn five_mistakes_in_the_annotations_are_all_reported() {
    let asks = annotate(
        one(json!({})),
        &[
            ("secrets", "api"),
            ("reload", "restart"),
            ("env", "A B"),
            ("containers", "Side Car"),
            ("file-mode", "0777"),
        ],
    );
    let message = refused(&asks);
    for key in ["secrets", "reload", "env", "containers", "file-mode"] {
        let expected = format!("annotation enclii.io/{key}: ");
        assert!(message.contains(&expected), "{expected} in {message}");
    }
}

#[test]
fn bundles() {
    assert_eq!(
        refused(&annotate(one(json!({})), &[("secrets", "web-prod")])),
        "annotation enclii.io/secrets: bundle web-prod does not exist in namespace shop-prod for service account api yet: \
         write its first secret with `enclii secrets set NAME=- --service web --env prod --project PROJECT`, \
         and see that the namespace has the labels enclii.io/project and enclii.io/environment; the pod is admitted as soon as the bundle exists"
    );
    assert_eq!(
        refused(&annotate(one(json!({})), &[("secrets", "api-prod,clash-prod")])),
        "annotation enclii.io/secrets: bundles api-prod and clash-prod both have the key DATABASE_URL, which would be one file: \
         rename it in one of them, or name one bundle only"
    );
}

#[test]
fn an_unknown_bundle_says_nothing_of_credentials_that_may_be_its_keys() {
    let asks = annotate(
        one(json!({ "env": [{ "name": "DATABASE_URL", "value": "postgres://a:b@c/d" }] })),
        &[("secrets", "web-prod")],
    );
    assert_eq!(refused(&asks).lines().count(), 1);
}

#[test]
fn a_bundle_is_of_its_namespace() {
    let json = one(json!({})).to_string();
    let Decision::Refuse { message, .. } =
        admit(&Pod::parse(&json).unwrap(), "shop-dev", &catalog(), &config())
    else {
        panic!("not refused")
    };
    assert!(
        message.contains(
            "bundle api-prod does not exist in namespace shop-dev for service account api yet"
        ),
        "{message}"
    );
}

#[test]
fn signals() {
    let signal = |asks| annotate(asks, &[("reload", "signal=SIGHUP")]);
    let with_uid = || one(json!({ "securityContext": { "runAsUser": 1 } }));
    let two = || {
        pod(
            json!([{ "name": "a", "securityContext": { "runAsUser": 1 } }, { "name": "b", "securityContext": { "runAsUser": 1 } }]),
        )
    };
    for (asks, message) in [
        (
            signal(one(json!({}))),
            "spec.containers[0] in container api: securityContext.runAsUser is not set, and enclii.io/reload signal=… needs it, because a process may only signal processes of its own UID: \
             set securityContext.runAsUser to the UID that the image runs as, or reload with http=… or none",
        ),
        (
            signal(with_spec(with_uid(), json!({ "shareProcessNamespace": false }))),
            "spec.shareProcessNamespace: is false, and enclii.io/reload signal=… needs it to be true: take the field out, or reload with http=… or none",
        ),
        (
            signal(with_spec(with_uid(), json!({ "hostPID": true }))),
            "spec.hostPID: is true, and enclii.io/reload signal=… would let the agent see every process of the node: take hostPID out, or reload with http=… or none",
        ),
        (
            signal(two()),
            "annotation enclii.io/reload-container: is missing, and enclii.io/reload must know which of the application containers a, b to signal: name one",
        ),
        (
            annotate(signal(two()), &[("reload-container", "b"), ("containers", "a")]),
            "annotation enclii.io/reload-container: container b is to be signalled but is not in enclii.io/containers: add it there",
        ),
        (
            annotate(
                signal(with_spec(with_uid(), json!({ "initContainers": [{ "name": "migrate" }] }))),
                &[("reload-container", "migrate")],
            ),
            "annotation enclii.io/reload-container: container migrate is an init container that ends before the application starts: name one that goes on running",
        ),
        (
            signal(one(json!({ "securityContext": { "runAsUser": 0 } }))),
            "spec.containers[0] in container api: runs as root, and enclii.io/reload signal=… cannot reach it, because the agent has no right over a process with more rights than its own: \
             set securityContext.runAsUser to another UID, or reload with http=… or none",
        ),
        (
            signal(one(
                json!({ "securityContext": { "runAsUser": 1 }, "env": [{ "name": "ENCLII_CONTAINER", "value": "x" }] }),
            )),
            "spec.containers[0].env[0] in container api: ENCLII_CONTAINER is set by the webhook in the container that is signalled: take it out",
        ),
        (
            signal(one(
                json!({ "securityContext": { "runAsUser": 1 }, "env": [{ "name": "ENCLII_POD_UID", "value": "x" }] }),
            )),
            "spec.containers[0].env[0] in container api: ENCLII_POD_UID is set by the webhook in the container that is signalled: take it out",
        ),
    ] {
        assert_eq!(refused(&asks), message);
    }
}

#[test]
fn mounts_and_volumes() {
    let mounts = |name: &str, path: &str| {
        one(json!({ "volumeMounts": [{ "name": name, "mountPath": path }] }))
    };
    for (asks, message) in [
        (
            mounts("x", "/run/secrets"),
            "spec.containers[0].volumeMounts[0] in container api: mountPath /run/secrets is where the secrets are mounted: mount it somewhere else, or leave the container out of enclii.io/containers",
        ),
        (
            mounts("x", "/var/run/secrets/eks.amazonaws.com/serviceaccount"),
            "spec.containers[0].volumeMounts[0] in container api: mountPath /var/run/secrets/eks.amazonaws.com/serviceaccount is inside /run/secrets, which is mounted read-only \
             (/var/run is a link to /run in most images), so the container would not start: mount it somewhere else, or leave the container out of enclii.io/containers",
        ),
        (
            mounts("enclii-token", "/steal"),
            "spec.containers[0].volumeMounts[0] in container api: mounts the volume enclii-token, which the webhook mounts itself where it belongs: take the mount out",
        ),
        (
            annotate(
                pod(
                    json!([{ "name": "api" }, { "name": "b", "volumeMounts": [{ "name": "enclii-secrets", "mountPath": "/x" }] }]),
                ),
                &[("containers", "api")],
            ),
            "spec.containers[1].volumeMounts[0] in container b: mounts the volume enclii-secrets, which the webhook mounts itself where it belongs: take the mount out",
        ),
        (
            with_spec(
                one(json!({})),
                json!({ "volumes": [{ "name": "enclii-secrets", "hostPath": { "path": "/" } }] }),
            ),
            "spec.volumes[0]: is already named enclii-secrets, which is the name of a volume of the webhook's: rename it",
        ),
        (
            with_spec(one(json!({})), json!({ "os": { "name": "windows" } })),
            "spec.os.name: is windows, which has no memory volume and no signals: take the annotation enclii.io/secrets off",
        ),
    ] {
        assert_eq!(refused(&asks), message);
    }
}

#[test]
fn every_way_to_mount_our_volumes_otherwise() {
    let canonical =
        json!({ "name": "enclii-secrets", "mountPath": "/run/secrets", "readOnly": true });
    for (key, value) in [
        ("subPath", json!("x")),
        ("subPathExpr", json!("x")),
        ("readOnly", json!(false)),
        ("mountPath", json!("/x")),
        ("mountPropagation", json!("Bidirectional")),
    ] {
        let mut mount = canonical.clone();
        mount[key] = value;
        let message = refused(&one(json!({ "volumeMounts": [mount] })));
        assert!(message.contains("mounts the volume enclii-secrets"), "{key}: {message}");
    }
}

#[test]
fn variables() {
    let env = |entries| one(json!({ "env": entries }));
    for (asks, message) in [
        (
            env(
                json!([{ "name": "DATABASE_URL", "value": "x" }, { "name": "DATABASE_URL_FILE", "value": "/etc/url" }]),
            ),
            "spec.containers[0].env[0] in container api: DATABASE_URL leaves the pod for DATABASE_URL_FILE, but DATABASE_URL_FILE exists already and is not /run/secrets/DATABASE_URL: \
             take it out, or name DATABASE_URL in enclii.io/plain-env",
        ),
        (
            env(
                json!([{ "name": "X", "valueFrom": { "secretKeyRef": { "name": "api-prod", "key": "NONE" } } }]),
            ),
            "spec.containers[0].env[0] in container api: X is the key NONE of the Secret api-prod, but the bundle api-prod has no such key: \
             write it with `enclii secrets set NONE=- --service api --env prod --project shop`",
        ),
        (
            annotate(
                pod(
                    json!([{ "name": "api" }, { "name": "b", "env": [{ "name": "DATABASE_URL", "value": "x" }] }]),
                ),
                &[("containers", "api")],
            ),
            "spec.containers[1].env[0] in container b: DATABASE_URL is a secret of the pod's bundles, but the container is not in enclii.io/containers: \
             add the container there, or take the variable out",
        ),
        (
            annotate(
                pod(
                    json!([{ "name": "api" }, { "name": "b", "envFrom": [{ "secretRef": { "name": "api-prod" } }] }]),
                ),
                &[("containers", "api")],
            ),
            "spec.containers[1].envFrom[0] in container b: takes its variables from the Secret api-prod, which the bundle replaces, but the container is not in enclii.io/containers: \
             add the container there, or take the entry out",
        ),
        (
            env(json!([{ "name": "CI_TOKEN", "value": format!("ghp_{}", "a".repeat(36)) }])),
            "spec.containers[0].env[0] in container api: CI_TOKEN is a GitHub token in plain text, and no bundle of the pod has that key. \
             Store it with `enclii secrets set CI_TOKEN=- --service api --env prod --project shop` and take the value out of the manifest; if it is no secret, name it in enclii.io/plain-env",
        ),
    ] {
        assert_eq!(refused(&asks), message);
    }
}

#[test]
fn every_use_of_a_variable_that_leaves() {
    let url = json!({ "name": "DATABASE_URL", "value": "x" });
    for (parts, place) in [
        (json!({ "env": [url], "command": ["a", "--url=$(DATABASE_URL)"] }), "command[1]"),
        (json!({ "env": [url], "args": ["$(DATABASE_URL)"] }), "args[0]"),
        (json!({ "env": [url, { "name": "O", "value": "x$(DATABASE_URL)" }] }), "env[1]"),
        (
            json!({ "env": [url], "volumeMounts": [{ "name": "x", "mountPath": "/x", "subPathExpr": "$(DATABASE_URL)" }] }),
            "volumeMounts[0].subPathExpr",
        ),
        (
            json!({ "envFrom": [{ "secretRef": { "name": "api-prod" } }], "args": ["$(DATABASE_URL)"] }),
            "args[0]",
        ),
    ] {
        assert_eq!(
            refused(&one(parts)),
            format!(
                "spec.containers[0].{place} in container api: uses $(DATABASE_URL), which leaves the pod: read the value from the file that DATABASE_URL_FILE names, \
                 or write the whole of it as one secret, or name DATABASE_URL in enclii.io/plain-env"
            )
        );
    }
}

#[test]
fn a_credential_outside_the_named_containers_is_one_too() {
    let asks = annotate(
        pod(
            json!([{ "name": "api" }, { "name": "b", "env": [{ "name": "X", "value": "redis://:pw@cache" }] }]),
        ),
        &[("containers", "api")],
    );
    assert!(refused(&asks).starts_with("spec.containers[1].env[0] in container b: X is an address with a password in it in plain text"));
}

#[test]
fn plain_env_silences_a_certain_credential() {
    let asks = annotate(
        one(json!({ "env": [{ "name": "X", "value": "redis://:pw@cache" }] })),
        &[("plain-env", "X")],
    );
    assert_eq!(crate::support::admitted(&asks).1, Vec::<String>::new());
}

#[test]
fn all_problems_come_at_once() {
    let asks = annotate(
        with_spec(
            one(json!({
                "env": [{ "name": "X", "value": "redis://:pw@cache" }],
                "volumeMounts": [{ "name": "x", "mountPath": "/run/secrets" }],
            })),
            json!({ "initContainers": [{ "name": "enclii-agent", "image": "evil" }] }),
        ),
        &[("containers", "web,api"), ("secrets", "api-prod,clash-prod")],
    );
    let message = refused(&asks);
    assert!(
        message.starts_with(
            "5 things keep this pod from getting its secrets:\n- annotation enclii.io/secrets"
        ),
        "{message}"
    );
    assert_eq!(message.lines().count(), 6, "{message}");
}
