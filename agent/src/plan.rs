//! Turns a snapshot into files and compares them with the current ones. Pure.

mod env_file;

use std::collections::BTreeMap;

use contract::layout::{MAX_POD_BYTES, MAX_VALUE_BYTES};
use contract::rendered::RenderedFile;
use contract::stream::{BundleGeneration, Snapshot};
use contract::{BundleRef, FileName, Redacted, SecretName};

pub use env_file::{EnvValueError, RefusedVariables};

use crate::render::{self, RenderError};

/// The bytes of each file of one generation.
pub type FileContents = BTreeMap<FileName, Redacted>;

/// The files that a pod should have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DesiredFiles {
    /// The bytes of each file.
    pub files: FileContents,
    /// The bytes of each file from which kubelet reads a variable.
    pub env: FileContents,
    /// The bundles at their generations, in the order in which the pod named the bundles.
    pub held: Vec<BundleGeneration>,
}

/// The files that a pod has.
#[derive(Debug, PartialEq, Eq)]
pub enum CurrentFiles {
    /// There is no generation yet.
    None,
    /// A generation that the agent wrote.
    Readable(FileContents),
    /// A generation that something else changed, so that it cannot be compared.
    Unreadable,
}

/// How the desired files differ from the current ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesChange {
    /// They are the same, byte for byte.
    Unchanged,
    /// There are no files yet, so no application can have read them.
    First,
    /// They differ, and the application may have read the old ones.
    Changed,
}

/// Why a snapshot cannot become files. The current files stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A bundle is missing or unexpected.
    #[error(
        "plan files: the server sent the bundles [{}], this pod requests [{}]",
        list(.sent),
        list(.requested)
    )]
    Bundles {
        /// The bundles of the snapshot.
        sent: Vec<BundleRef>,
        /// The bundles that the pod requests.
        requested: Vec<BundleRef>,
    },
    /// Two secrets would need the same file.
    #[error(
        "plan files: secret {name} is in bundle {first} and in bundle {second}; \
         rename it in one of them, or request only one of the bundles"
    )]
    DuplicateName {
        /// The name.
        name: SecretName,
        /// The bundle that has it.
        first: BundleRef,
        /// The bundle that has it too.
        second: BundleRef,
    },
    /// A value exceeds the size limit.
    #[error(
        "plan files: secret {name} of bundle {bundle} has {bytes} bytes, \
         over the limit of {MAX_VALUE_BYTES}"
    )]
    ValueTooLarge {
        /// The secret.
        name: SecretName,
        /// Its bundle.
        bundle: BundleRef,
        /// Its size in bytes.
        bytes: usize,
    },
    /// Secrets that the pod reads as variables and that cannot be any.
    #[error("plan files: {0}")]
    Variables(RefusedVariables),
    /// The values together exceed the size limit of the volume.
    #[error(
        "plan files: the secrets of this pod have {0} bytes in total, \
         over the limit of {MAX_POD_BYTES}"
    )]
    TooLarge(usize),
    /// A file that is rendered from the secrets.
    #[error("plan files: {0}")]
    Rendered(#[from] RenderError),
}

fn list(bundles: &[BundleRef]) -> String {
    bundles.iter().map(BundleRef::as_str).collect::<Vec<_>>().join(", ")
}

