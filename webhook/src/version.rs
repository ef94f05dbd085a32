//! Checks the API server's version: native sidecars need Kubernetes 1.29.

use std::time::Duration;

use kube::Client;
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio_util::sync::CancellationToken;

/// The first minor version of Kubernetes 1 with native sidecars enabled by default.
const MIN_MINOR: u32 = 29;

/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an API server that is too old is checked again, as it may be upgraded.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The version is too old, or unknown.
#[derive(Debug, thiserror::Error)]
enum VersionError {
    #[error("get the API server's version")]
    Request(#[source] kube::Error),
    #[error("get the API server's version: no response after {REQUEST_TIMEOUT:?}")]
    Timeout,
    #[error(
        "check the API server's version: {major}.{minor} has no native sidecars; upgrade the \
            cluster to \
         1.{MIN_MINOR} or newer"
    )]
    TooOld { major: String, minor: String },
}

/// Opens `gate` when the API server is new enough.
pub(crate) async fn check(client: Client, gate: Gate, stop: CancellationToken) {
    let until_supported = async {
        let mut delays = Backoff::NETWORK.delays();
        loop {
            match check_once(&client).await {
                Ok(()) => return gate.ready(),
                Err(error @ VersionError::TooOld { .. }) => {
                    tracing::error!(error = %ErrorChain(&error), "not ready");
                    tokio::time::sleep(RECHECK_INTERVAL).await;
                }
                Err(error) => {
                    let delay = delays.next_delay();
                    let failures = delays.failures();
                    tracing::warn!(error = %ErrorChain(&error), failures, "not ready yet");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    };
    let _ = stop.run_until_cancelled(until_supported).await;
}

async fn check_once(client: &Client) -> Result<(), VersionError> {
    let response = tokio::time::timeout(REQUEST_TIMEOUT, client.apiserver_version()).await;
    let info = response.map_err(|_| VersionError::Timeout)?.map_err(VersionError::Request)?;
    if is_supported(&info.major, &info.minor) {
        Ok(())
    } else {
        Err(VersionError::TooOld { major: info.major, minor: info.minor })
    }
}

/// Some vendors append to the minor version, as in `29+`.
fn is_supported(major: &str, minor: &str) -> bool {
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>();
    match (number(major), number(minor)) {
        (Ok(1), Ok(minor)) => minor >= MIN_MINOR,
        (Ok(major), Ok(_)) => major > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_1_29_are_supported() {
        for (major, minor, expected) in [
            ("1", "28", false),
            ("1", "28+", false),
            ("1", "29", true),
            ("1", "34+", true),
            ("1", "29-gke.1", false),
            ("2", "0", true),
            ("", "", false),
            ("1", "x", false),
        ] {
            assert_eq!(is_supported(major, minor), expected, "{major}.{minor}");
        }
    }
}
