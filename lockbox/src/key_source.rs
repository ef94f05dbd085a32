//! Where keys come from, as an operator configures it, and loading them into a ring.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::key::{
    CommandError, KeyCommand, KeyFile, KeyFileError, KeyId, KeyRing, KeyWrapper, WrapError,
};
use crate::vault::{ConfigError, Transit, VaultConfig};

/// Where one key comes from: `file:PATH`, `command:PROGRAM ARGUMENT …` or `transit:MOUNT/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(KeyFile),
    /// The output of a program.
    Command(KeyCommand),
    /// Vault's transit engine, which never reveals the key.
    Transit {
        /// Where the engine is mounted.
        mount: String,
        /// The key's name there.
        key: String,
    },
}

/// The text is not a valid key source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key comes from file:PATH, from 'command:PROGRAM ARGUMENT …' or from transit:MOUNT/NAME")]
pub struct ParseKeySourceError;

impl FromStr for KeySource {
    type Err = ParseKeySourceError;

    fn from_str(text: &str) -> Result<Self, ParseKeySourceError> {
        match text.split_once(':').ok_or(ParseKeySourceError)? {
            ("file", path) if !path.is_empty() => Ok(Self::File(KeyFile::new(PathBuf::from(path)))),
            ("command", line) => {
                let mut words = line.split_ascii_whitespace().map(str::to_owned);
                let program = words.next().ok_or(ParseKeySourceError)?;
                Ok(Self::Command(KeyCommand::new(program, words.collect())))
            }
            ("transit", path) => match path.rsplit_once('/').ok_or(ParseKeySourceError)? {
                (mount, key) if !mount.is_empty() && !key.is_empty() => {
                    Ok(Self::Transit { mount: mount.to_owned(), key: key.to_owned() })
                }
                _ => Err(ParseKeySourceError),
            },
            _ => Err(ParseKeySourceError),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.fmt(f),
            Self::Command(command) => command.fmt(f),
            Self::Transit { mount, key } => write!(f, "transit:{mount}/{key}"),
        }
    }
}

/// Why a key cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// From its file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// From its command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The key is in Vault, and Vault is not configured.
    #[error("use key {0}: Vault is not configured (--vault-address)")]
    VaultNotConfigured(String),
    /// The configuration of Vault is invalid.
    #[error(transparent)]
    Vault(#[from] ConfigError),
    /// A test wrap and unwrap failed.
    #[error("test key {key}")]
    Wrap {
        /// The key.
        key: String,
        /// Why not.
        source: WrapError,
    },
}

/// Where all keys come from.
#[derive(Clone, Debug)]
pub struct KeyConfig {
    /// The one that values are sealed under.
    pub current: KeySource,
    /// Keys that older values may still need.
    pub previous: Vec<KeySource>,
    /// Keys that are lost for good. The store opens without them, and values under them cannot be
    /// read.
    pub lost: Vec<KeyId>,
    /// How to reach Vault, for keys in its transit engine.
    pub vault: Option<VaultConfig>,
}

impl KeyConfig {
    /// A single key, in a file.
    #[must_use]
    pub fn from_file(file: KeyFile) -> Self {
        Self { current: KeySource::File(file), previous: Vec::new(), lost: Vec::new(), vault: None }
    }

    /// Loads every key. If the current key's file does not exist, it is created, provided that
    /// every key of `in_use` is a previous or a lost one: then a new key takes over, or nothing was
    /// sealed yet.
    ///
    /// # Errors
    /// If a key cannot be loaded.
    pub async fn load(&self, in_use: &[KeyId]) -> Result<KeyRing, KeyError> {
        let mut previous: Vec<Arc<dyn KeyWrapper>> = Vec::with_capacity(self.previous.len());
        for source in &self.previous {
            previous.push(self.existing(source).await?);
        }
        let covered = |id: &&KeyId| {
            self.lost.contains(id) || previous.iter().any(|key| key.name() == id.name())
        };
        let current: Arc<dyn KeyWrapper> = match &self.current {
            KeySource::File(file) => {
                Arc::new(file.load(in_use.iter().find(|id| id.is_well_formed() && !covered(id)))?)
            }
            other => self.existing(other).await?,
        };
        Ok(KeyRing::new(current, previous))
    }

    /// Loads a key that must exist already.
    async fn existing(&self, source: &KeySource) -> Result<Arc<dyn KeyWrapper>, KeyError> {
        Ok(match source {
            KeySource::File(file) => Arc::new(file.read()?),
            KeySource::Command(command) => Arc::new(command.load().await?),
            KeySource::Transit { mount, key } => {
                let vault = self
                    .vault
                    .as_ref()
                    .ok_or_else(|| KeyError::VaultNotConfigured(source.to_string()))?;
                let transit = Transit::new(vault, mount, key)?;
                transit
                    .check()
                    .await
                    .map_err(|error| KeyError::Wrap { key: source.to_string(), source: error })?;
                Arc::new(transit)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_sources_are_parsed() {
        let command = |program: &str, arguments: &[&str]| {
            KeySource::Command(KeyCommand::new(
                program.to_owned(),
                arguments.iter().map(|word| (*word).to_owned()).collect(),
            ))
        };
        for (text, expected) in [
            ("file:/run/key", Some(KeySource::File(KeyFile::new("/run/key".into())))),
            ("file:key:2", Some(KeySource::File(KeyFile::new("key:2".into())))),
            ("command:/bin/get-key", Some(command("/bin/get-key", &[]))),
            ("command: get-key  --slot 3", Some(command("get-key", &["--slot", "3"]))),
            ("file:", None),
            ("command: ", None),
            ("/run/key", None),
            (
                "transit:transit/enclii",
                Some(KeySource::Transit { mount: "transit".into(), key: "enclii".into() }),
            ),
            ("transit:a/b/c", Some(KeySource::Transit { mount: "a/b".into(), key: "c".into() })),
            ("transit:enclii", None),
            ("transit:/enclii", None),
            ("vault:x", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_new_key_is_created_only_if_no_value_is_lost_by_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| KeyFile::new(directory.path().join(name));
        let old = file("old").load(None).unwrap().key_id().clone();
        let mut keys = KeyConfig::from_file(file("new"));
        let error = keys.load(std::slice::from_ref(&old)).await.unwrap_err();
        assert!(matches!(error, KeyError::File(KeyFileError::Missing { .. })), "{error}");
        keys.previous.push(KeySource::File(file("old")));
        let ring = keys.load(std::slice::from_ref(&old)).await.unwrap();
        assert!(ring.find(&old).is_some() && ring.current().name() != old.as_str());
        // A previous key is never created.
        keys.previous.push(KeySource::File(file("older")));
        assert!(matches!(
            keys.load(&[]).await.unwrap_err(),
            KeyError::File(KeyFileError::Read { .. })
        ));
        assert!(!directory.path().join("older").exists());
    }

    #[tokio::test]
    async fn a_key_declared_lost_does_not_block_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let gone = KeyId::new("0123456789abcdef".into());
        let keys = KeyConfig {
            lost: vec![gone.clone()],
            ..KeyConfig::from_file(KeyFile::new(directory.path().join("key")))
        };
        keys.load(&[gone]).await.unwrap();
    }
}
