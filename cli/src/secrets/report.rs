//! Prints the result of a write.

use contract::api::{BundleState, Written};

use crate::client::Client;
use crate::common_args::OutputFormat;
use crate::error::Error;
use crate::missing;
use crate::output::Output;

/// Prints the new versions and generations.
pub(crate) fn written(
    written: &Written,
    format: OutputFormat,
    output: &Output,
) -> Result<(), Error> {
    if format == OutputFormat::Json {
        return output.json(written);
    }
    for (name, version) in &written.versions {
        output.success(&format!("{} {name} is version {version}", written.scope));
    }
    bundles(&written.bundles, output);
    if written.bundles.is_empty() && written.scope.service().is_none() {
        output.note(&format!(
            "no bundle holds {} yet: a bundle is created with its service's first secret",
            written.scope
        ));
    }
    Ok(())
}

/// Says that a write was the first one of its scope, which may be misspelled.
pub(crate) async fn created(client: &Client<'_>, written: &Written, output: &Output) {
    if !written.created {
        return;
    }
    let scope = &written.scope;
    let near = missing::similar_scope(client, scope).await;
    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    output.note(&format!("{scope} is new: these are its first secrets{near}"));
}

/// Prints the new generations.
pub(crate) fn bundles(bundles: &[BundleState], output: &Output) {
    for state in bundles {
        output.line(&format!(
            "bundle {} ({}) is generation {}",
            state.bundle, state.scope, state.generation
        ));
    }
}
