//! The calls of the KV v2 engine, and the meaning of their answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vaultrs::api::kv2::requests::{
    DeleteSecretMetadataRequest, DestroySecretVersionsRequest, ListSecretsRequest,
    ReadSecretMetadataRequest, ReadSecretRequest, SetSecretMetadataRequest, SetSecretRequest,
    SetSecretRequestOptions,
};

use super::response::{Response, VaultError};
use super::session::{RetryMode, Session};

/// A KV version, or why it cannot be read.
pub(super) enum KvRead {
    /// There is no such entry, or the KV version was evicted.
    Absent,
    /// The KV version was deleted or destroyed. Vault answers 404 with a body.
    Deleted { kv_version: u64 },
    /// Its data.
    Live { kv_version: u64, data: Map<String, Value> },
}

/// Vault's metadata of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EntryMetadata {
    /// The newest KV version, 0 if there is none.
    pub(super) newest: u64,
    /// The limit set on the entry, 0 if there is none.
    pub(super) max_versions: u64,
    /// Each KV version that was not evicted.
    pub(super) versions: BTreeMap<u64, VersionState>,
}

/// The state of a KV version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VersionState {
    Live,
    /// Deleted, which can be undone.
    Deleted,
    Destroyed,
}

/// The engine at one mount.
#[derive(Debug)]
pub(super) struct KvEngine {
    session: Session,
    mount: String,
}

impl KvEngine {
    pub(super) fn new(session: Session, mount: &str) -> Self {
        Self { session, mount: mount.to_owned() }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Reads a KV version, or the newest.
    pub(super) async fn read(
        &self,
        path: &str,
        version: Option<u64>,
    ) -> Result<KvRead, VaultError> {
        let step = "read entry";
        let endpoint =
            ReadSecretRequest { mount: self.mount.clone(), path: path.to_owned(), version };
        let answer = self
            .session
            .send(&self.session.client().request(step, endpoint)?, RetryMode::Idempotent)
            .await?;
        found(answer).ok_or(VaultError::UnexpectedAnswer { step, what: "it is not a KV version" })
    }

    pub(super) async fn metadata(&self, path: &str) -> Result<EntryMetadata, VaultError> {
        let step = "read metadata of entry";
        let endpoint =
            ReadSecretMetadataRequest { mount: self.mount.clone(), path: path.to_owned() };
        let answer = self
            .session
            .send(&self.session.client().request(step, endpoint)?, RetryMode::Idempotent)
            .await?;
        if answer.status == 404 {
            return Ok(EntryMetadata::default());
        }
        metadata(&answer.body)
            .ok_or(VaultError::UnexpectedAnswer { step, what: "it is not metadata" })
    }

    /// Writes the next KV version if `newest` is still the newest. It is not retried.
    pub(super) async fn write(
        &self,
        path: &str,
        newest: u64,
        data: Map<String, Value>,
    ) -> Result<(), VaultError> {
        let step = "write entry";
        let cas = u32::try_from(newest).map_err(|_| VaultError::UnexpectedAnswer {
            step,
            what: "the KV version is too high",
        })?;
        let options = Some(SetSecretRequestOptions { cas });
        let endpoint = SetSecretRequest {
            mount: self.mount.clone(),
            path: path.to_owned(),
            data: Value::Object(data),
            options,
        };
        let answer = self
            .session
            .send(&self.session.client().request(step, endpoint)?, RetryMode::Once)
            .await?;
        let data = answer.body.get("data");
        if data.and_then(|data| data.get("version")).and_then(Value::as_u64) != Some(newest + 1) {
            return Err(VaultError::UnexpectedAnswer {
                step,
                what: "it is not a KV version: is the mount a KV engine of version 2?",
            });
        }
        match data.and_then(|data| data.get("deletion_time")).and_then(Value::as_str) {
            None | Some("") => Ok(()),
            Some(_) => Err(VaultError::Entry {
                step,
                what:
                    "Vault would delete it after some time: set delete_version_after of the mount \
                       and the entry to 0s"
                        .to_owned(),
            }),
        }
    }

    pub(super) async fn keep_versions(
        &self,
        path: &str,
        max_versions: u32,
    ) -> Result<(), VaultError> {
        let max_versions = Some(u64::from(max_versions));
        let endpoint = SetSecretMetadataRequest {
            mount: self.mount.clone(),
            path: path.to_owned(),
            max_versions,
            ..Default::default()
        };
        self.session
            .send(
                &self.session.client().request("set max_versions of entry", endpoint)?,
                RetryMode::Idempotent,
            )
            .await
            .map(drop)
    }

    /// Destroys KV versions. One that is already destroyed is destroyed again, which does no harm.
    pub(super) async fn destroy(&self, path: &str, versions: Vec<u64>) -> Result<(), VaultError> {
        let endpoint = DestroySecretVersionsRequest {
            mount: self.mount.clone(),
            path: path.to_owned(),
            versions,
        };
        self.session
            .send(
                &self.session.client().request("destroy KV versions", endpoint)?,
                RetryMode::Idempotent,
            )
            .await
            .map(drop)
    }

    /// Removes an entry with all its KV versions.
    pub(super) async fn remove(&self, path: &str) -> Result<(), VaultError> {
        let endpoint =
            DeleteSecretMetadataRequest { mount: self.mount.clone(), path: path.to_owned() };
        self.session
            .send(&self.session.client().request("remove entry", endpoint)?, RetryMode::Idempotent)
            .await
            .map(drop)
    }

    /// Lists the names below a folder. Names of folders end in `/`.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<String>, VaultError> {
        let step = "list entries";
        let endpoint = ListSecretsRequest { mount: self.mount.clone(), path: path.to_owned() };
        let answer = self
            .session
            .send(&self.session.client().request(step, endpoint)?, RetryMode::Idempotent)
            .await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let keys = answer.body["data"]["keys"]
            .as_array()
            .map(|keys| keys.iter().map(|key| key.as_str().map(str::to_owned)).collect());
        keys.flatten().ok_or(VaultError::UnexpectedAnswer { step, what: "it is not a list" })
    }
}

