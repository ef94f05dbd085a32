//! The command-line flags. Each can be set in the environment as well; nothing else is read from
//! there.

mod audit;
mod database;
mod key;
mod limits;
mod oidc;
mod onepassword;
mod pruning;
mod rate;
mod store;
mod workload;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use jiff::SignedDuration;
use runtime::args::{DaemonArgs, duration};

pub use audit::AuditArgs;
pub use database::DatabaseArgs;
pub use key::KeyArgs;
pub use limits::LimitArgs;
pub use oidc::OidcArgs;
pub use onepassword::OnePasswordArgs;
pub use pruning::PruningArgs;
pub use rate::RateArgs;
pub use store::{MissingFlag, StoreArgs, StoreKind, VaultLoginKind};
pub use workload::WorkloadArgs;

const EXAMPLES: &str = "\
Examples:
  In a cluster, as the manifests run it:
    switchyard serve --data /data

  Without a cluster, everything below one directory and on loopback:
    switchyard serve --listen 127.0.0.1:9443 --admin 127.0.0.1:9080 --data run/data \\
      --development-identities run/identities.json --publish-directory run/bundles \\
      --trust-directory run/trust --certificates-directory run/certificates";

/// The control plane of Enclii Secrets: stores secrets, their versions and the audit log, and
/// delivers them to pods.
#[derive(Debug, Parser)]
#[command(name = "switchyard", version, after_help = EXAMPLES,
    args_conflicts_with_subcommands = true)]
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
#[command(mut_arg("max_connections", |arg| arg.default_value("4096")))]
pub struct ServeArgs {
    /// Addresses, logs and shutdown.
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// The flags of the database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The flags of the identity provider.
    #[command(flatten)]
    pub oidc: OidcArgs,
    /// The flags of the issuers of jobs.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// The flags of the rate limit.
    #[command(flatten)]
    pub rate: RateArgs,
    /// The flags of what pods may use, and of the data volume.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The flags of how much history is kept.
    #[command(flatten)]
    pub pruning: PruningArgs,
    /// The flags of the store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// The flags of audit checkpoints and exports.
    #[command(flatten)]
    pub audit: AuditArgs,
    /// How long a deleted secret can be restored, for example 30d or 12h, before its versions are
    /// destroyed
    #[arg(long, env = "ENCLII_DELETE_RETENTION", default_value = "30d", value_name = "DURATION",
        value_parser = duration)]
    pub delete_retention: SignedDuration,
    /// How long before its end at the issuer a credential counts as ending soon, in metrics and in
    /// the log
    #[arg(long, env = "ENCLII_EXPIRY_WARNING", default_value = "14d", value_name = "DURATION",
        value_parser = duration)]
    pub expiry_warning: SignedDuration,
    /// The directory of the database, and of every file without a flag of its own; only one process
    /// may use it
    #[arg(long, env = "ENCLII_DATA", default_value = "/var/lib/enclii", value_name = "DIRECTORY")]
    pub data: PathBuf,
    /// The flags of the keys.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The namespace of switchyard
    #[arg(long, env = "ENCLII_NAMESPACE", default_value = "enclii-system", value_name = "NAME")]
    pub namespace: String,
    /// The Service of switchyard, whose names go into the certificate
    #[arg(long, env = "ENCLII_SERVICE", default_value = "switchyard", value_name = "NAME")]
    pub service: String,
    /// Additional names for the certificate, separated by commas
    #[arg(long, env = "ENCLII_CERTIFICATE_NAMES", value_name = "NAMES", value_delimiter = ',')]
    pub certificate_names: Vec<String>,
    /// The Secret for the CA and the certificate; it must exist
    #[arg(
        long,
        env = "ENCLII_TLS_SECRET",
        default_value = "enclii-switchyard-tls",
        value_name = "NAME"
    )]
    pub tls_secret: String,
    /// Store the CA and the certificate in this directory instead of a Secret
    #[arg(long, env = "ENCLII_CERTIFICATES_DIRECTORY", value_name = "DIRECTORY")]
    pub certificates_directory: Option<PathBuf>,
    /// Use tls.crt, tls.key and ca.crt in this directory, which another program (cert-manager)
    /// renews
    #[arg(
        long,
        env = "ENCLII_TLS_DIRECTORY",
        value_name = "DIRECTORY",
        conflicts_with = "certificates_directory"
    )]
    pub tls_directory: Option<PathBuf>,
    /// Write the first administrator's token to this file instead of the Secret enclii-bootstrap
    /// [default without a cluster: bootstrap-token in --data]
    #[arg(long, env = "ENCLII_BOOTSTRAP_TOKEN_FILE", value_name = "FILE")]
    pub bootstrap_token_file: Option<PathBuf>,
    /// Accept a bootstrap token again after the first one was revoked: another one that is stored,
    /// or a new one
    #[arg(long, env = "ENCLII_RESTORE_BOOTSTRAP_TOKEN")]
    pub restore_bootstrap_token: bool,
    /// Take all rows of the ledger over as they are, under a new key, if they are not as switchyard
    /// wrote them or their key is lost; check grants, tokens and bundles first
    #[arg(long, env = "ENCLII_ACCEPT_LEDGER")]
    pub accept_ledger: bool,
    /// Write no Kubernetes events on pods whose application fails a check
    #[arg(long, env = "ENCLII_NO_POD_EVENTS")]
    pub no_pod_events: bool,
    /// Read pods and namespaces from this file instead of a cluster; only on loopback
    #[arg(long, env = "ENCLII_DEVELOPMENT_IDENTITIES", value_name = "FILE")]
    pub development_identities: Option<PathBuf>,
    /// Without a cluster: publish bundles as files NAMESPACE/BUNDLE.json [default: bundles in
    /// --data]
    #[arg(
        long,
        env = "ENCLII_PUBLISH_DIRECTORY",
        value_name = "DIRECTORY",
        requires = "development_identities"
    )]
    pub publish_directory: Option<PathBuf>,
    /// Without a cluster: write the CA to ca.crt in this directory [default: trust in --data]
    #[arg(
        long,
        env = "ENCLII_TRUST_DIRECTORY",
        value_name = "DIRECTORY",
        requires = "development_identities"
    )]
    pub trust_directory: Option<PathBuf>,
}

impl Args {
    /// The flags of the chosen command.
    #[must_use]
    pub fn serve(self) -> ServeArgs {
        match self.command {
            Some(Command::Serve(args)) => *args,
            None => self.serve,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_can_be_set_in_the_environment() {
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
    fn serve_is_the_default_command() {
        for words in [&["switchyard", "--data", "x"][..], &["switchyard", "serve", "--data", "x"]] {
            let args = Args::try_parse_from(words).unwrap().serve();
            assert_eq!(args.data, PathBuf::from("x"));
            assert_eq!(args.daemon.listen, "[::]:8443".parse().unwrap());
            assert_eq!(args.daemon.drain_notice, std::time::Duration::from_secs(1));
            assert_eq!(args.daemon.limits().max_connections, 4096);
        }
        assert!(Args::try_parse_from(["switchyard", "--publish-directory", "x"]).is_err());
    }
}
