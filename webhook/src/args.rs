//! The command line. Each flag has an environment variable; no other variable is read.

mod callers;
mod injection;
mod keeper;
mod lifetimes;
mod serve;

use clap::{Parser, Subcommand};

pub use self::injection::{InjectionArgs, default_config};
pub use callers::CallerArgs;
pub use keeper::KeeperArgs;
pub use serve::ServeArgs;

const EXAMPLES: &str = "\
Examples:
  In a cluster, as the manifests run it:
    enclii-webhook serve --agent-image enclii/agent:0.1.0
    enclii-webhook certificates

  Without a cluster, everything below one directory:
    enclii-webhook serve --listen 127.0.0.1:8443 --admin 127.0.0.1:8081 \\
      --switchyard-address https://localhost:9443 --bundles-directory run/bundles \\
      --trust-directory run/trust --certificates-directory run/certificates";

/// Answers the API server's reviews of pods: replaces plaintext secrets by files and adds the
/// agent.
#[derive(Debug, Parser)]
#[command(name = "enclii-webhook", version, after_help = EXAMPLES,
    args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<SubcommandArgs>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum SubcommandArgs {
    /// Answer reviews (the default)
    #[command(after_help = EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Keep the webhook's CA and certificate, and register the CA with the API server
    ///
    /// A program of its own with rights of its own, because whoever may change the registration can
    /// have the API server send every object anywhere. Nothing connects to it but its probes.
    Certificates(Box<KeeperArgs>),
}

/// What the process does.
#[derive(Debug)]
pub enum Command {
    /// Answers reviews.
    Serve(Box<ServeArgs>),
    /// Keeps the certificates.
    Certificates(Box<KeeperArgs>),
}

impl Args {
    /// The chosen command.
    #[must_use]
    pub fn command(self) -> Command {
        match self.command {
            Some(SubcommandArgs::Serve(args)) => Command::Serve(args),
            Some(SubcommandArgs::Certificates(args)) => Command::Certificates(args),
            None => Command::Serve(Box::new(self.serve)),
        }
    }

    /// The flags of `serve`, for a command line that names no other command.
    #[must_use]
    pub fn serve(self) -> Option<ServeArgs> {
        match self.command() {
            Command::Serve(args) => Some(*args),
            Command::Certificates(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::injection::{InjectionConfig, KeyNames};
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        <Args as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = <Args as CommandFactory>::command();
        let all = command.get_subcommands().chain([&command]);
        for argument in all
            .flat_map(|it| it.get_arguments())
            .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        {
            assert!(argument.get_env().is_some(), "{}", argument.get_id());
            assert!(argument.get_help().is_some(), "{}", argument.get_id());
        }
    }

    #[test]
    fn the_defaults_are_the_library_s() {
        let args = Args::try_parse_from(["enclii-webhook"]).unwrap().serve().unwrap();
        let image = format!("enclii/agent:{}", env!("CARGO_PKG_VERSION"));
        let expected = InjectionConfig::new(
            image,
            "https://switchyard.enclii-system.svc".into(),
            String::new(),
        );
        let (settings, file) = args.injection.settings();
        let config = default_config(args.namespace, KeyNames::All);
        assert_eq!((settings.configure(config), file), (Ok(expected), None));
        assert_eq!(args.daemon.drain_notice, Duration::from_secs(3));
        assert_eq!(args.trust_config_map, "enclii-trust");
    }

    #[test]
    fn serve_is_the_default_command() {
        let parse = |words: &[&str]| {
            let words = ["enclii-webhook"].iter().chain(words);
            Args::try_parse_from(words).map(Args::command)
        };
        for words in [&["--agent-image", "x"][..], &["serve", "--agent-image", "x"]] {
            let Ok(Command::Serve(args)) = parse(words) else { panic!("{words:?}") };
            assert_eq!(args.injection.agent_image, Some("x".parse().unwrap()));
        }
        let Ok(Command::Certificates(args)) = parse(&["certificates"]) else { panic!("not kept") };
        assert_eq!(
            (args.ca_secret.as_str(), args.tls_secret.as_str()),
            ("enclii-webhook-ca", "enclii-webhook-tls")
        );
        assert!(parse(&["certificates", "--agent-image", "x"]).is_err());
    }

    #[test]
    fn names_are_for_callers_who_are_known() {
        for (words, names) in [
            (&[][..], KeyNames::OfThePod),
            (&["--client-ca-file", "x"], KeyNames::All),
            (&["--client-token-file", "x"], KeyNames::All),
            (&["--trust-every-caller"], KeyNames::All),
        ] {
            let words = ["enclii-webhook"].iter().chain(words);
            let args = Args::try_parse_from(words).unwrap().serve().unwrap();
            assert_eq!(args.callers.key_names(), names);
        }
        for words in
            [&["--client-name", "x"][..], &["--trust-every-caller", "--client-token-file", "x"]]
        {
            let words = ["enclii-webhook"].iter().chain(words);
            assert!(Args::try_parse_from(words).is_err());
        }
    }
}
