//! All certificates and keys as one value, read from and written to named files: the keys of a
//! Kubernetes Secret or the files of a directory. Reading is lenient: unusable parts are reported
//! and left out.

use std::collections::BTreeMap;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::alt_names::SubjectAltNames;
use crate::bundle::TrustBundle;
use crate::cert_key_pair::{CertKeyPair, CertKeyPairError};
use crate::certificate::Certificate;
use crate::issue::{self, IssueError};
use crate::renewal::{CertStatus, LeafStatus, RenewalPolicy, RenewalStep, next_step};

/// The CA that signs.
pub const CA_CERT: &str = "ca.crt";
/// Its key.
pub const CA_KEY: &str = "ca.key";
/// The CA that will sign next.
pub const NEXT_CA_CERT: &str = "next-ca.crt";
/// Its key.
pub const NEXT_CA_KEY: &str = "next-ca.key";
/// The CAs that signed before, newest first.
pub const PREVIOUS_CA_CERT: &str = "previous-ca.crt";
/// The serving certificate.
pub const TLS_CERT: &str = "tls.crt";
/// Its key.
pub const TLS_KEY: &str = "tls.key";

/// The names of all files.
pub const FILE_NAMES: [&str; 7] =
    [CA_CERT, CA_KEY, NEXT_CA_CERT, NEXT_CA_KEY, PREVIOUS_CA_CERT, TLS_CERT, TLS_KEY];

/// Named contents; `Debug` shows the names alone, and the contents are wiped on drop.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CertFiles(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl CertFiles {
    /// Adds a file; an empty one counts as absent.
    pub fn insert(&mut self, name: &str, content: Zeroizing<Vec<u8>>) {
        if !content.is_empty() {
            self.0.insert(name.to_owned(), content);
        }
    }

    /// The content of a file.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|content| content.as_slice())
    }

    /// Names and contents, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.0.iter();
        all.map(|(name, content)| (name.as_str(), content.as_slice()))
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<BTreeMap<String, Vec<u8>>> for CertFiles {
    fn from(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut all = Self::default();
        for (name, content) in files {
            all.insert(&name, Zeroizing::new(content));
        }
        all
    }
}

impl std::fmt::Debug for CertFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A part of the state that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {file}")]
pub struct StateError {
    /// The file that holds the part.
    pub file: &'static str,
    /// What is wrong with it.
    pub source: CertKeyPairError,
}

/// CA, next CA, previous CAs and leaf. Each may be missing.
#[derive(Clone, Debug, Default)]
pub struct State {
    current: Option<CertKeyPair>,
    next: Option<CertKeyPair>,
    previous: Vec<Certificate>,
    leaf: Option<CertKeyPair>,
}

impl State {
    /// Reads a state. Unusable parts are missing in it and reported in the list.
    ///
    /// A CA whose key is lost stays trusted: other replicas may still serve what it signed.
    pub fn from_files(files: &CertFiles) -> (Self, Vec<StateError>) {
        let mut problems = Vec::new();
        let mut pair = |certificate, key| read_pair(files, certificate, key, &mut problems);
        let mut state = Self {
            current: pair(CA_CERT, CA_KEY),
            next: pair(NEXT_CA_CERT, NEXT_CA_KEY),
            previous: Vec::new(),
            leaf: pair(TLS_CERT, TLS_KEY),
        };
        let orphan = state.current.is_none().then(|| files.content(CA_CERT));
        if let Some(orphan) = orphan.flatten() {
            state.previous = Certificate::from_pem(orphan).unwrap_or_default();
        }
        if let Some(text) = files.content(PREVIOUS_CA_CERT) {
            match Certificate::from_pem(text) {
                Ok(previous) => state.previous.extend(previous),
                Err(error) => {
                    problems.push(StateError { file: PREVIOUS_CA_CERT, source: error.into() })
                }
            }
        }
        (state, problems)
    }

    /// The state as files.
    pub fn to_files(&self) -> CertFiles {
        let mut files = CertFiles::default();
        let pairs = [
            (&self.current, CA_CERT, CA_KEY),
            (&self.next, NEXT_CA_CERT, NEXT_CA_KEY),
            (&self.leaf, TLS_CERT, TLS_KEY),
        ];
        for (pair, certificate, key) in pairs {
            if let Some(pair) = pair {
                files.insert(certificate, Zeroizing::new(pair.certificate_pem()));
                files.insert(key, pair.key_pem());
            }
        }
        let previous: String = self.previous.iter().map(Certificate::pem).collect();
        files.insert(PREVIOUS_CA_CERT, Zeroizing::new(previous.into_bytes()));
        files
    }

    /// Whether there is a current CA with its key.
    pub fn can_sign(&self) -> bool {
        self.current.is_some()
    }

