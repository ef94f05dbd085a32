//! Compares the `caBundle` of a registration with the keeper's CAs, and builds the patch. Pure.

use certs::bundle::TrustBundle;
use certs::certificate::Certificate;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::kind::{Entry, RegistrationKind};

/// How the `caBundle` of a registration compares with the webhook's CA bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CaBundleStatus {
    /// Every entry has exactly the bundle.
    Correct,
    /// Every entry has all CAs of the bundle, and some have other CAs too.
    HasForeign,
    /// An entry lacks a CA of the bundle, so the API server may not trust the webhook.
    Missing,
}

/// The worst status of all entries. A registration without entries is correct.
pub(super) fn status(found: &impl RegistrationKind, bundle: &TrustBundle) -> CaBundleStatus {
    let entries = found.entries().into_iter();
    entries.map(|entry| entry_status(entry, bundle)).max().unwrap_or(CaBundleStatus::Correct)
}

/// Whether an entry has a CA that is not in the bundle.
pub(super) fn has_foreign(found: &impl RegistrationKind, bundle: &TrustBundle) -> bool {
    let ours = bundle.certificates();
    found.entries().into_iter().any(|entry| foreign(entry, &ours).next().is_some())
}

/// What happens to the CAs of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignCas {
    /// They stay behind the bundle's.
    Keep,
    /// They are removed.
    Remove,
}

/// The operations that write the bundle into every entry that differs. Each tests the entry's
/// name, because the index may belong to another entry since the object was read.
pub(super) fn patch(
    found: &impl RegistrationKind,
    bundle: &TrustBundle,
    others: ForeignCas,
) -> Patch {
    let ours = bundle.certificates();
    let wanted = |entry: Entry<'_>| match others {
        ForeignCas::Keep => {
            let kept: Vec<_> = foreign(entry, &ours).collect();
            TrustBundle::new(ours.iter().chain(&kept))
        }
        ForeignCas::Remove => bundle.clone(),
    };
    let wrong = found.entries().into_iter().enumerate().filter(|(_, entry)| {
        let status = entry_status(*entry, bundle);
        status == CaBundleStatus::Missing
            || (status == CaBundleStatus::HasForeign && others == ForeignCas::Remove)
    });
    let operations = wrong.flat_map(|(index, entry)| {
        let index = index.to_string();
        [
            PatchOperation::Test(TestOperation {
                path: PointerBuf::from_tokens(["webhooks", &index, "name"]),
                value: json!(entry.name),
            }),
            PatchOperation::Add(AddOperation {
                path: PointerBuf::from_tokens(["webhooks", &index, "clientConfig", "caBundle"]),
                value: json!(ByteString(wanted(entry).as_pem().as_bytes().to_vec())),
            }),
        ]
    });
    Patch(operations.collect())
}

/// Whether `event`, an object of a watch, is older than the `known` one: a patch has been answered
/// since, with the object as it became. An object of another UID is a new one.
pub(super) fn is_older(event: &ObjectMeta, known: &ObjectMeta) -> bool {
    // Versions of one object are numbers that grow (KEP-5504); others are not compared.
    let version = |of: &ObjectMeta| of.resource_version.as_ref()?.parse::<u64>().ok();
    event.uid == known.uid
        && version(event).zip(version(known)).is_some_and(|(event, known)| event < known)
}

/// The CAs of an entry that are not among `ours`.
fn foreign(entry: Entry<'_>, ours: &[Certificate]) -> impl Iterator<Item = Certificate> + use<> {
    let found = Certificate::from_pem(entry.ca_bundle).unwrap_or_default();
    let ours: Vec<_> = ours.iter().map(|one| one.der().clone()).collect();
    found.into_iter().filter(move |one| !ours.contains(one.der()))
}

