//! Pods and namespaces from a file, for a machine without a cluster.
//!
//! ```json
//! {
//!   "namespaces": {"shop-prod": {"project": "shop", "environment": "prod"}},
//!   "identities": [
//!     {
//!       "token": "…", "namespace": "shop-prod", "service_account": "api",
//!       "pod": "api-1", "uid": "1"
//!     }
//!   ]
//! }
//! ```
//!
//! Anyone who can read the file can act as every pod in it, so switchyard accepts it on loopback
//! only.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{Label, Redacted};
use serde::Deserialize;

use super::token::TokenHash;
use crate::audit::Pod;
use crate::namespaces::NamespaceBindings;
use crate::policy::NamespaceBinding;

/// The pods of a development file, by the hash of their token.
#[derive(Clone)]
pub struct DevelopmentIdentities(Arc<BTreeMap<TokenHash, Pod>>);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// It cannot be read.
    #[error("read development identities {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// It is malformed. The parser's own message would quote it, and it holds tokens.
    #[error("read development identities {path}: malformed at line {line} column {column}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The line of the error.
        line: usize,
        /// The column of the error.
        column: usize,
    },
    /// Two pods have the same token.
    #[error("read development identities {path}: pod {pod} has the token of another pod")]
    DuplicateToken {
        /// The file.
        path: PathBuf,
        /// The second pod.
        pod: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DevelopmentFile {
    #[serde(default)]
    namespaces: BTreeMap<String, NamespaceEntry>,
    #[serde(default)]
    identities: Vec<PodEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamespaceEntry {
    project: Label,
    environment: Label,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PodEntry {
    token: String,
    namespace: String,
    service_account: String,
    pod: String,
    uid: String,
}

impl DevelopmentIdentities {
    /// Reads the file: the pods and the labels of their namespaces.
    ///
    /// # Errors
    /// If it cannot be read or is malformed.
    pub fn read(path: &Path) -> Result<(Self, NamespaceBindings), DevelopmentError> {
        let path_owned = || path.to_owned();
        let bytes = std::fs::read(path)
            .map(Redacted::new)
            .map_err(|source| DevelopmentError::Read { path: path_owned(), source })?;
        let DevelopmentFile { namespaces, identities } = serde_json::from_slice(bytes.expose())
            .map_err(|error| DevelopmentError::Form {
                path: path_owned(),
                line: error.line(),
                column: error.column(),
            })?;
        let mut pods = BTreeMap::new();
        for PodEntry { token, namespace, service_account, pod, uid } in identities {
            let hash = TokenHash::of(&Redacted::from(token));
            let pod = Pod { namespace, service_account, name: pod, uid };
            if let Some(earlier) = pods.insert(hash, pod) {
                return Err(DevelopmentError::DuplicateToken {
                    path: path_owned(),
                    pod: earlier.name,
                });
            }
        }
        let bindings = namespaces
            .into_iter()
            .map(|(name, NamespaceEntry { project, environment })| {
                (name, NamespaceBinding { project, environment })
            })
            .collect();
        Ok((Self(Arc::new(pods)), bindings))
    }

    /// The pods, in order.
    #[must_use]
    pub fn pods(&self) -> Vec<Pod> {
        let mut pods: Vec<Pod> = self.0.values().cloned().collect();
        pods.sort();
        pods
    }

    /// The pod with this token.
    #[must_use]
    pub fn pod(&self, token: &Redacted) -> Option<Pod> {
        // A lookup by hash: its timing says nothing about the token.
        self.0.get(&TokenHash::of(token)).cloned()
    }
}

impl fmt::Debug for DevelopmentIdentities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevelopmentIdentities").field("pods", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(DevelopmentIdentities, NamespaceBindings), DevelopmentError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file.as_file(), text.as_bytes()).unwrap();
        DevelopmentIdentities::read(file.path())
    }

    #[test]
    fn pods_and_namespaces_are_read() {
        let (pods, namespaces) = read(
            r#"{"namespaces":{"shop-prod":{"project":"shop","environment":"prod"}},
                "identities":[{"token":"t1","namespace":"shop-prod","service_account":"api",
                "pod":"api-1","uid":"u1"}]}"#,
        )
        .unwrap();
        assert_eq!(pods.pod(&Redacted::from("t1".to_owned())).unwrap().name, "api-1");
        assert_eq!(pods.pod(&Redacted::from("t2".to_owned())), None);
        assert_eq!(namespaces["shop-prod"].project.as_str(), "shop");
        assert!(!format!("{pods:?}").contains("t1"));
    }

    #[test]
    fn a_bad_file_is_not_quoted() {
        let error = read(r#"{"identities":[{"token":{"hunter2":1}}]}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = read(r#"{"identities":["hunter2"]}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let twice = r#"{"token":"t","namespace":"n","service_account":"s","pod":"p","uid":"u"}"#;
        assert!(matches!(
            read(&format!(r#"{{"identities":[{twice},{twice}]}}"#)),
            Err(DevelopmentError::DuplicateToken { .. })
        ));
        assert!(matches!(
            DevelopmentIdentities::read(Path::new("/nonexistent")),
            Err(DevelopmentError::Read { .. })
        ));
    }
}
