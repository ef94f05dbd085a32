//! What a snapshot means for the files. Pure: what is held comes in, a decision goes out.

use std::collections::BTreeMap;

use contract::layout::{MAX_POD_BYTES, MAX_VALUE_BYTES};
use contract::stream::{Held, Snapshot};
use contract::{BundleRef, FileName, Redacted, SecretName};

/// The bytes of each file of one generation.
pub type Contents = BTreeMap<FileName, Redacted>;

/// The files that a pod is to have.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Each file with its bytes.
    pub files: Contents,
    /// The generations they are of, in the order in which the pod named its bundles.
    pub holds: Vec<Held>,
}

/// What there is of files.
#[derive(Debug, PartialEq, Eq)]
pub enum Present {
    /// No generation yet.
    Nothing,
    /// A generation that the agent wrote.
    Files(Contents),
    /// A generation that somebody else has changed, so that it cannot be compared.
    Unreadable,
}

/// What has to happen to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are what they should be, byte for byte.
    None,
    /// There were none yet, so there is no application yet that could have read them.
    First,
    /// They differ, and the application has read the old ones.
    Changed,
}

/// Why a snapshot is not put into effect. The files stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A bundle is missing, or there is one too many.
    #[error("plan files: the server sent the bundles [{}], this pod asks for [{}]", list(.sent), list(.asked))]
    Bundles {
        /// What came.
        sent: Vec<BundleRef>,
        /// What the pod asks for.
        asked: Vec<BundleRef>,
    },
    /// One file cannot hold two secrets.
    #[error(
        "plan files: secret {name} is in bundle {first} and in bundle {second}; rename it in one of them, or ask for one bundle alone"
    )]
    NameTwice {
        /// The name.
        name: SecretName,
        /// The bundle that has it.
        first: BundleRef,
        /// The bundle that has it too.
        second: BundleRef,
    },
    /// More than one secret may have.
    #[error(
        "plan files: secret {name} of bundle {bundle} has {bytes} bytes, over the limit of {MAX_VALUE_BYTES}"
    )]
    ValueTooLarge {
        /// The secret.
        name: SecretName,
        /// Its bundle.
        bundle: BundleRef,
        /// Its size.
        bytes: usize,
    },
    /// More than the volume has room for.
    #[error(
        "plan files: the secrets of this pod come to {0} bytes, over the limit of {MAX_POD_BYTES}"
    )]
    TooLarge(usize),
}

fn list(bundles: &[BundleRef]) -> String {
    bundles.iter().map(BundleRef::as_str).collect::<Vec<_>>().join(", ")
}

/// The files that `snapshot` stands for, in a pod that asks for the bundles `asked`. The values are
/// moved, not copied.
///
/// # Errors
/// Where the snapshot is not what the pod asks for, or cannot be files.
pub fn wanted(asked: &[BundleRef], snapshot: Snapshot) -> Result<Wanted, Refusal> {
    let sent: Vec<BundleRef> = snapshot.bundles.iter().map(|held| held.bundle.clone()).collect();
    if !same_bundles(asked, &sent) {
        return Err(Refusal::Bundles { sent, asked: asked.to_vec() });
    }
    let holds = in_order(asked, snapshot.holds());

    let mut files = Contents::new();
    let mut owners: BTreeMap<SecretName, BundleRef> = BTreeMap::new();
    let mut total = 0usize;
    for held in snapshot.bundles {
        for (name, secret) in held.secrets {
            let bytes = secret.value.len();
            if bytes > MAX_VALUE_BYTES {
                return Err(Refusal::ValueTooLarge { name, bundle: held.bundle, bytes });
            }
            if let Some(first) = owners.insert(name.clone(), held.bundle.clone()) {
                return Err(Refusal::NameTwice { name, first, second: held.bundle });
            }
            total = total.saturating_add(bytes);
            files.insert(FileName::from(&name), secret.value);
        }
    }
    if total > MAX_POD_BYTES {
        return Err(Refusal::TooLarge(total));
    }
    Ok(Wanted { files, holds })
}

/// What has to happen so that the files become `wanted`.
#[must_use]
pub fn change(wanted: &Wanted, present: &Present) -> Change {
    match present {
        Present::Nothing => Change::First,
        Present::Files(files) if *files == wanted.files => Change::None,
        Present::Files(_) | Present::Unreadable => Change::Changed,
    }
}

fn same_bundles(asked: &[BundleRef], sent: &[BundleRef]) -> bool {
    let sorted = |bundles: &[BundleRef]| {
        let mut bundles = bundles.to_vec();
        bundles.sort();
        bundles
    };
    sorted(asked) == sorted(sent)
}

