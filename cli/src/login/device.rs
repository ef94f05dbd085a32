//! A login on another machine: a code that the person types there (RFC 8628).

use std::time::Duration;

use contract::Redacted;
use contract::credential::Credential;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::provider::{OAuthError, Provider, unexpected};
use crate::error::Error;
use crate::output::Output;

/// How long a code may be good, whatever the provider says.
const LONGEST: u64 = 1800;

/// The least and the most that we wait between two questions, in seconds.
const PACE: std::ops::RangeInclusive<u64> = 1..=60;

#[derive(Deserialize)]
struct Code {
    device_code: Credential,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default = "usual_interval")]
    interval: u64,
}

fn usual_interval() -> u64 {
    5
}

/// Has the person log in somewhere else. The ID token.
pub(super) async fn id_token(provider: &Provider, output: &Output) -> Result<Credential, Error> {
    let Some(endpoint) = &provider.device_authorization_endpoint else {
        return Err(Error::Usage(format!(
            "identity provider {} has no login by code; log in without --device",
            provider.issuer
        )));
    };
    let answer = provider.post(endpoint, &[("scope", &provider.scopes)]).await?;
    if !answer.status().is_success() {
        let error: OAuthError = provider.read(answer).await?;
        return Err(unexpected(&provider.issuer, &format!("it gives no code: {}", error.words())));
    }
    let code: Code = provider.read(answer).await?;
    let shown =
        |text: &str| text.chars().filter(|it| !it.is_control()).take(500).collect::<String>();
    output.note(&format!(
        "log in at {} with the code {}",
        shown(&code.verification_uri),
        shown(&code.user_code)
    ));
    if let Some(complete) = &code.verification_uri_complete {
        output.note(&format!("or at {}", shown(complete)));
    }
    poll(provider, &code).await
}

async fn poll(provider: &Provider, code: &Code) -> Result<Credential, Error> {
    let end = Instant::now() + Duration::from_secs(code.expires_in.min(LONGEST));
    let mut interval = code.interval;
    let device_code: &Redacted = code.device_code.redacted();
    let device_code = std::str::from_utf8(device_code.expose()).unwrap_or_default();
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device_code),
    ];
    while Instant::now() < end {
        sleep(Duration::from_secs(interval.clamp(*PACE.start(), *PACE.end()))).await;
        let error = match provider.exchange(&fields).await {
            Ok(Ok(token)) => return Ok(token),
            Ok(Err(error)) => error,
            // The person may be typing still; a provider that is away for a moment is asked again.
            Err(Error::Provider { .. }) => continue,
            Err(error) => return Err(error),
        };
        match error.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += 5,
            _ => {
                return Err(unexpected(
                    &provider.issuer,
                    &format!("the login failed: {}", error.words()),
                ));
            }
        }
    }
    Err(Error::Usage("nobody logged in with the code while it was valid".to_owned()))
}
