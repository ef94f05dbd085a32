//! Compares the `caBundle` of a registration with the webhook's CA, and builds the patch. Pure.

use certs::bundle::TrustBundle;
use certs::certificate::Certificate;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use serde_json::json;

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
pub(super) fn status(found: &MutatingWebhookConfiguration, bundle: &TrustBundle) -> CaBundleStatus {
    let entries = entries(found).iter();
    entries.map(|entry| entry_status(entry, bundle)).max().unwrap_or(CaBundleStatus::Correct)
}

/// The operations that write the bundle into every entry that differs. Each tests the entry's
/// name, because the index may belong to another entry since the object was read.
pub(super) fn patch(found: &MutatingWebhookConfiguration, bundle: &TrustBundle) -> Patch {
    let wrong = entries(found)
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry_status(entry, bundle) != CaBundleStatus::Correct);
    let operations = wrong.flat_map(|(index, entry)| {
        let index = index.to_string();
        [
            PatchOperation::Test(TestOperation {
                path: PointerBuf::from_tokens(["webhooks", &index, "name"]),
                value: json!(entry.name),
            }),
            PatchOperation::Add(AddOperation {
                path: PointerBuf::from_tokens(["webhooks", &index, "clientConfig", "caBundle"]),
                value: json!(ByteString(bundle.as_pem().as_bytes().to_vec())),
            }),
        ]
    });
    Patch(operations.collect())
}

fn entries(found: &MutatingWebhookConfiguration) -> &[MutatingWebhook] {
    found.webhooks.as_deref().unwrap_or_default()
}

fn entry_status(entry: &MutatingWebhook, bundle: &TrustBundle) -> CaBundleStatus {
    let found = entry.client_config.ca_bundle.as_ref().map_or(&[][..], |ca| ca.0.as_slice());
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
            let repair = patch(&read(&object), &ours);
            assert_eq!(repair.0.len(), if expected == CaBundleStatus::Correct { 0 } else { 2 });
            json_patch::patch(&mut object, &repair).unwrap();
            assert_eq!(status(&read(&object), &ours), CaBundleStatus::Correct);
        }
    }

    #[test]
    fn an_entry_that_has_moved_is_not_changed() {
        let ours = TrustBundle::new([&certificate("ca")]);
        let repair = patch(&read(&registration(&[("pods.enclii.io", None)])), &ours);
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
