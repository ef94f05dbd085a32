//! The CA that agents trust from the file `ca.crt` in a directory, for a machine without a cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use certs::certificate::CertificateError;
use runtime::watch::{Depth, DirectoryWatch};
use tokio_util::sync::CancellationToken;

use super::{KEY, parse_trust};
use crate::poll::{POLL_INTERVALS, WarnOnChange};
use crate::state::WebhookState;

#[derive(Debug, thiserror::Error)]
enum TrustFileError {
    #[error("read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("use {path}")]
    Form { path: PathBuf, source: CertificateError },
}

/// Follows the directory until `stop` is cancelled.
pub async fn run(directory: PathBuf, state: WebhookState, stop: CancellationToken) {
    let follow = async {
        let (mut current, mut warnings) = (String::new(), WarnOnChange::default());
        loop {
            let watch = DirectoryWatch::new(&directory, Depth::Tree, POLL_INTERVALS);
            match read(&directory) {
                Ok(pem) if pem == current => {}
                Ok(pem) => {
                    state.set_trust(pem.clone());
                    let directory = directory.display();
                    tracing::info!(%directory, "the CA that agents trust loaded");
                    current = pem;
                }
                Err(error) => warnings.warn("waiting for the CA that agents trust", &error),
            }
            watch.changed().await;
        }
    };
    let _ = stop.run_until_cancelled(follow).await;
}

fn read(directory: &Path) -> Result<String, TrustFileError> {
    let path = directory.join(KEY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(TrustFileError::Read { path, source }),
    };
    parse_trust(&text).map_err(|source| TrustFileError::Form { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_a_broken_file_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(directory.path()), Err(TrustFileError::Read { .. })));
        #[expect(clippy::disallowed_methods, reason = "a test's input")]
        fs::write(directory.path().join(KEY), "").unwrap();
        assert!(matches!(read(directory.path()), Err(TrustFileError::Form { .. })));
    }
}
