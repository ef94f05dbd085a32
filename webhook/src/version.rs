//! Follows the API server's version: where the agent is in a pod, and what else it may hold,
//! depends on it. No review waits for it.

use std::time::Duration;

use injection::KubernetesVersion;
use kube::Client;
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio_util::sync::CancellationToken;

use crate::state::WebhookState;

/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an API server that is too old is asked again, as it may be upgraded.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How often a known version is asked for again: clusters are upgraded while the webhook runs, and
/// may be put back.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(300);

/// The version is too old, or unknown.
#[derive(Debug, thiserror::Error)]
enum VersionError {
    #[error("get the API server's version")]
    Request(#[source] kube::Error),
    #[error("get the API server's version: no response after {REQUEST_TIMEOUT:?}")]
    Timeout,
    #[error("read the API server's version: {major:?}.{minor:?} is no version")]
    Form { major: String, minor: String },
    #[error(
        "check the API server's version: {0} has no match conditions, so it would ask about every \
         pod; upgrade the cluster to {needed} or newer",
        needed = KubernetesVersion::MATCH_CONDITIONS
    )]
    TooOld(KubernetesVersion),
}

/// Opens `gate` when the API server is new enough, and keeps the version of `state`. `refresh` is
/// [`REFRESH_INTERVAL`], except in tests.
pub async fn follow(
    client: Client,
    gate: Gate,
    state: Option<WebhookState>,
    refresh: Duration,
    stop: CancellationToken,
) {
    let follow = async {
        let mut delays = Backoff::NETWORK.delays();
        let mut known = None;
        loop {
            let delay = match get(&client).await {
                Ok(version) => {
                    if known != Some(version) {
                        known = Some(version);
                        tracing::info!(kubernetes = %version, "version of the API server");
                    }
                    // The state first: who sees the gate open sees the version.
                    if let Some(state) = &state {
                        state.set_kubernetes(known);
                    }
                    gate.ready();
                    delays = Backoff::NETWORK.delays();
                    refresh
                }
                Err(error @ VersionError::TooOld(_)) => {
                    tracing::error!(error = %ErrorChain(&error), "version of the API server");
                    RECHECK_INTERVAL
                }
                Err(error) => {
                    let delay = delays.next_delay();
                    let failures = delays.failures();
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        failures,
                        "version of the API server not known, the last one stays"
                    );
                    delay
                }
            };
            tokio::time::sleep(delay).await;
        }
    };
    let _ = stop.run_until_cancelled(follow).await;
}

async fn get(client: &Client) -> Result<KubernetesVersion, VersionError> {
    let response = tokio::time::timeout(REQUEST_TIMEOUT, client.apiserver_version()).await;
    let info = response.map_err(|_| VersionError::Timeout)?.map_err(VersionError::Request)?;
    supported(&info.major, &info.minor)
}

fn supported(major: &str, minor: &str) -> Result<KubernetesVersion, VersionError> {
    let form = || VersionError::Form { major: major.to_owned(), minor: minor.to_owned() };
    let version = KubernetesVersion::from_parts(major, minor).ok_or_else(form)?;
    if version < KubernetesVersion::MATCH_CONDITIONS {
        return Err(VersionError::TooOld(version));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_1_28_are_supported() {
        for (major, minor, expected) in [
            ("1", "27", "check the API server's version: 1.27 has no match conditions"),
            ("1", "27+", "check the API server's version: 1.27 has no match conditions"),
            ("1", "28", ""),
            ("1", "29", ""),
            ("1", "34+", ""),
            ("2", "0", ""),
            ("1", "29-gke.1", "read the API server's version"),
            ("", "", "read the API server's version"),
            ("1", "x", "read the API server's version"),
        ] {
            let error = supported(major, minor).err().map(|it| it.to_string()).unwrap_or_default();
            assert!(error.starts_with(expected), "{major}.{minor}: {error}");
            assert_eq!(error.is_empty(), expected.is_empty(), "{major}.{minor}: {error}");
        }
    }
}
