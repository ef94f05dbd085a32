//! Every violation with its whole message: the path, the problem, a way to fix it.

use injection::{Decision, Pod, admit};
use serde_json::json;

use crate::support::{annotate, catalog, config, one, pod, refused, with_spec};

#[test]
fn invalid_annotations_are_refused() {
    for (annotated, message) in [
        (
            annotate(one(json!({})), &[("secrets", "api")]),
            "annotation enclii.io/secrets: parse bundle name \"api\": must be \
                <service>-<environment>, of a-z, 0-9 and '-', as api-prod",
        ),
        (
            annotate(one(json!({})), &[("file-mode", "0777")]),
            "annotation enclii.io/file-mode: \"0777\" is not a valid file mode; write three or \
                four octal digits as 0400 or 0444, readable and not executable or writable by \
                others",
        ),
        (
            annotate(one(json!({})), &[("env", "kubernetes.io")]),
            "annotation enclii.io/env: kubernetes.io is not a valid file name; use letters, \
                digits, '_', '.' and '-'",
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
        assert_eq!(refused(&annotated), message);
    }
}

#[test]
fn five_mistakes_in_the_annotations_are_all_reported() {
    let asks = annotate(
        one(json!({})),
        &[
            ("secrets", "api"),
            ("reload", "reboot"),
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
fn unknown_and_clashing_bundles_are_refused() {
    assert_eq!(
        refused(&annotate(one(json!({})), &[("secrets", "web-prod")])),
        "annotation enclii.io/secrets: bundle web-prod does not exist in namespace shop-prod for \
            service account api yet: \
         write its first secret with `enclii secrets set NAME=- --service web --env prod \
         --project PROJECT`, \
         and check that the namespace has the labels enclii.io/project and enclii.io/environment; \
         the pod is admitted as soon as the bundle exists"
    );
    assert_eq!(
        refused(&annotate(one(json!({})), &[("secrets", "api-prod,clash-prod")])),
        "annotation enclii.io/secrets: bundles api-prod and clash-prod both have the key \
            DATABASE_URL, and both would write the same file: \
         rename the key in one of them, or list only one of the bundles"
    );
}

#[test]
fn an_unknown_bundle_hides_credentials_that_may_be_its_keys() {
    let annotated = annotate(
        one(json!({ "env": [{ "name": "DATABASE_URL", "value": "postgres://a:b@c/d" }] })),
        &[("secrets", "web-prod")],
    );
    assert_eq!(refused(&annotated).lines().count(), 1);
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
fn unreachable_processes_are_refused() {
    let signal = |annotated| annotate(annotated, &[("reload", "signal=SIGHUP")]);
    let with_uid = || one(json!({ "securityContext": { "runAsUser": 1 } }));
    let two = || {
        pod(json!([
            { "name": "a", "securityContext": { "runAsUser": 1 } },
            { "name": "b", "securityContext": { "runAsUser": 1 } },
        ]))
    };
    for (annotated, message) in [
        (
            signal(one(json!({}))),
            "spec.containers[0] in container api: securityContext.runAsUser is not set, and \
                enclii.io/reload signal=… needs it, because a process can only signal processes \
                with its own UID: \
             set securityContext.runAsUser to the UID that the application runs as (0 for root), \
             or reload with http=… or none",
        ),
        (
            signal(with_spec(with_uid(), json!({ "shareProcessNamespace": false }))),
            "spec.shareProcessNamespace: is false, and enclii.io/reload signal=… needs it to be \
                true: remove the field, or reload with http=… or none",
        ),
        (
            signal(with_spec(with_uid(), json!({ "hostPID": true }))),
            "spec.hostPID: is true, and enclii.io/reload signal=… would let the agent see every \
                process of the node: remove hostPID, or reload with http=… or none",
        ),
        (
            signal(two()),
            "annotation enclii.io/reload-container: is missing, and enclii.io/reload needs to \
                know which of the application containers a, b to signal: name one",
        ),
        (
            annotate(signal(two()), &[("reload-container", "b"), ("containers", "a")]),
            "annotation enclii.io/reload-container: container b is to be signalled but is not in \
                enclii.io/containers: add it there",
        ),
        (
            annotate(
                signal(with_spec(with_uid(), json!({ "initContainers": [{ "name": "migrate" }] }))),
                &[("reload-container", "migrate")],
            ),
            "annotation enclii.io/reload-container: container migrate is an init container that \
                ends before the application starts: name one that keeps running",
        ),
        (
            signal(one(json!({
                "securityContext": { "runAsUser": 1 },
                "env": [{ "name": "ENCLII_CONTAINER", "value": "x" }],
            }))),
            "spec.containers[0].env[0] in container api: ENCLII_CONTAINER is set by the webhook \
                in the container that is signalled: remove it",
        ),
        (
            signal(one(json!({
                "securityContext": { "runAsUser": 1 },
                "env": [{ "name": "ENCLII_POD_UID", "value": "x" }],
            }))),
            "spec.containers[0].env[0] in container api: ENCLII_POD_UID is set by the webhook in \
                the container that is signalled: remove it",
        ),
    ] {
        assert_eq!(refused(&annotated), message);
    }
}

#[test]
fn conflicting_mounts_and_volumes_are_refused() {
    let mounts = |name: &str, path: &str| {
        one(json!({ "volumeMounts": [{ "name": name, "mountPath": path }] }))
    };
    for (annotated, message) in [
        (
            mounts("x", "/run/secrets"),
            "spec.containers[0].volumeMounts[0] in container api: mountPath /run/secrets is where \
                the secrets are mounted: mount it somewhere else, or leave the container out of \
                enclii.io/containers",
        ),
        (
            mounts("x", "/var/run/secrets/DATABASE_URL"),
            "spec.containers[0].volumeMounts[0] in container api: mountPath \
                /var/run/secrets/DATABASE_URL is inside /run/secrets (/var/run is a link to /run \
                in most images), and a secret of the pod's bundles is a file of that name: mount \
                it somewhere else, or leave the container out of enclii.io/containers",
        ),
        (
            mounts("x", "/run/secrets/..data/x"),
            "spec.containers[0].volumeMounts[0] in container api: mountPath \
                /run/secrets/..data/x is inside /run/secrets (/var/run is a link to /run in most \
                images), and the agent uses names that start with two dots, .env and .container: \
                mount it somewhere else, or leave the container out of enclii.io/containers",
        ),
        (
            mounts("enclii-token", "/steal"),
            "spec.containers[0].volumeMounts[0] in container api: mounts the volume enclii-token, \
                which only the webhook may mount: remove the mount",
        ),
        (
            annotate(
                pod(json!([
                    { "name": "api" },
                    {
                        "name": "b",
                        "volumeMounts": [{ "name": "enclii-secrets", "mountPath": "/x" }],
                    },
                ])),
                &[("containers", "api")],
            ),
            "spec.containers[1].volumeMounts[0] in container b: mounts the volume enclii-secrets, \
                which only the webhook may mount: remove the mount",
        ),
        (
            with_spec(
                one(json!({})),
                json!({ "volumes": [{ "name": "enclii-secrets", "hostPath": { "path": "/" } }] }),
            ),
            "spec.volumes[0]: is named enclii-secrets, a name that is reserved for a volume of \
                the webhook: rename it",
        ),
        (
            with_spec(one(json!({})), json!({ "os": { "name": "windows" } })),
            "spec.os.name: is windows, which has no memory volumes and no signals: remove the \
                annotation enclii.io/secrets",
        ),
    ] {
        assert_eq!(refused(&annotated), message);
    }
}

#[test]
fn a_reserved_volume_cannot_be_mounted_in_another_way() {
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
fn conflicting_variables_are_refused() {
    let github_token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let env = |entries| one(json!({ "env": entries }));
    for (annotated, message) in [
        (
            env(json!([
                { "name": "DATABASE_URL", "value": "x" },
                { "name": "DATABASE_URL_FILE", "value": "/etc/url" },
            ])),
            "spec.containers[0].env[0] in container api: DATABASE_URL_FILE replaces DATABASE_URL, \
                but DATABASE_URL_FILE already exists with a value other than \
                /run/secrets/DATABASE_URL: \
             remove it, or list DATABASE_URL in enclii.io/plain-env",
        ),
        (
            env(json!([{
                "name": "X",
                "valueFrom": { "secretKeyRef": { "name": "api-prod", "key": "NONE" } },
            }])),
            "spec.containers[0].env[0] in container api: X is the key NONE of the Secret \
                api-prod, but the bundle api-prod has no such key: \
             write it with `enclii secrets set NONE=- --service api --env prod --project shop`",
        ),
        (
            annotate(
                pod(json!([
                    { "name": "api" },
                    { "name": "b", "env": [{ "name": "DATABASE_URL", "value": "x" }] },
                ])),
                &[("containers", "api")],
            ),
            "spec.containers[1].env[0] in container b: DATABASE_URL is a secret of the pod's \
                bundles, but the container is not in enclii.io/containers: \
             add the container there, or remove the variable",
        ),
        (
            annotate(
                pod(json!([
                    { "name": "api" },
                    { "name": "b", "envFrom": [{ "secretRef": { "name": "api-prod" } }] },
                ])),
                &[("containers", "api")],
            ),
            "spec.containers[1].envFrom[0] in container b: takes its variables from the Secret \
                api-prod, which the bundle replaces, but the container is not in \
                enclii.io/containers: \
             add the container there, or remove the entry",
        ),
        (
            env(json!([{ "name": "CI_TOKEN", "value": github_token }])),
            "spec.containers[0].env[0] in container api: CI_TOKEN is a GitHub token in plain \
                text, and no bundle of the pod has that key. \
             Store it with `enclii secrets set CI_TOKEN=- --service api --env prod --project \
             shop` and remove the value from the manifest; if it is not a secret, list it in \
             enclii.io/plain-env",
        ),
    ] {
        assert_eq!(refused(&annotated), message);
    }
}

#[test]
fn a_reference_to_a_removed_variable_is_refused() {
    let url = json!({ "name": "DATABASE_URL", "value": "x" });
    for (parts, path) in [
        (json!({ "env": [url], "command": ["a", "--url=$(DATABASE_URL)"] }), "command[1]"),
        (json!({ "env": [url], "args": ["$(DATABASE_URL)"] }), "args[0]"),
        (json!({ "env": [url, { "name": "O", "value": "x$(DATABASE_URL)" }] }), "env[1]"),
        (
            json!({
                "env": [url],
                "volumeMounts": [
                    { "name": "x", "mountPath": "/x", "subPathExpr": "$(DATABASE_URL)" },
                ],
            }),
            "volumeMounts[0].subPathExpr",
        ),
        (
            json!({
                "envFrom": [{ "secretRef": { "name": "api-prod" } }],
                "args": ["$(DATABASE_URL)"],
            }),
            "args[0]",
        ),
    ] {
        assert_eq!(
            refused(&one(parts)),
            format!(
                "spec.containers[0].{path} in container api: uses $(DATABASE_URL), but the \
                    variable is removed from the pod: read the value from the file that \
                    DATABASE_URL_FILE names, \
                 or store the whole text as one secret, or list DATABASE_URL in enclii.io/plain-env"
            )
        );
    }
}

#[test]
fn a_credential_outside_the_named_containers_is_refused_too() {
    let annotated = annotate(
        pod(json!([
            { "name": "api" },
            { "name": "b", "env": [{ "name": "X", "value": "redis://:pw@cache" }] },
        ])),
        &[("containers", "api")],
    );
    assert!(refused(&annotated).starts_with(
        "spec.containers[1].env[0] in container b: X is an \
        address with a password in it in plain text"
    ));
}

#[test]
fn all_violations_are_reported_at_once() {
    let annotated = annotate(
        with_spec(
            one(json!({
                "env": [{ "name": "X", "value": "redis://:pw@cache" }],
                "volumeMounts": [{ "name": "x", "mountPath": "/run/secrets" }],
            })),
            json!({ "initContainers": [{ "name": "enclii-agent" }, { "name": "enclii-agent" }] }),
        ),
        &[("containers", "web,api"), ("secrets", "api-prod,clash-prod")],
    );
    let message = refused(&annotated);
    assert!(
        message.starts_with(
            "5 problems keep this pod from getting its secrets:\n- annotation enclii.io/secrets"
        ),
        "{message}"
    );
    assert_eq!(message.lines().count(), 6, "{message}");
}
