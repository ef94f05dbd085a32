//! The references of a pod that the operator maps to bundles, and those that stay.

use std::collections::BTreeMap;

use contract::BundleRef;

use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::references::{ForeignReference, MappedReference, ReferenceProblem, Scheme};
use crate::requested::RequestedSecrets;

/// The references of a pod: what tells one from others, and the place of its first variable, by the
/// key of a bundle that it means.
type Meant<'r> = BTreeMap<(&'r BundleRef, &'r str), ((Scheme, String, String), String)>;

/// Refuses references that a rule covers and that no key of the pod's bundles answers. Warns of
/// those that stay as they are.
pub(crate) fn check(
    containers: &[AppContainer<'_>],
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    let mut meant = Meant::new();
    for app in containers.iter().filter(|app| app.gets_secrets) {
        for (index, variable) in app.container.env.iter().flatten().enumerate() {
            let Some(reference) = requested.reference(variable) else { continue };
            let at = || app.at(format_args!(".env[{index}]"));
            match requested.mapped(&reference) {
                Some(mapped) => {
                    let found = check_mapped((&reference, &mapped), requested, &mut meant, &at);
                    // The author knows of a key that the webhook does not.
                    let is_listed = requested.is_listed_env(&variable.name);
                    let known = |it: &ReferenceProblem| {
                        !is_listed || !matches!(it, ReferenceProblem::NoSuchKey { .. })
                    };
                    if let Some(problem) = found.filter(known) {
                        let name = printable(&variable.name);
                        let bundle = mapped.bundle.clone();
                        diagnostics.deny(Violation::Reference { at: at(), name, bundle, problem });
                    }
                }
                None if requested.secret_for(variable).is_some() => {}
                None => {
                    let (at, name) = (at(), printable(&variable.name));
                    diagnostics.warn(Warning::UnmappedReference { at, name });
                }
            }
            if diagnostics.has_more() {
                return;
            }
        }
    }
}

fn check_mapped<'r>(
    (reference, mapped): (&ForeignReference<'_>, &MappedReference<'r>),
    requested: &RequestedSecrets<'_>,
    meant: &mut Meant<'r>,
    at: &impl Fn() -> String,
) -> Option<ReferenceProblem> {
    let (bundle, key) = match mapped.key {
        Ok(key) => (mapped.bundle, key),
        Err(fault) => return Some(fault.into()),
    };
    if let Some(bundles) = requested.bundles_with(bundle) {
        return Some(ReferenceProblem::NotAsked { bundles });
    }
    if let Some(set) = requested.missing_key(bundle, key) {
        return Some(ReferenceProblem::NoSuchKey { key: printable(key), set });
    }
    let identity = reference.identity();
    match meant.get(&(bundle, key)) {
        Some((other, first)) if *other != identity => {
            Some(ReferenceProblem::SameKey { key: printable(key), other: first.clone() })
        }
        Some(_) => None,
        None => {
            meant.insert((bundle, key), (identity, at()));
            None
        }
    }
}
