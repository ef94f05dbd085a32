//! Watches the labels of all namespaces.

use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio::sync::watch;

use super::Cluster;
use crate::namespaces::{NamespaceBindings, binding_of};

impl Cluster {
    /// Watches the namespaces and publishes every change to `bindings`. Never returns. `gate` opens
    /// after the first complete list. While the API server is unavailable, the last state stays.
    /// `default_backoff` retries with exponential delays and jitter.
    pub async fn watch_namespaces(
        &self,
        bindings: watch::Sender<Arc<NamespaceBindings>>,
        gate: Gate,
    ) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let mut events = std::pin::pin!(watcher(api, Config::default()).default_backoff());
        let mut current = NamespaceBindings::new();
        let mut listed = NamespaceBindings::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(namespace)) => put(&mut listed, &namespace),
                Ok(Event::InitDone) => {
                    current = std::mem::take(&mut listed);
                    publish(&bindings, &current);
                    gate.ready();
                }
                Ok(Event::Apply(namespace)) => {
                    put(&mut current, &namespace);
                    publish(&bindings, &current);
                }
                Ok(Event::Delete(namespace)) => {
                    current.remove(&namespace.name_any());
                    publish(&bindings, &current);
                }
                Err(error) => tracing::warn!(error = %ErrorChain(&error), "watch namespaces"),
            }
        }
    }
}

fn put(bindings: &mut NamespaceBindings, namespace: &PartialObjectMeta<Namespace>) {
    // A terminating namespace keeps its pods, and their access, until it is gone.
    match binding_of(namespace.labels()) {
        Some(binding) => bindings.insert(namespace.name_any(), binding),
        None => bindings.remove(&namespace.name_any()),
    };
}

fn publish(sender: &watch::Sender<Arc<NamespaceBindings>>, current: &NamespaceBindings) {
    sender.send_if_modified(|published| {
        let differs = **published != *current;
        if differs {
            *published = Arc::new(current.clone());
        }
        differs
    });
}
