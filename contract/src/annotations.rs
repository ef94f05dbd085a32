//! The annotations of a pod: the only parser of them.
//!
//! An annotation asks; it never decides. There is none for an address, an image, a role, a CA or a
//! path outside the secrets directory, because whoever writes a pod could then choose them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::bundle::{BundleRef, BundleRefError};
use crate::reload::{Reload, ReloadError};

/// Every key of ours starts with this.
pub const PREFIX: &str = "enclii.io/";
/// Bundle names, comma separated; its presence opts the pod in.
pub const SECRETS: &str = "enclii.io/secrets";
/// How the application learns of a new generation.
pub const RELOAD: &str = "enclii.io/reload";
/// The container to signal.
pub const RELOAD_CONTAINER: &str = "enclii.io/reload-container";
/// Env names to take out where the webhook cannot know the bundle's keys.
pub const ENV: &str = "enclii.io/env";
/// Env names that look like credentials and are none.
pub const PLAIN_ENV: &str = "enclii.io/plain-env";
/// Containers that get the secrets.
pub const CONTAINERS: &str = "enclii.io/containers";
/// Octal mode of the files.
pub const FILE_MODE: &str = "enclii.io/file-mode";

/// All keys, with the line of help that `enclii inject --help` and the guide show.
pub const KEYS: &[(&str, &str)] = &[
    (SECRETS, "bundle names, comma separated; opts the pod in"),
    (
        RELOAD,
        "none (default), signal=SIGHUP, or http=http://127.0.0.1:PORT/PATH (POST, 2xx = accepted)",
    ),
    (RELOAD_CONTAINER, "the container to signal (default: the only application container)"),
    (ENV, "env names to take out where the webhook can't know the bundle's keys"),
    (PLAIN_ENV, "env names that look like credentials and are none"),
    (CONTAINERS, "containers that get the secrets, init containers too (default: all)"),
    (
        FILE_MODE,
        "octal mode of the files (default: 0400 where the application's UID is known, else 0444)",
    ),
];

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// The bundles, in the order written, each once; never empty.
    pub bundles: Vec<BundleRef>,
    /// How to tell the application.
    pub reload: Reload,
    /// The container to signal, where it is named.
    pub reload_container: Option<String>,
    /// Env names to take out besides the bundles' keys.
    pub env: BTreeSet<String>,
    /// Env names to leave alone.
    pub plain_env: BTreeSet<String>,
    /// The containers that get the secrets; `None` is all.
    pub containers: Option<BTreeSet<String>>,
    /// The files' mode, where it is named.
    pub file_mode: Option<FileMode>,
    /// Keys under our prefix that mean nothing: for a warning, never silence.
    pub unknown: Vec<UnknownKey>,
}

/// A key under `enclii.io/` that is none of [`KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// The key as written.
    pub key: String,
    /// The key that was probably meant.
    pub meant: Option<&'static str>,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "annotation {} is not known and has no effect", self.key)?;
        match self.meant {
            Some(meant) => write!(f, "; did you mean {meant}?"),
            None => Ok(()),
        }
    }
}

/// Why annotations were refused: which key, and what is wrong with its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotation {key}")]
pub struct AnnotationError {
    /// The key as the user wrote it.
    pub key: &'static str,
    /// What is wrong.
    #[source]
    pub source: ValueError,
}

impl AnnotationError {
    /// The whole chain on one line, as an admission message wants it.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.source {
            ValueError::Bundle(cause) => format!("annotation {}: {cause}", self.key),
            ValueError::Reload(cause) => format!("annotation {}: {cause}", self.key),
            other => format!("annotation {}: {other}", self.key),
        }
    }
}

