//! Credentials in plain text that no bundle replaces.

use serde_json::json;

use crate::support::{admitted, annotate, one, refused};

#[test]
fn a_credential_outside_the_variables_is_warned_of() {
    let pod = one(json!({
        "args": ["--password", "hunter2", "--dsn=postgres://a:hunter2@b/c"],
        "livenessProbe": { "exec": { "command": ["curl", "-u", "a:hunter2", "http://x"] } },
    }));
    let (_, warnings) = admitted(&pod);
    let expected = [
        "spec.containers[0].args[1] in container api: looks like a password in plain text; store \
         it with enclii secrets set and read it from its file",
        "spec.containers[0].args[2] in container api: looks like an address with a password in it \
         in plain text; store it with enclii secrets set and read it from its file",
        "spec.containers[0].livenessProbe.exec.command[2] in container api: looks like a user and \
         a password in plain text; store it with enclii secrets set and read it from its file",
    ];
    assert_eq!(warnings, expected);
    let (_, warnings) = admitted(&annotate(pod, &[("plain-env", "password,basic-auth,dsn")]));
    assert_eq!(warnings, [""; 0], "an option that is listed is accepted");
}

#[test]
fn an_annotation_never_refuses_a_pod() {
    // kubectl apply keeps what was applied there, also what the patch removes.
    let mut pod =
        one(json!({ "env": [{ "name": "DATABASE_URL", "value": "postgres://a:b1@c/d" }] }));
    pod["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        json!("{\"value\":\"postgres://a:b1@c/d\"}");
    let (_, warnings) = admitted(&pod);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with(
            "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]: looks like \
             an address with a password in it"
        ),
        "{warnings:?}"
    );
}

#[test]
fn what_was_wrongly_certain_or_warned_of_is_admitted_in_silence() {
    let digest = "3f9a1c07d2b84e6f9a1c5e7d0b2f4a6c8e1d3b5f7a9c0e2d4f6b8a1c3e5d7f90";
    let env = [
        ("URL", "postgres://u:pre-$(PW)@h/d".to_owned()),
        ("URL", "postgres://u:__PASSWORD__@h/d".to_owned()),
        ("URL", "postgres://u:REDACTED@h/d".to_owned()),
        ("URL", "postgres://u:[YOUR-PASSWORD]@h/d".to_owned()),
        ("IMAGE", format!("docker://nginx:1.25@sha256:{digest}")),
        ("REPO", "ssh://git:22@host/repo.git".to_owned()),
        ("X", "npm_config_registry_url_of_the_internal_mirror_in_eu".to_owned()),
        ("X", "hf_hub_enable_hf_transfer_in_this_deployment_please".to_owned()),
        ("IMAGE_PULL_SECRET", "regcred".to_owned()),
        ("TOKENIZER", "gpt2".to_owned()),
        ("SECRET_ID", "shop/db".to_owned()),
        ("SECRET_STORE", "vault".to_owned()),
        ("SECRETS_BACKEND", "vault".to_owned()),
    ];
    for (name, value) in env {
        let (_, warnings) = admitted(&one(json!({ "env": [{ "name": name, "value": value }] })));
        assert_eq!(warnings, [""; 0], "{name}={value}");
    }
}

#[test]
fn what_was_missed_is_found() {
    for name in
        ["DB_PASS", "JWT_KEY", "SIGNING_KEY", "MASTER_KEY", "LICENSE_KEY", "HASH_SALT", "DB_PWD"]
    {
        let (_, warnings) =
            admitted(&one(json!({ "env": [{ "name": name, "value": "hunter2" }] })));
        assert_eq!(warnings.len(), 1, "{name}");
    }
    let address = "a:9,http://u:hunter2@b:9";
    for value in [
        "Server=db;User Id=sa;Password=hunter2",
        "u:hunter2@tcp(h:3306)/d",
        "Basic YTpiYw==",
        address,
    ] {
        let message = refused(&one(json!({ "env": [{ "name": "X", "value": value }] })));
        assert!(message.contains("X is ") && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn plain_env_silences_a_certain_credential() {
    let annotated = annotate(
        one(json!({ "env": [{ "name": "X", "value": "redis://:pw@cache" }] })),
        &[("plain-env", "X")],
    );
    assert_eq!(admitted(&annotated).1, Vec::<String>::new());
}
