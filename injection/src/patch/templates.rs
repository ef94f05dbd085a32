//! The files that the agent renders: what its configuration says of each, and the volume of those
//! templates that ConfigMaps hold.

use std::collections::BTreeMap;

use contract::rendered::{Contents, RenderedFile, RequestedContents};
use contract::{Annotations, layout};
use serde_json::{Value, json};

use crate::diagnostics::{Diagnostics, Violation};
use crate::requested::RequestedSecrets;

/// Refuses a rendered file that has the name of a secret's.
pub(crate) fn check(
    annotations: &Annotations,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    for file in annotations.rendered.keys() {
        if let Some(bundle) = requested.bundle_with_key(file.as_str()) {
            let (file, bundle) = (file.clone(), bundle.clone());
            diagnostics.deny(Violation::RenderedNameTaken { file, bundle });
        }
    }
}

/// The files, for the agent.
pub(crate) fn files(annotations: &Annotations) -> Vec<RenderedFile> {
    let contents = |file: &str, requested: &RequestedContents| match requested {
        RequestedContents::Format(format) => Contents::Format(*format),
        RequestedContents::Template(text) => Contents::Template(text.clone()),
        RequestedContents::ConfigMap { .. } => {
            Contents::TemplateFile(format!("{}/{file}", layout::TEMPLATE_DIRECTORY))
        }
    };
    let file = |(file, requested): (&contract::SecretName, &RequestedContents)| RenderedFile {
        file: file.clone(),
        contents: contents(file.as_str(), requested),
    };
    annotations.rendered.iter().map(file).collect()
}

/// The volume; `None` if no template is in a ConfigMap. Sets the mode that the API server would
/// default.
pub(crate) fn volume(annotations: &Annotations) -> Option<Value> {
    let mut maps: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (file, requested) in &annotations.rendered {
        if let RequestedContents::ConfigMap { name, key } = requested {
            maps.entry(name).or_default().push(json!({ "key": key, "path": file }));
        }
    }
    let sources: Vec<_> = maps
        .into_iter()
        .map(|(name, items)| json!({ "configMap": { "name": name, "items": items } }))
        .collect();
    (!sources.is_empty()).then(|| {
        json!({
            "name": layout::TEMPLATE_VOLUME,
            "projected": { "defaultMode": 0o644, "sources": sources },
        })
    })
}
