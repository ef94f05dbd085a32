//! The calls of the KV v2 engine, with what their answers mean.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vaultrs::api::kv2::requests::{
    DeleteSecretMetadataRequest, DestroySecretVersionsRequest, ListSecretsRequest,
    ReadSecretMetadataRequest, ReadSecretRequest, SetSecretMetadataRequest, SetSecretRequest,
    SetSecretRequestOptions,
};

use super::call::{Answer, CallError};
use super::session::{Session, Tries};

/// A KV version, or why it cannot be read.
pub(super) enum Found {
    /// There is no such entry, or the KV version was evicted.
    Absent,
    /// The KV version was deleted or destroyed; Vault says so with a 404 that has a body.
    Gone { at: u64 },
    /// Its data.
    Live { at: u64, data: Map<String, Value> },
}

/// What Vault knows of an entry's KV versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The newest KV version, 0 where there is none.
    pub(super) newest: u64,
    /// What is set on the entry, 0 where nothing is.
    pub(super) max_versions: u64,
    /// Each KV version that was not evicted.
    pub(super) versions: BTreeMap<u64, Life>,
}

/// What became of a KV version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Live,
    /// Deleted by somebody, who can take that back.
    Deleted,
    Destroyed,
}

/// The engine of one mount.
#[derive(Debug)]
pub(super) struct Engine {
    session: Session,
    mount: String,
}

impl Engine {
    pub(super) fn new(session: Session, mount: &str) -> Self {
        Self { session, mount: mount.to_owned() }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Reads a KV version, or the newest.
    pub(super) async fn read(&self, path: &str, version: Option<u64>) -> Result<Found, CallError> {
        let step = "read entry";
        let endpoint =
            ReadSecretRequest { mount: self.mount.clone(), path: path.to_owned(), version };
        let answer = self
            .session
            .send(&self.session.client().request(step, endpoint)?, Tries::Safely)
            .await?;
        found(answer).ok_or(CallError::Nonsense { step, what: "it is no KV version" })
    }

    pub(super) async fn metadata(&self, path: &str) -> Result<Metadata, CallError> {
        let step = "read metadata of entry";
        let endpoint =
            ReadSecretMetadataRequest { mount: self.mount.clone(), path: path.to_owned() };
        let answer = self
            .session
            .send(&self.session.client().request(step, endpoint)?, Tries::Safely)
            .await?;
        if answer.status == 404 {
            return Ok(Metadata::default());
        }
        metadata(&answer.body).ok_or(CallError::Nonsense { step, what: "it is no metadata" })
    }

    /// Writes the KV version after `newest`, where that is the newest. It is tried once.
    pub(super) async fn write(
        &self,
        path: &str,
        newest: u64,
        data: Map<String, Value>,
    ) -> Result<(), CallError> {
        let step = "write entry";
        let cas = u32::try_from(newest)
            .map_err(|_| CallError::Nonsense { step, what: "the KV version is too high" })?;
        let options = Some(SetSecretRequestOptions { cas });
        let endpoint = SetSecretRequest {
            mount: self.mount.clone(),
            path: path.to_owned(),
            data: Value::Object(data),
            options,
        };
        let answer =
            self.session.send(&self.session.client().request(step, endpoint)?, Tries::Once).await?;
        let data = answer.body.get("data");
        if data.and_then(|data| data.get("version")).and_then(Value::as_u64) != Some(newest + 1) {
            return Err(CallError::Nonsense {
                step,
                what: "it is no KV version: is the mount a KV engine of version 2?",
            });
        }
        match data.and_then(|data| data.get("deletion_time")).and_then(Value::as_str) {
            None | Some("") => Ok(()),
            Some(_) => Err(CallError::Entry {
                step,
                what: "Vault would delete it after a time: set delete_version_after of the mount and the entry to 0s".to_owned(),
            }),
        }
    }

    pub(super) async fn keep_versions(
        &self,
        path: &str,
        max_versions: u32,
    ) -> Result<(), CallError> {
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
                Tries::Safely,
            )
            .await
            .map(drop)
    }

