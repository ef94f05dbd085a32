//! `enclii doctor`: checks everything between this machine and its secrets, one by one.

mod check;
mod cluster;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use self::check::{Check, CheckState};
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::output::{GREEN, Output, RED, YELLOW};

const EXAMPLES: &str = "\
Examples:
  enclii doctor
  enclii doctor --output json
  enclii doctor --no-cluster

✓ passed, ✗ failed and how to fix it, – skipped and why. The exit code is 1 if a check failed.
Nothing is changed, and no value is read. The cluster is queried through kubectl, with its current
context.";

/// Check address, TLS, clock, token, store and cluster, and show how to fix problems.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Do not query the cluster.
    #[arg(long)]
    no_cluster: bool,
    /// The kubectl to run.
    #[arg(long, value_name = "FILE", default_value = "kubectl")]
    kubectl: PathBuf,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// The JSON output.
#[derive(Serialize)]
struct DoctorReport<'a> {
    healthy: bool,
    checks: &'a [Check],
}

pub(crate) async fn run(args: DoctorArgs, output: &Output) -> Result<ExitCode, Error> {
    let mut checks = server::checks(&args.connection, output).await;
    if args.no_cluster {
        checks.push(Check::skipped("cluster", "--no-cluster was given"));
    } else {
        checks.extend(cluster::checks(&args.kubectl).await);
    }
    let healthy = checks.iter().all(|it| it.state != CheckState::Failed);
    if args.output == OutputFormat::Json {
        output.json(&DoctorReport { healthy, checks: &checks })?;
    } else {
        checks.iter().for_each(|it| print(it, output));
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(check: &Check, output: &Output) {
    let (mark, style) = match check.state {
        CheckState::Ok => ("✓", GREEN),
        CheckState::Failed => ("✗", RED),
        CheckState::Skipped => ("–", YELLOW),
    };
    output.marked_line(mark, style, &format!("{}: {}", check.name, check.detail));
    if let Some(way_out) = &check.way_out {
        output.line(&format!("    {way_out}"));
    }
}
