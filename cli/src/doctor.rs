//! `enclii doctor`: what stands between this machine and its secrets, checked one by one.

mod check;
mod cluster;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use self::check::{Check, State};
use crate::common::{Connection, Format};
use crate::error::Error;
use crate::output::{Output, Paint};

const EXAMPLES: &str = "\
Examples:
  enclii doctor
  enclii doctor --output json
  enclii doctor --no-cluster

✓ is well, ✗ is not and says the way out, – was not checked and says why. The exit code is 1 where
there is a ✗. Nothing is changed, and no value is read. The cluster is asked through kubectl, with its
current context.";

/// Check address, TLS, clock, token, store and cluster, and say the way out.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Do not ask the cluster.
    #[arg(long)]
    no_cluster: bool,
    /// The kubectl to ask with.
    #[arg(long, value_name = "FILE", default_value = "kubectl")]
    kubectl: PathBuf,
    #[command(flatten)]
    connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What programs read of it.
#[derive(Serialize)]
struct Report<'a> {
    healthy: bool,
    checks: &'a [Check],
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<ExitCode, Error> {
    let mut checks = server::checks(&args.connection, output).await;
    if args.no_cluster {
        checks.push(Check::skipped("cluster", "--no-cluster was given"));
    } else {
        checks.extend(cluster::checks(&args.kubectl).await);
    }
    let healthy = checks.iter().all(|it| it.state != State::Failed);
    if args.output == Format::Json {
        output.json(&Report { healthy, checks: &checks })?;
    } else {
        checks.iter().for_each(|it| tell(it, output));
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(check: &Check, output: &Output) {
    let mark = match check.state {
        State::Ok => output.painted("✓", Paint::Green),
        State::Failed => output.painted("✗", Paint::Red),
        State::Skipped => output.painted("–", Paint::Yellow),
    };
    output.line(&format!("{mark} {}: {}", check.name, check.detail));
    if let Some(way_out) = &check.way_out {
        output.line(&format!("    {way_out}"));
    }
}
