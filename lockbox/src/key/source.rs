//! Where keys come from, as an operator writes it, and how they become a ring.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::{
    CommandError, KeyCommand, KeyFile, KeyFileError, KeyId, KeyRing, KeyWrapper, WrapError,
};
use crate::vault::{ConfigError, Transit, VaultConfig};

/// Where one key comes from: `file:PATH`, `command:PROGRAM ARGUMENT …` or `transit:MOUNT/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(KeyFile),
    /// What a program prints.
    Command(KeyCommand),
    /// Vault's transit engine, which gives the key to nobody.
    Transit {
        /// Where the engine is mounted.
        mount: String,
        /// The key's name there.
        key: String,
    },
}

/// A text that names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key comes from file:PATH, from 'command:PROGRAM ARGUMENT …' or from transit:MOUNT/NAME")]
pub struct SourceError;

impl FromStr for KeySource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.split_once(':').ok_or(SourceError)? {
            ("file", path) if !path.is_empty() => Ok(Self::File(KeyFile::new(PathBuf::from(path)))),
            ("command", line) => {
                let mut words = line.split_ascii_whitespace().map(str::to_owned);
                let program = words.next().ok_or(SourceError)?;
                Ok(Self::Command(KeyCommand::new(program, words.collect())))
            }
            ("transit", path) => match path.rsplit_once('/').ok_or(SourceError)? {
                (mount, key) if !mount.is_empty() && !key.is_empty() => {
                    Ok(Self::Transit { mount: mount.to_owned(), key: key.to_owned() })
                }
                _ => Err(SourceError),
            },
            _ => Err(SourceError),
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

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// From its file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// From its command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// From Vault, and it is not said where Vault is.
    #[error("use key {0}: it is not said where Vault is")]
    NoVault(String),
    /// From Vault, which cannot be spoken to as it is said.
    #[error(transparent)]
    Vault(#[from] ConfigError),
    /// It does not wrap and unwrap.
    #[error("try key {key}")]
    Wrap {
        /// The key.
        key: String,
        /// Why not.
        source: WrapError,
    },
}

/// Where all keys come from.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The one that values are sealed under.
    pub current: KeySource,
    /// Those that older values may still need.
    pub previous: Vec<KeySource>,
    /// Keys that are lost for good: values under them cannot be read, and the store opens all the
    /// same.
    pub lost: Vec<KeyId>,
    /// Where Vault is and how to log in, for keys that are there.
    pub vault: Option<VaultConfig>,
}

impl Keys {
    /// One key in a file, and no other.
    #[must_use]
    pub fn in_file(file: KeyFile) -> Self {
        Self { current: KeySource::File(file), previous: Vec::new(), lost: Vec::new(), vault: None }
    }

    /// Gets every key. The current one's file is made where there is none and every key of `in_use`
    /// is one of the others: a new key takes over then, or nothing was ever sealed.
    ///
    /// # Errors
    /// Where a key cannot be had.
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

    /// A key that must be there already.
    async fn existing(&self, source: &KeySource) -> Result<Arc<dyn KeyWrapper>, KeyError> {
        Ok(match source {
            KeySource::File(file) => Arc::new(file.read()?),
            KeySource::Command(command) => Arc::new(command.load().await?),
            KeySource::Transit { mount, key } => {
                let vault =
                    self.vault.as_ref().ok_or_else(|| KeyError::NoVault(source.to_string()))?;
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
    fn words_of_an_operator() {
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
    async fn a_new_key_is_made_only_where_nothing_is_lost_by_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| KeyFile::new(directory.path().join(name));
        let old = file("old").load(None).unwrap().key_id().clone();
        let mut keys = Keys::in_file(file("new"));
        let error = keys.load(std::slice::from_ref(&old)).await.unwrap_err();
        assert!(matches!(error, KeyError::File(KeyFileError::Lost { .. })), "{error}");
        keys.previous.push(KeySource::File(file("old")));
        let ring = keys.load(std::slice::from_ref(&old)).await.unwrap();
        assert!(ring.find(&old).is_some() && ring.current().name() != old.as_str());
        // A previous key is never made.
        keys.previous.push(KeySource::File(file("older")));
        assert!(matches!(
            keys.load(&[]).await.unwrap_err(),
            KeyError::File(KeyFileError::Read { .. })
        ));
        assert!(!directory.path().join("older").exists());
    }

    #[tokio::test]
    async fn a_key_that_is_given_up_does_not_stand_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let gone = KeyId::new("0123456789abcdef".into());
        let keys = Keys {
            lost: vec![gone.clone()],
            ..Keys::in_file(KeyFile::new(directory.path().join("key")))
        };
        keys.load(&[gone]).await.unwrap();
    }
}
