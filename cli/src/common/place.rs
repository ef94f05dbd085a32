//! Which scope a command is about.

use clap::Args;
use contract::{Label, Scope, SecretName, Version};

use crate::error::Error;

/// Which scope a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct Where {
    /// The project.
    #[arg(long, env = "ENCLII_PROJECT", value_name = "LABEL", value_parser = label)]
    pub(crate) project: Label,
    /// The environment; without it the whole project is meant.
    #[arg(long, env = "ENCLII_ENV", value_name = "LABEL", value_parser = label)]
    pub(crate) env: Option<Label>,
    /// The service; without it the whole environment is meant.
    #[arg(long, env = "ENCLII_SERVICE", value_name = "LABEL", value_parser = label)]
    pub(crate) service: Option<Label>,
}

impl Where {
    /// The narrowest scope that the words name.
    pub(crate) fn scope(self) -> Result<Scope, Error> {
        Scope::new(self.project, self.env, self.service).ok_or_else(|| {
            Error::Usage(
                "--service needs --env: a service's secrets are per environment".to_owned(),
            )
        })
    }
}

/// The scope of a service, which has a bundle.
pub(crate) fn service(place: Where) -> Result<Scope, Error> {
    match place.scope()? {
        scope @ Scope::Service(..) => Ok(scope),
        scope => Err(Error::Usage(format!(
            "{scope} is no service, and a bundle is a service's: give --env and --service"
        ))),
    }
}

/// Reads a label as clap wants it read.
pub(crate) fn label(text: &str) -> Result<Label, contract::scope::LabelError> {
    text.parse()
}

/// Reads a secret's name as clap wants it read.
pub(crate) fn name(text: &str) -> Result<SecretName, contract::name::NameError> {
    text.parse()
}

/// Reads a version as clap wants it read.
pub(crate) fn version(text: &str) -> Result<Version, String> {
    let number: u64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    Version::try_from(number).map_err(|error| error.to_string())
}
