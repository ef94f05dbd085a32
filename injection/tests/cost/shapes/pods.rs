//! Pods as text, of parts that may be anything.

use super::BUNDLE;

/// A pod with these volumes and no container.
pub(super) fn volumes(volumes: &str) -> String {
    pod("", "[]").replacen(r#""containers""#, &format!(r#""volumes":[{volumes}],"containers""#), 1)
}

pub(super) fn annotation(key: &str, value: &str) -> String {
    format!(r#","enclii.io/{key}":"{value}""#)
}

pub(super) fn bundles(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|at| format!("b{at}-prod")).collect();
    annotation("secrets", &names.join(","))
}

/// A pod with the bundle and these annotations. If there is a second `secrets`, it counts.
pub(super) fn pod(annotations: &str, containers: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"it","annotations":{{"enclii.io/secrets":"{BUNDLE}"{annotations}}}}},"spec":{{"containers":{containers}}}}}"#
    )
}
