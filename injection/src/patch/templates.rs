//! The files that the agent renders: what its configuration says of each, and the volume of those
//! templates that ConfigMaps hold.

use std::collections::BTreeMap;

use contract::rendered::{Contents, RenderedFile, RequestedContents};
use contract::{Annotations, SecretName, layout, template};

use super::new_volume::{ConfigMapItem, NewProjection, NewVolume};
use crate::diagnostics::{Diagnostics, Violation, printable};
use crate::requested::RequestedSecrets;

/// Refuses a rendered file that has the name of a secret's, and a template in an annotation that
/// cannot be rendered. What is in a ConfigMap the webhook does not see.
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
    for (file, contents) in &annotations.rendered {
        if let RequestedContents::Template(text) = contents {
            check_template(file, text, requested, diagnostics);
        }
    }
}

fn check_template(
    file: &SecretName,
    text: &str,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    let names = match template::check(text) {
        Ok(names) => names,
        Err(fault) => {
            return diagnostics.deny(Violation::Template { file: file.clone(), fault });
        }
    };
    // The keys of an unknown bundle are unknown too.
    let is_missing = |name: &str| {
        requested.is_complete()
            && requested.bundle_with_key(name).is_none()
            && !requested.is_listed_env(name)
    };
    for (name, line) in names {
        if is_missing(&name) {
            let set = requested.set_command_in_first_bundle(&name);
            let (file, name) = (file.clone(), printable(&name));
            diagnostics.deny(Violation::TemplateName { file, line, name, set });
        }
        if diagnostics.has_more() {
            return;
        }
    }
}

/// The files, for the agent.
pub(crate) fn files(annotations: &Annotations) -> Vec<RenderedFile> {
    let contents = |file: &str, requested: &RequestedContents| match requested {
        RequestedContents::Format(format) => Contents::Format(*format),
        RequestedContents::Template(text) => Contents::Template(text.clone()),
        RequestedContents::Vault(template) => Contents::VaultTemplate(template.clone()),
        RequestedContents::ConfigMap { .. } => {
            Contents::TemplateFile(format!("{}/{file}", layout::TEMPLATE_DIRECTORY))
        }
    };
    let file = |(file, requested): (&SecretName, &RequestedContents)| RenderedFile {
        file: file.clone(),
        contents: contents(file.as_str(), requested),
    };
    annotations.rendered.iter().map(file).collect()
}

/// The volume; `None` if no template is in a ConfigMap.
pub(crate) fn volume(annotations: &Annotations) -> Option<NewVolume<'_>> {
    let mut maps: BTreeMap<&str, Vec<ConfigMapItem<'_>>> = BTreeMap::new();
    for (file, requested) in &annotations.rendered {
        if let RequestedContents::ConfigMap { name, key } = requested {
            maps.entry(name).or_default().push(ConfigMapItem { key, path: file.as_str() });
        }
    }
    let sources: Vec<_> =
        maps.into_iter().map(|(name, items)| NewProjection::ConfigMap { items, name }).collect();
    (!sources.is_empty()).then(|| NewVolume::projected(layout::TEMPLATE_VOLUME, sources))
}
