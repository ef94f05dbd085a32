//! The labels of all namespaces, watched.

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
use crate::namespaces::{Bindings, binding_of};

impl Cluster {
    /// Watches the namespaces and tells `bindings` of every change, for ever. `gate` opens when the
    /// first list is complete. While the API server is away, what was known last stays.
    pub async fn watch_namespaces(&self, bindings: watch::Sender<Arc<Bindings>>, gate: Gate) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let mut events = std::pin::pin!(watcher(api, Config::default()).default_backoff());
        let mut known = Bindings::new();
        let mut listed = Bindings::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(namespace)) => put(&mut listed, &namespace),
                Ok(Event::InitDone) => {
                    known = std::mem::take(&mut listed);
                    tell(&bindings, &known);
                    gate.ready();
                }
                Ok(Event::Apply(namespace)) => {
                    put(&mut known, &namespace);
                    tell(&bindings, &known);
                }
                Ok(Event::Delete(namespace)) => {
                    known.remove(&namespace.name_any());
                    tell(&bindings, &known);
                }
                Err(error) => tracing::warn!(error = %ErrorChain(&error), "watch namespaces"),
            }
        }
    }
}

fn put(bindings: &mut Bindings, namespace: &PartialObjectMeta<Namespace>) {
    // A namespace on its way out keeps its pods, and their access, until it is gone.
    match binding_of(namespace.labels()) {
        Some(binding) => bindings.insert(namespace.name_any(), binding),
        None => bindings.remove(&namespace.name_any()),
    };
}

fn tell(sender: &watch::Sender<Arc<Bindings>>, known: &Bindings) {
    sender.send_if_modified(|told| {
        let differs = **told != *known;
        if differs {
            *told = Arc::new(known.clone());
        }
        differs
    });
}
