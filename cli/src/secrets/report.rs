//! Prints the result of a write.

use contract::api::{BundleState, Written};

use crate::common_args::OutputFormat;
use crate::error::Error;
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
    if written.bundles.is_empty() {
        output.note(&format!(
            "no bundle holds {} yet: a bundle is created with its service's first secret",
            written.scope
        ));
    }
    Ok(())
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
