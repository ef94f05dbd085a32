//! Fills the catalog from the cluster's `SecretBundle` objects, by a watch. Keeps only the keys.

use std::pin::pin;
use std::sync::Arc;

use contract::secret_bundle::{API_VERSION, GROUP, KIND, PLURAL};
use futures_util::StreamExt;
use injection::Bundle;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio_util::sync::CancellationToken;

use super::{Catalog, Namespaces, object};

/// Follows the objects until `stop` is cancelled; opens `gate` after the first list. The catalog
/// stays as it is while the API server is unreachable.
pub async fn run(client: Client, catalog: Catalog, gate: Gate, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(follow(client, catalog, gate)).await;
}

async fn follow(client: Client, catalog: Catalog, gate: Gate) {
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, API_VERSION, KIND), PLURAL);
    let objects = Api::<DynamicObject>::all_with(client, &kind);
    let mut events = pin!(watcher(objects, watcher::Config::default()).default_backoff());
    let mut list = Namespaces::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if apply(event, &catalog, &mut list) {
                    gate.ready();
                }
            }
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "watch SecretBundle objects");
            }
        }
    }
}

/// Applies one event; true if it completes a list.
fn apply(event: Event<DynamicObject>, catalog: &Catalog, list: &mut Namespaces) -> bool {
    match event {
        Event::Init => list.clear(),
        Event::InitApply(object) => {
            if let Some((namespace, bundle)) = bundle(&object) {
                list.entry(namespace).or_default().insert(object.name_any(), Arc::new(bundle));
            }
        }
        Event::InitDone => {
            catalog.replace(std::mem::take(list));
            return true;
        }
        Event::Apply(object) => match bundle(&object) {
            Some((namespace, bundle)) => catalog.set(&namespace, &object.name_any(), bundle),
            None => remove(&object, catalog),
        },
        Event::Delete(object) => remove(&object, catalog),
    }
    false
}

fn bundle(object: &DynamicObject) -> Option<(String, Bundle)> {
    let labels = object.metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str);
    let bundle = object::from_parts(&object.data, label)?;
    Some((object.namespace()?, bundle))
}

fn remove(object: &DynamicObject, catalog: &Catalog) {
    if let Some(namespace) = object.namespace() {
        catalog.remove(&namespace, &object.name_any());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use injection::BundleLookup;

    fn object(name: &str, parts: Value) -> DynamicObject {
        let mut object = json!({
            "apiVersion": "enclii.io/v1",
            "kind": "SecretBundle",
            "metadata": {
                "name": name,
                "namespace": "shop-prod",
                "labels": { "enclii.io/project": "shop" },
            },
        });
        object.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_complete_list_replaces_the_catalog() {
        let (catalog, mut list) = (Catalog::default(), Namespaces::new());
        let mut apply = |event| apply(event, &catalog, &mut list);
        assert!(!apply(Event::Apply(object("old-prod", json!({ "status": { "keys": ["A"] } })))));
        apply(Event::Init);
        apply(Event::InitApply(object("api-prod", json!({ "status": { "keys": ["B"] } }))));
        apply(Event::InitApply(object("empty-prod", json!({}))));
        assert!(
            catalog.bundle("shop-prod", "old-prod").is_some(),
            "kept until the list is complete"
        );
        assert!(apply(Event::InitDone));
        assert_eq!(catalog.bundle("shop-prod", "old-prod"), None);
        let found = catalog.bundle("shop-prod", "api-prod").unwrap();
        assert_eq!(
            (found.keys.contains("B"), found.project.clone()),
            (true, Some("shop".parse().unwrap()))
        );
        assert_eq!(catalog.len(), 1);
    }

    #[test]
    fn a_bundle_that_loses_its_keys_is_removed() {
        let (catalog, mut list) = (Catalog::default(), Namespaces::new());
        for (event, known) in [
            (Event::Apply(object("api-prod", json!({ "spec": { "keys": ["A"] } }))), 1),
            (Event::Apply(object("api-prod", json!({}))), 0),
            (Event::Apply(object("api-prod", json!({ "spec": { "keys": ["A"] } }))), 1),
            (Event::Delete(object("api-prod", json!({}))), 0),
        ] {
            apply(event, &catalog, &mut list);
            assert_eq!(catalog.len(), known);
        }
    }
}
