//! The command line and the environment. This is the only module that reads them.
//!
//! There are three subcommands and no options, because the webhook writes the configuration. A
//! command line parser is not worth its size in every pod.

use std::path::PathBuf;

use contract::AgentConfig;
use contract::agent_config::ConfigError;
use contract::layout::{CONFIG_VARIABLE, POD_UID_VARIABLE};
use runtime::logs::{LogFormat, UnknownLogFormat};

use crate::supervisor::Mode;

/// The environment variable with the log filter.
pub const LOG_FILTER_VARIABLE: &str = "ENCLII_LOG_FILTER";
/// The environment variable with the log format.
pub const LOG_FORMAT_VARIABLE: &str = "ENCLII_LOG_FORMAT";

/// What `--help` prints.
pub const HELP: &str = "\
Writes a pod's secrets as files and makes the application reload when they change.

Usage: enclii-agent [run | init | wait]

  run        keep the files up to date until SIGTERM (default)
  init       write the files once and exit, or with status 1 after 120 s (the init container)
  wait       exit once the files exist, or with status 1 after 30 s (the postStart hook)
  --help     print this help
  --version  print the version

Environment:
  ENCLII_AGENT_CONFIG  configuration as JSON, written by the webhook [required]
  ENCLII_POD_UID       UID of the pod [required if the reload is a signal]
  ENCLII_LOG_FILTER    log level or list of target=level [default: info]
  ENCLII_LOG_FORMAT    json or text [default: json]

Example:
  ENCLII_AGENT_CONFIG=\"$(cat agent.json)\" ENCLII_LOG_FORMAT=text enclii-agent run
";

/// A parsed command line.
#[derive(Debug)]
pub enum Command {
    /// Keep the files up to date, or write them once.
    Run(Box<Args>, Mode),
    /// Wait until this directory has files.
    Wait(PathBuf),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// The settings of `run`.
#[derive(Debug)]
pub struct Args {
    /// The configuration.
    pub config: AgentConfig,
    /// The pod's UID.
    pub pod_uid: Option<String>,
    /// The log filter.
    pub log_filter: String,
    /// The log format.
    pub log_format: LogFormat,
}

/// Why the command line or the environment is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// An unknown argument.
    #[error("read arguments: unknown argument {0:?}; see enclii-agent --help")]
    UnknownArgument(String),
    /// The configuration is missing.
    #[error(
        "read environment: {CONFIG_VARIABLE} is missing; the webhook sets it, \
         see enclii-agent --help"
    )]
    MissingConfig,
    /// The configuration is invalid.
    #[error("read environment: {CONFIG_VARIABLE}")]
    Config(#[from] ConfigError),
    /// The configuration names no bundle.
    #[error("read environment: {CONFIG_VARIABLE}: bundles is empty")]
    NoBundles,
    /// The log format is unknown.
    #[error("read environment: {LOG_FORMAT_VARIABLE}")]
    Format(#[from] UnknownLogFormat),
}

/// Parses the command line, without the program's name, and the environment.
///
/// # Errors
/// When an argument is unknown, or a variable is missing or invalid.
pub fn parse(
    words: &[String],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, ArgsError> {
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["run"] => Ok(Command::Run(Box::new(args(&variable)?), Mode::Serve)),
        ["init"] => Ok(Command::Run(Box::new(args(&variable)?), Mode::Once)),
        ["wait"] => Ok(Command::Wait(config(&variable)?.files.directory.into())),
        ["--help" | "-h" | "help"] => Ok(Command::Help),
        ["--version" | "-V"] => Ok(Command::Version),
        ["run" | "init" | "wait", word, ..] | [word, ..] => {
            Err(ArgsError::UnknownArgument((*word).to_owned()))
        }
    }
}

/// An environment variable of this process; `None` if it is not set or not UTF-8.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "only this module reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn args(variable: &impl Fn(&str) -> Option<String>) -> Result<Args, ArgsError> {
    Ok(Args {
        config: config(variable)?,
        pod_uid: variable(POD_UID_VARIABLE),
        log_filter: variable(LOG_FILTER_VARIABLE).unwrap_or_else(|| "info".to_owned()),
        log_format: variable(LOG_FORMAT_VARIABLE)
            .map_or(Ok(LogFormat::Json), |text| text.parse())?,
    })
}

fn config(variable: &impl Fn(&str) -> Option<String>) -> Result<AgentConfig, ArgsError> {
    let text = variable(CONFIG_VARIABLE).ok_or(ArgsError::MissingConfig)?;
    let config = AgentConfig::from_json(&text)?;
    if config.bundles.is_empty() {
        return Err(ArgsError::NoBundles);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = concat!(
        r#"{"version":1,"source":{"type":"switchyard","address":"https://switchyard","#,
        r#""ca":"","token_file":"/token"},"bundles":["api-prod"],"#,
        r#""files":{"directory":"/run/secrets","mode":"0400"}}"#,
    );

    fn parse_with(words: &[&str], variables: &[(&str, &str)]) -> Result<Command, ArgsError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(&words, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn run_is_the_default_command() {
        for (words, mode) in
            [(&[][..], Mode::Serve), (&["run"], Mode::Serve), (&["init"], Mode::Once)]
        {
            let Ok(Command::Run(args, found)) =
                parse_with(words, &[(CONFIG_VARIABLE, CONFIG), (POD_UID_VARIABLE, "u")])
            else {
                panic!()
            };
            assert_eq!(args.pod_uid.as_deref(), Some("u"));
            assert_eq!((args.log_filter.as_str(), found), ("info", mode));
        }
    }

    #[test]
    fn wait_takes_the_directory_from_the_configuration() {
        let Ok(Command::Wait(directory)) = parse_with(&["wait"], &[(CONFIG_VARIABLE, CONFIG)])
        else {
            panic!()
        };
        assert_eq!(directory.to_str(), Some("/run/secrets"));
    }

    #[test]
    fn errors_name_the_argument_or_the_variable() {
        for (words, variables, text) in [
            (&["walk"][..], &[][..], "\"walk\""),
            (&["run", "fast"], &[], "\"fast\""),
            (&["init", "now"], &[], "\"now\""),
            (&[], &[], CONFIG_VARIABLE),
            (&["wait"], &[], CONFIG_VARIABLE),
            (&[], &[(CONFIG_VARIABLE, "{}")], CONFIG_VARIABLE),
            (&[], &[(CONFIG_VARIABLE, CONFIG), (LOG_FORMAT_VARIABLE, "yaml")], LOG_FORMAT_VARIABLE),
        ] {
            let error = parse_with(words, variables).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        let empty = CONFIG.replace("\"api-prod\"", "");
        assert!(matches!(parse_with(&[], &[(CONFIG_VARIABLE, &empty)]), Err(ArgsError::NoBundles)));
    }

    #[test]
    fn the_help_lists_every_variable() {
        for name in [CONFIG_VARIABLE, POD_UID_VARIABLE, LOG_FILTER_VARIABLE, LOG_FORMAT_VARIABLE] {
            assert!(HELP.contains(name));
        }
    }
}
