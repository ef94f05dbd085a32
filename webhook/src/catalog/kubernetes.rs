//! The catalog from the `SecretBundle` objects of the cluster, by a watch. Keeps the keys alone.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use contract::secret_bundle::{API_VERSION, GROUP, KIND, PLURAL};
use futures_util::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio_util::sync::CancellationToken;

use super::{Catalog, Namespaces, object};

/// A bundle that was just made should not keep its first pod waiting for long.
const RETRY: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// Follows the objects until `stop` is cancelled; opens `gate` after the first listing. What is
/// known stays known while the API server cannot be reached.
pub async fn run(client: Client, catalog: Catalog, gate: Gate, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(follow(client, catalog, gate)).await;
}

async fn follow(client: Client, catalog: Catalog, gate: Gate) {
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, API_VERSION, KIND), PLURAL);
    let objects = Api::<DynamicObject>::all_with(client, &kind);
    let mut events = pin!(watcher(objects, watcher::Config::default()));
    let (mut listing, mut failures) = (Namespaces::new(), 0);
    loop {
        match events.next().await {
            Some(Ok(event)) => {
                failures = 0;
                if apply(event, &catalog, &mut listing) {
                    gate.ready();
                }
            }
            Some(Err(error)) => {
                tracing::warn!(error = %ErrorChain(&error), failures, "watch SecretBundle objects");
                // The watcher starts over when it is asked again.
                tokio::time::sleep(RETRY.delay(failures, random())).await;
                failures = failures.saturating_add(1);
            }
            None => return,
        }
    }
}

/// Takes one event over; true when a listing is done.
fn apply(event: Event<DynamicObject>, catalog: &Catalog, listing: &mut Namespaces) -> bool {
    match event {
        Event::Init => listing.clear(),
        Event::InitApply(object) => {
            if let Some((namespace, bundle)) = bundle(&object) {
                listing.entry(namespace).or_default().insert(object.name_any(), Arc::new(bundle));
            }
        }
        Event::InitDone => {
            catalog.replace(std::mem::take(listing));
            return true;
        }
        Event::Apply(object) => match bundle(&object) {
            Some((namespace, bundle)) => catalog.set(&namespace, &object.name_any(), bundle),
            None => forget(&object, catalog),
        },
        Event::Delete(object) => forget(&object, catalog),
    }
    false
}

fn bundle(object: &DynamicObject) -> Option<(String, injection::bundles::Bundle)> {
    let labels = object.metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str);
    let bundle = object::from_parts(&object.data, label)?;
    Some((object.namespace()?, bundle))
}

fn forget(object: &DynamicObject, catalog: &Catalog) {
    if let Some(namespace) = object.namespace() {
        catalog.remove(&namespace, &object.name_any());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use injection::bundles::Bundles;

    fn object(name: &str, parts: Value) -> DynamicObject {
        let mut object = json!({
            "apiVersion": "enclii.io/v1",
            "kind": "SecretBundle",
            "metadata": { "name": name, "namespace": "shop-prod", "labels": { "enclii.io/project": "shop" } },
        });
        object.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_listing_replaces_what_was_known_when_it_is_done() {
        let (catalog, mut listing) = (Catalog::default(), Namespaces::new());
        let mut apply = |event| apply(event, &catalog, &mut listing);
        assert!(!apply(Event::Apply(object("old-prod", json!({ "status": { "keys": ["A"] } })))));
        apply(Event::Init);
        apply(Event::InitApply(object("api-prod", json!({ "status": { "keys": ["B"] } }))));
        apply(Event::InitApply(object("empty-prod", json!({}))));
        assert!(
            catalog.bundle("shop-prod", "old-prod").is_some(),
            "known until the listing is done"
        );
        assert!(apply(Event::InitDone));
        assert_eq!(catalog.bundle("shop-prod", "old-prod"), None);
        let found = catalog.bundle("shop-prod", "api-prod").unwrap();
        assert_eq!((found.has_key("B"), found.project.as_deref()), (true, Some("shop")));
        assert_eq!(catalog.len(), 1);
    }

    #[test]
    fn a_bundle_without_keys_any_more_is_none() {
        let (catalog, mut listing) = (Catalog::default(), Namespaces::new());
        for (event, known) in [
            (Event::Apply(object("api-prod", json!({ "spec": { "keys": ["A"] } }))), 1),
            (Event::Apply(object("api-prod", json!({}))), 0),
            (Event::Apply(object("api-prod", json!({ "spec": { "keys": ["A"] } }))), 1),
            (Event::Delete(object("api-prod", json!({}))), 0),
        ] {
            apply(event, &catalog, &mut listing);
            assert_eq!(catalog.len(), known);
        }
    }
}
