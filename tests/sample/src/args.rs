//! What the command line and the environment say. The only place that reads them.

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
Routes: GET / (the work), GET /healthz, GET /state (digests of what was read), POST /-/reload.
SIGHUP reads the files again; SIGTERM ends it.

Examples:
  DATABASE_URL_FILE=/run/secrets/DATABASE_URL enclii-sample --listen 127.0.0.1:8080
  enclii-sample load --url http://127.0.0.1:8080/ --rate 1000 --duration 10
  DATABASE_URL_FILE=/run/secrets/DATABASE_URL enclii-sample once --expect DATABASE_URL=<sha256>"
)]
pub struct Args {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: Serve,
}

/// How to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// Address to serve on
    #[arg(long, env = "SAMPLE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Start also when a file is missing; requests are answered with 503 until a reload finds it
    #[arg(long, env = "SAMPLE_ALLOW_MISSING")]
    pub allow_missing: bool,
}

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Send requests at a constant rate and count what comes back
    Load(Load),
    /// Read the files, compare them and end: 0 where all are as expected, else 1
    Once(Once),
}

/// How to drive a server.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// Where to send requests: http://HOST[:PORT]/PATH
    #[arg(long, env = "SAMPLE_URL")]
    pub url: Uri,
    /// Requests a second
    #[arg(long, env = "SAMPLE_RATE", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Seconds to go on for
    #[arg(long, env = "SAMPLE_DURATION", default_value = "10", value_parser = seconds)]
    pub duration: Duration,
    /// Keep-alive connections to spread the requests over
    #[arg(long, env = "SAMPLE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections: u32,
    /// Seconds to wait for a first answer that is 2xx; counting starts with it
    #[arg(long, env = "SAMPLE_WAIT", default_value = "0", value_parser = seconds)]
    pub wait: Duration,
    /// End as soon as this file exists
    #[arg(long, env = "SAMPLE_UNTIL_FILE")]
    pub until_file: Option<PathBuf>,
    /// Address to serve the running counters on, at /load [default: none]
    #[arg(long, env = "SAMPLE_LISTEN")]
    pub listen: Option<SocketAddr>,
}

/// What to expect.
#[derive(Clone, Debug, clap::Args)]
pub struct Once {
    /// A secret's name and the SHA-256 of its value in hex; more than one may be given
    #[arg(long = "expect", env = "SAMPLE_EXPECT", value_name = "NAME=SHA256", value_delimiter = ',', value_parser = expectation)]
    pub expect: Vec<(String, String)>,
}

impl Once {
    /// By name.
    #[must_use]
    pub fn expected(&self) -> BTreeMap<&str, &str> {
        self.expect.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect()
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(number).map_err(|_| format!("{text:?} is no number of seconds"))
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
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn serving_is_what_it_does() {
        let args = parse(&["--listen", "127.0.0.1:1"]).unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.serve.listen.port(), 1);
    }

    #[test]
    fn loading() {
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
    fn expectations_are_digests() {
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
