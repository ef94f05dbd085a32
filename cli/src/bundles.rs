//! `enclii bundles …`: the secrets that the pods of a service get.

use clap::{Args, Subcommand};
use contract::api::BundleState;
use serde::Serialize;

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat, ScopeArgs, service_scope};
use crate::error::Error;
use crate::missing;
use crate::output::Output;

/// List bundles and show which secrets a pod gets.
#[derive(Debug, Subcommand)]
pub(crate) enum BundlesCommand {
    List(ListBundlesArgs),
    Show(ShowBundleArgs),
}

/// List the bundles that you may see, with their generations.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enclii bundles list --output json")]
pub(crate) struct ListBundlesArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// Show the secret names in a service's bundle: its own secrets and those of its environment and
/// project.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  enclii bundles show --service api --env prod --project shop")]
pub(crate) struct ShowBundleArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// The JSON output of a list.
#[derive(Serialize)]
struct BundleListReport<'a> {
    bundles: &'a [BundleState],
}

pub(crate) async fn run(command: BundlesCommand, output: &Output) -> Result<(), Error> {
    match command {
        BundlesCommand::List(it) => list(it, output).await,
        BundlesCommand::Show(it) => show(it, output).await,
    }
}

async fn list(args: ListBundlesArgs, output: &Output) -> Result<(), Error> {
    let bundles = Client::new(&args.connection, output)?.bundles().await?;
    if args.output == OutputFormat::Json {
        return output.json(&BundleListReport { bundles: &bundles });
    }
    if bundles.is_empty() {
        output.note("there is no bundle: a bundle is created with its service's first secret");
        return Ok(());
    }
    let rows: Vec<_> = bundles
        .iter()
        .map(|it| vec![it.bundle.to_string(), it.scope.to_string(), it.generation.to_string()])
        .collect();
    output.table(&["BUNDLE", "SCOPE", "GENERATION"], &rows);
    Ok(())
}

async fn show(args: ShowBundleArgs, output: &Output) -> Result<(), Error> {
    let scope = service_scope(args.scope)?;
    let client = Client::new(&args.connection, output)?;
    let bundle = match client.bundle(&scope).await {
        Ok(bundle) => bundle,
        Err(error) => return Err(missing::explain(&client, &scope, None, error).await),
    };
    if args.output == OutputFormat::Json {
        return output.json(&bundle);
    }
    output.note(&format!(
        "bundle {} ({}) is generation {}",
        bundle.state.bundle, bundle.state.scope, bundle.state.generation
    ));
    let rows: Vec<_> = bundle
        .keys
        .iter()
        .map(|it| vec![it.to_string(), format!("{it}_FILE"), format!("/run/secrets/{it}")])
        .collect();
    output.table(&["NAME", "VARIABLE", "FILE"], &rows);
    Ok(())
}
