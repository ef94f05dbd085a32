//! `enclii-bench`: see the library's `args` for what it understands.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use bench::args::{Args, Command, Report};
use bench::results::{Results, write_json};
use bench::{cluster, loopback, table};
use clap::Parser;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "enclii-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    runtime::provider::install()?;
    let (results, out) = match args.command {
        Command::Loopback(args) => (loopback::measure(&args), args.out),
        Command::Cluster(args) => (cluster::measure(args.pods), args.out),
        Command::Report(args) => return report(&args),
    };
    results.write(&out)?;
    ensure!(results.failures.is_empty(), "measurements failed: {}", results.failures.join("; "));
    Ok(())
}

fn report(args: &Report) -> Result<()> {
    let mut parts: Vec<Results> =
        args.parts.iter().map(|path| Results::read(path)).collect::<Result<_>>()?;
    parts.push(Results { notes: args.notes.clone(), ..Results::default() });
    let results = Results::join(parts);
    let mut out = io::stdout();
    let colour = out.is_terminal();
    write!(out, "{}", table::render(&results, colour))?;
    write_json(&args.out, &results.entries)?;
    ensure!(results.failures.is_empty(), "{} of the measurements failed", results.failures.len());
    Ok(())
}
