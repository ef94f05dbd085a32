//! How a write's outcome is told.

use contract::api::{BundleState, Written};

use crate::common::Format;
use crate::error::Error;
use crate::output::Output;

/// What a write did.
pub(crate) fn written(written: &Written, format: Format, output: &Output) -> Result<(), Error> {
    if format == Format::Json {
        return output.json(written);
    }
    for (name, version) in &written.versions {
        output.done(&format!("{} {name} is version {version}", written.scope));
    }
    bundles(&written.bundles, output);
    if written.bundles.is_empty() {
        output.note(&format!(
            "no bundle holds {} yet: a bundle comes into being with its service's first secret",
            written.scope
        ));
    }
    Ok(())
}

/// The generations that came of it.
pub(crate) fn bundles(bundles: &[BundleState], output: &Output) {
    for state in bundles {
        output.line(&format!(
            "bundle {} ({}) is generation {}",
            state.bundle, state.scope, state.generation
        ));
    }
}
