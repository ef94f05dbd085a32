//! The command line and its environment variables.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use http::Uri;

/// An ordinary application that reads its credentials from the files that its *_FILE variables
/// name.
#[derive(Debug, Parser)]
#[command(
    name = "enclii-sample",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Routes: GET / (the work), GET /healthz, GET /state (digests of the files), POST /-/reload.
SIGHUP reloads the files; SIGTERM stops the server.

Examples:
  DATABASE_URL_FILE=/run/secrets/DATABASE_URL enclii-sample --listen 127.0.0.1:8080
  enclii-sample load --url http://127.0.0.1:8080/ --rate 1000 --duration 10
  DATABASE_URL_FILE=/run/secrets/DATABASE_URL enclii-sample once --expect DATABASE_URL=<sha256>"
)]
pub struct Args {
    /// A command to run instead of the server.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings of the server.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The settings of the server.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Address to serve on
    #[arg(long, env = "SAMPLE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Start even if a file is missing; requests get 503 until a reload finds it
    #[arg(long, env = "SAMPLE_ALLOW_MISSING")]
    pub allow_missing: bool,
}

/// A command to run instead of the server.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Send requests at a constant rate and count the results
    Load(LoadArgs),
    /// Read files and variables, compare digests and exit: 0 if all are as expected, else 1
    Once(OnceArgs),
}

/// The settings of the load client.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// URL to send requests to
    #[arg(long, env = "SAMPLE_URL", value_name = "http://HOST[:PORT]/PATH")]
    pub url: Uri,
    /// Requests per second
    #[arg(long, env = "SAMPLE_RATE", default_value_t = 100, value_parser = up_to(100_000))]
    pub rate: u32,
    /// Seconds to run
    #[arg(long, env = "SAMPLE_DURATION", default_value = "10", value_parser = seconds)]
    pub duration: Duration,
    /// Number of keep-alive connections
    #[arg(long, env = "SAMPLE_CONNECTIONS", default_value_t = 8, value_parser = up_to(1_000))]
    pub connections: u32,
    /// Seconds to wait for the first 2xx answer; counting starts after it
    #[arg(long, env = "SAMPLE_WAIT", default_value = "0", value_parser = seconds)]
    pub wait: Duration,
    /// Stop once this file exists
    #[arg(long, env = "SAMPLE_UNTIL_FILE")]
    pub until_file: Option<PathBuf>,
    /// Address to serve the current counters on, at /load [default: none]
    #[arg(long, env = "SAMPLE_LISTEN")]
    pub listen: Option<SocketAddr>,
}

/// The settings of a job.
#[derive(Clone, Debug, clap::Args)]
pub struct OnceArgs {
    /// A secret's name and the SHA-256 of its value in hex; may be given several times
    #[arg(
        long = "expect",
        env = "SAMPLE_EXPECT",
        value_name = "NAME=SHA256",
        value_delimiter = ',',
        value_parser = expectation
    )]
    pub expect: Vec<(String, String)>,
}

impl OnceArgs {
    /// The expected digests by name.
    #[must_use]
    pub fn expected(&self) -> BTreeMap<&str, &str> {
        self.expect.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect()
    }
}

fn up_to(max: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=max)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(number).map_err(|_| format!("{text:?} is not a number of seconds"))
}

fn expectation(text: &str) -> Result<(String, String), String> {
    let (name, digest) = text.split_once('=').ok_or("must be NAME=SHA256")?;
    if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("the SHA-256 of {name} has 64 hexadecimal digits"));
    }
    Ok((name.to_owned(), digest.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["enclii-sample"], words].concat())
    }

    #[test]
    fn the_command_line_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_server_is_the_default() {
        let args = parse(&["--listen", "127.0.0.1:1"]).unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.serve.listen.port(), 1);
    }

    #[test]
    fn the_load_clients_arguments_are_checked() {
        let args = parse(&[
            "load",
            "--url",
            "http://a/",
            "--rate",
            "5",
            "--duration",
            "0.5",
            "--listen",
            "127.0.0.1:0",
        ])
        .unwrap();
        let Some(Command::Load(load)) = args.command else { panic!() };
        assert_eq!((load.rate, load.duration), (5, Duration::from_millis(500)));
        assert!(parse(&["load"]).is_err());
        assert!(parse(&["load", "--url", "http://a/", "--rate", "0"]).is_err());
        assert!(parse(&["load", "--url", "http://a/", "--duration", "-1"]).is_err());
    }

    #[test]
    fn expected_digests_are_checked() {
        let digest = "AB".repeat(32);
        let Some(Command::Once(once)) =
            parse(&["once", "--expect", &format!("A={digest}")]).unwrap().command
        else {
            panic!()
        };
        assert_eq!(once.expected()["A"], "ab".repeat(32));
        for bad in ["A", "A=", "A=xyz", &format!("A={}", "g".repeat(64))] {
            assert!(parse(&["once", "--expect", bad]).is_err(), "{bad}");
        }
    }
}
