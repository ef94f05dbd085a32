//! The scope that a command works on.

use clap::Args;
use contract::scope::{LabelError, ScopeError};
use contract::{Label, Scope, Version};
use runtime::logs::ErrorChain;

use crate::error::Error;

/// The scope that a command works on.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScopeArgs {
    /// The project.
    #[arg(long, env = "ENCLII_PROJECT", value_name = "LABEL")]
    pub(crate) project: Option<Label>,
    /// The environment; without it or with '', the scope is the whole project.
    #[arg(long, env = "ENCLII_ENV", value_name = "LABEL", value_parser = parse_part)]
    pub(crate) env: Option<ScopePart>,
    /// The service; without it or with '', the scope is the whole environment.
    #[arg(long, env = "ENCLII_SERVICE", value_name = "LABEL", value_parser = parse_part)]
    pub(crate) service: Option<ScopePart>,
}

/// A part of a scope. `None` is the empty text, which says that the scope has no such part although
/// a variable names one.
#[derive(Debug, Clone)]
pub(crate) struct ScopePart(Option<Label>);

impl ScopeArgs {
    /// The narrowest scope that the arguments name.
    pub(crate) fn scope(self) -> Result<Scope, Error> {
        let project = self.project.ok_or_else(|| {
            Error::Usage("no project is named: give --project or set ENCLII_PROJECT".to_owned())
        })?;
        let label = |part: Option<ScopePart>| part.and_then(|ScopePart(label)| label);
        Scope::new(project, label(self.env), label(self.service)).ok_or_else(|| {
            Error::Usage(
                "--service needs --env: a service's secrets are per environment; --service '' \
                 means no service"
                    .to_owned(),
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

fn parse_part(text: &str) -> Result<ScopePart, LabelError> {
    if text.is_empty() {
        return Ok(ScopePart(None));
    }
    text.parse().map(|label| ScopePart(Some(label)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_part_is_none() {
        let scope = |env, service| {
            ScopeArgs {
                project: Some("shop".parse().unwrap()),
                env: Some(parse_part(env).unwrap()),
                service: Some(parse_part(service).unwrap()),
            }
            .scope()
            .map(|it| it.to_string())
            .map_err(|error| error.to_string())
        };
        assert_eq!(scope("prod", "api").unwrap(), "shop.prod.api");
        assert_eq!(scope("prod", "").unwrap(), "shop.prod");
        assert_eq!(scope("", "").unwrap(), "shop");
        assert!(scope("", "api").unwrap_err().contains("--service ''"));
        assert!(parse_part("API").is_err());
    }

    #[test]
    fn a_missing_project_names_both_ways_to_give_it() {
        let none = ScopeArgs { project: None, env: None, service: None };
        let message = none.scope().unwrap_err().to_string();
        assert!(message.contains("--project") && message.contains("ENCLII_PROJECT"), "{message}");
    }
}
