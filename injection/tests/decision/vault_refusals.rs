//! What is refused where Vault is the source, and what of its mappings elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use contract::vault_source::{VaultRead, VaultSecret};
use injection::{Bundle, Decision, InjectionConfig, Pod, admit};
use serde_json::json;

use crate::support::{Catalog, NAMESPACE, annotate, config, in_kv, one, refused_by, vault_config};

/// The decision on a pod whose bundle `api-prod` lists `keys` and maps `mapped`.
fn decide(keys: &[&str], mapped: &[(&str, Option<VaultSecret>)], by: &InjectionConfig) -> Decision {
    let bundle = Bundle {
        keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
        vault: mapped.iter().map(|(key, it)| (key.parse().unwrap(), it.clone())).collect(),
        ..Bundle::default()
    };
    let catalog = Catalog(HashMap::from([("api-prod", Arc::new(bundle))]));
    let json = one(json!({ "env": [{ "name": "A", "value": "x" }] })).to_string();
    admit(&Pod::parse(&json).unwrap(), NAMESPACE, &catalog, by)
}

fn message(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Refuse { message, .. } => Some(message),
        _ => None,
    }
}

const MAP: &str = "`kubectl -n shop-prod patch secretbundle api-prod --type merge -p \
    '{\"spec\":{\"vault\":{\"KEY\":{\"type\":\"kv\",\"mount\":\"MOUNT\",\"path\":\"PATH\",\
    \"field\":\"FIELD\"}}}}'`";

#[test]
fn every_key_needs_a_mapping() {
    let a = || ("A", Some(in_kv("a")));
    let map = |key: &str| MAP.replace("KEY", key);
    let unmapped = |keys: &str, first: &str| {
        format!(
            "annotation enclii.io/secrets: bundle api-prod does not say where these keys are in \
             Vault, or not in a form or length that this webhook takes: {keys}: map them in \
             spec.vault of the SecretBundle, as with {}, or take them out of the object",
            map(first)
        )
    };
    let none = format!(
        "annotation enclii.io/secrets: bundle api-prod does not say where its keys are in Vault, \
         which is the source of secrets here: map each in spec.vault of the SecretBundle, as with \
         {}",
        map("NAME")
    );
    for (keys, mapped, expected) in [
        (&[][..], &[a()][..], None),
        (&["A"], &[a()], None),
        (&["A"], &[], Some(none.clone())),
        (&[], &[], Some(none)),
        (&["A", "B"], &[a()], Some(unmapped("B", "B"))),
        (&["A"], &[a(), ("C", None)], Some(unmapped("C", "C"))),
        (
            &["B", "C", "D", "E", "F", "G", "H"],
            &[a()],
            Some(unmapped("B, C, D, E, F and 2 more", "B")),
        ),
    ] {
        let found = decide(keys, mapped, &vault_config());
        assert_eq!(message(&found), expected.as_deref(), "{keys:?} {mapped:?}");
    }
}

#[test]
fn a_mapping_alone_is_no_bundle_of_switchyard() {
    let mapped = [("A", Some(in_kv("a")))];
    let found = decide(&[], &mapped, &config());
    assert_eq!(
        message(&found),
        Some(
            "annotation enclii.io/secrets: bundle api-prod only says where its keys are in Vault, \
             and the source of secrets here is switchyard: write its secrets with enclii secrets \
             set, or ask the operator for source: vault in the webhook's configuration"
        )
    );
    assert_eq!(message(&decide(&["A"], &mapped, &config())), None);
}

#[test]
fn a_bundle_that_is_not_there_is_to_be_created() {
    let pod = annotate(one(json!({})), &[("secrets", "web-prod")]);
    assert_eq!(
        refused_by(&pod, &vault_config()),
        "annotation enclii.io/secrets: bundle web-prod does not exist in namespace shop-prod yet: \
         create the SecretBundle web-prod there, whose spec.vault says where each of its keys is \
         in Vault; the pod is admitted as soon as it exists"
    );
}

#[test]
fn a_listed_variable_needs_a_mapping_too() {
    let pod = annotate(
        one(json!({ "env": [{ "name": "TOKEN", "value": "x" }] })),
        &[("env", "TOKEN,DATABASE_URL")],
    );
    let found = refused_by(&pod, &vault_config());
    let expected = format!(
        "annotation enclii.io/env: TOKEN is in no bundle of the pod, so nothing says where it is \
         in Vault: map it with {}, or take it out of the annotation",
        MAP.replace("KEY", "TOKEN")
    );
    assert_eq!(found, expected);
}

#[test]
fn a_mapping_that_fits_no_variable_is_refused() {
    let of = |length: usize| {
        let parameters = [("common_name".to_owned(), "a".repeat(length))].into();
        let read = VaultRead::Pki { path: "pki/issue/web".parse().unwrap(), parameters };
        decide(&[], &[("A", Some(VaultSecret { read, field: "b".into() }))], &vault_config())
    };
    assert_eq!(message(&of(120_000)), None);
    let found = of(140_000);
    let text = message(&found).unwrap();
    assert!(text.starts_with("annotation enclii.io/secrets: the mappings of the pod's"), "{text}");
    // Short enough by itself, and too long with the rest of the configuration.
    let found = of(130_900);
    let text = message(&found).unwrap();
    assert!(text.starts_with("the agent's configuration would have"), "{text}");
}
