//! The identity provider: its endpoints and its responses.

use std::path::Path;
use std::time::Duration;

use contract::api::Login;
use contract::credential::Credential;
use contract::text::escape;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use runtime::http_client::{HttpClientBuilder, is_https_or_loopback};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::client::USER_AGENT;
use crate::connect_failure::classify;
use crate::error::Error;

/// From a request to the end of its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A provider, and the OAuth client that people log in to.
pub(super) struct IdentityProvider {
    http: Client,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) scopes: String,
    pub(super) authorization_endpoint: Url,
    pub(super) device_authorization_endpoint: Option<Url>,
    token_endpoint: Url,
}

#[derive(Deserialize)]
struct DiscoveryDocument {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
}

#[derive(Deserialize)]
struct TokenResponse {
    id_token: Option<Credential>,
}

/// The response to a token request that did not succeed, or not yet (RFC 6749, 5.2).
#[derive(Debug, Deserialize)]
pub(super) struct OAuthError {
    pub(super) error: String,
    #[serde(default)]
    pub(super) error_description: String,
}

impl OAuthError {
    /// The error, cut to a length, in which no character acts on the terminal.
    pub(super) fn printable(&self) -> String {
        let text = format!("{} {}", self.error, self.error_description);
        let text: String = text.trim().chars().take(300).collect();
        escape(&text).into_owned()
    }
}

impl IdentityProvider {
    /// Reads the discovery document of the issuer (OpenID Connect Discovery 1.0, 4).
    pub(super) async fn discover(login: &Login, ca: Option<&Path>) -> Result<Self, Error> {
        // Every URL is checked by `secure_url`.
        let http = HttpClientBuilder::new(USER_AGENT)
            .ca_file(ca)?
            .environment_proxy()
            .allow_http(true)
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        let url =
            format!("{}/.well-known/openid-configuration", login.issuer.trim_end_matches('/'));
        let url = secure_url(&url)?;
        let response =
            http.get(url).send().await.map_err(|error| unreachable(&login.issuer, &error))?;
        let found: DiscoveryDocument = read(&login.issuer, response).await?;
        if found.issuer != login.issuer {
            return Err(unexpected(&login.issuer, "its discovery document names another issuer"));
        }
        let DiscoveryDocument {
            issuer,
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
        } = found;
        let (authorization_endpoint, token_endpoint) =
            (secure_url(&authorization_endpoint)?, secure_url(&token_endpoint)?);
        let device_authorization_endpoint =
            device_authorization_endpoint.as_deref().map(secure_url).transpose()?;
        let (client_id, scopes) = (login.client_id.clone(), login.scopes.join(" "));
        Ok(Self {
            http,
            issuer,
            client_id,
            scopes,
            authorization_endpoint,
            device_authorization_endpoint,
            token_endpoint,
        })
    }

    /// Posts a form. Returns the response whatever its status.
    pub(super) async fn post(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Response, Error> {
        let body = Serializer::new(String::new())
            .append_pair("client_id", &self.client_id)
            .extend_pairs(fields)
            .finish();
        let request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        request.send().await.map_err(|error| unreachable(&self.issuer, &error))
    }

    /// Exchanges a grant for an ID token, or for the provider's refusal.
    pub(super) async fn exchange(
        &self,
        fields: &[(&str, &str)],
    ) -> Result<Result<Credential, OAuthError>, Error> {
        let response = self.post(&self.token_endpoint, fields).await?;
        if !response.status().is_success() {
            return Ok(Err(self.read(response).await?));
        }
        let tokens: TokenResponse = self.read(response).await?;
        tokens.id_token.map(Ok).ok_or_else(|| {
            unexpected(&self.issuer, "its response has no ID token; do the scopes include openid?")
        })
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        read(&self.issuer, response).await
    }
}

async fn read<T: DeserializeOwned>(issuer: &str, response: Response) -> Result<T, Error> {
    let status = response.status();
    let body = response.bytes().await.map_err(|error| unreachable(issuer, &error))?;
    // The body may hold tokens, so the parser's message is not repeated.
    serde_json::from_slice(&body)
        .map_err(|_| unexpected(issuer, &format!("its response with status {status} is not valid")))
}

pub(super) fn unexpected(issuer: &str, reason: &str) -> Error {
    Error::Response { address: format!("identity provider {issuer}"), reason: reason.to_owned() }
}

fn unreachable(issuer: &str, error: &reqwest::Error) -> Error {
    Error::Provider { issuer: issuer.to_owned(), reason: classify(error).reason }
}

/// Parses a URL that codes and tokens may be sent to: over TLS, or on this machine.
fn secure_url(text: &str) -> Result<Url, Error> {
    let url: Option<Url> = text.parse().ok().filter(is_https_or_loopback);
    url.ok_or_else(|| {
        let shown: String = text.chars().take(200).collect();
        Error::Usage(format!(
            "the identity provider's address {shown:?} must start with https://, since codes and \
             tokens travel over it"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_https_or_loopback() {
        for (url, expected) in [
            ("https://login.example.com/token", true),
            ("http://127.0.0.1:3000/token", true),
            ("http://localhost/token", true),
            ("http://login.example.com/token", false),
            ("http://localhost.example.com/token", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(secure_url(url).is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn a_providers_error_cannot_act_on_the_terminal() {
        let error = OAuthError {
            error: "access_denied".into(),
            error_description: "\u{1b}[2Jno\r\n".into(),
        };
        assert_eq!(error.printable(), "access_denied \\u{1b}[2Jno");
    }
}