/// The files for `snapshot`, in a pod that requests the bundles `requested`, and reads the secrets
/// `env` as variables and has the files `rendered`. The values are moved; those of `env` are copied
/// once.
///
/// # Errors
/// When the snapshot has other bundles than the pod requests, or cannot be written as files.
pub fn desired_files(
    requested: &[BundleRef],
    env: &[SecretName],
    rendered: &[RenderedFile],
    snapshot: Snapshot,
) -> Result<DesiredFiles, PlanError> {
    let sent: Vec<BundleRef> = snapshot.bundles.iter().map(|held| held.bundle.clone()).collect();
    if !same_bundles(requested, &sent) {
        return Err(PlanError::Bundles { sent, requested: requested.to_vec() });
    }
    let held = in_order(requested, snapshot.holds());

    let mut files = FileContents::new();
    let mut owners: BTreeMap<SecretName, BundleRef> = BTreeMap::new();
    let mut total = 0usize;
    for bundle in snapshot.bundles {
        for (name, secret) in bundle.secrets {
            let bytes = secret.value.len();
            if bytes > MAX_VALUE_BYTES {
                return Err(PlanError::ValueTooLarge { name, bundle: bundle.bundle, bytes });
            }
            if let Some(first) = owners.insert(name.clone(), bundle.bundle.clone()) {
                return Err(PlanError::DuplicateName { name, first, second: bundle.bundle });
            }
            total = total.saturating_add(bytes);
            files.insert(FileName::from(&name), secret.value);
        }
    }
    let env = env_file::render_all(env, &files).map_err(PlanError::Variables)?;
    let total = env.values().fold(total, |sum, file| sum.saturating_add(file.len()));
    let mut texts = render::render_all(rendered, &files)?;
    let total = texts.values().fold(total, |sum, file| sum.saturating_add(file.len()));
    files.append(&mut texts);
    if total > MAX_POD_BYTES {
        return Err(PlanError::TooLarge(total));
    }
    Ok(DesiredFiles { files, env, held })
}

/// How `desired` differs from `current`.
#[must_use]
pub fn compare(desired: &DesiredFiles, current: &CurrentFiles) -> FilesChange {
    match current {
        CurrentFiles::None => FilesChange::First,
        CurrentFiles::Readable(files) if *files == desired.files => FilesChange::Unchanged,
        CurrentFiles::Readable(_) | CurrentFiles::Unreadable => FilesChange::Changed,
    }
}

/// The secrets that containers hold as variables and whose values differ from the current ones. A
/// running container keeps what it was created with.
#[must_use]
pub fn changed_variables(desired: &DesiredFiles, current: &CurrentFiles) -> Vec<FileName> {
    let is_changed = |name: &&FileName| match current {
        CurrentFiles::None => false,
        CurrentFiles::Readable(files) => files.get(*name) != desired.files.get(*name),
        CurrentFiles::Unreadable => true,
    };
    desired.env.keys().filter(is_changed).cloned().collect()
}

fn same_bundles(requested: &[BundleRef], sent: &[BundleRef]) -> bool {
    let sorted = |bundles: &[BundleRef]| {
        let mut bundles = bundles.to_vec();
        bundles.sort();
        bundles
    };
    sorted(requested) == sorted(sent)
}

/// In the pod's order, whatever the server's is: the generation's directory name depends on it.
fn in_order(requested: &[BundleRef], mut held: Vec<BundleGeneration>) -> Vec<BundleGeneration> {
    held.sort_by_key(|held| requested.iter().position(|bundle| *bundle == held.bundle));
    held
}

#[cfg(test)]
mod tests {
    use contract::stream::{HeldBundle, HeldSecret};
    use contract::{Generation, Version};
    use proptest::prelude::*;

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

    fn plan(requested: &[&str], bundles: Vec<HeldBundle>) -> Result<DesiredFiles, PlanError> {
        let requested: Vec<_> = requested.iter().map(|name| bundle(name)).collect();
        desired_files(&requested, &[], &[], Snapshot { bundles })
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
            vec![
                bundle_at("a-prod", 1, &[("X", b"same")]),
                bundle_at("b-prod", 1, &[("X", b"same")]),
            ],
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
        let plan = |env: &[&str], bundles| {
            let env: Vec<SecretName> = env.iter().map(|name| name.parse().unwrap()).collect();
            desired_files(&[bundle("a-prod")], &env, &[], Snapshot { bundles })
        };
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
    fn debug_output_never_shows_a_value() {
        let desired =
            plan(&["a-prod"], vec![bundle_at("a-prod", 1, &[("X", b"hunter2")])]).unwrap();
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
        let env = ["X".parse().unwrap(), "Y".parse().unwrap()];
        let secrets: &[(&str, &[u8])] = &[("X", b"1"), ("Y", b"2"), ("Z", b"3")];
        let bundles = vec![bundle_at("a-prod", 2, secrets)];
        let desired = desired_files(&[bundle("a-prod")], &env, &[], Snapshot { bundles }).unwrap();
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
}
