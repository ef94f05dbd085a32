//! The identity provider: where its endpoints are, and what it answers.

use std::path::Path;
use std::time::Duration;

use contract::api::Login;
use contract::credential::Credential;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, redirect};
use runtime::logs::ErrorChain;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;
use url::{Host, Url};

use crate::client::trusting;
use crate::error::Error;

/// From a request to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A provider, and the client that people log in to.
pub(super) struct Provider {
    http: Client,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) scopes: String,
    pub(super) authorization_endpoint: Url,
    pub(super) device_authorization_endpoint: Option<Url>,
    token_endpoint: Url,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<Credential>,
}

/// The answer to a grant that is not, or not yet, an ID token (RFC 6749, 5.2).
#[derive(Debug, Deserialize)]
pub(super) struct OAuthError {
    pub(super) error: String,
    #[serde(default)]
    pub(super) error_description: String,
}

impl OAuthError {
    /// The error in words that a terminal does not act on.
    pub(super) fn words(&self) -> String {
        let text = format!("{} {}", self.error, self.error_description);
        text.trim().chars().filter(|it| !it.is_control()).take(300).collect()
    }
}

impl Provider {
    /// What the issuer publishes about itself.
    pub(super) async fn discover(how: &Login, ca: Option<&Path>) -> Result<Self, Error> {
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent(concat!("enclii/", env!("CARGO_PKG_VERSION")));
        let builder = match ca {
            Some(path) => builder.tls_backend_preconfigured(trusting(path)?),
            None => builder,
        };
        let http = builder.build().map_err(|error| Error::Start(ErrorChain(&error).to_string()))?;
        let url = format!("{}/.well-known/openid-configuration", how.issuer.trim_end_matches('/'));
        let url = safe(&url)?;
        let answer =
            http.get(url).send().await.map_err(|error| unreachable(&how.issuer, &error))?;
        let found: Discovery = read(&how.issuer, answer).await?;
        if found.issuer != how.issuer {
            return Err(unexpected(&how.issuer, "its discovery document is of another issuer"));
        }
        let Discovery {
            issuer,
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
        } = found;
        let (authorization_endpoint, token_endpoint) =
            (safe(&authorization_endpoint)?, safe(&token_endpoint)?);
        let device_authorization_endpoint =
            device_authorization_endpoint.as_deref().map(safe).transpose()?;
        let (client_id, scopes) = (how.client_id.clone(), how.scopes.join(" "));
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

    /// Sends a form; the answer, whatever its status.
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

    /// The ID token for a grant, or the provider's refusal.
    pub(super) async fn exchange(
        &self,
        fields: &[(&str, &str)],
    ) -> Result<Result<Credential, OAuthError>, Error> {
        let answer = self.post(&self.token_endpoint, fields).await?;
        if !answer.status().is_success() {
            return Ok(Err(self.read(answer).await?));
        }
        let tokens: Tokens = self.read(answer).await?;
        tokens.id_token.map(Ok).ok_or_else(|| {
            unexpected(
                &self.issuer,
                "there is no ID token in its answer; does the scope have openid?",
            )
        })
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, Error> {
        read(&self.issuer, answer).await
    }
}

async fn read<T: DeserializeOwned>(issuer: &str, answer: Response) -> Result<T, Error> {
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| unreachable(issuer, &error))?;
    // The body may have tokens in it, so a parser's words are not repeated.
    serde_json::from_slice(&body).map_err(|_| {
        unexpected(issuer, &format!("its answer with status {status} is not of the form"))
    })
}

pub(super) fn unexpected(issuer: &str, reason: &str) -> Error {
    Error::Answer { address: format!("identity provider {issuer}"), reason: reason.to_owned() }
}

fn unreachable(issuer: &str, error: &reqwest::Error) -> Error {
    Error::Provider { issuer: issuer.to_owned(), reason: ErrorChain(error).to_string() }
}

/// An address to which codes and tokens travel over TLS, or that is on this machine.
fn safe(text: &str) -> Result<Url, Error> {
    let url: Option<Url> = text.parse().ok().filter(|url: &Url| {
        let loopback = match url.host() {
            Some(Host::Ipv4(it)) => it.is_loopback(),
            Some(Host::Ipv6(it)) => it.is_loopback(),
            Some(Host::Domain(it)) => it == "localhost",
            None => return false,
        };
        url.scheme() == "https" || (url.scheme() == "http" && loopback)
    });
    url.ok_or_else(|| {
        let shown: String = text.chars().filter(|it| !it.is_control()).take(200).collect();
        Error::Usage(format!("the identity provider's address {shown:?} is not https://, and codes and tokens travel over it"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_or_loopback() {
        for (url, expected) in [
            ("https://login.example.com/token", true),
            ("http://127.0.0.1:3000/token", true),
            ("http://localhost/token", true),
            ("http://login.example.com/token", false),
            ("http://localhost.example.com/token", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(safe(url).is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn a_providers_words_do_not_steer_the_terminal() {
        let error = OAuthError {
            error: "access_denied".into(),
            error_description: "\u{1b}[2Jno\r\n".into(),
        };
        assert_eq!(error.words(), "access_denied [2Jno");
    }
}
