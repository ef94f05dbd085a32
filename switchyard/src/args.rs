//! The flags. Each can be given by the environment too; nothing else is read from there.

mod audit;
mod database;
mod key;
mod oidc;
mod onepassword;
mod rate;
mod store;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use jiff::SignedDuration;
use runtime::args::DaemonArgs;

pub use audit::AuditArgs;
pub use database::DatabaseArgs;
pub use key::KeyArgs;
pub use oidc::OidcArgs;
pub use onepassword::OnePasswordArgs;
pub use rate::RateArgs;
pub use store::{LoginKind, Needed, StoreArgs, StoreKind};

const EXAMPLES: &str = "\
Examples:
  In a cluster, as the manifests run it:
    switchyard serve --data /data

  Without a cluster, everything below one directory and on loopback:
    switchyard serve --listen 127.0.0.1:9443 --admin 127.0.0.1:9080 --data run/data \\
      --development-identities run/identities.json --publish-directory run/bundles \\
      --trust-directory run/trust --certificates-directory run/certificates";

/// The control plane of Enclii Secrets: keeps secrets, versions and the audit trail, and tells
/// every pod what to hold.
#[derive(Debug, Parser)]
#[command(name = "switchyard", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    #[command(after_help = EXAMPLES)]
    Serve(Box<ServeArgs>),
}

/// The flags of `switchyard serve`.
#[derive(Debug, Group)]
#[command(mut_arg("drain_notice", |arg| arg.default_value("1")))]
pub struct ServeArgs {
    /// Addresses, logs and shutdown.
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How people log in.
    #[command(flatten)]
    pub oidc: OidcArgs,
    /// How fast one principal may ask.
    #[command(flatten)]
    pub rate: RateArgs,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// What becomes of the audit trail outside of the database.
    #[command(flatten)]
    pub audit: AuditArgs,
    /// How long a deleted secret can be brought back, as in 30d or 12h; then its versions are
    /// destroyed
    #[arg(long, env = "ENCLII_DELETE_RETENTION", default_value = "30d", value_name = "DURATION", value_parser = span)]
    pub delete_retention: SignedDuration,
    /// The directory of the database, and of what has no flag of its own; one process may have it
    /// open
    #[arg(long, env = "ENCLII_DATA", default_value = "/var/lib/enclii", value_name = "DIRECTORY")]
    pub data: PathBuf,
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// Our own namespace
    #[arg(long, env = "ENCLII_NAMESPACE", default_value = "enclii-system", value_name = "NAME")]
    pub namespace: String,
    /// Our own Service, whose names the certificate is for
    #[arg(long, env = "ENCLII_SERVICE", default_value = "switchyard", value_name = "NAME")]
    pub service: String,
    /// Further names for the certificate, separated by commas
    #[arg(long, env = "ENCLII_CERTIFICATE_NAMES", value_name = "NAMES", value_delimiter = ',')]
    pub certificate_names: Vec<String>,
    /// The Secret that our CA and certificate are kept in; it must exist
    #[arg(
        long,
        env = "ENCLII_TLS_SECRET",
        default_value = "enclii-switchyard-tls",
        value_name = "NAME"
    )]
    pub tls_secret: String,
    /// Keep our CA and certificate in this directory instead of a Secret
    #[arg(long, env = "ENCLII_CERTIFICATES_DIRECTORY", value_name = "DIRECTORY")]
    pub certificates_directory: Option<PathBuf>,
    /// Follow tls.crt, tls.key and ca.crt that somebody else (cert-manager) puts into this
    /// directory
    #[arg(
        long,
        env = "ENCLII_TLS_DIRECTORY",
        value_name = "DIRECTORY",
        conflicts_with = "certificates_directory"
    )]
    pub tls_directory: Option<PathBuf>,
    /// Put the first administrator's token into this file instead of the Secret enclii-bootstrap
    /// [without a cluster: bootstrap-token in --data]
    #[arg(long, env = "ENCLII_BOOTSTRAP_TOKEN_FILE", value_name = "FILE")]
    pub bootstrap_token_file: Option<PathBuf>,
    /// Take pods and namespaces from this file instead of a cluster; on loopback alone
    #[arg(long, env = "ENCLII_DEVELOPMENT_IDENTITIES", value_name = "FILE")]
    pub development_identities: Option<PathBuf>,
    /// Without a cluster: announce bundles as files NAMESPACE/BUNDLE.json [default: bundles in
    /// --data]
    #[arg(
        long,
        env = "ENCLII_PUBLISH_DIRECTORY",
        value_name = "DIRECTORY",
        requires = "development_identities"
    )]
    pub publish_directory: Option<PathBuf>,
    /// Without a cluster: put our CA into ca.crt in this directory [default: trust in --data]
    #[arg(
        long,
        env = "ENCLII_TRUST_DIRECTORY",
        value_name = "DIRECTORY",
        requires = "development_identities"
    )]
    pub trust_directory: Option<PathBuf>,
}

impl Args {
    /// The flags of the command that was chosen.
    #[must_use]
    pub fn serve(self) -> ServeArgs {
        match self.command {
            Some(Command::Serve(args)) => *args,
            None => self.serve,
        }
    }
}

/// A duration in words, whose days have 24 hours.
fn span(text: &str) -> Result<SignedDuration, jiff::Error> {
    text.parse::<jiff::Span>()?.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_can_come_from_the_environment() {
        let command = Args::command();
        let serve = command.find_subcommand("serve").unwrap();
        for argument in command.get_arguments().chain(serve.get_arguments()) {
            if !["help", "version"].contains(&argument.get_id().as_str()) {
                assert!(
                    argument.get_env().is_some() && argument.get_help().is_some(),
                    "{}",
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn serve_is_what_is_done_without_a_word() {
        for words in [&["switchyard", "--data", "x"][..], &["switchyard", "serve", "--data", "x"]] {
            let args = Args::try_parse_from(words).unwrap().serve();
            assert_eq!(args.data, PathBuf::from("x"));
            assert_eq!(args.daemon.listen, "[::]:8443".parse().unwrap());
            assert_eq!(args.daemon.drain_notice, std::time::Duration::from_secs(1));
        }
        assert!(Args::try_parse_from(["switchyard", "--publish-directory", "x"]).is_err());
    }
}
