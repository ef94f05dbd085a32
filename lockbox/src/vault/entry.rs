//! The KV entry of a scope as a value: what each name's newest value is, and which versions are
//! kept.
//!
//! ```json
//! {
//!   "DATABASE_URL": "postgres://…",
//!   "KEYSTORE": "MIIJKQIBAzCC…",
//!   ".lockbox": {
//!     "format": "1",
//!     "written": "12.9f86d081884c7d65",
//!     "base64": ["KEYSTORE"],
//!     "kept": {"DATABASE_URL": ["2 7.60303ae22b998861 apart", "3 12.9f86d081884c7d65"], "KEYSTORE": ["1 9.fd61a03af4f77d87"]}
//!   }
//! }
//! ```
//!
//! A value that is UTF-8 stands there as it is, any other in base64, and which is which is said
//! beside, so that a value may look like anything. `kept` has every version that can be read,
//! newest last, with the place where it came in; `apart` says that it has entries of its own.
//! Numbers are texts, since Vault gives numbers back as floating point. `beside` holds values that
//! came in without being the newest, and `sweep` the KV versions that hold a destroyed value and
//! are still to be destroyed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::{Redacted, SecretName, Version};
use serde_json::{Map, Value, json};

use super::place::{NoPlace, Place, WriteId, number};

/// No secret's name starts with a dot.
pub(super) const KEY: &str = ".lockbox";
const FORMAT: &str = "1";

/// One kept version of a name. The order is from old to new: by version, and where a dead writer
/// left one with the same number, by what came in later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept {
    pub(super) version: Version,
    pub(super) place: Place,
    /// It has entries of its own.
    pub(super) apart: bool,
}

/// What one KV version of a scope's entry holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The newest value of each name that has it here.
    pub(super) values: BTreeMap<SecretName, Redacted>,
    /// Values that came in with this KV version, though their names have newer ones.
    pub(super) beside: BTreeMap<SecretName, Redacted>,
    /// Every version that can be read, oldest first.
    pub(super) kept: BTreeMap<SecretName, Vec<Kept>>,
    /// KV versions that hold a destroyed value.
    pub(super) sweep: Option<RangeInclusive<u64>>,
}

/// What is found at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held<'a> {
    Here(&'a Redacted),
    Apart,
    Nothing,
}

/// Why a KV version cannot be read as an entry of ours. No variant holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryError {
    /// Somebody else made this KV version.
    #[error("read KV version {0}: it was not written by this program")]
    Foreign(u64),
    /// A later release's.
    #[error(
        "read KV version {at}: it has the format {format:?}, and this release knows {FORMAT:?}"
    )]
    Format { at: u64, format: String },
    /// It is ours, and something in it is broken.
    #[error("read KV version {at}: {part} in {KEY} is damaged")]
    Damaged { at: u64, part: &'static str },
}

impl Entry {
    /// The newest version of a name.
    pub(super) fn newest(&self, name: &SecretName) -> Option<Kept> {
        self.kept.get(name)?.last().copied()
    }

