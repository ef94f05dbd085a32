//! The command line's words: each command has its own in its own file. The environment is read
//! through clap alone.

use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::output::Output;
use crate::{
    admin, audit, bundles, completions, doctor, grants, inject, login, run, secrets, tokens,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line was not understood
  3  refused: not logged in, or not allowed
  4  there is no such secret, scope or bundle
  5  switchyard could not be reached
  6  it is not as the command demanded: another version, or somebody else was faster
  7  the audit trail is not what was written";

/// Secrets for people and scripts.
#[derive(Debug, Parser)]
#[command(name = "enclii", version, styles = STYLES, after_help = EXIT_CODES, infer_subcommands = true)]
pub(crate) struct Args {
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, env = "ENCLII_COLOR")]
    pub(crate) color: Color,
    /// Tell each request on standard error: method, path, answer, time, trace id; never a value.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether a stream is coloured that is a terminal or is not (<https://no-color.org>).
    pub(crate) fn is_on(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
        }
    }
}

/// One line for each command, and one in [`Command::run`].
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Secrets(secrets::Command),
    #[command(subcommand)]
    Bundles(bundles::Command),
    Run(run::Args),
    Inject(inject::Args),
    Login(login::Args),
    Logout(login::Logout),
    Whoami(login::Whoami),
    #[command(subcommand)]
    Grants(grants::Command),
    #[command(subcommand)]
    Tokens(tokens::Command),
    Doctor(doctor::Args),
    Completions(completions::Args),
    #[command(subcommand)]
    Admin(admin::Command),
    #[command(subcommand)]
    Audit(audit::Command),
}

impl Command {
    pub(crate) async fn run(self, output: &Output) -> Result<ExitCode, Error> {
        let done = match self {
            Self::Run(it) => return run::run(it, output).await,
            Self::Doctor(it) => return doctor::run(it, output).await,
            Self::Secrets(it) => secrets::run(it, output).await,
            Self::Bundles(it) => bundles::run(it, output).await,
            Self::Inject(it) => inject::run(it, output).await,
            Self::Admin(it) => admin::run(it, output).await,
            Self::Login(it) => login::run(it, output).await,
            Self::Logout(it) => login::logout(it, output).await,
            Self::Whoami(it) => login::whoami(it, output).await,
            Self::Grants(it) => grants::run(it, output).await,
            Self::Tokens(it) => tokens::run(it, output).await,
            Self::Audit(it) => audit::run(it, output).await,
            Self::Completions(it) => completions::run(it, output).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_words_fit_together() {
        Args::command().debug_assert();
    }
}