/// What is wrong with an annotation's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A bundle's name is not of the form.
    #[error("bundle")]
    Bundle(#[source] BundleRefError),
    /// One bundle twice.
    #[error("bundle {0} is named twice")]
    BundleTwice(BundleRef),
    /// A list without an entry, or with an empty one.
    #[error("the list {0:?} is empty or has an empty entry; write NAME,NAME")]
    List(String),
    /// An entry that is no name of an env var.
    #[error("{0:?} is no name of an environment variable")]
    EnvName(String),
    /// An entry that is no name of a container.
    #[error("{0:?} is no name of a container")]
    ContainerName(String),
    /// The reload form.
    #[error("reload")]
    Reload(#[source] ReloadError),
    /// The file mode.
    #[error(
        "{0:?} is no file mode; write three or four octal digits as 0400 or 0444, readable and not executable or writable by others"
    )]
    FileMode(String),
}

/// The permission bits of a secret's file: readable by its owner at least, executable by nobody,
/// writable by its owner at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u16);

impl FileMode {
    /// Readable by the owner alone.
    pub const OWNER: Self = Self(0o400);
    /// Readable by every process that sees the volume.
    pub const EVERYBODY: Self = Self(0o444);

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl FromStr for FileMode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::FileMode(text.chars().take(20).collect());
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return Err(refuse());
        }
        let bits = u16::from_str_radix(text, 8).map_err(|_| refuse())?;
        // 0o644 is every bit that may be set; without 0o400 the owner itself could not read.
        if bits & !0o644 != 0 || bits & 0o400 == 0 {
            return Err(refuse());
        }
        Ok(Self(bits))
    }
}

impl TryFrom<String> for FileMode {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Annotations {
    /// Reads a pod's annotations. `Ok(None)` where the pod did not opt in.
    ///
    /// # Errors
    /// The first key, in the order of [`KEYS`], whose value is not of its form.
    pub fn parse<'a>(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, AnnotationError> {
        let mut values: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
        let mut unknown = Vec::new();
        for (key, value) in annotations {
            if let Some(at) = KEYS.iter().position(|(known, _)| *known == key) {
                values[at] = Some(value);
            } else if key.starts_with(PREFIX) {
                unknown.push(UnknownKey { key: key.to_owned(), meant: closest(key) });
            }
        }
        let [secrets, reload, reload_container, env, plain_env, containers, file_mode] = values;
        let Some(secrets) = secrets else { return Ok(None) };
        unknown.sort_by(|a, b| a.key.cmp(&b.key));

        Ok(Some(Self {
            bundles: at(SECRETS, bundles(secrets))?,
            reload: at(
                RELOAD,
                reload.map_or(Ok(Reload::None), |text| {
                    text.trim().parse().map_err(ValueError::Reload)
                }),
            )?,
            reload_container: at(
                RELOAD_CONTAINER,
                reload_container.map(|text| container(text.trim())).transpose(),
            )?,
            env: at(ENV, env.map_or_else(|| Ok(BTreeSet::new()), |text| list(text, env_name)))?,
            plain_env: at(
                PLAIN_ENV,
                plain_env.map_or_else(|| Ok(BTreeSet::new()), |text| list(text, env_name)),
            )?,
            containers: at(CONTAINERS, containers.map(|text| list(text, container)).transpose())?,
            file_mode: at(FILE_MODE, file_mode.map(|text| text.trim().parse()).transpose())?,
            unknown,
        }))
    }
}

fn at<T>(key: &'static str, result: Result<T, ValueError>) -> Result<T, AnnotationError> {
    result.map_err(|source| AnnotationError { key, source })
}

fn bundles(text: &str) -> Result<Vec<BundleRef>, ValueError> {
    let mut found = Vec::new();
    for entry in entries(text)? {
        let bundle: BundleRef = entry.parse().map_err(ValueError::Bundle)?;
        if found.contains(&bundle) {
            return Err(ValueError::BundleTwice(bundle));
        }
        found.push(bundle);
    }
    Ok(found)
}

fn list(
    text: &str,
    parse: fn(&str) -> Result<String, ValueError>,
) -> Result<BTreeSet<String>, ValueError> {
    entries(text)?.into_iter().map(parse).collect()
}

fn entries(text: &str) -> Result<Vec<&str>, ValueError> {
    let entries: Vec<_> = text.split(',').map(str::trim).collect();
    if entries.iter().any(|entry| entry.is_empty()) {
        return Err(ValueError::List(text.chars().take(80).collect()));
    }
    Ok(entries)
}

