//! The CA that agents trust from a ConfigMap, by a watch: a new CA is used as soon as switchyard,
//! or whoever fills the ConfigMap, writes it.
//!
//! The watch selects the ConfigMap by name, so a Role with `resourceNames` is enough.

use std::pin::pin;

use certs::certificate::CertificateError;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use runtime::logs::ErrorChain;
use tokio_util::sync::CancellationToken;

use super::{KEY, parse_trust};
use crate::state::WebhookState;

#[derive(Debug, thiserror::Error)]
enum ConfigMapError {
    #[error("use ConfigMap {name}: it has no key {KEY} yet")]
    NoKey { name: String },
    #[error("use ConfigMap {name}, key {KEY}")]
    Form { name: String, source: CertificateError },
}

/// Follows the ConfigMap `name` in `namespace` until `stop` is cancelled.
pub async fn run(
    client: Client,
    namespace: String,
    name: String,
    state: WebhookState,
    stop: CancellationToken,
) {
    let maps = Api::<ConfigMap>::namespaced(client, &namespace);
    let follow = async {
        let mut changes = pin!(watch_object(maps, &name).default_backoff());
        let mut current = String::new();
        while let Some(change) = changes.next().await {
            match change {
                Ok(Some(map)) => match trust_in(&map, &name) {
                    Ok(pem) if pem == current => {}
                    Ok(pem) => {
                        state.set_trust(pem.clone());
                        tracing::info!(config_map = name, "the CA that agents trust loaded");
                        current = pem;
                    }
                    Err(error) => {
                        let error = ErrorChain(&error);
                        tracing::warn!(%error, "waiting for the CA that agents trust");
                    }
                },
                Ok(None) => tracing::warn!(config_map = name, "the ConfigMap does not exist"),
                Err(error) => tracing::warn!(
                    error = %ErrorChain(&error), config_map = name, "watch ConfigMap"
                ),
            }
        }
    };
    let _ = stop.run_until_cancelled(follow).await;
}

fn trust_in(map: &ConfigMap, name: &str) -> Result<String, ConfigMapError> {
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.ok_or_else(|| ConfigMapError::NoKey { name: name.to_owned() })?;
    parse_trust(text).map_err(|source| ConfigMapError::Form { name: name.to_owned(), source })
}