    /// The value that came in at `place` with the KV version that this entry is.
    pub(super) fn held(&self, name: &SecretName, version: Version, place: Place) -> Held<'_> {
        let same = |kept: &&Kept| kept.version == version && kept.place == place;
        match self.kept.get(name).and_then(|kept| kept.iter().find(same)) {
            Some(Kept { apart: true, .. }) => Held::Apart,
            Some(_) => self
                .beside
                .get(name)
                .or_else(|| self.values.get(name))
                .map_or(Held::Nothing, Held::Here),
            None => Held::Nothing,
        }
    }

    /// Forgets a version that cannot be read any more.
    pub(super) fn drop_kept(&mut self, name: &SecretName, place: Place) {
        if let Some(kept) = self.kept.get_mut(name) {
            kept.retain(|kept| kept.place != place);
            if kept.is_empty() {
                self.kept.remove(name);
                self.values.remove(name);
            }
        }
    }

    /// How many bytes the values have as they are written.
    pub(super) fn size(&self) -> usize {
        self.values
            .iter()
            .chain(&self.beside)
            .map(|(name, value)| name.as_str().len() + encoded_len(value))
            .sum()
    }

    /// The entry as the data of the KV version `at`.
    pub(super) fn render(&self, at: u64, write: WriteId) -> Map<String, Value> {
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
        let line = |kept: &Kept| {
            format!("{} {}{}", kept.version, kept.place, if kept.apart { " apart" } else { "" })
        };
        let kept = self.kept.iter().map(|(name, kept)| {
            (name.to_string(), json!(kept.iter().map(line).collect::<Vec<_>>()))
        });
        let mut ours = Map::from_iter([
            ("format".to_owned(), json!(FORMAT)),
            ("written".to_owned(), json!(Place { at, write }.to_string())),
            ("base64".to_owned(), json!(encoded)),
            ("kept".to_owned(), Value::Object(kept.collect())),
        ]);
        if !self.beside.is_empty() {
            let beside = self
                .beside
                .iter()
                .map(|(name, value)| (name.to_string(), json!(STANDARD.encode(value.expose()))));
            ours.insert("beside".to_owned(), Value::Object(beside.collect()));
        }
        if let Some(sweep) = &self.sweep {
            ours.insert("sweep".to_owned(), json!(format!("{} {}", sweep.start(), sweep.end())));
        }
        data.insert(KEY.to_owned(), Value::Object(ours));
        data
    }

    /// Reads the data of the KV version `at`, and says which write made it.
    pub(super) fn parse(
        at: u64,
        mut data: Map<String, Value>,
    ) -> Result<(Self, WriteId), EntryError> {
        let Some(Value::Object(ours)) = data.remove(KEY) else {
            return Err(EntryError::Foreign(at));
        };
        let text = |key: &str| ours.get(key).and_then(Value::as_str);
        // Whoever copies one of our KV versions, or patches a key of it, copies this as well.
        let written = text("written")
            .and_then(|text| text.parse::<Place>().ok())
            .filter(|written| written.at == at);
        let written = written.ok_or(EntryError::Foreign(at))?;
        let format = text("format").unwrap_or_default();
        if format != FORMAT {
            return Err(EntryError::Format { at, format: format.chars().take(20).collect() });
        }
        let damaged = |part| move || EntryError::Damaged { at, part };
        let encoded = names(ours.get("base64")).ok_or_else(damaged("base64"))?;
        let mut entry = Self::default();
        for (key, value) in data {
            let (Ok(name), Value::String(text)) = (key.parse::<SecretName>(), value) else {
                return Err(EntryError::Damaged { at, part: "a value" });
            };
            let value = if encoded.contains(&name) {
                decoded(&text).ok_or_else(damaged("a value"))?
            } else {
                Redacted::from(text)
            };
            entry.values.insert(name, value);
        }
        for (name, kept) in object(ours.get("kept")).ok_or_else(damaged("kept"))? {
            entry.kept.insert(name, kept_lines(kept).ok_or_else(damaged("kept"))?);
        }
        if let Some(beside) = ours.get("beside") {
            for (name, value) in object(Some(beside)).ok_or_else(damaged("beside"))? {
                let value = value.as_str().and_then(decoded).ok_or_else(damaged("beside"))?;
                entry.beside.insert(name, value);
            }
        }
        if let Some(sweep) = ours.get("sweep") {
            let bounds = sweep.as_str().and_then(|text| text.split_once(' '));
            let (from, to) = bounds.ok_or_else(damaged("sweep"))?;
            let bound = |text| number(text).map_err(|_| damaged("sweep")());
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

fn kept_lines(value: &Value) -> Option<Vec<Kept>> {
    let lines = value
        .as_array()?
        .iter()
        .map(|line| line.as_str()?.parse().ok())
        .collect::<Option<Vec<Kept>>>()?;
    (!lines.is_empty() && lines.is_sorted()).then_some(lines)
}

impl std::str::FromStr for Kept {
    type Err = NoPlace;

    fn from_str(line: &str) -> Result<Self, NoPlace> {
        let (line, apart) = line.strip_suffix(" apart").map_or((line, false), |line| (line, true));
        let (version, place) = line.split_once(' ').ok_or(NoPlace)?;
        Ok(Self { version: Version(number(version)?), place: place.parse()?, apart })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} ({})", self.version, self.place)
    }
}

fn decoded(text: &str) -> Option<Redacted> {
    STANDARD.decode(text).ok().map(Redacted::new)
}

fn encoded_len(value: &Redacted) -> usize {
    if std::str::from_utf8(value.expose()).is_err() {
        return value.len().div_ceil(3) * 4;
    }
    // As JSON has it after Vault wrote it anew, which escapes what HTML has as well.
    let written = |byte: &u8| match byte {
        b'"' | b'\\' => 2,
        ..0x20 | b'<' | b'>' | b'&' => 6,
        _ => 1,
    };
    value.expose().iter().map(written).sum()
}

#[cfg(test)]
mod tests;
