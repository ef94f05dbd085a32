//! The program `enclii-bench`; the module `args` of the library describes its arguments.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use bench::args::{Args, Command, Report};
use bench::results::{Results, write_json};
use bench::{bare_server, cluster, loopback, table};
use clap::Parser;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, nobody can be told.
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
        Command::BareServer(args) => return bare_server::serve(&args),
    };
    results.write(&out)?;
    results.check()
}

fn report(args: &Report) -> Result<()> {
    let mut parts: Vec<Results> =
        args.inputs.iter().map(|path| Results::read(path)).collect::<Result<_>>()?;
    parts.push(Results { notes: args.notes.clone(), ..Results::default() });
    let results = Results::join(parts);
    let mut out = io::stdout();
    let colour = out.is_terminal();
    write!(out, "{}", table::render(&results, colour))?;
    write_json(&args.out, &results.measurements)?;
    results.check()
}
