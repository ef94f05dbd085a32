use contract::annotations::FileMode;
use contract::stream::{HeldBundle, HeldSecret};
use contract::{Generation, Version};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn bundle(name: &str) -> BundleRef {
    name.parse().unwrap()
}

fn bundle_at(name: &str, generation: u64, secrets: &[(&str, &[u8])]) -> HeldBundle {
    let secrets = secrets
        .iter()
        .map(|(name, value)| {
            (
                name.parse().unwrap(),
                HeldSecret { version: Version(1), value: Redacted::from(*value) },
            )
        })
        .collect();
    HeldBundle { bundle: bundle(name), generation: Generation(generation), tag: None, secrets }
}

fn file(name: &str) -> FileName {
    FileName::from(&name.parse::<SecretName>().unwrap())
}

/// A pod that reads these secrets as variables.
fn wanted(env: &[&str]) -> Files {
    let env = env.iter().map(|name| name.parse().unwrap()).collect();
    Files { env, ..Files::new("/run/secrets".to_owned(), FileMode::OWNER) }
}

/// The files of a pod without templates.
fn desired(
    requested: &[BundleRef],
    wanted: &Files,
    snapshot: Snapshot,
) -> Result<DesiredFiles, PlanError> {
    desired_files(wanted, secrets_of(requested, snapshot)?, FileContents::new())
}

fn plan(requested: &[&str], bundles: Vec<HeldBundle>) -> Result<DesiredFiles, PlanError> {
    let requested: Vec<_> = requested.iter().map(|name| bundle(name)).collect();
    desired(&requested, &wanted(&[]), Snapshot { bundles })
}

#[test]
fn bundles_become_one_set_of_files_in_the_pods_order() {
    let found = plan(
        &["b-prod", "a-prod"],
        vec![
            bundle_at("a-prod", 3, &[("A", b"1"), ("E", b"")]),
            bundle_at("b-prod", 12, &[("B", b"\xff\0\n")]),
        ],
    )
    .unwrap();
    assert_eq!(found.held.iter().map(|held| held.generation.0).collect::<Vec<_>>(), [12, 3]);
    let files: Vec<_> =
        found.files.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(files, [("A", b"1".as_slice()), ("B", b"\xff\0\n"), ("E", b"")]);
}

#[test]
fn a_bundle_without_secrets_is_a_generation_without_files() {
    assert!(plan(&["a-prod"], vec![bundle_at("a-prod", 1, &[])]).unwrap().files.is_empty());
}

#[test]
fn other_bundles_than_the_requested_ones_are_rejected() {
    for (requested, sent) in [
        (&["a-prod"][..], &["b-prod"][..]),
        (&["a-prod"], &[]),
        (&["a-prod"], &["a-prod", "b-prod"]),
        (&["a-prod", "b-prod"], &["a-prod"]),
        (&["a-prod", "b-prod"], &["a-prod", "a-prod"]),
        (&["a-prod"], &["a-prod", "a-prod"]),
    ] {
        let bundles = sent.iter().map(|name| bundle_at(name, 1, &[])).collect();
        assert!(
            matches!(plan(requested, bundles), Err(PlanError::Bundles { .. })),
            "{requested:?} {sent:?}"
        );
    }
}

#[test]
fn an_error_about_a_duplicate_name_names_both_bundles() {
    let error = plan(
        &["a-prod", "b-prod"],
        vec![bundle_at("a-prod", 1, &[("X", b"same")]), bundle_at("b-prod", 1, &[("X", b"same")])],
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "plan files: secret X is in bundle a-prod and in bundle b-prod; \
         rename it in one of them, or request only one of the bundles"
    );
}

#[test]
fn sizes_are_limited() {
    let at_limit = vec![7; MAX_VALUE_BYTES];
    let over = vec![7; MAX_VALUE_BYTES + 1];
    assert!(plan(&["a-prod"], vec![bundle_at("a-prod", 1, &[("X", &at_limit)])]).is_ok());
    let error = plan(&["a-prod"], vec![bundle_at("a-prod", 1, &[("X", &over)])]).unwrap_err();
    assert!(
        matches!(error, PlanError::ValueTooLarge { bytes, .. } if bytes == MAX_VALUE_BYTES + 1)
    );

    let names = ["A", "B", "C", "D", "E", "F", "G", "H"];
    let mut secrets: Vec<(&str, &[u8])> =
        names.iter().map(|name| (*name, at_limit.as_slice())).collect();
    assert!(plan(&["a-prod"], vec![bundle_at("a-prod", 1, &secrets)]).is_ok());
    secrets.push(("I", b"x"));
    let error = plan(&["a-prod"], vec![bundle_at("a-prod", 1, &secrets)]).unwrap_err();
    assert_eq!(error, PlanError::TooLarge(MAX_POD_BYTES + 1));
}

#[test]
fn variables_get_a_file_for_kubelet_and_count_twice() {
    let plan =
        |env: &[&str], bundles| desired(&[bundle("a-prod")], &wanted(env), Snapshot { bundles });
    let secrets: &[(&str, &[u8])] = &[("A", b"1"), ("B", b"it's"), ("C", b"")];
    let found = plan(&["A"], vec![bundle_at("a-prod", 1, secrets)]).unwrap();
    let env: Vec<_> =
        found.env.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(env, [("A", b"A='1'\n".as_slice())]);
    assert_eq!(found.files.len(), 3);
    let error = plan(&["D", "C", "A", "B"], vec![bundle_at("a-prod", 1, secrets)]);
    let message = error.unwrap_err().to_string();
    for part in ["D is in none", "C is empty", "B has a single quote", "D=exec or D=files"] {
        assert!(message.contains(part), "{message}");
    }
    let names: Vec<String> = (0..140).map(|at| format!("N{at}")).collect();
    let value = vec![b'x'; 59_000];
    let secrets: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), value.as_slice())).collect();
    let env: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(plan(&env[..1], vec![bundle_at("a-prod", 1, &secrets)]).is_ok());
    let error = plan(&env, vec![bundle_at("a-prod", 1, &secrets)]).unwrap_err();
    assert!(matches!(error, PlanError::TooLarge(_)), "{error}");
}

