//! The flags of the identity provider.

use std::path::PathBuf;

use clap::Args as Group;
use jiff::SignedDuration;

use crate::access::GroupRole;
use crate::identity::OidcConfig;

/// The flags of the identity provider that people log in with.
#[derive(Debug, Clone, Group)]
pub struct OidcArgs {
    /// The OpenID Connect issuer that people log in with, as its tokens name it (https://…)
    #[arg(long, env = "ENCLII_OIDC_ISSUER", value_name = "URL", requires = "oidc_client_id")]
    pub oidc_issuer: Option<String>,
    /// The client id of `enclii login` at the issuer: a public client with PKCE
    #[arg(long, env = "ENCLII_OIDC_CLIENT_ID", value_name = "ID", requires = "oidc_issuer")]
    pub oidc_client_id: Option<String>,
    /// The audience of ID tokens [default: the client id]
    #[arg(long, env = "ENCLII_OIDC_AUDIENCE", value_name = "NAME", requires = "oidc_issuer")]
    pub oidc_audience: Option<String>,
    /// The scopes that `enclii login` requests, separated by spaces
    #[arg(
        long,
        env = "ENCLII_OIDC_SCOPES",
        value_name = "SCOPES",
        default_value = "openid email groups"
    )]
    pub oidc_scopes: String,
    /// The claim with a person's groups, an array of strings; '' ignores groups
    #[arg(long, env = "ENCLII_OIDC_GROUPS_CLAIM", value_name = "CLAIM", default_value = "groups")]
    pub oidc_groups_claim: String,
    /// The claim with a person's name in grants and the audit log; an email must be verified
    #[arg(long, env = "ENCLII_OIDC_USERNAME_CLAIM", value_name = "CLAIM", default_value = "email")]
    pub oidc_username_claim: String,
    /// The role of a group, everywhere or in a scope and everything below it, for example
    /// platform=owner or shop-devs=developer@shop; can be repeated or separated by semicolons
    #[arg(
        long = "oidc-role",
        env = "ENCLII_OIDC_ROLES",
        value_name = "GROUP=ROLE[@SCOPE]",
        value_delimiter = ';',
        requires = "oidc_issuer"
    )]
    pub oidc_roles: Vec<GroupRole>,
    /// The PEM file with the CA of the issuer's certificate [default: the system's CAs]
    #[arg(long, env = "ENCLII_OIDC_CA_FILE", value_name = "FILE", requires = "oidc_issuer")]
    pub oidc_ca_file: Option<PathBuf>,
    /// How long a person stays logged in, for example 1h or 30m; at most a day
    #[arg(long, env = "ENCLII_SESSION_TTL", value_name = "DURATION", default_value = "1h",
        value_parser = session_ttl)]
    pub session_ttl: SignedDuration,
}

impl OidcArgs {
    /// The configuration of the identity provider, if one is named.
    #[must_use]
    pub fn config(&self) -> Option<OidcConfig> {
        let (issuer, client_id) = (self.oidc_issuer.clone()?, self.oidc_client_id.clone()?);
        let groups_claim = self.oidc_groups_claim.clone();
        Some(OidcConfig {
            issuer,
            audience: self.oidc_audience.clone().unwrap_or_else(|| client_id.clone()),
            client_id,
            scopes: self.oidc_scopes.split_whitespace().map(str::to_owned).collect(),
            username_claim: self.oidc_username_claim.clone(),
            groups_claim: Some(groups_claim).filter(|claim| !claim.is_empty()),
            ca_file: self.oidc_ca_file.clone(),
            session_ttl: self.session_ttl,
        })
    }
}

/// From a minute to a day: a session keeps the groups that a person had at login.
fn session_ttl(text: &str) -> Result<SignedDuration, String> {
    let ttl = runtime::args::duration(text).map_err(|error| error.to_string())?;
    let is_valid = (SignedDuration::from_mins(1)..=SignedDuration::from_hours(24)).contains(&ttl);
    if is_valid { Ok(ttl) } else { Err("must be from 1m to 24h".to_owned()) }
}
