//! Login on another machine, by a code that the person types there (RFC 8628).

use std::time::Duration;

use contract::Redacted;
use contract::credential::Credential;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::provider::{IdentityProvider, OAuthError, unexpected};
use crate::error::Error;
use crate::output::Output;

/// A code is not polled longer than this, whatever lifetime the provider gives it.
const MAX_LIFETIME: Duration = Duration::from_secs(1800);

/// The bounds of the interval between two polls.
const MIN_POLL_INTERVAL: Duration = Duration::from_secs(1);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// Added to the interval when the provider asks to slow down (RFC 8628, 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct DeviceCode {
    device_code: Credential,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default = "default_interval")]
    interval: u64,
}

/// In seconds: RFC 8628, 3.2.
fn default_interval() -> u64 {
    5
}

/// Lets the person log in elsewhere. Returns the ID token.
pub(super) async fn id_token(
    provider: &IdentityProvider,
    output: &Output,
) -> Result<Credential, Error> {
    let Some(endpoint) = &provider.device_authorization_endpoint else {
        return Err(Error::Usage(format!(
            "identity provider {} does not support login by code; log in without --device",
            provider.issuer
        )));
    };
    let response = provider.post(endpoint, &[("scope", &provider.scopes)]).await?;
    if !response.status().is_success() {
        let error: OAuthError = provider.read(response).await?;
        return Err(unexpected(
            &provider.issuer,
            &format!("it issued no code: {}", error.printable()),
        ));
    }
    let code: DeviceCode = provider.read(response).await?;
    // A note escapes what acts on the terminal.
    let printable = |text: &str| text.chars().take(500).collect::<String>();
    output.note(&format!(
        "log in at {} with the code {}",
        printable(&code.verification_uri),
        printable(&code.user_code)
    ));
    if let Some(complete) = &code.verification_uri_complete {
        output.note(&format!("or at {}", printable(complete)));
    }
    poll(provider, &code).await
}

async fn poll(provider: &IdentityProvider, code: &DeviceCode) -> Result<Credential, Error> {
    let end = Instant::now() + Duration::from_secs(code.expires_in).min(MAX_LIFETIME);
    let mut interval = Duration::from_secs(code.interval);
    let device_code: &Redacted = code.device_code.redacted();
    let device_code = std::str::from_utf8(device_code.expose()).unwrap_or_default();
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device_code),
    ];
    while Instant::now() < end {
        sleep(interval.clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)).await;
        let error = match provider.exchange(&fields).await {
            Ok(Ok(token)) => return Ok(token),
            Ok(Err(error)) => error,
            // The person may still be typing, so a short outage of the provider is no reason to
            // fail.
            Err(Error::Provider { .. }) => continue,
            Err(error) => return Err(error),
        };
        match error.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval = interval.saturating_add(SLOW_DOWN),
            _ => {
                return Err(unexpected(
                    &provider.issuer,
                    &format!("the login failed: {}", error.printable()),
                ));
            }
        }
    }
    Err(Error::Usage("nobody logged in with the code while it was valid".to_owned()))
}
