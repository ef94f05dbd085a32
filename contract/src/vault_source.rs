//! Vault or OpenBao as the source of a pod's secrets: how to log in, and where each secret is.
//!
//! Everything in it comes from the operator's configuration and from the bundles' mappings, never
//! from a pod's annotation. It holds names and addresses, never a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bundle::{BundleRef, Version};
use crate::name::SecretName;

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 512;

/// In place of a field, all of the answer, for templates: a JSON object with `data`, and for what
/// has a lease `lease_id`, `lease_duration` and `renewable`.
pub const WHOLE_ANSWER: &str = "*";

/// How often the agent looks for changes where the configuration does not say, in seconds.
pub const DEFAULT_POLL_SECONDS: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// How an agent reaches Vault, how it logs in, and what it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultSource {
    /// `https://HOST[:PORT]`, or `http://` on the pod's own loopback.
    pub address: String,
    /// The CAs that may have signed its certificate, PEM. Empty for `http://`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// The namespace, for Vault Enterprise and OpenBao.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<VaultPath>,
    /// Where the Kubernetes auth method is mounted, below `auth/`.
    pub auth_mount: VaultPath,
    /// The role of that method to log in with.
    pub role: String,
    /// The file with the pod's service-account token, read again for each login.
    pub token_file: String,
    /// How often to look for changes, in seconds.
    #[serde(default = "default_poll_seconds")]
    pub poll_seconds: NonZeroU32,
    /// Whether to revoke the token, and with it every lease, when the agent is asked to stop.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_on_shutdown: bool,
    /// Where the secrets of each bundle are.
    pub secrets: BTreeMap<BundleRef, BTreeMap<SecretName, VaultSecret>>,
}

fn default_poll_seconds() -> NonZeroU32 {
    DEFAULT_POLL_SECONDS
}

/// One secret: a field of what Vault answers. In JSON, both are one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultSecret {
    /// What to read. Secrets that name the same are read once.
    #[serde(flatten)]
    pub read: VaultRead,
    /// The field of the answer's data, or [`WHOLE_ANSWER`].
    pub field: String,
}

/// What to read from Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum VaultRead {
    /// An entry of a KV engine, version 2.
    Kv {
        /// Where the engine is mounted.
        mount: VaultPath,
        /// The path in it, without `data/`.
        path: VaultPath,
        /// This version and no other; `None` is always the newest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<Version>,
    },
    /// A secret with a lease, as `database/creds/app`. What has no lease is read at each poll.
    Dynamic {
        /// The whole path.
        path: VaultPath,
        /// What to send. Without parameters the secret is read, with them it is written.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parameters: BTreeMap<String, String>,
    },
    /// A certificate, as `pki/issue/web`. It is issued once and kept for two thirds of its
    /// validity.
    Pki {
        /// The whole path.
        path: VaultPath,
        /// What to send, as `common_name`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parameters: BTreeMap<String, String>,
    },
}

/// What a log line names: the path, and no parameter.
impl fmt::Display for VaultRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kv { mount, path, version: None } => write!(f, "{mount}/{path}"),
            Self::Kv { mount, path, version: Some(version) } => {
                write!(f, "{mount}/{path} version {version}")
            }
            Self::Dynamic { path, .. } | Self::Pki { path, .. } => path.fmt(f),
        }
    }
}

/// A path in Vault: segments with a slash between them, none of them empty, `.` or `..`, so that a
/// server in between reads it as Vault does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultPath(String);

/// A text is not a [`VaultPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "parse path in Vault {0:?}: must be segments with '/' between them, none of them empty, '.' or \
     '..', without control characters, at most {MAX_PATH_BYTES} bytes in all"
)]
pub struct VaultPathError(String);

impl VaultPath {
    /// A path of the program's own text. Tests check each.
    #[must_use]
    pub fn constant(text: &'static str) -> Self {
        debug_assert!(text.parse::<Self>().is_ok(), "{text} is no path in Vault");
        Self(text.to_owned())
    }

    /// The path's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VaultPath {
    type Err = VaultPathError;

    fn from_str(text: &str) -> Result<Self, VaultPathError> {
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..") && !segment.chars().any(char::is_control)
        };
        if text.len() <= MAX_PATH_BYTES && text.split('/').all(is_segment) {
            Ok(Self(text.to_owned()))
        } else {
            Err(VaultPathError(text.chars().take(200).collect()))
        }
    }
}

impl TryFrom<String> for VaultPath {
    type Error = VaultPathError;

    fn try_from(text: String) -> Result<Self, VaultPathError> {
        text.parse()
    }
}

impl From<VaultPath> for String {
    fn from(path: VaultPath) -> Self {
        path.0
    }
}

impl fmt::Display for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_each_secret() {
        let path = |text: &str| text.parse::<VaultPath>().unwrap();
        let parameters =
            BTreeMap::from([("common_name".to_owned(), "api.shop.example".to_owned())]);
        let (mount, kv) = (path("secret"), path("shop/api"));
        for (read, field, json) in [
            (
                VaultRead::Kv { mount: mount.clone(), path: kv.clone(), version: None },
                "URL",
                r#"{"type":"kv","mount":"secret","path":"shop/api","field":"URL"}"#,
            ),
            (
                VaultRead::Kv { mount, path: kv, version: Some(Version(3)) },
                "URL",
                r#"{"type":"kv","mount":"secret","path":"shop/api","version":3,"field":"URL"}"#,
            ),
            (
                VaultRead::Dynamic { path: path("database/creds/app"), parameters: [].into() },
                "password",
                r#"{"type":"dynamic","path":"database/creds/app","field":"password"}"#,
            ),
            (
                VaultRead::Pki { path: path("pki/issue/web"), parameters },
                "certificate",
                concat!(
                    r#"{"type":"pki","path":"pki/issue/web","#,
                    r#""parameters":{"common_name":"api.shop.example"},"field":"certificate"}"#
                ),
            ),
        ] {
            let secret = VaultSecret { read, field: field.to_owned() };
            assert_eq!(serde_json::to_string(&secret).unwrap(), json);
            assert_eq!(serde_json::from_str::<VaultSecret>(json).unwrap(), secret);
        }
        for bad in [
            r#"{"type":"kv","mount":"secret","path":"../sys","field":"URL"}"#,
            r#"{"type":"kv","mount":"secret","path":"a","version":0,"field":"URL"}"#,
            r#"{"type":"kv","mount":"secret","path":"a"}"#,
            r#"{"type":"cubbyhole","path":"a","field":"b"}"#,
        ] {
            assert!(serde_json::from_str::<VaultSecret>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_has_plain_segments() {
        for text in ["secret", "team a/app", "kv/é", "a/.b/c..d", &"a".repeat(512)] {
            assert_eq!(text.parse::<VaultPath>().unwrap().to_string(), text);
        }
        for text in ["", "/a", "a/", "a//b", "..", "a/../b", "a/./b", "a\n", &"a".repeat(513)] {
            assert!(text.parse::<VaultPath>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_log_line_names_the_path() {
        let json = r#"{"type":"kv","mount":"secret","path":"shop/api","version":3,"field":"A"}"#;
        let secret: VaultSecret = serde_json::from_str(json).unwrap();
        assert_eq!(secret.read.to_string(), "secret/shop/api version 3");
    }
}
