//! The forms of the annotations' values. Each parser returns every mistake in its value.

use std::collections::BTreeSet;

use super::error::ValueError;
use super::{MAX_BUNDLES, MAX_RELOAD_TIMEOUT_SECONDS};
use crate::agent_resources::AgentResources;
use crate::bundle::BundleRef;
use crate::check::{self, Check, CheckError, MAX_CHECKS};
use crate::delivery::{DeliveryEntries, DeliveryRequest};
use crate::scope::Label;

/// The longest part of a value that an error quotes, in characters.
const MAX_QUOTED: usize = 80;

/// The most mistakes that are listed of one value. A longer list helps nobody.
const MAX_MISTAKES: usize = 16;

/// Bundle names, separated by commas, each once.
pub(super) fn bundles(text: &str) -> Result<Vec<BundleRef>, Vec<ValueError>> {
    let mut found = Vec::new();
    let listed = text.split(',').count();
    if listed > MAX_BUNDLES {
        return Err(vec![ValueError::TooManyBundles(listed)]);
    }
    each_entry(text, |entry| {
        let bundle: BundleRef = entry.parse().map_err(ValueError::Bundle)?;
        if found.contains(&bundle) {
            return Err(ValueError::DuplicateBundle(bundle));
        }
        found.push(bundle);
        Ok(())
    })?;
    Ok(found)
}

/// Deliveries, separated by commas.
pub(super) fn deliveries(text: &str) -> Result<DeliveryRequest, Vec<ValueError>> {
    let mut found = DeliveryEntries::default();
    each_entry(text, |entry| found.add(entry).map_err(ValueError::Delivery))?;
    Ok(found.into_request())
}

/// Requests and limits, separated by commas.
pub(super) fn agent_resources(text: &str) -> Result<AgentResources, Vec<ValueError>> {
    let mut found = AgentResources::default();
    each_entry(text, |entry| found.add(entry).map_err(ValueError::AgentResources))?;
    Ok(found)
}

/// Checks, separated by semicolons or line breaks, each once; `none` for no check. Blank ones are
/// skipped, since a block of YAML ends with a line break.
pub(super) fn checks(text: &str) -> Result<Vec<Check>, Vec<ValueError>> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    let entries = || text.split([';', '\n', '\r']).map(str::trim).filter(|it| !it.is_empty());
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    match entries().count() {
        0 => return Err(vec![ValueError::NoChecks]),
        1..=MAX_CHECKS => {}
        listed => return Err(vec![ValueError::Check(CheckError::TooMany(listed))]),
    }
    for entry in entries() {
        match entry.parse::<Check>() {
            // Another time makes it no other check.
            Ok(check) if found.iter().any(|other: &Check| other.kind == check.kind) => {
                errors.push(ValueError::DuplicateCheck(check));
            }
            Ok(check) => found.push(check),
            Err(error) => errors.push(ValueError::Check(error)),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// The time for the answer to a POST.
pub(super) fn seconds(text: &str) -> Result<u32, ValueError> {
    let found = check::seconds(text, MAX_RELOAD_TIMEOUT_SECONDS.into());
    let found = found.and_then(|seconds| u32::try_from(seconds).ok());
    found.ok_or_else(|| ValueError::ReloadTimeout(quoted(text)))
}

/// Names, separated by commas.
pub(super) fn list(
    text: &str,
    parse: fn(&str) -> Result<String, ValueError>,
) -> Result<BTreeSet<String>, Vec<ValueError>> {
    let mut found = BTreeSet::new();
    each_entry(text, |entry| {
        found.insert(parse(entry)?);
        Ok(())
    })?;
    Ok(found)
}

fn each_entry(
    text: &str,
    mut parse: impl FnMut(&str) -> Result<(), ValueError>,
) -> Result<(), Vec<ValueError>> {
    let (mut errors, mut has_empty) = (Vec::new(), false);
    for entry in text.split(',').map(str::trim) {
        if entry.is_empty() {
            has_empty = true;
        } else if let Err(error) = parse(entry) {
            errors.push(error);
            if errors.len() == MAX_MISTAKES {
                return Err(errors);
            }
        }
    }
    if has_empty {
        errors.push(ValueError::List(quoted(text)));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The name of an environment variable, as Kubernetes accepts it.
pub(super) fn env_name(text: &str) -> Result<String, ValueError> {
    let mut bytes = text.bytes();
    let fits = text.len() <= 253
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b'-'))
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if fits { Ok(text.to_owned()) } else { Err(ValueError::EnvName(quoted(text))) }
}

/// The name of a container.
pub(super) fn container(text: &str) -> Result<String, ValueError> {
    text.parse::<Label>().map(String::from).map_err(|_| ValueError::ContainerName(quoted(text)))
}

pub(super) fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}
