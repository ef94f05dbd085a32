//! Values in entries of their own, where KV's eviction does not reach and one change of a scope
//! does not write them again.
//!
//! Each is written once and never changed. A large one is in several parts, since the storages of
//! Vault have limits; the first part says how many there are, is written last and removed last, so
//! that a value is either there or not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::{Redacted, Scope, SecretName, Version};
use serde_json::{Map, Value, json};

use super::call::CallError;
use super::entry::{KEY, Kept};
use super::kv::{Engine, Found};
use super::paths::Paths;
use super::place::{WriteId, number};
use super::session::BETWEEN_TRIES;

/// In base64 350 kB: below the 512 kB of Consul, the 1 MiB of integrated storage, and the longest
/// JSON text that Vault takes.
const PART: usize = 256 << 10;
const FORMAT: &str = "1";
const TRIES: u32 = 6;

/// One value that lies apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Apart<'a> {
    pub(super) engine: &'a Engine,
    pub(super) paths: &'a Paths,
    pub(super) scope: &'a Scope,
    pub(super) name: &'a SecretName,
    pub(super) version: Version,
    pub(super) write: WriteId,
}

impl<'a> Apart<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        paths: &'a Paths,
        scope: &'a Scope,
        name: &'a SecretName,
        kept: Kept,
    ) -> Self {
        Self { engine, paths, scope, name, version: kept.version, write: kept.place.write }
    }

    fn path(&self, part: usize) -> String {
        self.paths.part(self.scope, self.name, self.write, part)
    }

    /// Writes the value; one that is there already is left as it is.
    pub(super) async fn put(&self, value: &Redacted) -> Result<(), CallError> {
        let data = parts(self.version, self.write, value);
        for (part, data) in data.into_iter().enumerate().rev() {
            self.put_part(&self.path(part), &data).await?;
        }
        Ok(())
    }

    async fn put_part(&self, path: &str, data: &Map<String, Value>) -> Result<(), CallError> {
        let mut newest = 0;
        for attempt in 0..TRIES {
            let error = match self.engine.write(path, newest, data.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error {
                // Written before, by us or by another replica with the same intent, or deleted by a
                // person.
                CallError::Conflict { .. } => match self.engine.read(path, None).await? {
                    Found::Live { data: there, .. } if there == *data => return Ok(()),
                    Found::Live { at, .. } | Found::Gone { at } => newest = at,
                    Found::Absent => newest = 0,
                },
                error if !error.is_transient() => return Err(error),
                error if attempt + 1 == TRIES => return Err(error),
                _ => {
                    tokio::time::sleep(BETWEEN_TRIES.delay(attempt, runtime::backoff::random()))
                        .await
                }
            }
        }
        Err(CallError::Entry {
            step: "write value apart",
            what: "somebody else writes the same entry again and again".to_owned(),
        })
    }

    /// Reads the value, or nothing where it is not there whole.
    pub(super) async fn get(&self) -> Result<Option<Redacted>, CallError> {
        let step = "read value apart";
        let Found::Live { data, .. } = self.engine.read(&self.path(0), None).await? else {
            return Ok(None);
        };
        let damaged = || CallError::Entry {
            step,
            what: format!("the first part of {} is damaged", self.name),
        };
        let head = Head::parse(&data).ok_or_else(damaged)?;
        if head.version != self.version || head.write != self.write {
            return Ok(None);
        }
        let mut value = bytes(&data).ok_or_else(damaged)?;
        for part in 1..head.parts {
            let Found::Live { data, .. } = self.engine.read(&self.path(part), None).await? else {
                return Ok(None);
            };
            let whole = [value.expose(), bytes(&data).ok_or_else(damaged)?.expose()].concat();
            value = Redacted::new(whole);
        }
        Ok(Some(value))
    }

    /// Removes the value, and says whether there was any of it.
    pub(super) async fn remove(&self) -> Result<bool, CallError> {
        remove_below(self.engine, &self.paths.value(self.scope, self.name, self.write)).await
    }
}

/// Removes all values of a name that lie apart, also those that no entry knows of, and says whether
/// there was any.
pub(super) async fn remove_all(
    engine: &Engine,
    paths: &Paths,
    scope: &Scope,
    name: &SecretName,
) -> Result<bool, CallError> {
    let folder = paths.name(scope, name);
    let mut any = false;
    for value in engine.list(&folder).await? {
        any |= remove_below(engine, &format!("{folder}/{}", value.trim_end_matches('/'))).await?;
    }
    Ok(any)
}

async fn remove_below(engine: &Engine, folder: &str) -> Result<bool, CallError> {
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
    let mut chunks: Vec<&[u8]> = value.expose().chunks(PART).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let count = chunks.len().to_string();
    let head = json!({"format": FORMAT, "version": version.to_string(), "write": write.to_string(), "parts": count});
    let data = |chunk: &&[u8]| {
        Map::from_iter([
            ("base64".to_owned(), json!(STANDARD.encode(chunk))),
            (KEY.to_owned(), head.clone()),
        ])
    };
    chunks.iter().map(data).collect()
}

struct Head {
    version: Version,
    write: WriteId,
    parts: usize,
}

impl Head {
    fn parse(data: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| data.get(KEY)?.get(key)?.as_str();
        let known = text("format")? == FORMAT;
        let version = Version(number(text("version")?).ok()?);
        let parts = usize::try_from(number(text("parts")?).ok()?).ok()?;
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
    fn every_size_comes_out_as_it_went_in() {
        let write: WriteId = "9f86d081884c7d65".parse().unwrap();
        for (size, count) in [
            (0, 1),
            (1, 1),
            (PART - 1, 1),
            (PART, 1),
            (PART + 1, 2),
            (contract::layout::MAX_VALUE_BYTES, 4),
        ] {
            let value =
                Redacted::new((0..size).map(|at| u8::try_from(at % 251).unwrap()).collect());
            let parts = parts(Version(7), write, &value);
            assert_eq!(parts.len(), count, "{size}");
            let head = Head::parse(&parts[0]).unwrap();
            assert!(head.parts == count && head.version == Version(7) && head.write == write);
            let whole: Vec<u8> =
                parts.iter().flat_map(|part| bytes(part).unwrap().expose().to_vec()).collect();
            assert!(whole == value.expose(), "{size}");
            assert!(parts.iter().all(|part| serde_json::to_string(part).unwrap().len() < 400_000));
        }
    }
}
