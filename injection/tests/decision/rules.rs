//! How an admitted pod is changed.

use injection::{Decision, Pod, PodPatch, SkipReason, admit};
use serde_json::{Value, json};

use crate::support::{NAMESPACE, admitted, annotate, catalog, config, decide, one, pod, with_spec};

fn env(pod: &Value, index: usize) -> &Value {
    &pod["spec"]["containers"][index]["env"]
}

fn agent(pod: &Value) -> &Value {
    &pod["spec"]["initContainers"][0]
}

fn agent_config(pod: &Value) -> Value {
    serde_json::from_str(agent(pod)["env"][0]["value"].as_str().unwrap()).unwrap()
}

#[test]
fn a_pod_without_the_annotation_is_skipped() {
    let mut plain =
        one(json!({ "env": [{ "name": "DATABASE_URL", "value": "postgres://a:b@c/d" }] }));
    plain["metadata"]["annotations"] = json!({ "enclii.io/reload": "nonsense" });
    assert_eq!(decide(&plain), Decision::Skip(SkipReason::NotRequested));
    plain["metadata"] = Value::Null;
    plain.as_object_mut().unwrap().remove("metadata");
    assert_eq!(decide(&plain), Decision::Skip(SkipReason::NotRequested));
}

#[test]
fn exempt_namespaces_and_mirror_pods_are_skipped() {
    let annotated = one(json!({}));
    let text = annotated.to_string();
    let in_namespace =
        |namespace: &str| admit(&Pod::parse(&text).unwrap(), namespace, &catalog(), &config());
    assert_eq!(in_namespace("kube-system"), Decision::Skip(SkipReason::ExemptNamespace));
    assert_eq!(in_namespace("enclii-system"), Decision::Skip(SkipReason::ExemptNamespace));
    assert!(matches!(in_namespace(NAMESPACE), Decision::Inject { .. }));
    let mut mirror = annotated;
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("abc");
    assert_eq!(decide(&mirror), Decision::Skip(SkipReason::MirrorPod));
}

