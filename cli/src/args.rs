//! The command line's words. The only file that reads the environment (through clap).

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use contract::{Label, Redacted, SecretName};

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
  5  switchyard could not be reached";

/// Secrets for people and scripts.
#[derive(Debug, Parser)]
#[command(name = "enclii", version, styles = STYLES, after_help = EXIT_CODES, propagate_version = true, infer_subcommands = true)]
pub(crate) struct Args {
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, env = "ENCLII_COLOR")]
    pub(crate) color: Color,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write, read and delete secrets.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Print a pod as the webhook would leave it.
    #[command(after_help = INJECT_EXAMPLES)]
    Inject(Inject),
}

const INJECT_EXAMPLES: &str = "\
Examples:
  enclii inject -f pod.yaml --bundle api-prod=DATABASE_URL,STRIPE_API_KEY
  enclii inject -f deployment.yaml --project shop --env prod        (asks switchyard for the keys)
  kubectl get deploy api -o yaml | enclii inject -f - --bundle-file bundle.yaml

The webhook's own functions decide, so what is printed is what a cluster would run. A Deployment,
StatefulSet, DaemonSet, ReplicaSet, Job or CronJob is printed with its pod template injected.";

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Write secrets: all of them become one new generation, or none does.
    #[command(after_help = SET_EXAMPLES)]
    Set(Set),
    /// Print one secret's value, byte for byte.
    #[command(
        after_help = "Examples:\n  enclii secrets get DATABASE_URL --service api --env prod --project shop\n  enclii secrets get tls.key --service api --env prod --project shop > tls.key"
    )]
    Get(Get),
    /// List the secrets of a scope, without values.
    #[command(after_help = "Example:\n  enclii secrets list --service api --env prod --project shop --output json")]
    List(List),
    /// List the versions of a secret, without values.
    #[command(after_help = "Example:\n  enclii secrets versions DATABASE_URL --service api --env prod --project shop")]
    Versions(Versions),
    /// Delete a secret: its file leaves every pod.
    #[command(after_help = "Example:\n  enclii secrets delete OLD_KEY --service api --env prod --project shop --yes")]
    Delete(Delete),
}

const SET_EXAMPLES: &str = "\
Examples:
  enclii secrets set DATABASE_URL=- --service api --env prod --project shop   (value from standard input)
  enclii secrets set TLS_KEY=@server.key --service api --env prod --project shop
  enclii secrets set LOG_TOKEN=abc FLAG=on --env prod --project shop          (for every service of prod)
  enclii secrets set --env-file .env --service api --env prod --project shop

NAME=-     reads standard input, byte for byte, to its end
NAME=@PATH reads a file, byte for byte
--literal  takes values as they stand, so that '-' and '@x' can be values
A value written on the command line is seen by every user of the machine and kept by the shell's
history: prefer the other ways for anything that matters.";

/// Which scope a command is about.
#[derive(Debug, Clone, ClapArgs)]
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

/// Where switchyard is and who asks.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Connection {
    /// Switchyard's address.
    #[arg(long, env = "ENCLII_ADDR", value_name = "URL", default_value = "https://localhost:8443", global = true)]
    pub(crate) addr: String,
    /// The file with the CA that signed switchyard's certificate (PEM); without it the system's CAs count.
    #[arg(long, env = "ENCLII_CACERT", value_name = "FILE", global = true)]
    pub(crate) cacert: Option<PathBuf>,
    /// The file with the API token.
    #[arg(long, env = "ENCLII_TOKEN_FILE", value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The API token itself: from the environment, so that no process list shows it.
    #[arg(long, env = "ENCLII_TOKEN", hide = true, hide_env_values = true, global = true, value_parser = token)]
    pub(crate) token: Option<Redacted>,
    /// Seconds until an answer must be there.
    #[arg(long, env = "ENCLII_TIMEOUT", value_name = "SECONDS", default_value_t = 30, global = true)]
    pub(crate) timeout: u64,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; a value as its bytes and nothing else.
    Table,
    /// For programs; a value in base64.
    Json,
}

/// What every command on secrets is told besides.
#[derive(Debug, ClapArgs)]
pub(crate) struct Request {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Set {
    /// What to write: NAME=VALUE, NAME=- or NAME=@PATH.
    #[arg(value_name = "NAME=VALUE", required_unless_present = "env_file")]
    pub(crate) assignments: Vec<String>,
    /// A .env file, each line of which is a secret.
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Option<PathBuf>,
    /// Take values as they stand.
    #[arg(long)]
    pub(crate) literal: bool,
    #[command(flatten)]
    pub(crate) request: Request,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Get {
    /// The secret.
    #[arg(value_parser = name)]
    pub(crate) name: SecretName,
    #[command(flatten)]
    pub(crate) request: Request,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) request: Request,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Versions {
    /// The secret.
    #[arg(value_parser = name)]
    pub(crate) name: SecretName,
    #[command(flatten)]
    pub(crate) request: Request,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Delete {
    /// The secret.
    #[arg(value_parser = name)]
    pub(crate) name: SecretName,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) request: Request,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Inject {
    /// The manifest, YAML or JSON, one or more documents; `-` is standard input.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The namespace of documents that name none.
    #[arg(long, short, default_value = "default")]
    pub(crate) namespace: String,
    /// A bundle and its keys: BUNDLE=KEY,KEY. May be given several times.
    #[arg(long, value_name = "BUNDLE=KEYS")]
    pub(crate) bundle: Vec<String>,
    /// A file with a SecretBundle object, as `kubectl get secretbundle api-prod -o yaml` prints it.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_file: Vec<PathBuf>,
    /// The project, to ask switchyard for the keys of bundles that are not given.
    #[arg(long, env = "ENCLII_PROJECT", value_name = "LABEL", value_parser = label, requires = "env")]
    pub(crate) project: Option<Label>,
    /// The environment, likewise.
    #[arg(long, env = "ENCLII_ENV", value_name = "LABEL", value_parser = label)]
    pub(crate) env: Option<Label>,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// The agent's image in what is printed.
    #[arg(long, env = "ENCLII_AGENT_IMAGE", default_value = concat!("enclii/agent:", env!("CARGO_PKG_VERSION")))]
    pub(crate) agent_image: String,
}

fn token(text: &str) -> Result<Redacted, std::convert::Infallible> {
    Ok(Redacted::from(text.as_bytes()))
}

fn label(text: &str) -> Result<Label, contract::scope::LabelError> {
    text.parse()
}

fn name(text: &str) -> Result<SecretName, contract::name::NameError> {
    text.parse()
}
