//! A certificate that somebody else issues: it is served if it is good, and else the last good one
//! stays.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use runtime::readiness::Gate;

use crate::bundle::TrustBundle;
use crate::cert_key_pair::{CertKeyPair, CertKeyPairError};
use crate::certificate::{Certificate, CertificateError};
use crate::resolver::CertResolver;
use crate::state::{CA_CERT, CertFiles, TLS_CERT, TLS_KEY};

/// Why files were refused. `file` is the name of the one that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedFile {
    /// A certificate or key is unreadable or does not match the other.
    CertKeyPair { file: &'static str, source: CertKeyPairError },
    /// The CA bundle is unreadable.
    Bundle { file: &'static str, source: CertificateError },
    /// The certificate is expired or not valid yet.
    NotValid { file: &'static str },
}

/// The last good certificate and CAs.
#[derive(Debug)]
pub(crate) struct Accepted {
    resolver: Arc<CertResolver>,
    bundle: watch::Sender<TrustBundle>,
    gate: Option<Gate>,
    // The last files seen, good or bad: bad ones are reported once and not every minute.
    tried: CertFiles,
    served: Option<CertKeyPair>,
}

impl Accepted {
    /// Serves nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            resolver: CertResolver::new(),
            bundle: watch::Sender::new(TrustBundle::default()),
            gate: None,
            tried: CertFiles::default(),
            served: None,
        }
    }

    /// Opens `gate` while there is a valid certificate to serve.
    pub(crate) fn set_gate(&mut self, gate: Gate) {
        self.gate = Some(gate);
    }

    pub(crate) fn resolver(&self) -> Arc<CertResolver> {
        Arc::clone(&self.resolver)
    }

    pub(crate) fn bundle(&self) -> watch::Receiver<TrustBundle> {
        self.bundle.subscribe()
    }

    /// Serves the files when they are new and good. Returns whether they were.
    pub(crate) fn offer(&mut self, files: CertFiles, now: SystemTime) -> Result<bool, RefusedFile> {
        if files == self.tried {
            return Ok(false);
        }
        let pair = check(&files, now);
        // A certificate that is not valid yet will be, so this refusal is not remembered.
        if !matches!(pair, Err(RefusedFile::NotValid { .. })) {
            self.tried = files.clone();
        }
        let pair = pair?;
        let bundle = match files.content(CA_CERT) {
            Some(text) => {
                let read = Certificate::from_pem(text);
                let read = read.map_err(|source| RefusedFile::Bundle { file: CA_CERT, source })?;
                TrustBundle::new(&read)
            }
            None => TrustBundle::default(),
        };
        self.bundle.send_if_modified(|published| {
            let differs = *published != bundle;
            *published = bundle;
            differs
        });
        self.resolver.swap(&pair).map_err(refused)?;
        self.served = Some(pair);
        self.update_readiness(now);
        Ok(true)
    }

    pub(crate) fn update_readiness(&self, now: SystemTime) {
        let Some(gate) = &self.gate else { return };
        let served = self.served.as_ref();
        if served.is_some_and(|pair| pair.certificate().validity().contains(now)) {
            gate.ready();
        } else {
            gate.not_ready();
        }
    }
}

fn check(files: &CertFiles, now: SystemTime) -> Result<CertKeyPair, RefusedFile> {
    let content = |name| files.content(name).unwrap_or_default();
    let pair = CertKeyPair::from_pem(content(TLS_CERT), content(TLS_KEY)).map_err(refused)?;
    if pair.certificate().validity().contains(now) {
        Ok(pair)
    } else {
        Err(RefusedFile::NotValid { file: TLS_CERT })
    }
}

fn refused(source: CertKeyPairError) -> RefusedFile {
    let file = match source {
        CertKeyPairError::Certificate(_) => TLS_CERT,
        CertKeyPairError::Key | CertKeyPairError::Mismatch => TLS_KEY,
    };
    RefusedFile::CertKeyPair { file, source }
}
