//! Pods and namespaces from a file, for a machine without a cluster.
//!
//! ```json
//! {
//!   "namespaces": {"shop-prod": {"project": "shop", "environment": "prod"}},
//!   "identities": [
//!     {"token": "…", "namespace": "shop-prod", "service_account": "api", "pod": "api-1", "uid": "1"}
//!   ]
//! }
//! ```
//!
//! Whoever can read the file is every pod in it, so switchyard takes it on loopback alone.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{Label, Redacted};
use serde::Deserialize;

use super::token::Hash;
use crate::audit::Pod;
use crate::namespaces::Bindings;
use crate::policy::Binding;

/// The pods of a development file, by the hash of their token.
#[derive(Clone)]
pub struct Development(Arc<BTreeMap<Hash, Pod>>);

/// Why a development file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// It cannot be read.
    #[error("read development identities {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not of the form. The parser's own words would quote it, and it holds tokens.
    #[error("read development identities {path}: line {line} column {column} is not of the form")]
    Form {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// Two pods with one token.
    #[error("read development identities {path}: pod {pod} has the token of another pod")]
    Twice {
        /// The file.
        path: PathBuf,
        /// The second pod.
        pod: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    namespaces: BTreeMap<String, Place>,
    #[serde(default)]
    identities: Vec<Identity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    project: Label,
    environment: Label,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    token: String,
    namespace: String,
    service_account: String,
    pod: String,
    uid: String,
}

impl Development {
    /// Reads the file: the pods, and the namespaces they live in.
    ///
    /// # Errors
    /// Where it cannot be read or is not of the form.
    pub fn read(path: &Path) -> Result<(Self, Bindings), DevelopmentError> {
        let here = || path.to_owned();
        let bytes = std::fs::read(path)
            .map(Redacted::new)
            .map_err(|source| DevelopmentError::Read { path: here(), source })?;
        let File { namespaces, identities } =
            serde_json::from_slice(bytes.expose()).map_err(|error| DevelopmentError::Form {
                path: here(),
                line: error.line(),
                column: error.column(),
            })?;
        let mut pods = BTreeMap::new();
        for Identity { token, namespace, service_account, pod, uid } in identities {
            let hash = Hash::of(&Redacted::from(token));
            let pod = Pod { namespace, service_account, name: pod, uid };
            if let Some(earlier) = pods.insert(hash, pod) {
                return Err(DevelopmentError::Twice { path: here(), pod: earlier.name });
            }
        }
        let bindings = namespaces
            .into_iter()
            .map(|(name, Place { project, environment })| (name, Binding { project, environment }))
            .collect();
        Ok((Self(Arc::new(pods)), bindings))
    }

    /// The pod with this token.
    #[must_use]
    pub fn pod(&self, token: &Redacted) -> Option<Pod> {
        // Looked up by hash: how long that takes says nothing about the token.
        self.0.get(&Hash::of(token)).cloned()
    }
}

impl fmt::Debug for Development {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Development").field("pods", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Development, Bindings), DevelopmentError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file.as_file(), text.as_bytes()).unwrap();
        Development::read(file.path())
    }

    #[test]
    fn pods_and_namespaces() {
        let (pods, namespaces) = read(
            r#"{"namespaces":{"shop-prod":{"project":"shop","environment":"prod"}},
                "identities":[{"token":"t1","namespace":"shop-prod","service_account":"api","pod":"api-1","uid":"u1"}]}"#,
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
            Err(DevelopmentError::Twice { .. })
        ));
        assert!(matches!(
            Development::read(Path::new("/nonexistent")),
            Err(DevelopmentError::Read { .. })
        ));
    }
}
