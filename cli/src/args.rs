//! The top level of the command line. Each command's arguments are in the command's own file.
//! Only clap reads the environment.

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::common_args::ConnectionArgs;
use crate::error::Error;
use crate::output::{ColorMode, Output};
use crate::{
    access, admin, agent, audit, bundles, completions, doctor, grants, inject, login, run, scan,
    scopes, secrets, tokens,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  failure
  2  the command line is not valid
  3  refused: not logged in, or not allowed
  4  the secret, scope or bundle does not exist
  5  switchyard cannot be reached
  6  a condition was not met: another version is active, or another write came first
  7  the audit log was changed
  9  a scan found credentials in plain text";

/// Secrets for people and scripts.
#[derive(Debug, Parser)]
#[command(
    name = "enclii",
    version,
    styles = STYLES,
    after_help = EXIT_CODES,
    infer_subcommands = true
)]
pub(crate) struct Cli {
    /// When to use colour.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = ColorMode::Auto,
        env = "ENCLII_COLOR"
    )]
    pub(crate) color: ColorMode,
    /// Print each request on standard error: method, path, status, time and trace ID, never a
    /// value.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Accepted before the command too. The commands have the values in their own arguments.
    #[command(flatten)]
    _connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Parses the command line. Exits if it is not valid.
pub(crate) fn parse() -> Cli {
    let mut command = without_empty_variables(Cli::command());
    let matches = command.get_matches_mut();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// An environment variable that is set to nothing counts as unset.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| match is_empty(&arg) {
            true => arg.env(Resettable::<clap::builder::OsStr>::Reset),
            false => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// The commands. Each has one line here and one in [`Command::run`].
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    #[command(subcommand)]
    Bundles(bundles::BundlesCommand),
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    Scopes(scopes::ScopesArgs),
    Run(run::RunArgs),
    Inject(inject::InjectArgs),
    Scan(scan::ScanArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Whoami(login::WhoamiArgs),
    #[command(subcommand)]
    Grants(grants::GrantsCommand),
    #[command(subcommand)]
    Access(access::AccessCommand),
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
}

impl Command {
    pub(crate) async fn run(self, output: &Output) -> Result<ExitCode, Error> {
        let result = match self {
            Self::Run(it) => return run::run(it, output).await,
            Self::Access(it) => return access::run(it, output).await,
            Self::Agent(it) => return agent::run(it, output).await,
            Self::Doctor(it) => return doctor::run(it, output).await,
            Self::Inject(it) => return inject::run(it, output).await,
            Self::Scan(it) => return scan::run(it, output),
            Self::Secrets(it) => secrets::run(it, output).await,
            Self::Bundles(it) => bundles::run(it, output).await,
            Self::Admin(it) => admin::run(it, output).await,
            Self::Login(it) => login::run(it, output).await,
            Self::Logout(it) => login::logout(it, output).await,
            Self::Whoami(it) => login::whoami(it, output).await,
            Self::Scopes(it) => scopes::run(it, output).await,
            Self::Grants(it) => grants::run(it, output).await,
            Self::Tokens(it) => tokens::run(it, output).await,
            Self::Audit(it) => audit::run(it, output).await,
            Self::Completions(it) => completions::run(it, &Cli::command(), output),
        };
        result.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
