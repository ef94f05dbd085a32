//! The KV entry of a scope as a value: each name's newest value, and which versions exist.
//!
//! ```json
//! {
//!   "DATABASE_URL": "postgres://…",
//!   "KEYSTORE": "MIIJKQIBAzCC…",
//!   ".lockbox": {
//!     "format": "1",
//!     "written": "12.9f86d081884c7d65",
//!     "base64": ["KEYSTORE"],
//!     "kept": {
//!       "DATABASE_URL": ["2 7.60303ae22b998861 apart", "3 12.9f86d081884c7d65"],
//!       "KEYSTORE": ["1 9.fd61a03af4f77d87"]
//!     }
//!   }
//! }
//! ```
//!
//! A UTF-8 value is stored as it is, any other in base64. `base64` lists which those are, so that a
//! value may look like anything. `kept` lists every version that can be read, newest last, each
//! with the entry version that it was written in; `apart` means that it has overflow entries.
//! Numbers are texts, since Vault returns numbers as floating point. `beside` holds values that
//! were written in this KV version without being the newest of their names. `sweep` is the range of
//! KV versions that hold a destroyed value and are still to be destroyed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::{Redacted, SecretName, Version};
use serde_json::{Map, Value, json};

use super::entry_version::{EntryVersion, ParseEntryVersionError, WriteId, parse_decimal};

/// Not a valid secret name, since it starts with a dot.
pub(super) const KEY: &str = ".lockbox";
const FORMAT: &str = "1";

/// One version of a name. Records sort from old to new: by version, and if a writer that died left
/// one with the same number, by the entry version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VersionRecord {
    pub(super) version: Version,
    pub(super) entry_version: EntryVersion,
    /// Whether it has overflow entries.
    pub(super) overflow: bool,
}

/// The content of one KV version of a scope's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The newest values, of those names whose newest is inline.
    pub(super) values: BTreeMap<SecretName, Redacted>,
    /// Values written in this KV version whose names have newer ones. `beside` in JSON.
    pub(super) superseded: BTreeMap<SecretName, Redacted>,
    /// Every version that can be read, oldest first. `kept` in JSON.
    pub(super) versions: BTreeMap<SecretName, Vec<VersionRecord>>,
    /// KV versions that hold a destroyed value.
    pub(super) sweep: Option<RangeInclusive<u64>>,
}

/// Where a value is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ValueLocation<'a> {
    Inline(&'a Redacted),
    Overflow,
    Absent,
}

/// Why a KV version cannot be read as an entry of this program. No variant holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryError {
    /// Somebody else wrote this KV version.
    #[error("read KV version {0}: it was not written by this program")]
    Foreign(u64),
    /// A later release wrote it.
    #[error(
        "read KV version {kv_version}: it has the format {format:?}, and this release knows \
         {FORMAT:?}"
    )]
    Format { kv_version: u64, format: String },
    /// This program wrote it, and part of it is damaged.
    #[error("read KV version {kv_version}: {part} in {KEY} is damaged")]
    Damaged { kv_version: u64, part: &'static str },
}

impl Entry {
    /// The newest version of a name.
    pub(super) fn newest(&self, name: &SecretName) -> Option<VersionRecord> {
        self.versions.get(name)?.last().copied()
    }

