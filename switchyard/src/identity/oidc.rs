//! People, by the ID token of an OpenID Connect provider.
//!
//! `document` fetches what the provider publishes, `verify` checks a signature and `claims` what is
//! signed; the last two are pure. A token is refused with one and the same sentence, whatever is
//! wrong with it; the audit trail says which check it was.

mod claims;
mod document;
mod verify;

use std::path::PathBuf;

use contract::Redacted;
use jiff::{SignedDuration, Timestamp};

use crate::args::OidcArgs;
use claims::Expected;
pub use claims::{Claim, Person};
use document::Provider;
pub use document::{FetchError, SetupError};
pub use verify::Unverified;
use verify::verify;

/// The provider, and what its tokens must say.
#[derive(Debug)]
pub struct Oidc {
    provider: Provider,
    expected: Expected,
    scopes: Vec<String>,
    session: SignedDuration,
}

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The token's signature proves nothing.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// What is signed is not what we ask for.
    #[error(transparent)]
    Claim(#[from] Claim),
    /// The provider's keys could not be had.
    #[error("reach identity provider")]
    Unavailable(#[from] FetchError),
}

/// What `args` say, where they name a provider; `development` lets it be plain HTTP on loopback.
///
/// # Errors
/// Where the address or the CA cannot be used.
pub fn oidc(args: &OidcArgs, development: bool) -> Result<Option<Oidc>, SetupError> {
    let (Some(issuer), Some(client)) = (&args.oidc_issuer, &args.oidc_client_id) else {
        return Ok(None);
    };
    let ca: Option<&PathBuf> = args.oidc_ca_file.as_ref();
    let expected = Expected {
        issuer: issuer.clone(),
        client: client.clone(),
        audience: args.oidc_audience.clone().unwrap_or_else(|| client.clone()),
        username: args.oidc_username_claim.clone(),
        groups: (!args.oidc_groups_claim.is_empty()).then(|| args.oidc_groups_claim.clone()),
    };
    let scopes = args.oidc_scopes.split_whitespace().map(str::to_owned).collect();
    Ok(Some(Oidc {
        provider: Provider::new(issuer, ca.map(PathBuf::as_path), development)?,
        expected,
        scopes,
        session: args.session_ttl,
    }))
}

impl Oidc {
    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.expected.issuer
    }

    /// The client that people log in to.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.expected.client
    }

    /// What a client asks the provider for.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// How long a session lasts.
    #[must_use]
    pub fn session(&self) -> SignedDuration {
        self.session
    }

    /// Whose ID token this is.
    ///
    /// # Errors
    /// Where it is not valid, or the provider's keys cannot be had.
    pub async fn identify(
        &self,
        token: &Redacted,
        nonce: Option<&str>,
    ) -> Result<Person, LoginError> {
        let header = verify::header(token)?;
        let keys = self.provider.keys(header.kid.as_deref()).await?;
        let signed = verify(token, &header, &keys)?;
        Ok(self.expected.person(&signed, nonce, Timestamp::now())?)
    }
}
