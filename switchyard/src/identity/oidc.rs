//! Authenticates people by the ID token of an OpenID Connect provider.
//!
//! `discovery` fetches what the provider publishes, `verify` checks a signature and `claims` checks
//! the signed claims; the last two are pure. The client gets the same error for every invalid
//! token; the audit log has the reason.

mod claims;
mod discovery;
mod verify;

use std::path::PathBuf;

use contract::Redacted;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use claims::ExpectedClaims;
pub(super) use claims::time as check_time;
pub use claims::{ClaimError, Person};
pub(super) use discovery::ProviderClient;
pub use discovery::{OidcFetchError, OidcSetupError};
pub use verify::SignatureError;
use verify::{ALL_ALGORITHMS, verify};

use crate::repository::IdTokenRef;

/// The configuration of an identity provider.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// The client that people log in to.
    pub client_id: String,
    /// The audience of ID tokens.
    pub audience: String,
    /// The scopes that a client requests.
    pub scopes: Vec<String>,
    /// The claim with a person's name.
    pub username_claim: String,
    /// The claim with a person's groups. `None` ignores groups.
    pub groups_claim: Option<String>,
    /// The file with the CA of the issuer's certificate. The default is the system's CAs.
    pub ca_file: Option<PathBuf>,
    /// How long a session lasts.
    pub session_ttl: SignedDuration,
}

/// An identity provider, and the claims that its tokens must have.
#[derive(Debug)]
pub struct OidcProvider {
    client: ProviderClient,
    expected: ExpectedClaims,
    scopes: Vec<String>,
    session_ttl: SignedDuration,
}

/// Who logs in, with which ID token.
#[derive(Clone, Debug)]
pub struct IdentifiedPerson {
    /// The person.
    pub person: Person,
    /// The ID token.
    pub id_token: IdTokenRef,
}

/// Why a login fails.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The token is not signed by the provider.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The claims are not acceptable.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The provider's keys cannot be fetched.
    #[error("reach identity provider")]
    Unavailable(#[from] OidcFetchError),
}

impl OidcProvider {
    /// Sets up the provider. `development` allows plain HTTP on loopback.
    ///
    /// # Errors
    /// If the issuer's address or the CA is invalid.
    pub fn new(config: OidcConfig, development: bool) -> Result<Self, OidcSetupError> {
        let OidcConfig {
            issuer,
            client_id,
            audience,
            scopes,
            username_claim,
            groups_claim,
            ca_file,
            session_ttl,
        } = config;
        let client = ProviderClient::new(&issuer, ca_file.as_deref(), development)?;
        let expected = ExpectedClaims { issuer, client_id, audience, username_claim, groups_claim };
        Ok(Self { client, expected, scopes, session_ttl })
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.expected.issuer
    }

    /// The client that people log in to.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.expected.client_id
    }

    /// The scopes that a client requests.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// How long a session lasts.
    #[must_use]
    pub fn session_ttl(&self) -> SignedDuration {
        self.session_ttl
    }

    /// The person that the ID token identifies, and which token it is.
    ///
    /// # Errors
    /// If the token is not valid, or the provider's keys cannot be fetched.
    pub async fn identify(
        &self,
        token: &Redacted,
        nonce: Option<&str>,
    ) -> Result<IdentifiedPerson, LoginError> {
        let (claims, id_token) = signed_claims(&self.client, token, ALL_ALGORITHMS).await??;
        let person = self.expected.person(&claims, nonce, Timestamp::now())?;
        Ok(IdentifiedPerson { person, id_token })
    }
}

/// The claims of a token that the provider signed with one of `algorithms`, and which token it is.
/// Nothing is fetched for a token with another algorithm.
///
/// # Errors
/// If the keys cannot be fetched; and, inside, if the signature is not valid.
pub(super) async fn signed_claims(
    client: &ProviderClient,
    token: &Redacted,
    algorithms: &[Algorithm],
) -> Result<Result<(Map<String, Value>, IdTokenRef), SignatureError>, OidcFetchError> {
    let header = match verify::header(token) {
        Ok(header) if algorithms.contains(&header.alg) => header,
        Ok(_) => return Ok(Err(SignatureError::Algorithm)),
        Err(error) => return Ok(Err(error)),
    };
    let keys = client.keys(header.kid.as_deref()).await?;
    Ok(verify(token, &header, &keys).map(|claims| {
        let expires_at = claims::end(&claims);
        (claims, IdTokenRef { hash: verify::hash_of_signed(token), expires_at })
    }))
}
