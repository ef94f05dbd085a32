//! `enclii inject --explain`: what becomes of each annotation.

use std::process::ExitCode;

use injection::{InjectionConfig, Mapped, Pod, explain};
use serde::Serialize;

use super::InjectArgs;
use crate::common_args::OutputFormat;
use crate::error::Error;
use crate::manifest::sources::Source;
use crate::manifest::{self, Manifest};
use crate::output::Output;

/// The JSON output.
#[derive(Serialize)]
struct ExplainReport {
    documents: Vec<ExplainedDocument>,
}

/// A document with a pod, and what becomes of its annotations.
#[derive(Serialize)]
struct ExplainedDocument {
    document: String,
    annotations: Vec<ExplainedAnnotation>,
    /// What keeps the pod from being admitted.
    errors: Vec<String>,
}

#[derive(Serialize)]
struct ExplainedAnnotation {
    annotation: String,
    /// `used`, `ignored` or `refused`.
    treatment: &'static str,
    outcome: String,
}

impl From<Mapped> for ExplainedAnnotation {
    fn from(Mapped { annotation, treatment, outcome }: Mapped) -> Self {
        Self { annotation, treatment: treatment.as_str(), outcome }
    }
}

/// Prints what becomes of the annotations of every pod. Fails if one of them is refused.
pub(super) fn run(
    manifests: &[(Manifest, Source)],
    args: &InjectArgs,
    config: &InjectionConfig,
    output: &Output,
) -> Result<ExitCode, Error> {
    let mut report = ExplainReport { documents: Vec::new() };
    let mut has_failed = false;
    for (manifest, source) in manifests {
        for reason in &manifest.mistakes {
            has_failed = true;
            let (path, reason) = (source.path.clone(), reason.clone());
            output.error(&Error::Parse { path, reason });
        }
        for document in &manifest.documents {
            for template in manifest::templates(&document.value) {
                let Some(pod) = document.value.pointer(&template.pointer) else { continue };
                let namespace = document.value.pointer("/metadata/namespace");
                let namespace = namespace.and_then(|it| it.as_str()).unwrap_or(&args.namespace);
                let text = pod.to_string();
                let Ok(pod) = Pod::parse(&text) else {
                    has_failed = true;
                    let message = "a field of the pod has another type than in a Pod".to_owned();
                    output.error(&Error::PodRefused { document: document.to_string(), message });
                    continue;
                };
                let mapping = explain(&pod, namespace, config);
                report.documents.push(ExplainedDocument {
                    document: document.to_string(),
                    annotations: mapping.annotations.into_iter().map(Into::into).collect(),
                    errors: mapping.errors,
                });
            }
        }
    }
    has_failed |= report.documents.iter().any(|it| !it.errors.is_empty());
    match args.output {
        OutputFormat::Json => output.json(&report)?,
        OutputFormat::Table => print(&report, output),
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(report: &ExplainReport, output: &Output) {
    for (at, found) in report.documents.iter().enumerate() {
        if at > 0 {
            output.line("");
        }
        output.line(&found.document);
        if found.annotations.is_empty() && found.errors.is_empty() {
            output.line("no annotation asks for anything");
            continue;
        }
        let row = |it: &ExplainedAnnotation| {
            vec![it.annotation.clone(), it.treatment.to_owned(), it.outcome.clone()]
        };
        let rows: Vec<_> = found.annotations.iter().map(row).collect();
        output.table(&["ANNOTATION", "HERE", "OUTCOME"], &rows);
        let is_shown =
            |error: &&String| found.annotations.iter().any(|it| error.ends_with(&it.outcome));
        for error in found.errors.iter().filter(|it| !is_shown(it)) {
            output.note(&format!("{}: {error}", found.document));
        }
    }
}