    /// The serving certificate.
    pub fn leaf(&self) -> Option<&CertKeyPair> {
        self.leaf.as_ref()
    }

    /// The CAs that clients must trust: the current one, the next one, the previous ones.
    pub fn bundle(&self) -> TrustBundle {
        let signing = self.current.iter().chain(&self.next).map(CertKeyPair::certificate);
        TrustBundle::new(signing.chain(&self.previous))
    }

    /// What servers serve and publish: the serving certificate with its key, and the CAs without
    /// theirs. Empty without a serving certificate.
    pub fn serving_files(&self) -> CertFiles {
        let mut files = CertFiles::default();
        if let Some(leaf) = &self.leaf {
            files.insert(TLS_CERT, Zeroizing::new(leaf.certificate_pem()));
            files.insert(TLS_KEY, leaf.key_pem());
            files.insert(CA_CERT, Zeroizing::new(self.bundle().as_pem().as_bytes().to_vec()));
        }
        files
    }

    /// The status that the renewal decides on; `names` are the configured ones.
    pub fn status(&self, names: &SubjectAltNames) -> CertStatus {
        let validity = |pair: &CertKeyPair| pair.certificate().validity();
        CertStatus {
            current: self.current.as_ref().map(validity),
            next: self.next.as_ref().map(validity),
            previous: self.previous.iter().map(Certificate::validity).collect(),
            leaf: self.leaf.as_ref().map(|leaf| LeafStatus {
                validity: validity(leaf),
                signed_by_current: self
                    .current
                    .as_ref()
                    .is_some_and(|current| leaf.certificate().signed_by(current.certificate())),
                names_match: leaf.certificate().names() == Some(names),
            }),
        }
    }

    /// Takes all steps that are due at `now` and returns them. `authority` is the subject of a new
    /// CA.
    ///
    /// # Errors
    /// When a certificate cannot be issued.
    pub fn advance(
        &self,
        authority: &str,
        names: &SubjectAltNames,
        now: SystemTime,
        policy: &RenewalPolicy,
    ) -> Result<(Self, Vec<RenewalStep>), IssueError> {
        let mut state = self.clone();
        let mut steps = Vec::new();
        // Each kind of step is due at most once in a row; the bound guards against a defect.
        while steps.len() < MAX_STEPS {
            let step = next_step(&state.status(names), now, policy);
            if step == RenewalStep::Nothing {
                break;
            }
            state.apply(step, authority, names, now, policy)?;
            steps.push(step);
        }
        Ok((state, steps))
    }

    fn apply(
        &mut self,
        step: RenewalStep,
        authority: &str,
        names: &SubjectAltNames,
        now: SystemTime,
        policy: &RenewalPolicy,
    ) -> Result<(), IssueError> {
        match step {
            RenewalStep::DropExpiredCas => {
                self.previous.retain(|one| now < one.validity().not_after);
            }
            RenewalStep::Nothing => {}
            RenewalStep::PromoteNextCa => {
                let next = self.next.take();
                self.replace_ca(next);
            }
            RenewalStep::PublishNextCa => {
                let next = issue::create_ca(authority, now, policy.ca_lifetime())?;
                self.next = Some(next);
            }
            RenewalStep::RenewLeaf => {
                if let Some(current) = &self.current {
                    self.leaf =
                        Some(issue::issue_leaf(current, names, now, policy.leaf_lifetime())?);
                }
            }
            RenewalStep::CreateCa => {
                let new = issue::create_ca(authority, now, policy.ca_lifetime())?;
                self.next = None;
                self.replace_ca(Some(new));
            }
        }
        Ok(())
    }

    /// Makes `new` the current CA; the old one stays trusted.
    fn replace_ca(&mut self, new: Option<CertKeyPair>) {
        let old = std::mem::replace(&mut self.current, new);
        let old = old.map(|pair| pair.certificate().clone());
        self.previous.splice(0..0, old);
    }
}

/// Create (or promote), publish, renew and drop, with room to spare.
const MAX_STEPS: usize = 8;

fn read_pair(
    files: &CertFiles,
    certificate: &'static str,
    key: &'static str,
    problems: &mut Vec<StateError>,
) -> Option<CertKeyPair> {
    let (found, secret) = (files.content(certificate), files.content(key));
    if found.is_none() && secret.is_none() {
        return None;
    }
    match CertKeyPair::from_pem(found.unwrap_or_default(), secret.unwrap_or_default()) {
        Ok(pair) => Some(pair),
        Err(source) => {
            let file = match source {
                CertKeyPairError::Certificate(_) => certificate,
                CertKeyPairError::Key | CertKeyPairError::Mismatch => key,
            };
            problems.push(StateError { file, source });
            None
        }
    }
}

#[cfg(test)]
mod tests;