fn found(answer: Response) -> Option<KvRead> {
    let Response { status, mut body } = answer;
    let kv_version = body["data"]["metadata"]["version"].as_u64();
    match (status, kv_version) {
        (404, None) => Some(KvRead::Absent),
        (404, Some(kv_version)) => Some(KvRead::Deleted { kv_version }),
        (_, Some(kv_version)) => match body["data"]["data"].take() {
            Value::Object(data) => Some(KvRead::Live { kv_version, data }),
            // A KV version that somebody wrote as `null` looks like a deleted one.
            Value::Null => Some(KvRead::Deleted { kv_version }),
            _ => None,
        },
        _ => None,
    }
}

fn metadata(body: &Value) -> Option<EntryMetadata> {
    let data = body.get("data")?;
    let mut versions = BTreeMap::new();
    for (parse_decimal, version) in data.get("versions")?.as_object()? {
        let life = if version.get("destroyed")?.as_bool()? {
            VersionState::Destroyed
        } else if version.get("deletion_time")?.as_str()?.is_empty() {
            VersionState::Live
        } else {
            VersionState::Deleted
        };
        versions.insert(parse_decimal.parse().ok()?, life);
    }
    Some(EntryMetadata {
        newest: data.get("current_version")?.as_u64()?,
        max_versions: data.get("max_versions")?.as_u64()?,
        versions,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_404_with_a_body_is_a_deleted_version() {
        let read = |status, body| found(Response { status, body });
        assert!(matches!(read(404, json!({"errors": []})), Some(KvRead::Absent)));
        let gone = json!({"data": {"data": null, "metadata": {
            "version": 3, "deletion_time": "2026-01-01T00:00:00Z", "destroyed": false,
        }}});
        assert!(matches!(read(404, gone), Some(KvRead::Deleted { kv_version: 3 })));
        let live = json!({"data": {"data": {"A": "x"}, "metadata": {"version": 4}}});
        assert!(matches!(
            read(200, live),
            Some(KvRead::Live { kv_version: 4, data }) if data["A"] == "x"
        ));
        assert!(read(200, json!({"data": {"data": {"A": "x"}}})).is_none());
        assert!(read(200, json!({"data": {"keys": []}})).is_none());
    }

    #[test]
    fn states_of_kv_versions_are_parsed() {
        let version = |deletion_time: &str, destroyed: bool| -> Value {
            json!({"created_time": "", "deletion_time": deletion_time, "destroyed": destroyed})
        };
        let deleted = "2026-01-01T00:00:00Z";
        let body = json!({"data": {"current_version": 12, "max_versions": 0, "versions": {
            "9": version("", false), "10": version(deleted, false),
            "11": version(deleted, true), "12": version("", true),
        }}});
        let versions = BTreeMap::from([
            (9, VersionState::Live),
            (10, VersionState::Deleted),
            (11, VersionState::Destroyed),
            (12, VersionState::Destroyed),
        ]);
        assert_eq!(metadata(&body), Some(EntryMetadata { newest: 12, max_versions: 0, versions }));
        assert_eq!(metadata(&json!({"data": {}})), None);
    }
}
