//! Which identity provider people log in with.

use std::path::PathBuf;

use clap::Args as Group;
use jiff::SignedDuration;

use crate::access::GroupRole;

/// The flags of people's logins.
#[derive(Debug, Clone, Group)]
pub struct OidcArgs {
    /// The OpenID Connect issuer that people log in with, as its tokens name it (https://…)
    #[arg(long, env = "ENCLII_OIDC_ISSUER", value_name = "URL", requires = "oidc_client_id")]
    pub oidc_issuer: Option<String>,
    /// The client that `enclii login` is registered as at the issuer: a public one, with PKCE
    #[arg(long, env = "ENCLII_OIDC_CLIENT_ID", value_name = "ID", requires = "oidc_issuer")]
    pub oidc_client_id: Option<String>,
    /// Whom ID tokens must be for [default: the client]
    #[arg(long, env = "ENCLII_OIDC_AUDIENCE", value_name = "NAME", requires = "oidc_issuer")]
    pub oidc_audience: Option<String>,
    /// The scopes that `enclii login` asks for, separated by spaces
    #[arg(
        long,
        env = "ENCLII_OIDC_SCOPES",
        value_name = "SCOPES",
        default_value = "openid email groups"
    )]
    pub oidc_scopes: String,
    /// The claim with a person's groups, an array of texts; '' where groups play no part
    #[arg(long, env = "ENCLII_OIDC_GROUPS_CLAIM", value_name = "CLAIM", default_value = "groups")]
    pub oidc_groups_claim: String,
    /// The claim with a person's name, for grants and the audit trail; an email must be verified
    #[arg(long, env = "ENCLII_OIDC_USERNAME_CLAIM", value_name = "CLAIM", default_value = "email")]
    pub oidc_username_claim: String,
    /// The role of a group, everywhere or in a scope and below, as in platform=owner or
    /// shop-devs=developer@shop; several times, or separated by semicolons
    #[arg(
        long = "oidc-role",
        env = "ENCLII_OIDC_ROLES",
        value_name = "GROUP=ROLE[@SCOPE]",
        value_delimiter = ';',
        requires = "oidc_issuer"
    )]
    pub oidc_roles: Vec<GroupRole>,
    /// The file with the CA that signed the issuer's certificate, PEM [default: the system's CAs]
    #[arg(long, env = "ENCLII_OIDC_CA_FILE", value_name = "FILE", requires = "oidc_issuer")]
    pub oidc_ca_file: Option<PathBuf>,
    /// How long a person stays logged in, as in 1h or 30m; at most a day
    #[arg(long, env = "ENCLII_SESSION_TTL", value_name = "DURATION", default_value = "1h", value_parser = session)]
    pub session_ttl: SignedDuration,
}

/// From a minute to a day: a session keeps the groups that a person had at the login.
fn session(text: &str) -> Result<SignedDuration, String> {
    let ttl = super::span(text).map_err(|error| error.to_string())?;
    let fits = (SignedDuration::from_mins(1)..=SignedDuration::from_hours(24)).contains(&ttl);
    if fits { Ok(ttl) } else { Err("must be from 1m to 24h".to_owned()) }
}
