//! The scope that a command works on.

use clap::Args;
use contract::scope::ScopeError;
use contract::{Label, Scope, Version};
use runtime::logs::ErrorChain;

use crate::error::Error;

/// The scope that a command works on.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScopeArgs {
    /// The project.
    #[arg(long, env = "ENCLII_PROJECT", value_name = "LABEL")]
    pub(crate) project: Label,
    /// The environment; without it, the scope is the whole project.
    #[arg(long, env = "ENCLII_ENV", value_name = "LABEL")]
    pub(crate) env: Option<Label>,
    /// The service; without it, the scope is the whole environment.
    #[arg(long, env = "ENCLII_SERVICE", value_name = "LABEL")]
    pub(crate) service: Option<Label>,
}

impl ScopeArgs {
    /// The narrowest scope that the arguments name.
    pub(crate) fn scope(self) -> Result<Scope, Error> {
        Scope::new(self.project, self.env, self.service).ok_or_else(|| {
            Error::Usage(
                "--service needs --env: a service's secrets are per environment".to_owned(),
            )
        })
    }
}

/// The scope, which must be a service's: only services have bundles.
pub(crate) fn service_scope(args: ScopeArgs) -> Result<Scope, Error> {
    match args.scope()? {
        scope @ Scope::Service(..) => Ok(scope),
        scope => Err(Error::Usage(format!(
            "{scope} is not a service, and only services have bundles: give --env and --service"
        ))),
    }
}

/// Parses a scope. The message has the whole chain of causes; clap prints only the first.
pub(crate) fn parse_scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|error: ScopeError| ErrorChain(&error).to_string())
}

/// Parses a version.
pub(crate) fn parse_version(text: &str) -> Result<Version, String> {
    let number: u64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    Version::try_from(number).map_err(|error| error.to_string())
}
