//! Whether the API server is new enough: a sidecar among the init containers needs Kubernetes 1.29.

use std::time::Duration;

use kube::Client;
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio_util::sync::CancellationToken;

/// The first minor version of Kubernetes 1 that knows native sidecars by default.
const LEAST_MINOR: u32 = 29;

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// An API server that is too old is asked again after this time: it may be in an upgrade.
const AGAIN: Duration = Duration::from_secs(60);

/// Why the version is not good enough, or not known.
#[derive(Debug, thiserror::Error)]
enum VersionError {
    #[error("ask the API server for its version")]
    Ask(#[source] kube::Error),
    #[error("ask the API server for its version: no answer after {DEADLINE:?}")]
    Deadline,
    #[error(
        "check the API server's version: {major}.{minor} is older than 1.{LEAST_MINOR}, which has no native sidecars; upgrade the cluster"
    )]
    TooOld { major: String, minor: String },
}

/// Opens `gate` when the API server is new enough.
pub(crate) async fn check(client: Client, gate: Gate, stop: CancellationToken) {
    let until_known = async {
        let mut failures = 0;
        loop {
            match ask(&client).await {
                Ok(()) => return gate.ready(),
                Err(error @ VersionError::TooOld { .. }) => {
                    tracing::error!(error = %ErrorChain(&error), "not ready");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), failures, "not ready yet");
                    tokio::time::sleep(Backoff::NETWORK.delay(failures, random())).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    };
    let _ = stop.run_until_cancelled(until_known).await;
}

async fn ask(client: &Client) -> Result<(), VersionError> {
    let answer = tokio::time::timeout(DEADLINE, client.apiserver_version()).await;
    let info = answer.map_err(|_| VersionError::Deadline)?.map_err(VersionError::Ask)?;
    if is_enough(&info.major, &info.minor) {
        Ok(())
    } else {
        Err(VersionError::TooOld { major: info.major, minor: info.minor })
    }
}

/// Some vendors write `29+`.
fn is_enough(major: &str, minor: &str) -> bool {
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>();
    match (number(major), number(minor)) {
        (Ok(1), Ok(minor)) => minor >= LEAST_MINOR,
        (Ok(major), Ok(_)) => major > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (major, minor, enough) in [
            ("1", "28", false),
            ("1", "28+", false),
            ("1", "29", true),
            ("1", "34+", true),
            ("1", "29-gke.1", false),
            ("2", "0", true),
            ("", "", false),
            ("1", "x", false),
        ] {
            assert_eq!(is_enough(major, minor), enough, "{major}.{minor}");
        }
    }
}
