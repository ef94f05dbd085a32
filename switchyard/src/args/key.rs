//! The flags of the key-encryption keys.

use std::path::{Path, PathBuf};

use clap::Args as Group;
use lockbox::key::KeyId;
use lockbox::key_source::KeySource;
use lockbox::{KeyConfig, KeyFile};

use super::store::{MissingFlag, StoreArgs};

/// The flags of the key-encryption keys.
#[derive(Debug, Clone, Group)]
pub struct KeyArgs {
    /// The file of the key that seals all values; created on the first start [default: key in
    /// --data]. Back it up: without it every value is lost
    #[arg(long, env = "ENCLII_KEY_FILE", value_name = "FILE", conflicts_with = "key")]
    pub key_file: Option<PathBuf>,
    /// The source of the key that seals all values: file:PATH; 'command:PROGRAM ARGUMENT …', whose
    /// output is the key (no shell; 32 bytes raw, in hex or in base64); or transit:MOUNT/NAME, a
    /// key that stays in Vault (needs --vault-address and the flags of its login)
    #[arg(long, env = "ENCLII_KEY", value_name = "SOURCE")]
    pub key: Option<KeySource>,
    /// A key that still seals older values, until `enclii admin rekey` is done; can be repeated or
    /// separated by commas
    #[arg(long, env = "ENCLII_KEY_PREVIOUS", value_name = "SOURCE", value_delimiter = ',')]
    pub key_previous: Vec<KeySource>,
    /// The id of a key that is permanently lost: start without the values that it seals
    #[arg(long, env = "ENCLII_KEY_LOST", value_name = "ID", value_delimiter = ',')]
    pub key_lost: Vec<String>,
}

impl KeyArgs {
    /// The sources of the keys.
    ///
    /// # Errors
    /// If a key is in Vault and a flag of Vault is missing.
    pub fn keys(&self, data: &Path, store: &StoreArgs) -> Result<KeyConfig, MissingFlag> {
        let Self { key_file, key, key_previous, key_lost } = self;
        let file =
            || KeySource::File(KeyFile::new(key_file.clone().unwrap_or_else(|| data.join("key"))));
        let current = key.clone().unwrap_or_else(file);
        let in_vault = key_previous
            .iter()
            .chain([&current])
            .any(|source| matches!(source, KeySource::Transit { .. }));
        let vault = if in_vault { Some(store.vault()?) } else { None };
        let lost = key_lost.iter().map(|id| KeyId::new(id.clone())).collect();
        Ok(KeyConfig { current, previous: key_previous.clone(), lost, vault })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Args;
    use super::*;

    fn keys(words: &[&str]) -> Option<KeyConfig> {
        let words = ["switchyard"].iter().chain(words);
        let args = Args::try_parse_from(words).ok()?.serve();
        args.keys.keys(Path::new("/data"), &args.store).ok()
    }

    #[test]
    fn key_flags_are_parsed() {
        let file = |path: &str| KeySource::File(KeyFile::new(path.into()));
        assert_eq!(keys(&[]).unwrap().current, file("/data/key"));
        assert_eq!(keys(&["--key-file", "/key"]).unwrap().current, file("/key"));
        assert_eq!(keys(&["--key", "file:/key"]).unwrap().current, file("/key"));
        let rotated = keys(&[
            "--key",
            "file:/new",
            "--key-previous",
            "file:/a,file:/b",
            "--key-previous",
            "command:get 1",
        ])
        .unwrap();
        assert_eq!(rotated.previous, [file("/a"), file("/b"), "command:get 1".parse().unwrap()]);
        assert_eq!(
            keys(&["--key-lost", "0123456789abcdef"]).unwrap().lost,
            [KeyId::new("0123456789abcdef".into())]
        );
        let vault = ["--key", "transit:transit/enclii", "--vault-address", "https://vault:8200"];
        assert_eq!(keys(&vault).unwrap().vault.unwrap().address, "https://vault:8200");
        assert!(
            keys(&vault[..2]).is_none() && keys(&["--key", "file:/a"]).unwrap().vault.is_none()
        );
        assert!(
            keys(&["--key", "/key"]).is_none()
                && keys(&["--key", "file:/a", "--key-file", "/b"]).is_none()
        );
    }
}
