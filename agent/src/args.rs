//! The command line and the environment. This is the only module that reads them.
//!
//! There are five subcommands and one option, because the webhook writes the configuration. A
//! command line parser is not worth its size in every pod.

use std::ffi::OsString;
use std::path::PathBuf;

use contract::agent_config::ConfigError;
use contract::layout::{CONFIG_VARIABLE, EXEC_VARIABLE, POD_UID_VARIABLE};
use contract::{AgentConfig, ExecConfig};
use runtime::logs::{LogFormat, UnknownLogFormat};

use crate::exec::ExecArgs;
use crate::supervisor::Mode;

/// The environment variable with the log filter.
pub const LOG_FILTER_VARIABLE: &str = "ENCLII_LOG_FILTER";
/// The environment variable with the log format.
pub const LOG_FORMAT_VARIABLE: &str = "ENCLII_LOG_FORMAT";

/// What `--help` prints.
pub const HELP: &str = "\
Writes a pod's secrets as files and makes the application reload when they change.

Usage: enclii-agent [run | init | wait | status [--json] | exec -- COMMAND [ARGUMENT]...]

  run        keep the files up to date until SIGTERM (default)
  init       write the files once and exit, or with status 1 after 120 s (the init container)
  wait       exit once the files exist, or with status 1 after 30 s (the postStart hook)
  status     print what the running agent holds, its last reload and checks, and what is wrong;
             without --json, exit with status 1 if something is
  exec       start COMMAND with secrets in its environment, and end as it does; without it,
             125: no values, 126: not executable, 127: no such program
  --help     print this help
  --version  print the version

Environment:
  ENCLII_AGENT_CONFIG  configuration as JSON, written by the webhook [required]
  ENCLII_POD_UID       UID of the pod [required if the reload is a signal]
  ENCLII_EXEC          which variables COMMAND gets, as JSON, written by the webhook
  ENCLII_LOG_FILTER    log level or list of target=level [default: info]
  ENCLII_LOG_FORMAT    json or text [default: json]

Examples:
  kubectl exec POD -c enclii-agent -- /enclii-agent status
  ENCLII_AGENT_CONFIG=\"$(cat agent.json)\" ENCLII_LOG_FORMAT=text enclii-agent run
";

/// A parsed command line.
#[derive(Debug)]
pub enum Command {
    /// Keep the files up to date, or write them once.
    Run(Box<Args>, Mode),
    /// Wait until this directory has files.
    Wait(PathBuf),
    /// Print the status of the agent that runs.
    Status {
        /// The directory of its files.
        directory: PathBuf,
        /// Whether it is printed as JSON.
        is_json: bool,
    },
    /// Start a command.
    Exec(Box<ExecArgs>),
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
    /// The configuration of `exec` is invalid.
    #[error("read environment: {EXEC_VARIABLE}")]
    Exec(#[source] ConfigError),
    /// There is no command to start.
    #[error("read arguments: exec needs a command: enclii-agent exec -- COMMAND")]
    NoCommand,
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
    words: &[OsString],
    variable: impl Fn(&str) -> Option<String>,
    environment: impl FnOnce() -> Vec<(OsString, OsString)>,
) -> Result<Command, ArgsError> {
    let unknown = |word: &OsString| ArgsError::UnknownArgument(word.to_string_lossy().into_owned());
    let command = words.first().map_or(Some("run"), |word| word.to_str());
    let rest = words.get(1..).unwrap_or_default();
    match (command, rest) {
        (Some("run"), []) => Ok(Command::Run(Box::new(args(&variable)?), Mode::Serve)),
        (Some("init"), []) => Ok(Command::Run(Box::new(args(&variable)?), Mode::Once)),
        (Some("wait"), []) => Ok(Command::Wait(config(&variable)?.files.directory.into())),
        (Some("status"), rest) => {
            let is_json = match rest {
                [] => false,
                [word] if word == "--json" => true,
                [word, ..] => return Err(unknown(word)),
            };
            let directory = config(&variable)?.files.directory.into();
            Ok(Command::Status { directory, is_json })
        }
        (Some("exec"), [separator, command @ ..]) if separator == "--" => {
            exec(command, variable(EXEC_VARIABLE), environment)
        }
        (Some("exec"), _) => Err(ArgsError::NoCommand),
        (Some("--help" | "-h" | "help"), []) => Ok(Command::Help),
        (Some("--version" | "-V"), []) => Ok(Command::Version),
        (Some("run" | "init" | "wait"), [word, ..]) => Err(unknown(word)),
        _ => Err(words.first().map_or(ArgsError::NoCommand, unknown)),
    }
}

fn exec(
    command: &[OsString],
    config: Option<String>,
    environment: impl FnOnce() -> Vec<(OsString, OsString)>,
) -> Result<Command, ArgsError> {
    if command.is_empty() {
        return Err(ArgsError::NoCommand);
    }
    let config = config.map(|text| ExecConfig::from_json(&text)).transpose();
    let mut environment = environment();
    environment.retain(|(name, _)| name != EXEC_VARIABLE);
    let config = config.map_err(ArgsError::Exec)?;
    Ok(Command::Exec(Box::new(ExecArgs { config, command: command.to_vec(), environment })))
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

/// All environment variables of this process.
#[must_use]
pub fn whole_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
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
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let all = || variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        parse(&words, variable, all)
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
    fn status_is_for_people_or_for_programs() {
        for (words, expected) in [(&["status"][..], false), (&["status", "--json"], true)] {
            let Ok(Command::Status { directory, is_json }) =
                parse_with(words, &[(CONFIG_VARIABLE, CONFIG)])
            else {
                panic!()
            };
            assert_eq!((directory.to_str(), is_json), (Some("/run/secrets"), expected));
        }
        let error = parse_with(&["status", "now"], &[(CONFIG_VARIABLE, CONFIG)]).unwrap_err();
        assert!(error.to_string().contains("\"now\""), "{error}");
    }

    #[test]
    fn exec_takes_a_command_and_hides_its_own_variable() {
        let json = r#"{"version":1,"directory":"/d","variables":["A"]}"#;
        let words = ["exec", "--", "run", "--help"];
        let Ok(Command::Exec(args)) = parse_with(&words, &[(EXEC_VARIABLE, json), ("X", "1")])
        else {
            panic!()
        };
        assert_eq!(args.command, ["run", "--help"]);
        assert_eq!(args.environment, [("X".into(), "1".into())]);
        assert_eq!(args.config.unwrap().directory, "/d");
    }

    #[test]
    fn errors_name_the_argument_or_the_variable() {
        for (words, variables, text) in [
            (&["walk"][..], &[][..], "\"walk\""),
            (&["run", "fast"], &[], "\"fast\""),
            (&["init", "now"], &[], "\"now\""),
            (&[], &[], CONFIG_VARIABLE),
            (&["wait"], &[], CONFIG_VARIABLE),
            (&["exec"], &[], "exec -- COMMAND"),
            (&["exec", "app"], &[], "exec -- COMMAND"),
            (&["exec", "--"], &[], "exec -- COMMAND"),
            (&["exec", "--", "app"], &[(EXEC_VARIABLE, "{}")], EXEC_VARIABLE),
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
        for name in [
            CONFIG_VARIABLE,
            POD_UID_VARIABLE,
            EXEC_VARIABLE,
            LOG_FILTER_VARIABLE,
            LOG_FORMAT_VARIABLE,
        ] {
            assert!(HELP.contains(name));
        }
    }
}