#[test]
fn a_literal_is_replaced_in_place_and_the_rest_stays() {
    let (patched, warnings) = admitted(&one(json!({ "env": [
        { "name": "LOG_LEVEL", "value": "info" },
        { "name": "DATABASE_URL", "value": "postgres://app:pw@db/shop" },
        { "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
        { "name": "STRIPE_API_KEY", "value": "" },
    ] })));
    assert_eq!(
        *env(&patched, 0),
        json!([
            { "name": "LOG_LEVEL", "value": "info" },
            { "name": "DATABASE_URL_FILE", "value": "/run/secrets/DATABASE_URL" },
            { "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
            { "name": "STRIPE_API_KEY_FILE", "value": "/run/secrets/STRIPE_API_KEY" },
        ])
    );
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn a_variable_that_already_points_at_the_file_is_kept() {
    let (patched, _) = admitted(&one(json!({ "env": [
        { "name": "DATABASE_URL", "value": "x" },
        { "name": "DATABASE_URL_FILE", "value": "/run/secrets/DATABASE_URL" },
        { "name": "DATABASE_URL", "value": "y" },
    ] })));
    assert_eq!(
        *env(&patched, 0),
        json!([{ "name": "DATABASE_URL_FILE", "value": "/run/secrets/DATABASE_URL" }])
    );
}

#[test]
fn a_duplicate_name_becomes_one_file_variable() {
    let (patched, _) = admitted(&one(json!({ "env": [
        { "name": "DATABASE_URL", "value": "x" },
        { "name": "DATABASE_URL", "value": "y" },
    ] })));
    assert_eq!(
        *env(&patched, 0),
        json!([{ "name": "DATABASE_URL_FILE", "value": "/run/secrets/DATABASE_URL" }])
    );
}

#[test]
fn listed_names_are_replaced() {
    let listed = annotate(
        one(json!({ "env": [
            { "name": "EXTRA", "value": "x" },
            { "name": "FROM", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
        ] })),
        &[("env", "EXTRA,FROM,ABSENT")],
    );
    let (patched, warnings) = admitted(&listed);
    assert_eq!(
        *env(&patched, 0),
        json!([
            { "name": "EXTRA_FILE", "value": "/run/secrets/EXTRA" },
            { "name": "FROM_FILE", "value": "/run/secrets/FROM" },
        ])
    );
    assert_eq!(
        warnings,
        ["annotation enclii.io/env: no container that gets the secrets has the variable ABSENT"]
    );
}

#[test]
fn every_warning_has_its_text() {
    let annotated = annotate(
        one(json!({
            "env": [
                { "name": "SMTP_PASSWORD", "value": "hunter2" },
                { "name": "DATABASE_URL", "value": "postgres://a:hunter2@c/d" },
                {
                    "name": "STRIPE_API_KEY",
                    "valueFrom": { "secretKeyRef": { "name": "other", "key": "k" } },
                },
            ],
            "volumeMounts": [{ "name": "run", "mountPath": "/var/run" }],
        })),
        &[("plain-env", "DATABASE_URL"), ("relaod", "none"), ("file-mode", "0400")],
    );
    let (patched, warnings) = admitted(&annotated);
    assert_eq!(
        warnings,
        [
            "annotation enclii.io/relaod is not known and has no effect; did you mean \
                enclii.io/reload?",
            "annotation enclii.io/plain-env: DATABASE_URL is a key of bundle api-prod and stays \
                in plain text",
            "annotation enclii.io/file-mode: 0400 may keep container api from reading its files, \
                since its UID is not the agent's 65532",
            "spec.containers[0].env[2] in container api: STRIPE_API_KEY is a key of bundle \
                api-prod but comes from another source, and is not changed",
            "spec.containers[0].volumeMounts[0] in container api: a mount at /var/run hides \
                /run/secrets in images where /var/run is a link to /run; mount it in a \
                subdirectory",
            "spec.containers[0].env[0] in container api: SMTP_PASSWORD looks like a credential in \
                plain text; store it with enclii secrets set, or list it in enclii.io/plain-env",
        ]
    );
    assert_eq!(
        env(&patched, 0)[1],
        json!({ "name": "DATABASE_URL", "value": "postgres://a:hunter2@c/d" })
    );
}

#[test]
fn the_agent_is_the_first_init_container() {
    let annotated = with_spec(
        one(json!({})),
        json!({
            "initContainers": [{ "name": "migrate", "image": "x" }],
            "volumes": [{ "name": "tmp", "emptyDir": {} }],
        }),
    );
    let (patched, _) = admitted(&annotated);
    assert_eq!(agent(&patched)["name"], "enclii-agent");
    assert_eq!(patched["spec"]["initContainers"][1]["name"], "migrate");
    let mount =
        json!([{ "name": "enclii-secrets", "mountPath": "/run/secrets", "readOnly": true }]);
    assert_eq!(patched["spec"]["initContainers"][1]["volumeMounts"], mount);
    assert_eq!(patched["spec"]["containers"][0]["volumeMounts"], mount);
    let volumes: Vec<_> = patched["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| volume["name"].as_str().unwrap())
        .collect();
    assert_eq!(volumes, ["tmp", "enclii-secrets", "enclii-token"]);
    for absent in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "command", "args"] {
        assert_eq!(agent(&patched)[absent], Value::Null, "{absent}");
    }
}

#[test]
fn empty_and_null_lists_are_filled() {
    for (env_list, mounts, init, volumes) in [
        (json!(null), json!(null), json!(null), json!(null)),
        (json!([]), json!([]), json!([]), json!([])),
    ] {
        let annotated = with_spec(
            annotate(
                one(json!({
                    "env": env_list,
                    "volumeMounts": mounts,
                    "envFrom": [{ "secretRef": { "name": "api-prod" } }],
                })),
                &[],
            ),
            json!({ "initContainers": init, "volumes": volumes }),
        );
        let (patched, _) = admitted(&annotated);
        assert_eq!(env(&patched, 0).as_array().unwrap().len(), 2);
        assert_eq!(patched["spec"]["containers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
        assert_eq!(patched["spec"]["initContainers"].as_array().unwrap().len(), 1);
        assert_eq!(patched["spec"]["volumes"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn the_agent_s_uid_and_file_mode_follow_the_containers() {
    let user = |uid: i64| json!({ "runAsUser": uid });
    let two = |a: Value, b: Value| {
        pod(json!([{ "name": "a", "securityContext": a }, { "name": "b", "securityContext": b }]))
    };
    for (annotated, uid, mode) in [
        (two(user(1000), user(1000)), 1000, "0400"),
        (two(user(1000), user(1001)), 65532, "0444"),
        (two(user(1000), json!({})), 65532, "0444"),
        (two(json!(null), json!(null)), 65532, "0444"),
        (
            with_spec(two(user(1000), json!(null)), json!({ "securityContext": user(1000) })),
            1000,
            "0400",
        ),
        (
            with_spec(two(user(1001), json!(null)), json!({ "securityContext": user(1000) })),
            65532,
            "0444",
        ),
        (annotate(two(user(1000), user(1001)), &[("containers", "b")]), 1001, "0400"),
        (annotate(two(user(7), user(7)), &[("file-mode", "0440")]), 7, "0440"),
    ] {
        let (patched, warnings) = admitted(&annotated);
        let context = &agent(&patched)["securityContext"];
        assert_eq!(
            (&context["runAsUser"], &context["runAsNonRoot"]),
            (&json!(uid), &json!(true)),
            "{annotated}"
        );
        assert_eq!(agent_config(&patched)["files"]["mode"], mode, "{annotated}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    let (patched, _) = admitted(&with_spec(one(json!({})), json!({ "securityContext": user(0) })));
    assert_eq!(agent(&patched)["securityContext"]["runAsNonRoot"], json!(false));
}

#[test]
fn an_fs_group_makes_a_group_readable_mode_sufficient() {
    let annotated = |group: Value| {
        annotate(
            with_spec(one(json!({})), json!({ "securityContext": { "fsGroup": group } })),
            &[("file-mode", "0440")],
        )
    };
    assert_eq!(admitted(&annotated(json!(2000))).1.len(), 0);
    assert_eq!(admitted(&annotated(json!(null))).1.len(), 1);
}

#[test]
fn a_signal_shares_the_process_namespace_and_marks_the_container() {
    let annotated = annotate(
        pod(json!([
            { "name": "api", "securityContext": { "runAsUser": 1000 } },
            { "name": "log", "securityContext": { "runAsUser": 1001 } },
        ])),
        &[("reload", "signal=SIGHUP"), ("reload-container", "api")],
    );
    let (patched, _) = admitted(&annotated);
    assert_eq!(patched["spec"]["shareProcessNamespace"], json!(true));
    assert_eq!(agent(&patched)["securityContext"]["runAsUser"], json!(1000));
    let config = agent_config(&patched);
    assert_eq!(
        (&config["reload"], &config["reload_container"], &config["files"]["mode"]),
        (&json!("signal=SIGHUP"), &json!("api"), &json!("0444"))
    );
    assert_eq!(
        *env(&patched, 0),
        json!([
            { "name": "ENCLII_CONTAINER", "value": "api" },
            {
                "name": "ENCLII_POD_UID",
                "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.uid" } },
            },
        ])
    );
    assert_eq!(*env(&patched, 1), Value::Null);
}

#[test]
fn the_only_application_container_is_signalled() {
    let annotated = with_spec(
        annotate(
            one(json!({ "securityContext": { "runAsUser": 1000 } })),
            &[("reload", "signal=USR1")],
        ),
        json!({
            "shareProcessNamespace": true,
            "initContainers": [{ "name": "migrate", "securityContext": { "runAsUser": 1000 } }],
        }),
    );
    let (patched, _) = admitted(&annotated);
    assert_eq!(agent_config(&patched)["reload_container"], json!("api"));
    assert_eq!(agent_config(&patched)["files"]["mode"], json!("0400"));
}

#[test]
fn a_sidecar_may_be_signalled_by_name() {
    let annotated = with_spec(
        annotate(
            one(json!({ "securityContext": { "runAsUser": 1 } })),
            &[("reload", "signal=SIGHUP"), ("reload-container", "proxy")],
        ),
        json!({ "initContainers": [{
            "name": "proxy",
            "restartPolicy": "Always",
            "securityContext": { "runAsUser": 2 },
        }] }),
    );
    let (patched, _) = admitted(&annotated);
    assert_eq!(agent(&patched)["securityContext"]["runAsUser"], json!(2));
    assert_eq!(
        patched["spec"]["initContainers"][1]["env"][0],
        json!({ "name": "ENCLII_CONTAINER", "value": "proxy" })
    );
}

#[test]
fn only_the_named_containers_get_the_secrets() {
    let annotated = annotate(
        pod(json!([
            { "name": "api" },
            { "name": "other", "volumeMounts": [{ "name": "x", "mountPath": "/run/secrets" }] },
        ])),
        &[("containers", "api")],
    );
    let (patched, _) = admitted(&annotated);
    assert_eq!(patched["spec"]["containers"][1], annotated["spec"]["containers"][1]);
    assert_eq!(patched["spec"]["containers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
}

#[test]
fn kubelet_does_not_expand_a_dollar_in_the_configuration() {
    let annotated = annotate(one(json!({})), &[("reload", "http=http://127.0.0.1:80/$(HOME)$$")]);
    let (patched, _) = admitted(&annotated);
    let text = agent(&patched)["env"][0]["value"].as_str().unwrap().to_owned();
    assert!(text.contains("/$$(HOME)$$$$"), "{text}");
    assert_eq!(
        decide(&patched),
        Decision::Inject { patch: PodPatch::default(), warnings: Vec::new() }
    );
}
