//! Certificates in a Kubernetes Secret that all replicas share.
//!
//! Needs `get`, `watch` and `patch` on this one name, and `create` on it to bring it back when it
//! has been deleted. A Secret is created by server-side apply, whose right to create can be given
//! for one name; that of a POST cannot. Secrets are never listed. The watch asks for metadata
//! alone, so keys travel only when they are read.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{CertStore, CertStoreError, Loaded, StoreOutcome};
use crate::state::{CertFiles, FILE_NAMES};

/// The field manager, as `managedFields` shows it.
const FIELD_MANAGER: &str = "enclii-certs";

/// The API server ends the watch after this long: less than the five minutes of common proxies.
const WATCH_SECONDS: u32 = 240;

/// How often the Secret is polled, about, when it cannot be watched.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The API server's answer when it refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Machine-readable reason, such as `Forbidden`.
    pub reason: String,
    /// The text for people.
    pub message: String,
}

/// Certificates in a Secret.
#[derive(Clone)]
pub struct SecretCertStore {
    api: Api<Secret>,
    name: String,
}

impl SecretCertStore {
    /// The Secret `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    /// Creates the Secret without content, and fills it if no other process has.
    async fn create(&self, files: &CertFiles) -> Result<StoreOutcome, CertStoreError> {
        let empty = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": self.name },
            "type": "Opaque",
        });
        let params = PatchParams::apply(FIELD_MANAGER);
        match self.api.patch(&self.name, &params, &Patch::Apply(empty)).await {
            Ok(Secret { metadata, data, .. }) => match metadata.resource_version {
                Some(version) if data.is_none_or(|data| data.is_empty()) => {
                    self.patch(files, &version).await
                }
                _ => Ok(StoreOutcome::Conflict),
            },
            Err(error) => self.conflict_or_error("create", error),
        }
    }

    async fn patch(
        &self,
        files: &CertFiles,
        version: &str,
    ) -> Result<StoreOutcome, CertStoreError> {
        let data: Map<String, Value> = FILE_NAMES
            .iter()
            .map(|name| {
                let content = files.content(name).map(|bytes| ByteString(bytes.to_vec()));
                ((*name).to_owned(), json!(content))
            })
            .collect();
        // With the version in it, the API server refuses the patch (409) after another write.
        let patch = json!({ "metadata": { "resourceVersion": version }, "data": data });
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patched = self.api.patch(&self.name, &params, &Patch::Merge(patch)).await;
        match patched {
            Ok(written) => Ok(StoreOutcome::Written(written.resource_version())),
            Err(error) => self.conflict_or_error("patch", error),
        }
    }

    fn conflict_or_error(
        &self,
        step: &'static str,
        error: kube::Error,
    ) -> Result<StoreOutcome, CertStoreError> {
        match &error {
            // Changed, created or deleted by another process: load again.
            kube::Error::Api(status) if status.is_conflict() || status.is_not_found() => {
                Ok(StoreOutcome::Conflict)
            }
            _ => Err(self.error(step, error)),
        }
    }

    fn error(&self, step: &'static str, error: kube::Error) -> CertStoreError {
        let name = self.name.clone();
        match error {
            kube::Error::Api(status) => CertStoreError::Refused {
                step,
                name,
                source: Refusal {
                    code: status.code,
                    reason: status.reason,
                    message: status.message,
                },
            },
            // These quote what they could not parse, and that may be a key.
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
                CertStoreError::Unreadable { step, name }
            }
            other => CertStoreError::Unreachable { step, name, source: other.into() },
        }
    }

    /// Whether the Secret changed before the watch ended.
    async fn watch(&self, seen: &Loaded) -> Result<bool, kube::Error> {
        let params = WatchParams::default()
            .fields(&format!("metadata.name={}", self.name))
            .timeout(WATCH_SECONDS)
            .disable_bookmarks();
        // "0" reports what exists now as an event, so a Secret that appears is noticed.
        let from = seen.version.as_deref().unwrap_or("0");
        let mut events = pin!(self.api.watch_metadata(&params, from).await?);
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    if object.metadata.resource_version != seen.version {
                        return Ok(true);
                    }
                }
                WatchEvent::Deleted(_) => return Ok(true),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
                WatchEvent::Bookmark(_) => {}
            }
        }
        Ok(false)
    }
}

impl CertStore for SecretCertStore {
    async fn load(&self) -> Result<Loaded, CertStoreError> {
        let found = self.api.get_opt(&self.name).await;
        let Some(secret) = found.map_err(|error| self.error("get", error))? else {
            return Ok(Loaded::default());
        };
        let version = secret.resource_version();
        let mut files = CertFiles::default();
        for (name, content) in secret.data.unwrap_or_default() {
            let content = Zeroizing::new(content.0);
            // Other keys in the Secret belong to others.
            if FILE_NAMES.contains(&name.as_str()) {
                files.insert(&name, content);
            }
        }
        Ok(Loaded { files, version })
    }

    async fn store(
        &self,
        files: &CertFiles,
        seen: &Loaded,
    ) -> Result<StoreOutcome, CertStoreError> {
        match &seen.version {
            Some(version) => self.patch(files, version).await,
            None => self.create(files).await,
        }
    }

    async fn changed(&self, seen: &Loaded) {
        match self.watch(seen).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::debug!(secret = self.name, %error, "watch secret"),
        }
        // A watch that is refused or cut short must not become a tight loop.
        let wait = POLL_INTERVAL.mul_f64(0.5 + runtime::backoff::random() / 2.0);
        tokio::time::sleep(wait).await;
    }
}

impl std::fmt::Debug for SecretCertStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretCertStore").field("name", &self.name).finish_non_exhaustive()
    }
}
