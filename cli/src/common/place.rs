//! Which scope a command is about.

use clap::Args;
use contract::{Label, Scope, SecretName};

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
        Scope::new(self.project, self.env, self.service)
            .ok_or_else(|| Error::Usage("--service needs --env: a service's secrets are per environment".to_owned()))
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