fn entry_status(entry: Entry<'_>, bundle: &TrustBundle) -> CaBundleStatus {
    let found = entry.ca_bundle;
    if found == bundle.as_pem().as_bytes() {
        return CaBundleStatus::Correct;
    }
    let found = Certificate::from_pem(found).unwrap_or_default();
    let has_all =
        bundle.certificates().iter().all(|ours| found.iter().any(|one| one.der() == ours.der()));
    if has_all { CaBundleStatus::HasForeign } else { CaBundleStatus::Missing }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
    use serde_json::Value;

    use super::*;

    fn certificate(name: &str) -> Certificate {
        let pem = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
        Certificate::from_pem(pem.as_bytes()).unwrap().remove(0)
    }

    fn registration(entries: &[(&str, Option<&str>)]) -> Value {
        let webhooks: Vec<_> = entries
            .iter()
            .map(|(name, ca)| {
                json!({
                    "name": name,
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": { "caBundle": ca.map(|ca| ByteString(ca.as_bytes().to_vec())) },
                })
            })
            .collect();
        json!({ "metadata": { "name": "enclii-webhook" }, "webhooks": webhooks })
    }

    fn read(value: &Value) -> MutatingWebhookConfiguration {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn every_wrong_entry_is_repaired_by_its_name() {
        let (old, new) = (certificate("old"), certificate("new"));
        let ours = TrustBundle::new([&new, &old]);
        let (only_old, reversed) = (old.pem(), TrustBundle::new([&old, &new]));
        for (ca, expected) in [
            (None, CaBundleStatus::Missing),
            (Some(""), CaBundleStatus::Missing),
            (Some("nonsense"), CaBundleStatus::Missing),
            (Some(only_old.as_str()), CaBundleStatus::Missing),
            (Some(reversed.as_pem()), CaBundleStatus::HasForeign),
            (Some(ours.as_pem()), CaBundleStatus::Correct),
        ] {
            let mut object = registration(&[("right", Some(ours.as_pem())), ("perhaps", ca)]);
            assert_eq!(status(&read(&object), &ours), expected, "{ca:?}");
            let repair = patch(&read(&object), &ours, ForeignCas::Remove);
            assert_eq!(repair.0.len(), if expected == CaBundleStatus::Correct { 0 } else { 2 });
            json_patch::patch(&mut object, &repair).unwrap();
            assert_eq!(status(&read(&object), &ours), CaBundleStatus::Correct);
        }
    }

    #[test]
    fn foreign_cas_are_kept_in_every_entry_while_one_lacks_ours() {
        let (mine, other) = (certificate("mine"), certificate("other"));
        let ours = TrustBundle::new([&mine]);
        let both = TrustBundle::new([&mine, &other]);
        let only_other = other.pem();
        let entries = [
            ("has both", Some(both.as_pem())),
            ("lacks ours", Some(only_other.as_str())),
            ("is empty", None),
        ];
        let mut object = registration(&entries);
        let repair = patch(&read(&object), &ours, ForeignCas::Keep);
        json_patch::patch(&mut object, &repair).unwrap();
        let kept = registration(&[
            ("has both", Some(both.as_pem())),
            ("lacks ours", Some(both.as_pem())),
            ("is empty", Some(ours.as_pem())),
        ]);
        assert_eq!(object, kept);
        assert_eq!(status(&read(&object), &ours), CaBundleStatus::HasForeign);
        assert!(has_foreign(&read(&object), &ours));

        let repair = patch(&read(&object), &ours, ForeignCas::Remove);
        json_patch::patch(&mut object, &repair).unwrap();
        assert_eq!(status(&read(&object), &ours), CaBundleStatus::Correct);
        assert!(!has_foreign(&read(&object), &ours));
    }

    #[test]
    fn an_older_version_of_the_same_object_is_told_apart() {
        let object = |uid: &str, version: &str| ObjectMeta {
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        for (event, known, older) in [
            (object("a", "9"), object("a", "10"), true),
            (object("a", "10"), object("a", "10"), false),
            (object("a", "11"), object("a", "10"), false),
            // Deleted and made again, or not a number.
            (object("b", "9"), object("a", "10"), false),
            (object("a", "x"), object("a", "10"), false),
            (ObjectMeta::default(), object("a", "10"), false),
        ] {
            assert_eq!(is_older(&event, &known), older, "{event:?} {known:?}");
        }
    }

    #[test]
    fn an_entry_that_has_moved_is_not_changed() {
        let ours = TrustBundle::new([&certificate("ca")]);
        let repair =
            patch(&read(&registration(&[("pods.enclii.io", None)])), &ours, ForeignCas::Remove);
        let mut moved = registration(&[("other", None), ("pods.enclii.io", None)]);
        let before = moved.clone();
        json_patch::patch(&mut moved, &repair).unwrap_err();
        assert_eq!(moved, before);
    }

    #[test]
    fn a_registration_without_entries_is_correct() {
        let ours = TrustBundle::new([&certificate("ca")]);
        assert_eq!(
            status(&MutatingWebhookConfiguration::default(), &ours),
            CaBundleStatus::Correct
        );
    }
}