    /// Destroys KV versions; of those that are destroyed already, what a crash left.
    pub(super) async fn destroy(&self, path: &str, versions: Vec<u64>) -> Result<(), CallError> {
        let endpoint = DestroySecretVersionsRequest {
            mount: self.mount.clone(),
            path: path.to_owned(),
            versions,
        };
        self.session
            .send(&self.session.client().request("destroy KV versions", endpoint)?, Tries::Safely)
            .await
            .map(drop)
    }

    /// Removes an entry with all its KV versions.
    pub(super) async fn remove(&self, path: &str) -> Result<(), CallError> {
        let endpoint =
            DeleteSecretMetadataRequest { mount: self.mount.clone(), path: path.to_owned() };
        self.session
            .send(&self.session.client().request("remove entry", endpoint)?, Tries::Safely)
            .await
            .map(drop)
    }

    /// The names below a folder; those of folders end in `/`.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<String>, CallError> {
        let step = "list entries";
        let endpoint = ListSecretsRequest { mount: self.mount.clone(), path: path.to_owned() };
        let answer = self
            .session
            .send(&self.session.client().request(step, endpoint)?, Tries::Safely)
            .await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let keys = answer.body["data"]["keys"]
            .as_array()
            .map(|keys| keys.iter().map(|key| key.as_str().map(str::to_owned)).collect());
        keys.flatten().ok_or(CallError::Nonsense { step, what: "it is no list" })
    }
}

fn found(answer: Answer) -> Option<Found> {
    let Answer { status, mut body } = answer;
    let at = body["data"]["metadata"]["version"].as_u64();
    match (status, at) {
        (404, None) => Some(Found::Absent),
        (404, Some(at)) => Some(Found::Gone { at }),
        (_, Some(at)) => match body["data"]["data"].take() {
            Value::Object(data) => Some(Found::Live { at, data }),
            // What somebody wrote as `null` reads like a deleted one.
            Value::Null => Some(Found::Gone { at }),
            _ => None,
        },
        _ => None,
    }
}

fn metadata(body: &Value) -> Option<Metadata> {
    let data = body.get("data")?;
    let mut versions = BTreeMap::new();
    for (number, version) in data.get("versions")?.as_object()? {
        let life = if version.get("destroyed")?.as_bool()? {
            Life::Destroyed
        } else if version.get("deletion_time")?.as_str()?.is_empty() {
            Life::Live
        } else {
            Life::Deleted
        };
        versions.insert(number.parse().ok()?, life);
    }
    Some(Metadata {
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
    fn a_404_is_read_to_its_end() {
        let read = |status, body| found(Answer { status, body });
        assert!(matches!(read(404, json!({"errors": []})), Some(Found::Absent)));
        let gone = json!({"data": {"data": null, "metadata": {"version": 3, "deletion_time": "2026-01-01T00:00:00Z", "destroyed": false}}});
        assert!(matches!(read(404, gone), Some(Found::Gone { at: 3 })));
        let live = json!({"data": {"data": {"A": "x"}, "metadata": {"version": 4}}});
        assert!(matches!(read(200, live), Some(Found::Live { at: 4, data }) if data["A"] == "x"));
        assert!(read(200, json!({"data": {"data": {"A": "x"}}})).is_none());
        assert!(read(200, json!({"data": {"keys": []}})).is_none());
    }

    #[test]
    fn the_lives_of_kv_versions() {
        let version = |deletion_time: &str, destroyed: bool| json!({"created_time": "", "deletion_time": deletion_time, "destroyed": destroyed});
        let body = json!({"data": {"current_version": 12, "max_versions": 0, "versions": {
            "9": version("", false), "10": version("2026-01-01T00:00:00Z", false), "11": version("2026-01-01T00:00:00Z", true), "12": version("", true),
        }}});
        let versions = BTreeMap::from([
            (9, Life::Live),
            (10, Life::Deleted),
            (11, Life::Destroyed),
            (12, Life::Destroyed),
        ]);
        assert_eq!(metadata(&body), Some(Metadata { newest: 12, max_versions: 0, versions }));
        assert_eq!(metadata(&json!({"data": {}})), None);
    }
}
