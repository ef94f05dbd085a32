//! Overflow values: values in entries of their own, which KV's eviction does not affect and a
//! change of the scope does not write again.
//!
//! Each is written once and never changed. A large one is split into parts, since Vault's storage
//! backends limit an entry's size. The first part holds the number of parts. It is written last and
//! removed last, and a value with a part missing counts as absent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::{Redacted, Scope, SecretName, Version};
use runtime::retry::RetryPolicy;
use serde_json::{Map, Value, json};

use super::entry::{KEY, VersionRecord};
use super::entry_version::{WriteId, parse_decimal};
use super::kv::{KvEngine, KvRead};
use super::paths::Paths;
use super::response::VaultError;
use super::session::RETRY_BACKOFF;

/// 350 kB in base64: below the 512 kB of Consul, the 1 MiB of integrated storage, and the longest
/// JSON string that Vault accepts.
const PART_BYTES: usize = 256 << 10;
const FORMAT: &str = "1";
const WRITE_RETRY: RetryPolicy = RetryPolicy::new(RETRY_BACKOFF, 6);

/// One value in overflow entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverflowValue<'a> {
    pub(super) engine: &'a KvEngine,
    pub(super) paths: &'a Paths,
    pub(super) scope: &'a Scope,
    pub(super) name: &'a SecretName,
    pub(super) version: Version,
    pub(super) write: WriteId,
}

impl<'a> OverflowValue<'a> {
    pub(super) fn new(
        engine: &'a KvEngine,
        paths: &'a Paths,
        scope: &'a Scope,
        name: &'a SecretName,
        kept: VersionRecord,
    ) -> Self {
        Self { engine, paths, scope, name, version: kept.version, write: kept.entry_version.write }
    }

    fn path(&self, part: usize) -> String {
        self.paths.part(self.scope, self.name, self.write, part)
    }

    /// Writes the value, unless it is already there.
    pub(super) async fn put(&self, value: &Redacted) -> Result<(), VaultError> {
        let data = parts(self.version, self.write, value);
        for (part, data) in data.into_iter().enumerate().rev() {
            self.put_part(&self.path(part), &data).await?;
        }
        Ok(())
    }

    async fn put_part(&self, path: &str, data: &Map<String, Value>) -> Result<(), VaultError> {
        let mut newest = 0;
        let mut retry = WRITE_RETRY.start();
        loop {
            let error = match self.engine.write(path, newest, data.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let delay = retry.next_delay();
            match error {
                // Written before, by this or another replica, or deleted by a person.
                VaultError::Conflict { .. } => {
                    match self.engine.read(path, None).await? {
                        KvRead::Live { data: stored, .. } if stored == *data => return Ok(()),
                        KvRead::Live { kv_version, .. } | KvRead::Deleted { kv_version } => {
                            newest = kv_version;
                        }
                        KvRead::Absent => newest = 0,
                    }
                    if delay.is_none() {
                        return Err(VaultError::Entry {
                            step: "write overflow value",
                            what: "another writer keeps writing the same entry".to_owned(),
                        });
                    }
                }
                error if !error.is_transient() => return Err(error),
                error => match delay {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => return Err(error),
                },
            }
        }
    }

    /// Reads the value. `None` if any part of it is missing.
    pub(super) async fn get(&self) -> Result<Option<Redacted>, VaultError> {
        let step = "read overflow value";
        let KvRead::Live { data, .. } = self.engine.read(&self.path(0), None).await? else {
            return Ok(None);
        };
        let damaged = || VaultError::Entry {
            step,
            what: format!("the first part of {} is damaged", self.name),
        };
        let head = PartHeader::parse(&data).ok_or_else(damaged)?;
        if head.version != self.version || head.write != self.write {
            return Ok(None);
        }
        let mut value = bytes(&data).ok_or_else(damaged)?;
        for part in 1..head.parts {
            let KvRead::Live { data, .. } = self.engine.read(&self.path(part), None).await? else {
                return Ok(None);
            };
            let whole = [value.expose(), bytes(&data).ok_or_else(damaged)?.expose()].concat();
            value = Redacted::new(whole);
        }
        Ok(Some(value))
    }

    /// Removes the value. Returns whether any part of it existed.
    pub(super) async fn remove(&self) -> Result<bool, VaultError> {
        remove_below(self.engine, &self.paths.value(self.scope, self.name, self.write)).await
    }
}

/// Removes all overflow values of a name, even those that no entry lists. Returns whether there
/// were any.
pub(super) async fn remove_all(
    engine: &KvEngine,
    paths: &Paths,
    scope: &Scope,
    name: &SecretName,
) -> Result<bool, VaultError> {
    let folder = paths.name(scope, name);
    let mut any = false;
    for value in engine.list(&folder).await? {
        any |= remove_below(engine, &format!("{folder}/{}", value.trim_end_matches('/'))).await?;
    }
    Ok(any)
}

async fn remove_below(engine: &KvEngine, folder: &str) -> Result<bool, VaultError> {
    let mut parts: Vec<usize> =
        engine.list(folder).await?.iter().filter_map(|part| part.parse().ok()).collect();
    parts.sort_unstable();
    for part in parts.iter().rev() {
        engine.remove(&format!("{folder}/{part}")).await?;
    }
    Ok(!parts.is_empty())
}

/// The data of each part.
fn parts(version: Version, write: WriteId, value: &Redacted) -> Vec<Map<String, Value>> {
    let mut chunks: Vec<&[u8]> = value.expose().chunks(PART_BYTES).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let count = chunks.len().to_string();
    let head = json!({
        "format": FORMAT,
        "version": version.to_string(),
        "write": write.to_string(),
        "parts": count,
    });
    let data = |chunk: &&[u8]| {
        Map::from_iter([
            ("base64".to_owned(), json!(STANDARD.encode(chunk))),
            (KEY.to_owned(), head.clone()),
        ])
    };
    chunks.iter().map(data).collect()
}

struct PartHeader {
    version: Version,
    write: WriteId,
    parts: usize,
}

impl PartHeader {
    fn parse(data: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| data.get(KEY)?.get(key)?.as_str();
        let known = text("format")? == FORMAT;
        let version = Version(parse_decimal(text("version")?).ok()?);
        let parts = usize::try_from(parse_decimal(text("parts")?).ok()?).ok()?;
        (known && parts > 0).then_some(Self { version, write: text("write")?.parse().ok()?, parts })
    }
}

fn bytes(data: &Map<String, Value>) -> Option<Redacted> {
    STANDARD.decode(data.get("base64")?.as_str()?).ok().map(Redacted::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_size_round_trip() {
        let write: WriteId = "9f86d081884c7d65".parse().unwrap();
        for (size, count) in [
            (0, 1),
            (1, 1),
            (PART_BYTES - 1, 1),
            (PART_BYTES, 1),
            (PART_BYTES + 1, 2),
            (contract::layout::MAX_VALUE_BYTES, 4),
        ] {
            let value = Redacted::new(
                (0..size).map(|kv_version| u8::try_from(kv_version % 251).unwrap()).collect(),
            );
            let parts = parts(Version(7), write, &value);
            assert_eq!(parts.len(), count, "{size}");
            let head = PartHeader::parse(&parts[0]).unwrap();
            assert!(head.parts == count && head.version == Version(7) && head.write == write);
            let whole: Vec<u8> =
                parts.iter().flat_map(|part| bytes(part).unwrap().expose().to_vec()).collect();
            assert!(whole == value.expose(), "{size}");
            assert!(parts.iter().all(|part| serde_json::to_string(part).unwrap().len() < 400_000));
        }
    }
}
