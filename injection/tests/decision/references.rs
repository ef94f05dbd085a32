//! References in the words of Bank-Vaults and 1Password, which the operator maps to bundles.

use injection::{InjectionConfig, KeyNames, OperatorFile};
use serde_json::{Value, json};

use crate::support::{admitted_by, annotate, config, one, refused_by};

/// An operator whose rules lead to `api-prod` and `shared-prod`.
fn mapped() -> InjectionConfig {
    let file: OperatorFile = serde_json::from_value(json!({ "foreignReferences": [
        { "from": "vault:secret/data/shop/api", "bundle": "api-prod" },
        { "from": "bao:kv/api", "bundle": "api-prod", "keys": { "url": "DATABASE_URL" } },
        { "from": "vault:secret/data/shared", "bundle": "shared-prod" },
        {
            "from": "op://Shop/Database", "bundle": "api-prod",
            "keys": { "Password": "DATABASE_URL" },
        },
    ] }))
    .unwrap();
    file.configure(config()).unwrap()
}

fn with(name: &str, value: &str) -> Value {
    one(json!({ "command": ["app"], "env": [{ "name": name, "value": value }] }))
}

#[test]
fn a_mapped_reference_is_delivered_as_the_pod_asks() {
    for value in [
        "vault:secret/data/shop/api#DATABASE_URL",
        "${vault:secret/data/shop/api#DATABASE_URL}",
        "bao:kv/api#url",
        "op://Shop/database/password",
    ] {
        let pod = with("DB", value);
        let (patched, warnings) = admitted_by(&pod, &mapped());
        assert_eq!(warnings, [""; 0], "{value}");
        let file = json!([{ "name": "DB_FILE", "value": "/run/secrets/DATABASE_URL" }]);
        assert_eq!(patched["spec"]["containers"][0]["env"], file, "{value}");
        assert_eq!(admitted_by(&patched, &mapped()).0, patched);

        let pod = annotate(pod, &[("deliver", "DATABASE_URL=env")]);
        let (patched, _) = admitted_by(&pod, &mapped());
        let variable = &patched["spec"]["containers"][0]["env"][0];
        assert_eq!(variable["name"], "DB");
        assert_eq!(variable["valueFrom"]["fileKeyRef"]["key"], "DATABASE_URL");

        let pod = annotate(pod, &[("deliver", "exec")]);
        let (patched, _) = admitted_by(&pod, &mapped());
        let program = patched["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap();
        assert!(program.contains(r#""variables":["DB=DATABASE_URL"]"#), "{program}");
        assert!(!patched.to_string().contains(value), "{patched}");
    }
}

#[test]
fn what_a_bundle_does_not_give_is_refused_with_the_way_out() {
    for (value, words) in [
        ("vault:secret/data/shop/api#DATABASE_URL#2", "it names one version"),
        ("vault:secret/data/shop/api#${.A}:${.B}", "its key is a template"),
        ("vault:secret/data/shop/api", "it names no key"),
        (">>vault:secret/data/shop/api#DATABASE_URL", "it writes to the store"),
        ("x${vault:secret/data/shop/api#DATABASE_URL}", "it stands inside of a longer text"),
        ("vault:secret/data/shop/api/$(A)#DATABASE_URL", "it has $(NAME)"),
        ("op://Shop/Database/code?attribute=otp", "it asks for an attribute"),
        ("op://Shop/Database/Admin/password", "it names a section"),
        ("op://Shop/Database/one-time code", "its key is no name of a secret"),
        ("vault:secret/data/shared#REDIS_URL", "enclii.io/secrets: api-prod,shared-prod"),
        (
            "vault:secret/data/shop/api#TOKEN",
            "the bundle has no key TOKEN: write it with `enclii secrets set TOKEN=- --service api \
             --env prod --project shop`",
        ),
    ] {
        let message = refused_by(&with("DB", value), &mapped());
        assert!(message.starts_with("spec.containers[0].env[0] in container api: DB"), "{message}");
        assert!(message.contains("that the operator maps to bundle"), "{message}");
        assert!(message.contains(words), "{value}: {message}");
        assert!(message.ends_with("list DB in enclii.io/plain-env"), "{message}");
        assert!(!message.contains(value), "{message}");
        // The way out that the message ends with.
        let plain = annotate(with("DB", value), &[("plain-env", "DB")]);
        let (patched, warnings) = admitted_by(&plain, &mapped());
        assert_eq!(patched["spec"]["containers"][0]["env"][0]["value"], value);
        assert_eq!(warnings, [""; 0]);
    }
}

#[test]
fn two_secrets_that_would_become_one_key_are_refused() {
    let env = |first: &str, second: &str| {
        one(json!({ "env": [{ "name": "A", "value": first }, { "name": "B", "value": second }] }))
    };
    let message = refused_by(
        &env(
            "vault:secret/data/shop/api/a#DATABASE_URL",
            "vault:secret/data/shop/api/b#DATABASE_URL",
        ),
        &mapped(),
    );
    assert!(message.starts_with("spec.containers[0].env[1] in container api: B"), "{message}");
    assert!(message.contains("(spec.containers[0].env[0] in container api)"), "{message}");
    let pod = env("op://Shop/Database/password", "op://shop/database/PASSWORD");
    assert_eq!(admitted_by(&pod, &mapped()).1, [""; 0]);
}

#[test]
fn what_no_rule_covers_stays_with_a_warning() {
    for value in ["vault:secret/data/shops#K", "op://Other/DB/password", "x${bao:a#K#1}"] {
        for config in [mapped(), config()] {
            let pod = with("DB", value);
            let (patched, warnings) = admitted_by(&pod, &config);
            assert_eq!(
                patched["spec"]["containers"][0]["env"],
                pod["spec"]["containers"][0]["env"]
            );
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains("DB is a reference to another store"), "{warnings:?}");
        }
    }
    // The name of a key says enough.
    let (patched, warnings) = admitted_by(&with("DATABASE_URL", "vault:a#K"), &mapped());
    assert_eq!(patched["spec"]["containers"][0]["env"][0]["name"], "DATABASE_URL_FILE");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn containers_without_secrets_keep_no_reference_that_is_one() {
    let mut pod = with("DB", "vault:secret/data/shop/api#DATABASE_URL");
    pod["spec"]["containers"].as_array_mut().unwrap().push(json!({ "name": "other" }));
    let message = refused_by(&annotate(pod, &[("containers", "other")]), &mapped());
    assert!(message.contains("DB is a secret of the pod's bundles"), "{message}");
}

#[test]
fn a_key_that_the_author_lists_need_not_be_known() {
    let pod = annotate(with("DB", "vault:secret/data/shop/api#LATER"), &[("env", "DB")]);
    let (patched, _) = admitted_by(&pod, &mapped());
    let file = json!([{ "name": "DB_FILE", "value": "/run/secrets/LATER" }]);
    assert_eq!(patched["spec"]["containers"][0]["env"], file);
}

#[test]
fn the_answer_does_not_depend_on_who_asks() {
    let anybody = InjectionConfig { key_names: KeyNames::OfThePod, ..mapped() };
    let pod = with("DB", "vault:secret/data/shop/api#DATABASE_URL");
    assert_eq!(admitted_by(&pod, &anybody), admitted_by(&pod, &mapped()));
}