#[test]
fn each_volume_takes_its_files_once_more() {
    let plan = |volumes: usize, secrets: usize| {
        let volume = json!({
            "directory": "/v", "sources": [{ "bundle": "a-prod", "mode": "0644" }]
        });
        let mut wanted = wanted(&[]);
        wanted.volumes = serde_json::from_value(json!(vec![volume; volumes])).unwrap();
        let names: Vec<String> = (0..secrets).map(|at| format!("N{at}")).collect();
        let secrets: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        let bundles = vec![bundle_at("a-prod", 1, &secrets)];
        desired(&[bundle("a-prod")], &wanted, Snapshot { bundles })
    };
    let found = plan(2, 3).unwrap();
    assert_eq!(found.volumes.iter().map(|volume| volume.len()).collect::<Vec<_>>(), [3, 3]);
    // The memory for 2,048 files, less that of the values themselves.
    assert!(plan(2, 1000).is_ok());
    assert!(matches!(plan(3, 1000), Err(PlanError::TooLarge(_))));
    // The others are not copied any more.
    assert_eq!(plan(16, 1000), plan(3, 1000));
}

#[test]
fn a_pod_may_have_the_rendered_files_alone() {
    let bundles = vec![bundle_at("a-prod", 1, &[("_secret.data.app", b"{}")])];
    let volume = json!([{
        "directory": "/v",
        "sources": [{
            "bundle": "a-prod", "mode": "0644", "items": [{ "secret": "app.ini", "path": "x/.ini" }]
        }]
    }]);
    let volumes = serde_json::from_value(volume).unwrap();
    let wanted = Files { rendered_only: true, volumes, ..wanted(&[]) };
    let secrets = secrets_of(&[bundle("a-prod")], Snapshot { bundles }).unwrap();
    let texts = FileContents::from([(file("app.ini"), Redacted::from(b"i".as_slice()))]);
    let found = desired_files(&wanted, secrets, texts).unwrap();
    assert_eq!(found.files.keys().map(FileName::as_str).collect::<Vec<_>>(), ["app.ini"]);
    assert_eq!(found.volumes[0].len(), 1);
}

#[test]
fn debug_output_never_shows_a_value() {
    let desired = plan(&["a-prod"], vec![bundle_at("a-prod", 1, &[("X", b"hunter2")])]).unwrap();
    assert!(!format!("{desired:?}").contains("hunter2"));
}

#[test]
fn changes_are_detected() {
    let desired =
        plan(&["a-prod"], vec![bundle_at("a-prod", 2, &[("X", b"1"), ("Y", b"")])]).unwrap();
    let files = |pairs: &[(&str, &[u8])]| {
        CurrentFiles::Readable(
            pairs.iter().map(|(name, value)| (file(name), Redacted::from(*value))).collect(),
        )
    };
    for (current, expected) in [
        (CurrentFiles::None, FilesChange::First),
        (CurrentFiles::Unreadable, FilesChange::Changed),
        (files(&[("X", b"1"), ("Y", b"")]), FilesChange::Unchanged),
        (files(&[("X", b"1")]), FilesChange::Changed),
        (files(&[("X", b"1"), ("Y", b""), ("Z", b"")]), FilesChange::Changed),
        (files(&[("X", b"1\n"), ("Y", b"")]), FilesChange::Changed),
        (files(&[("X", b"1"), ("y", b"")]), FilesChange::Changed),
        (files(&[]), FilesChange::Changed),
    ] {
        assert_eq!(compare(&desired, &current), expected, "{current:?}");
    }
}

#[test]
fn changed_variables_are_those_of_the_pod_whose_values_differ() {
    let secrets: &[(&str, &[u8])] = &[("X", b"1"), ("Y", b"2"), ("Z", b"3")];
    let bundles = vec![bundle_at("a-prod", 2, secrets)];
    let desired = desired(&[bundle("a-prod")], &wanted(&["X", "Y"]), Snapshot { bundles });
    let desired = desired.unwrap();
    let current = |pairs: &[(&str, &[u8])]| {
        CurrentFiles::Readable(
            pairs.iter().map(|(name, value)| (file(name), Redacted::from(*value))).collect(),
        )
    };
    for (current, expected) in [
        (CurrentFiles::None, &[][..]),
        (CurrentFiles::Unreadable, &["X", "Y"]),
        (current(&[("X", b"1"), ("Y", b"2"), ("Z", b"old")]), &[]),
        (current(&[("X", b"1"), ("Y", b"old"), ("Z", b"3")]), &["Y"]),
        (current(&[("Y", b"2")]), &["X"]),
    ] {
        let changed = changed_variables(&desired, &current);
        let names: Vec<_> = changed.iter().map(FileName::as_str).collect();
        assert_eq!(names, expected, "{current:?}");
    }
}

proptest! {
    #[test]
    fn planned_files_compare_as_unchanged(
        values in prop::collection::btree_map(
            "[A-Z_]{1,8}",
            prop::collection::vec(any::<u8>(), 0..50),
            0..8,
        )
    ) {
        let secrets: Vec<(&str, &[u8])> =
            values.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let desired = plan(&["a-prod"], vec![bundle_at("a-prod", 1, &secrets)]).unwrap();
        let current = CurrentFiles::Readable(desired.files.clone());
        prop_assert_eq!(compare(&desired, &current), FilesChange::Unchanged);
    }
}
