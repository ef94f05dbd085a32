//! What is wrong with a registration, and the patch that mends it. Pure.

use certs::bundle::TrustBundle;
use certs::certificate::Certificate;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use serde_json::json;

/// What a registration needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Every entry has our bundle.
    Nothing,
    /// Every entry has our CAs, and some have others besides.
    Tidying,
    /// An entry lacks one of our CAs: the API server cannot trust us through it.
    Repair,
}

/// Judges a registration. One without entries needs nothing: nobody is called through it.
pub(super) fn need(found: &MutatingWebhookConfiguration, bundle: &TrustBundle) -> Need {
    entries(found).iter().map(|entry| entry_need(entry, bundle)).max().unwrap_or(Need::Nothing)
}

/// The operations that put our bundle into every entry that has another. Each is tied to the
/// entry's name: an index alone may have become another's since the object was read.
pub(super) fn patch(found: &MutatingWebhookConfiguration, bundle: &TrustBundle) -> Patch {
    let wrong = entries(found)
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry_need(entry, bundle) != Need::Nothing);
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

fn entry_need(entry: &MutatingWebhook, bundle: &TrustBundle) -> Need {
    let found = entry.client_config.ca_bundle.as_ref().map_or(&[][..], |ca| ca.0.as_slice());
    if found == bundle.as_pem().as_bytes() {
        return Need::Nothing;
    }
    let found = Certificate::from_pem(found).unwrap_or_default();
    let has_all =
        bundle.certificates().iter().all(|ours| found.iter().any(|one| one.der() == ours.der()));
    if has_all { Need::Tidying } else { Need::Repair }
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
    fn every_entry_that_is_wrong_is_mended_by_its_name() {
        let (old, new) = (certificate("old"), certificate("new"));
        let ours = TrustBundle::new([&new, &old]);
        let (only_old, reversed) = (old.pem(), TrustBundle::new([&old, &new]));
        for (ca, expected) in [
            (None, Need::Repair),
            (Some(""), Need::Repair),
            (Some("nonsense"), Need::Repair),
            (Some(only_old.as_str()), Need::Repair),
            (Some(reversed.as_pem()), Need::Tidying),
            (Some(ours.as_pem()), Need::Nothing),
        ] {
            let mut object = registration(&[("right", Some(ours.as_pem())), ("perhaps", ca)]);
            assert_eq!(need(&read(&object), &ours), expected, "{ca:?}");
            let mend = patch(&read(&object), &ours);
            assert_eq!(mend.0.len(), if expected == Need::Nothing { 0 } else { 2 });
            json_patch::patch(&mut object, &mend).unwrap();
            assert_eq!(need(&read(&object), &ours), Need::Nothing);
        }
    }

    #[test]
    fn an_entry_that_has_moved_is_left_alone() {
        let ours = TrustBundle::new([&certificate("ca")]);
        let mend = patch(&read(&registration(&[("pods.enclii.io", None)])), &ours);
        let mut moved = registration(&[("other", None), ("pods.enclii.io", None)]);
        let before = moved.clone();
        json_patch::patch(&mut moved, &mend).unwrap_err();
        assert_eq!(moved, before);
    }

    #[test]
    fn no_entry_needs_nothing() {
        let ours = TrustBundle::new([&certificate("ca")]);
        assert_eq!(need(&MutatingWebhookConfiguration::default(), &ours), Need::Nothing);
    }
}
