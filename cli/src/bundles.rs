//! `enclii bundles …`: what the pods of a service hold.

use clap::{Args, Subcommand};
use contract::api::BundleState;
use serde::Serialize;

use crate::client::Client;
use crate::common::{self, Connection, Format, Where};
use crate::error::Error;
use crate::output::Output;

/// List bundles, and show which names a pod gets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Show(Show),
}

/// List the bundles that you may see, with their generations.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enclii bundles list --output json")]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Show the names that a service's bundle holds: its own secrets, and those of its environment and
/// project.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enclii bundles show --service api --env prod --project shop")]
pub(crate) struct Show {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What programs read of a list.
#[derive(Serialize)]
struct All<'a> {
    bundles: &'a [BundleState],
}

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::List(it) => list(it, output).await,
        Command::Show(it) => show(it, output).await,
    }
}

async fn list(args: List, output: &Output) -> Result<(), Error> {
    let bundles = Client::new(&args.connection, output)?.bundles().await?;
    if args.output == Format::Json {
        return output.json(&All { bundles: &bundles });
    }
    if bundles.is_empty() {
        output
            .note("there is no bundle: a bundle comes into being with its service's first secret");
        return Ok(());
    }
    let rows: Vec<_> = bundles
        .iter()
        .map(|it| vec![it.bundle.to_string(), it.scope.to_string(), it.generation.to_string()])
        .collect();
    output.table(&["BUNDLE", "SCOPE", "GENERATION"], &rows);
    Ok(())
}

async fn show(args: Show, output: &Output) -> Result<(), Error> {
    let scope = common::service(args.place)?;
    let bundle = Client::new(&args.connection, output)?.bundle(&scope).await?;
    if args.output == Format::Json {
        return output.json(&bundle);
    }
    output.note(&format!(
        "bundle {} ({}) is generation {}",
        bundle.state.bundle, bundle.state.scope, bundle.state.generation
    ));
    let rows: Vec<_> = bundle
        .keys
        .iter()
        .map(|it| vec![it.to_string(), format!("{}_FILE", it), format!("/run/secrets/{it}")])
        .collect();
    output.table(&["NAME", "VARIABLE", "FILE"], &rows);
    Ok(())
}
