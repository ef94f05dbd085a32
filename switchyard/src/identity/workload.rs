//! Authenticates jobs of CI systems by the ID token that the system gives to a job.
//!
//! The operator's file names the issuers, and rules that decide by the claims which roles a job
//! gets. `config` reads the file, `issuer` decides about claims (pure); keys are fetched and
//! signatures are checked as those of people. The client gets the same error for every token that
//! gives nothing; the audit log has the reason.

mod config;
mod issuer;
mod job;
mod owner;
mod pattern;
mod rule;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::Redacted;
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

pub use config::{PeopleIssuer, WorkloadConfigError, read_workload_issuers};
pub use issuer::{Job, JobError, RuleSummary, TrustedIssuer};
pub use rule::WorkloadRole;

use super::oidc::{OidcFetchError, OidcSetupError, ProviderClient, SignatureError, signed_claims};
use crate::repository::IdTokenRef;

/// What the known systems sign with.
const ALGORITHMS: &[Algorithm] = &[Algorithm::RS256, Algorithm::ES256];

/// The trusted issuers.
#[derive(Debug, Default)]
pub struct WorkloadIssuers(Vec<(TrustedIssuer, ProviderClient)>);

/// A job that logs in, with which ID token.
#[derive(Clone, Debug)]
pub struct IdentifiedJob {
    /// The job.
    pub job: Job,
    /// The ID token.
    pub id_token: IdTokenRef,
}

/// Why a job cannot log in.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The token names no trusted issuer.
    #[error("the ID token is of no issuer of --workload-issuers")]
    UnknownIssuer,
    /// The token is not signed by the issuer.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The claims give nothing.
    #[error("issuer {issuer}: {source}")]
    Job {
        /// The name of the issuer.
        issuer: String,
        /// What is wrong with the claims.
        source: JobError,
    },
    /// The issuer's keys cannot be fetched.
    #[error("reach issuer {issuer}")]
    Unavailable {
        /// The name of the issuer.
        issuer: String,
        /// The error.
        source: OidcFetchError,
    },
}

impl WorkloadIssuers {
    /// Sets up the issuers. `development` allows plain HTTP on loopback.
    ///
    /// # Errors
    /// If the address of an issuer or its CA is invalid.
    pub fn new(issuers: Vec<TrustedIssuer>, development: bool) -> Result<Self, OidcSetupError> {
        let with_client = |it: TrustedIssuer| {
            let client = ProviderClient::new(&it.issuer, it.ca_file.as_deref(), development)?;
            Ok((it, client))
        };
        Ok(Self(issuers.into_iter().map(with_client).collect::<Result<_, _>>()?))
    }

    /// Whether there are none, so that no job can log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The job that the ID token identifies.
    ///
    /// # Errors
    /// If the token is not valid, fulfils no rule, or the issuer's keys cannot be fetched.
    pub async fn identify(&self, token: &Redacted) -> Result<IdentifiedJob, WorkloadError> {
        let named = unverified_issuer(token).ok_or(SignatureError::Malformed)?;
        let (issuer, client) =
            self.0.iter().find(|(it, _)| it.issuer == named).ok_or(WorkloadError::UnknownIssuer)?;
        let name = || issuer.name.clone();
        let signed = signed_claims(client, token, ALGORITHMS).await;
        let signed =
            signed.map_err(|source| WorkloadError::Unavailable { issuer: name(), source })?;
        let (claims, id_token) = signed?;
        let job = issuer
            .job(&claims, Timestamp::now())
            .map_err(|source| WorkloadError::Job { issuer: name(), source })?;
        Ok(IdentifiedJob { job, id_token })
    }
}

/// The issuer that a token names before anything is verified: it only says whose keys to try.
fn unverified_issuer(token: &Redacted) -> Option<String> {
    #[derive(Deserialize)]
    struct IssuerClaim {
        iss: String,
    }
    let claims = token.expose().split(|byte| *byte == b'.').nth(1)?;
    let claims = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
    serde_json::from_slice(&claims).ok().map(|IssuerClaim { iss }| iss)
}
