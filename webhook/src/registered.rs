//! Whether the API server trusts the certificate that this replica serves: compares it with the
//! `caBundle` of a registration, and keeps the replica unready while they do not belong together.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::certificate::Certificate;
use certs::resolver::CertResolver;
use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio_util::sync::CancellationToken;

use crate::registration::RegistrationKind;

/// How often the serving certificate is compared without a change of the registration.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Opens and closes `gate` until `stop` is cancelled. A registration that does not exist sends
/// nobody here, so it holds up nothing.
pub async fn run<K: RegistrationKind>(
    client: Client,
    registration: String,
    resolver: Arc<CertResolver>,
    gate: Gate,
    stop: CancellationToken,
) {
    let follow = follow::<K>(client, &registration, &resolver, &gate);
    let _ = stop.run_until_cancelled(follow).await;
}

async fn follow<K: RegistrationKind>(
    client: Client,
    registration: &str,
    resolver: &CertResolver,
    gate: &Gate,
) {
    let kind = K::kind(&());
    let api: Api<K> = Api::all(client);
    let mut changes = pin!(watch_object(api, registration).default_backoff());
    // The CAs of each entry; unknown until the first event. Without a registration there is none.
    let mut registered = None;
    let mut was_trusted = true;
    loop {
        match tokio::time::timeout(CHECK_INTERVAL, changes.next()).await {
            Ok(Some(Ok(object))) => {
                registered = Some(object.as_ref().map_or_else(Vec::new, cas_of_entries));
            }
            Ok(Some(Err(error))) => {
                tracing::warn!(error = %ErrorChain(&error), "watch {kind} {registration}");
            }
            Ok(None) => return,
            Err(_) => {}
        }
        let (Some(entries), Some(leaf)) = (&registered, resolver.certificate()) else { continue };
        let is_trusted = trusts(entries, &leaf, SystemTime::now());
        if is_trusted {
            gate.ready();
        } else {
            gate.not_ready();
            if was_trusted {
                tracing::warn!(
                    %kind,
                    configuration = registration,
                    "its caBundle does not hold the CA of the certificate that is served"
                );
            }
        }
        was_trusted = is_trusted;
    }
}

/// The CAs of each entry; none where it has no bundle, or one that cannot be read.
fn cas_of_entries(registration: &impl RegistrationKind) -> Vec<Vec<Certificate>> {
    let entries = registration.entries().into_iter();
    entries.map(|entry| Certificate::from_pem(entry.ca_bundle).unwrap_or_default()).collect()
}

/// Whether every entry holds a CA that has signed `leaf` and both are valid at `now`. An entry
/// without a CA is trusted by the system's roots, so it is nobody's that this program knows.
fn trusts(entries: &[Vec<Certificate>], leaf: &Certificate, now: SystemTime) -> bool {
    entries.iter().all(|cas| {
        leaf.validity().contains(now)
            && cas.iter().any(|ca| ca.validity().contains(now) && leaf.signed_by(ca))
    })
}

#[cfg(test)]
mod tests {
    use certs::alt_names::SubjectAltNames;
    use certs::issue::{create_ca, issue_leaf};
    use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_registered_cas_must_have_signed_the_certificate() {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let names = SubjectAltNames::of_service("enclii-webhook", "enclii-system").unwrap();
        let (ours, other) = (create_ca("ours", now, hour), create_ca("other", now, hour));
        let (ours, other) = (ours.unwrap(), other.unwrap());
        let leaf = issue_leaf(&ours, &names, now, hour).unwrap();
        let registration = |bundles: &[Option<&str>]| {
            let entries: Vec<_> = bundles
                .iter()
                .map(|bundle| {
                    let bundle = bundle.map(|it| k8s_openapi::ByteString(it.into()));
                    json!({
                        "name": "pods.enclii.io", "sideEffects": "None",
                        "admissionReviewVersions": ["v1"], "clientConfig": {"caBundle": bundle},
                    })
                })
                .collect();
            let found = json!({"webhooks": entries});
            let found: MutatingWebhookConfiguration = serde_json::from_value(found).unwrap();
            cas_of_entries(&found)
        };
        let (own, foreign) = (ours.certificate().pem(), other.certificate().pem());
        let both = format!("{foreign}{own}");
        for (bundles, expected) in [
            (&[Some(own.as_str())][..], true),
            (&[Some(both.as_str())], true),
            (&[Some(foreign.as_str())], false),
            (&[Some(own.as_str()), Some(foreign.as_str())], false),
            (&[Some("")], false),
            (&[Some("nonsense")], false),
            (&[None], false),
            (&[], true),
        ] {
            let found = registration(bundles);
            assert_eq!(trusts(&found, leaf.certificate(), now), expected, "{bundles:?}");
        }
        let later = now + hour + hour;
        assert!(!trusts(&registration(&[Some(&own)]), leaf.certificate(), later), "expired");
    }
}