fn env_name(text: &str) -> Result<String, ValueError> {
    let mut bytes = text.bytes();
    let fits = text.len() <= 253
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b'-'))
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(ValueError::EnvName(text.chars().take(80).collect()))
    }
}

fn container(text: &str) -> Result<String, ValueError> {
    text.parse::<crate::scope::Label>()
        .map(String::from)
        .map_err(|_| ValueError::ContainerName(text.chars().take(80).collect()))
}

/// The known key within two edits of `key`.
fn closest(key: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|(known, _)| (distance(known, key), *known))
        .min()
        .filter(|(edits, _)| *edits <= 2)
        .map(|(_, known)| known)
}

/// Levenshtein's distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Option<Annotations>, AnnotationError> {
        Annotations::parse(pairs.iter().copied())
    }

    #[test]
    fn a_pod_that_does_not_ask_gets_nothing() {
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[("enclii.io/reload", "none"), ("app", "x")]), Ok(None));
    }

    #[test]
    fn everything_at_once() {
        let found = parse(&[
            (SECRETS, "api-prod, shared-prod"),
            (RELOAD, "signal=SIGHUP"),
            (RELOAD_CONTAINER, "app"),
            (ENV, "A,B"),
            (PLAIN_ENV, "C"),
            (CONTAINERS, "app,migrate"),
            (FILE_MODE, "0440"),
            ("enclii.io/relaod", "none"),
            ("enclii.io/something-else", "1"),
            ("example.com/secrets", "x"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(
            found.bundles.iter().map(BundleRef::as_str).collect::<Vec<_>>(),
            ["api-prod", "shared-prod"]
        );
        assert_eq!(found.reload.to_string(), "signal=SIGHUP");
        assert_eq!(found.reload_container.as_deref(), Some("app"));
        assert_eq!(found.env.iter().map(String::as_str).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(found.containers.unwrap().len(), 2);
        assert_eq!(found.file_mode.unwrap().bits(), 0o440);
        let warnings: Vec<_> = found.unknown.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings[0],
            "annotation enclii.io/relaod is not known and has no effect; did you mean enclii.io/reload?"
        );
        assert_eq!(
            warnings[1],
            "annotation enclii.io/something-else is not known and has no effect"
        );
    }

    #[test]
    fn each_bad_value_names_its_key() {
        for (key, value) in [
            (SECRETS, ""),
            (SECRETS, "api-prod,"),
            (SECRETS, "api"),
            (SECRETS, "api-prod,api-prod"),
            (SECRETS, "../api-prod"),
            (RELOAD, "restart"),
            (RELOAD, "signal=SIGKILL"),
            (RELOAD_CONTAINER, ""),
            (RELOAD_CONTAINER, "a,b"),
            (ENV, "A B"),
            (PLAIN_ENV, ","),
            (CONTAINERS, "App"),
            (FILE_MODE, "0777"),
            (FILE_MODE, "400x"),
            (FILE_MODE, "0044"),
            (FILE_MODE, "4"),
        ] {
            let mut pairs = vec![(SECRETS, "api-prod")];
            pairs.retain(|(it, _)| *it != key);
            pairs.push((key, value));
            let error = parse(&pairs).unwrap_err();
            assert_eq!(error.key, key, "{value:?}");
            assert!(
                error.message().starts_with(&format!("annotation {key}: ")),
                "{}",
                error.message()
            );
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(pairs: Vec<(String, String)>, secrets: String, mode: String) {
            let pairs = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            let _ = Annotations::parse(pairs.chain([(SECRETS, secrets.as_str()), (FILE_MODE, mode.as_str())]));
        }

        #[test]
        fn a_mode_round_trips(bits in 0u16..0o10000) {
            if let Ok(mode) = format!("{bits:04o}").parse::<FileMode>() {
                prop_assert_eq!(mode.to_string().parse::<FileMode>().unwrap(), mode);
                prop_assert_eq!(mode.bits() & 0o133, 0);
            }
        }
    }
}