    /// Finds a version that was written in `entry_version`, which is this entry's.
    pub(super) fn locate(
        &self,
        name: &SecretName,
        version: Version,
        entry_version: EntryVersion,
    ) -> ValueLocation<'_> {
        let same = |record: &&VersionRecord| {
            record.version == version && record.entry_version == entry_version
        };
        match self.versions.get(name).and_then(|records| records.iter().find(same)) {
            Some(VersionRecord { overflow: true, .. }) => ValueLocation::Overflow,
            Some(_) => self
                .superseded
                .get(name)
                .or_else(|| self.values.get(name))
                .map_or(ValueLocation::Absent, ValueLocation::Inline),
            None => ValueLocation::Absent,
        }
    }

    /// Removes a version that can no longer be read.
    pub(super) fn drop_version(&mut self, name: &SecretName, entry_version: EntryVersion) {
        if let Some(records) = self.versions.get_mut(name) {
            records.retain(|record| record.entry_version != entry_version);
            if records.is_empty() {
                self.versions.remove(name);
                self.values.remove(name);
            }
        }
    }

    /// The encoded size of the inline values, in bytes.
    pub(super) fn size(&self) -> usize {
        self.values
            .iter()
            .chain(&self.superseded)
            .map(|(name, value)| name.as_str().len() + encoded_len(value))
            .sum()
    }

    /// Renders the entry as the data of `kv_version`.
    pub(super) fn render(&self, kv_version: u64, write: WriteId) -> Map<String, Value> {
        let mut data = Map::new();
        let mut encoded = Vec::new();
        for (name, value) in &self.values {
            let text = std::str::from_utf8(value.expose()).map_or_else(
                |_| {
                    encoded.push(name.as_str());
                    STANDARD.encode(value.expose())
                },
                str::to_owned,
            );
            data.insert(name.to_string(), Value::String(text));
        }
        let line = |record: &VersionRecord| {
            format!(
                "{} {}{}",
                record.version,
                record.entry_version,
                if record.overflow { " apart" } else { "" }
            )
        };
        let kept = self.versions.iter().map(|(name, records)| {
            (name.to_string(), json!(records.iter().map(line).collect::<Vec<_>>()))
        });
        let mut ours = Map::from_iter([
            ("format".to_owned(), json!(FORMAT)),
            ("written".to_owned(), json!(EntryVersion { kv_version, write }.to_string())),
            ("base64".to_owned(), json!(encoded)),
            ("kept".to_owned(), Value::Object(kept.collect())),
        ]);
        if !self.superseded.is_empty() {
            let superseded = self
                .superseded
                .iter()
                .map(|(name, value)| (name.to_string(), json!(STANDARD.encode(value.expose()))));
            ours.insert("beside".to_owned(), Value::Object(superseded.collect()));
        }
        if let Some(sweep) = &self.sweep {
            ours.insert("sweep".to_owned(), json!(format!("{} {}", sweep.start(), sweep.end())));
        }
        data.insert(KEY.to_owned(), Value::Object(ours));
        data
    }

    /// Parses the data of `kv_version`, and returns the write that made it.
    pub(super) fn parse(
        kv_version: u64,
        mut data: Map<String, Value>,
    ) -> Result<(Self, WriteId), EntryError> {
        let Some(Value::Object(ours)) = data.remove(KEY) else {
            return Err(EntryError::Foreign(kv_version));
        };
        let text = |key: &str| ours.get(key).and_then(Value::as_str);
        // A person who copies or patches a KV version copies this too, and it no longer matches.
        let written = text("written")
            .and_then(|text| text.parse::<EntryVersion>().ok())
            .filter(|written| written.kv_version == kv_version);
        let written = written.ok_or(EntryError::Foreign(kv_version))?;
        let format = text("format").unwrap_or_default();
        if format != FORMAT {
            return Err(EntryError::Format {
                kv_version,
                format: format.chars().take(20).collect(),
            });
        }
        let damaged = |part| move || EntryError::Damaged { kv_version, part };
        let encoded = names(ours.get("base64")).ok_or_else(damaged("base64"))?;
        let mut entry = Self::default();
        for (key, value) in data {
            let (Ok(name), Value::String(text)) = (key.parse::<SecretName>(), value) else {
                return Err(EntryError::Damaged { kv_version, part: "a value" });
            };
            let value = if encoded.contains(&name) {
                decode(&text).ok_or_else(damaged("a value"))?
            } else {
                Redacted::from(text)
            };
            entry.values.insert(name, value);
        }
        for (name, records) in object(ours.get("kept")).ok_or_else(damaged("kept"))? {
            entry.versions.insert(name, parse_records(records).ok_or_else(damaged("kept"))?);
        }
        if let Some(superseded) = ours.get("beside") {
            for (name, value) in object(Some(superseded)).ok_or_else(damaged("beside"))? {
                let value = value.as_str().and_then(decode).ok_or_else(damaged("beside"))?;
                entry.superseded.insert(name, value);
            }
        }
        if let Some(sweep) = ours.get("sweep") {
            let bounds = sweep.as_str().and_then(|text| text.split_once(' '));
            let (from, to) = bounds.ok_or_else(damaged("sweep"))?;
            let bound = |text| parse_decimal(text).map_err(|_| damaged("sweep")());
            entry.sweep = Some(bound(from)?..=bound(to)?);
        }
        Ok((entry, written.write))
    }
}

fn names(value: Option<&Value>) -> Option<Vec<SecretName>> {
    value?.as_array()?.iter().map(|name| name.as_str()?.parse().ok()).collect()
}

fn object(value: Option<&Value>) -> Option<Vec<(SecretName, &Value)>> {
    value?.as_object()?.iter().map(|(name, value)| Some((name.parse().ok()?, value))).collect()
}

fn parse_records(value: &Value) -> Option<Vec<VersionRecord>> {
    let lines = value
        .as_array()?
        .iter()
        .map(|line| line.as_str()?.parse().ok())
        .collect::<Option<Vec<VersionRecord>>>()?;
    (!lines.is_empty() && lines.is_sorted()).then_some(lines)
}

impl std::str::FromStr for VersionRecord {
    type Err = ParseEntryVersionError;

    fn from_str(line: &str) -> Result<Self, ParseEntryVersionError> {
        let (line, overflow) =
            line.strip_suffix(" apart").map_or((line, false), |line| (line, true));
        let (version, entry_version) = line.split_once(' ').ok_or(ParseEntryVersionError)?;
        Ok(Self {
            version: Version(parse_decimal(version)?),
            entry_version: entry_version.parse()?,
            overflow,
        })
    }
}

impl fmt::Display for VersionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} ({})", self.version, self.entry_version)
    }
}

fn decode(text: &str) -> Option<Redacted> {
    STANDARD.decode(text).ok().map(Redacted::new)
}

fn encoded_len(value: &Redacted) -> usize {
    if std::str::from_utf8(value.expose()).is_err() {
        return value.len().div_ceil(3) * 4;
    }
    // As Vault re-encodes the JSON, which also escapes HTML characters.
    let written = |byte: &u8| match byte {
        b'"' | b'\\' => 2,
        ..0x20 | b'<' | b'>' | b'&' => 6,
        _ => 1,
    };
    value.expose().iter().map(written).sum()
}

#[cfg(test)]
mod tests;