/// In the pod's order, whatever the server's was: the generation's name on disk is made of it.
fn in_order(asked: &[BundleRef], mut holds: Vec<Held>) -> Vec<Held> {
    holds.sort_by_key(|held| asked.iter().position(|bundle| *bundle == held.bundle));
    holds
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

    fn held(name: &str, generation: u64, secrets: &[(&str, &[u8])]) -> HeldBundle {
        let secrets = secrets
            .iter()
            .map(|(name, value)| {
                (
                    name.parse().unwrap(),
                    HeldSecret { version: Version(1), value: Redacted::from(*value) },
                )
            })
            .collect();
        HeldBundle { bundle: bundle(name), generation: Generation(generation), secrets }
    }

    fn file(name: &str) -> FileName {
        FileName::from(&name.parse::<SecretName>().unwrap())
    }

    fn plan(asked: &[&str], bundles: Vec<HeldBundle>) -> Result<Wanted, Refusal> {
        let asked: Vec<_> = asked.iter().map(|name| bundle(name)).collect();
        wanted(&asked, Snapshot { bundles })
    }

    #[test]
    fn bundles_become_one_set_of_files_in_the_order_of_the_pod() {
        let found = plan(
            &["b-prod", "a-prod"],
            vec![
                held("a-prod", 3, &[("A", b"1"), ("E", b"")]),
                held("b-prod", 12, &[("B", b"\xff\0\n")]),
            ],
        )
        .unwrap();
        assert_eq!(found.holds.iter().map(|held| held.generation.0).collect::<Vec<_>>(), [12, 3]);
        let files: Vec<_> =
            found.files.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(files, [("A", b"1".as_slice()), ("B", b"\xff\0\n"), ("E", b"")]);
    }

    #[test]
    fn a_bundle_without_secrets_is_a_generation_without_files() {
        assert!(plan(&["a-prod"], vec![held("a-prod", 1, &[])]).unwrap().files.is_empty());
    }

    #[test]
    fn what_the_pod_did_not_ask_for_is_refused() {
        for (asked, sent) in [
            (&["a-prod"][..], &["b-prod"][..]),
            (&["a-prod"], &[]),
            (&["a-prod"], &["a-prod", "b-prod"]),
            (&["a-prod", "b-prod"], &["a-prod"]),
            (&["a-prod", "b-prod"], &["a-prod", "a-prod"]),
            (&["a-prod"], &["a-prod", "a-prod"]),
        ] {
            let bundles = sent.iter().map(|name| held(name, 1, &[])).collect();
            assert!(
                matches!(plan(asked, bundles), Err(Refusal::Bundles { .. })),
                "{asked:?} {sent:?}"
            );
        }
    }

    #[test]
    fn one_name_in_two_bundles_names_both() {
        let error = plan(
            &["a-prod", "b-prod"],
            vec![held("a-prod", 1, &[("X", b"same")]), held("b-prod", 1, &[("X", b"same")])],
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "plan files: secret X is in bundle a-prod and in bundle b-prod; rename it in one of them, or ask for one bundle alone"
        );
    }

    #[test]
    fn sizes_are_limited() {
        let at_limit = vec![7; MAX_VALUE_BYTES];
        let over = vec![7; MAX_VALUE_BYTES + 1];
        assert!(plan(&["a-prod"], vec![held("a-prod", 1, &[("X", &at_limit)])]).is_ok());
        let error = plan(&["a-prod"], vec![held("a-prod", 1, &[("X", &over)])]).unwrap_err();
        assert!(
            matches!(error, Refusal::ValueTooLarge { bytes, .. } if bytes == MAX_VALUE_BYTES + 1)
        );

        let names = ["A", "B", "C", "D", "E", "F", "G", "H"];
        let mut secrets: Vec<(&str, &[u8])> =
            names.iter().map(|name| (*name, at_limit.as_slice())).collect();
        assert!(plan(&["a-prod"], vec![held("a-prod", 1, &secrets)]).is_ok());
        secrets.push(("I", b"x"));
        let error = plan(&["a-prod"], vec![held("a-prod", 1, &secrets)]).unwrap_err();
        assert_eq!(error, Refusal::TooLarge(MAX_POD_BYTES + 1));
    }

    #[test]
    fn a_refusal_never_shows_a_value() {
        let wanted = plan(&["a-prod"], vec![held("a-prod", 1, &[("X", b"hunter2")])]).unwrap();
        assert!(!format!("{wanted:?}").contains("hunter2"));
    }

    #[test]
    fn what_has_to_happen() {
        let wanted =
            plan(&["a-prod"], vec![held("a-prod", 2, &[("X", b"1"), ("Y", b"")])]).unwrap();
        let files = |pairs: &[(&str, &[u8])]| {
            Present::Files(
                pairs.iter().map(|(name, value)| (file(name), Redacted::from(*value))).collect(),
            )
        };
        for (present, expected) in [
            (Present::Nothing, Change::First),
            (Present::Unreadable, Change::Changed),
            (files(&[("X", b"1"), ("Y", b"")]), Change::None),
            (files(&[("X", b"1")]), Change::Changed),
            (files(&[("X", b"1"), ("Y", b""), ("Z", b"")]), Change::Changed),
            (files(&[("X", b"1\n"), ("Y", b"")]), Change::Changed),
            (files(&[("X", b"1"), ("y", b"")]), Change::Changed),
            (files(&[]), Change::Changed),
        ] {
            assert_eq!(change(&wanted, &present), expected, "{present:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_planned_needs_no_change(values in prop::collection::btree_map("[A-Z_]{1,8}", prop::collection::vec(any::<u8>(), 0..50), 0..8)) {
            let secrets: Vec<(&str, &[u8])> = values.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            let wanted = plan(&["a-prod"], vec![held("a-prod", 1, &secrets)]).unwrap();
            let present = Present::Files(wanted.files.clone());
            prop_assert_eq!(change(&wanted, &present), Change::None);
        }
    }
}
