//! The command line and the environment. Only this module reads them.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the budgets of the design. A missed budget is a result; a measurement that could not be
/// made is a failure.
#[derive(Debug, Parser)]
#[command(
    name = "enclii-bench",
    version,
    after_help = "\
Measures the programs in ENCLII_BIN, else those beside this one. `make bench` runs everything.

Examples:
  enclii-bench loopback --out loopback.json --vault /usr/bin/vault
  enclii-bench loopback --out loopback.json --only webhook,review
  KUBECONFIG=… enclii-bench cluster --out cluster.json
  enclii-bench report loopback.json cluster.json --out bench.json"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure the agent, the webhook, switchyard and the delivery of a write, on loopback
    Loopback(Loopback),
    /// Measure what the injection adds to a pod's start, in the cluster that KUBECONFIG names
    Cluster(Cluster),
    /// Print the table of results and write them as one JSON list
    Report(Report),
    /// Be the limit that the webhook is measured beside
    #[command(hide = true)]
    BareServer(BareServer),
}

/// The server that `loopback` starts.
#[derive(Debug, clap::Args)]
pub struct BareServer {
    /// The port on 127.0.0.1
    #[arg(long)]
    pub port: u16,
    /// The directory with tls.crt and tls.key
    #[arg(long)]
    pub certificates: PathBuf,
    /// The file with every response's body
    #[arg(long)]
    pub response: PathBuf,
}

/// What to measure on loopback.
#[derive(Debug, clap::Args)]
pub struct Loopback {
    /// Where to write the results
    #[arg(long, env = "ENCLII_BENCH_OUT")]
    pub out: PathBuf,
    /// The `vault` program, to measure as a peer [default: none]
    #[arg(long, env = "ENCLII_BENCH_VAULT")]
    pub vault: Option<PathBuf>,
    /// Measure only these, comma separated [default: all]
    #[arg(long, env = "ENCLII_BENCH_ONLY", value_delimiter = ',')]
    pub only: Vec<Benchmark>,
}

/// A part of the loopback measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Benchmark {
    /// The agent's start, memory and size.
    Agent,
    /// The delivery of a write.
    Delivery,
    /// The webhook under load.
    Webhook,
    /// One review in process.
    Review,
    /// Switchyard's reads and writes.
    Stores,
    /// Many agents at one replica.
    Streams,
    /// Many agents whose server ends and comes back.
    Reconnect,
    /// The delivery of a write through another replica.
    Replicas,
}

impl Loopback {
    /// Whether to measure this.
    #[must_use]
    pub fn wants(&self, benchmark: Benchmark) -> bool {
        self.only.is_empty() || self.only.contains(&benchmark)
    }
}

/// What to measure in a cluster.
#[derive(Debug, clap::Args)]
pub struct Cluster {
    /// Where to write the results
    #[arg(long, env = "ENCLII_BENCH_OUT")]
    pub out: PathBuf,
    /// Pods of each kind
    #[arg(
        long,
        env = "ENCLII_BENCH_PODS",
        default_value_t = 15,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub pods: u32,
}

/// What to report.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// The result files of the other commands
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// The JSON file to write
    #[arg(long, env = "ENCLII_BENCH_OUT", default_value = "target/bench.json")]
    pub out: PathBuf,
    /// A note for the reader; may be repeated
    #[arg(long = "note")]
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn everything_is_measured_unless_benchmarks_are_named() {
        let loopback = |words: &[&str]| {
            let args =
                Args::try_parse_from([&["enclii-bench", "loopback", "--out", "a"], words].concat())
                    .unwrap();
            let Command::Loopback(loopback) = args.command else { panic!() };
            (loopback.wants(Benchmark::Agent), loopback.wants(Benchmark::Review))
        };
        assert_eq!(loopback(&[]), (true, true));
        assert_eq!(loopback(&["--only", "webhook,review"]), (false, true));
    }

    #[test]
    fn a_report_needs_a_results_file() {
        assert!(Args::try_parse_from(["enclii-bench", "report"]).is_err());
        let args =
            Args::try_parse_from(["enclii-bench", "report", "a", "b", "--note", "x"]).unwrap();
        let Command::Report(report) = args.command else { panic!() };
        assert_eq!((report.inputs.len(), report.notes.len()), (2, 1));
    }
}
