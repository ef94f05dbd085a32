//! Switchyard's CA, which every agent is told to trust: `ca.crt` in a directory, as kubelet mounts
//! the ConfigMap that switchyard publishes. A file that is no certificate is refused and the last
//! good stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use certs::certificate::{Certificate, CertificateError};
use runtime::readiness::Gate;
use tokio_util::sync::CancellationToken;

use crate::watch::{Said, watch};
use crate::world::Known;

const FILE: &str = "ca.crt";

/// Why the file was not taken.
#[derive(Debug, thiserror::Error)]
enum TrustError {
    #[error("read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("use {path}")]
    Form { path: PathBuf, source: CertificateError },
    #[error("use {path}: no certificate in it yet")]
    Empty { path: PathBuf },
}

/// Follows the directory until `stop` is cancelled; opens `gate` when the file was taken.
pub async fn run(directory: PathBuf, known: Known, gate: Gate, stop: CancellationToken) {
    let follow = async {
        let (mut last, mut said) = (String::new(), Said::default());
        loop {
            let watch = watch(&directory);
            match read(&directory) {
                Ok(pem) if pem == last => {}
                Ok(pem) => {
                    known.trust(&pem);
                    gate.ready();
                    tracing::info!(directory = %directory.display(), "switchyard's CA taken");
                    last = pem;
                }
                Err(error) => said.warn("waiting for switchyard's CA", &error),
            }
            watch.changed().await;
        }
    };
    let _ = stop.run_until_cancelled(follow).await;
}

fn read(directory: &Path) -> Result<String, TrustError> {
    let path = directory.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(TrustError::Read { path, source }),
    };
    match Certificate::from_pem(text.as_bytes()) {
        Ok(certificates) if certificates.is_empty() => Err(TrustError::Empty { path }),
        // Written anew, so that only certificates come into a pod, whatever else the file holds.
        Ok(certificates) => Ok(certificates.iter().map(Certificate::pem).collect()),
        Err(source) => Err(TrustError::Form { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's input")]
    fn write(directory: &Path, text: &str) {
        fs::write(directory.join(FILE), text).unwrap();
    }

    #[test]
    fn only_certificates_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(directory.path()), Err(TrustError::Read { .. })));
        write(directory.path(), "");
        assert!(matches!(
            read(directory.path()),
            Err(TrustError::Empty { .. } | TrustError::Form { .. })
        ));
        let pem = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        write(directory.path(), &format!("a note\n{pem}\nanother\n"));
        let read = read(directory.path()).unwrap();
        assert!(
            read.starts_with("-----BEGIN CERTIFICATE-----") && !read.contains("note"),
            "{read}"
        );
        write(directory.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(matches!(super::read(directory.path()), Err(TrustError::Form { .. })));
    }
}
