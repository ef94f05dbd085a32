//! What the command line and the environment say. The only place that reads them.
//!
//! There is one word to say and nothing to set by hand, since the webhook writes the configuration:
//! no parser of command lines is worth its size in every pod.

use std::path::PathBuf;

use contract::AgentConfig;
use contract::agent_config::ConfigError;
use contract::layout::{CONFIG_VARIABLE, POD_UID_VARIABLE};
use runtime::logs::{LogFormat, UnknownLogFormat};

/// The variable with the log filter.
pub const LOG_FILTER_VARIABLE: &str = "ENCLII_LOG_FILTER";
/// The variable with the form of the log lines.
pub const LOG_FORMAT_VARIABLE: &str = "ENCLII_LOG_FORMAT";

/// What `--help` prints.
pub const HELP: &str = "\
Keeps a pod's secrets as files and tells the application of new ones.

Usage: enclii-agent [run | wait]

  run        hold the files until SIGTERM (default)
  wait       end as soon as the files are there, or with 1 after 30 s (the postStart hook)
  --help     print this
  --version  print the version

Environment:
  ENCLII_AGENT_CONFIG  the configuration, JSON; the webhook writes it [required]
  ENCLII_POD_UID       the pod's UID [required where the reload is a signal]
  ENCLII_LOG_FILTER    a level or a list of target=level [default: info]
  ENCLII_LOG_FORMAT    json or text [default: json]

Example:
  ENCLII_AGENT_CONFIG=\"$(cat agent.json)\" ENCLII_LOG_FORMAT=text enclii-agent run
";

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Hold the files.
    Run(Box<Args>),
    /// Wait for the files in this directory.
    Wait(PathBuf),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// What `run` needs.
#[derive(Debug)]
pub struct Args {
    /// The configuration.
    pub config: AgentConfig,
    /// The pod's UID.
    pub pod_uid: Option<String>,
    /// Which log lines.
    pub log_filter: String,
    /// What they look like.
    pub log_format: LogFormat,
}

/// Why it is not clear what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// A word that means nothing.
    #[error("read arguments: {0:?} is not known; see enclii-agent --help")]
    Word(String),
    /// No configuration.
    #[error(
        "read environment: {CONFIG_VARIABLE} is missing; the webhook sets it, see enclii-agent --help"
    )]
    NoConfig,
    /// A configuration that cannot be read.
    #[error("read environment: {CONFIG_VARIABLE}")]
    Config(#[from] ConfigError),
    /// A configuration without a bundle.
    #[error("read environment: {CONFIG_VARIABLE}: bundles is empty")]
    NoBundle,
    /// The form of the log lines.
    #[error("read environment: {LOG_FORMAT_VARIABLE}")]
    Format(#[from] UnknownLogFormat),
}

/// Reads the words of the command line, without the program's name, and the environment.
///
/// # Errors
/// Where a word or a variable cannot be understood.
pub fn parse(
    words: &[String],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, ArgsError> {
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["run"] => Ok(Command::Run(Box::new(Args {
            config: config(&variable)?,
            pod_uid: variable(POD_UID_VARIABLE),
            log_filter: variable(LOG_FILTER_VARIABLE).unwrap_or_else(|| "info".to_owned()),
            log_format: variable(LOG_FORMAT_VARIABLE)
                .map_or(Ok(LogFormat::Json), |text| text.parse())?,
        }))),
        ["wait"] => Ok(Command::Wait(config(&variable)?.files.directory.into())),
        ["--help" | "-h" | "help"] => Ok(Command::Help),
        ["--version" | "-V"] => Ok(Command::Version),
        ["run" | "wait", word, ..] | [word, ..] => Err(ArgsError::Word((*word).to_owned())),
    }
}

/// A variable of this process; `None` where it is not set or not UTF-8.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place where the environment is read")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn config(variable: &impl Fn(&str) -> Option<String>) -> Result<AgentConfig, ArgsError> {
    let text = variable(CONFIG_VARIABLE).ok_or(ArgsError::NoConfig)?;
    let config = AgentConfig::from_json(&text)?;
    if config.bundles.is_empty() {
        return Err(ArgsError::NoBundle);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"version":1,"source":{"type":"switchyard","address":"https://switchyard","ca":"","token_file":"/token"},"bundles":["api-prod"],"files":{"directory":"/run/secrets","mode":"0400"}}"#;

    fn with(words: &[&str], variables: &[(&str, &str)]) -> Result<Command, ArgsError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(&words, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn running_is_what_it_does() {
        for words in [&[][..], &["run"]] {
            let Ok(Command::Run(args)) =
                with(words, &[(CONFIG_VARIABLE, CONFIG), (POD_UID_VARIABLE, "u")])
            else {
                panic!()
            };
            assert_eq!(args.pod_uid.as_deref(), Some("u"));
            assert_eq!(args.log_filter, "info");
        }
    }

    #[test]
    fn waiting_needs_the_directory_alone() {
        let Ok(Command::Wait(directory)) = with(&["wait"], &[(CONFIG_VARIABLE, CONFIG)]) else {
            panic!()
        };
        assert_eq!(directory.to_str(), Some("/run/secrets"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (words, variables, text) in [
            (&["walk"][..], &[][..], "\"walk\""),
            (&["run", "fast"], &[], "\"fast\""),
            (&[], &[], CONFIG_VARIABLE),
            (&["wait"], &[], CONFIG_VARIABLE),
            (&[], &[(CONFIG_VARIABLE, "{}")], CONFIG_VARIABLE),
            (&[], &[(CONFIG_VARIABLE, CONFIG), (LOG_FORMAT_VARIABLE, "yaml")], LOG_FORMAT_VARIABLE),
        ] {
            let error = with(words, variables).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        let empty = CONFIG.replace("\"api-prod\"", "");
        assert!(matches!(with(&[], &[(CONFIG_VARIABLE, &empty)]), Err(ArgsError::NoBundle)));
    }

    #[test]
    fn the_help_names_every_variable() {
        for name in [CONFIG_VARIABLE, POD_UID_VARIABLE, LOG_FILTER_VARIABLE, LOG_FORMAT_VARIABLE] {
            assert!(HELP.contains(name));
        }
    }
}
