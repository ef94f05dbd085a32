//! `enclii scan`: finds plaintext credentials in manifests, by the webhook's own rules.

mod baseline;
mod finding;
mod report;
mod sarif;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use contract::annotations;
use injection::{Pod, ScanLimits, findings};
use serde_json::Value;

use self::baseline::Baseline;
use self::finding::ScanFinding;
use self::report::Report;
use crate::error::Error;
use crate::manifest::sources::{self, Source};
use crate::manifest::{self, KubernetesObject};
use crate::output::Output;

/// The exit code if something was found.
const FOUND: u8 = 9;

const EXAMPLES: &str = "\
Examples:
  enclii scan manifests/
  helm template shop ./chart | enclii scan -
  kubectl get deploy,sts,ds,cj -A -o yaml | enclii scan -
  enclii scan manifests/ --output sarif > enclii.sarif
  enclii scan manifests/ --output json > enclii-baseline.json
  enclii scan manifests/ --baseline enclii-baseline.json

Looks at the variables, commands, arguments, probes, hooks and annotations of every pod and pod
template, and prints names and places, never a value. To accept a finding, list its name in the
annotation enclii.io/plain-env of the pod template, or keep a report as the baseline.

Exit codes:
  0  nothing was found
  1  a named file could not be read; in a directory, a file that is no YAML is noted
  9  something was found";

/// Find credentials in plain text in manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ScanArgs {
    /// Manifests, YAML or JSON, and directories of them (.yaml, .yml, .json); `-` is standard
    /// input.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Leave out what this report has: the JSON output of an earlier scan.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Report only what has a form that nothing but credentials has.
    #[arg(long)]
    certain: bool,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = ScanFormat::Text)]
    output: ScanFormat,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScanFormat {
    /// A line for each.
    Text,
    /// For programs, and as a baseline.
    Json,
    /// SARIF 2.1.0, which code hosts show beside the lines.
    Sarif,
}

pub(crate) fn run(args: ScanArgs, output: &Output) -> Result<ExitCode, Error> {
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?.unwrap_or_default();
    let sources = sources::read(&args.paths)?;
    let mut report = Report::default();
    let mut failures = 0;
    for source in &sources {
        failures += scan(source, &mut report, output);
    }
    report.findings.retain(|it| !args.certain || it.is_certain());
    report.drop_accepted(&baseline);
    match args.output {
        ScanFormat::Text => report.print(output),
        ScanFormat::Json => output.json(&report)?,
        ScanFormat::Sarif => output.json(&sarif::log(&report.findings))?,
    }
    Ok(match (report.findings.is_empty(), failures) {
        (false, _) => ExitCode::from(FOUND),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::FAILURE,
    })
}

/// Adds the findings of one file. Answers with how many of its documents could not be read.
fn scan(source: &Source, report: &mut Report, output: &Output) -> usize {
    let before = report.findings.len();
    let manifest = manifest::parse(&source.text);
    let path = source.path.display();
    let mut failures = 0;
    for reason in &manifest.mistakes {
        // A directory may hold a chart, whose files are no YAML until Helm has filled them in.
        if source.is_named {
            failures += 1;
            let (path, reason) = (source.path.clone(), reason.clone());
            output.error(&Error::Parse { path, reason });
        } else if source.text.contains("{{") {
            output.note(&format!(
                "{path}: not scanned: {reason}; scan what `helm template` makes of a chart"
            ));
        } else {
            output.note(&format!("{path}: not scanned: {reason}"));
        }
    }
    for document in &manifest.documents {
        for template in manifest::templates(&document.value) {
            let Some(pod) = document.value.pointer(&template.pointer) else { continue };
            report.templates += 1;
            if !pod_findings((source, document, &template.pointer), pod, report, output) {
                failures += 1;
                output.error(&Error::Parse {
                    path: source.path.clone(),
                    reason: format!(
                        "{document}: a field of the pod has another type than in a Pod"
                    ),
                });
            }
        }
    }
    report.findings[before..].sort_by_key(|it| it.line);
    failures
}

/// Adds the findings of a pod. Answers whether it is one.
fn pod_findings(
    (source, document, pointer): (&Source, &KubernetesObject, &str),
    pod: &Value,
    report: &mut Report,
    output: &Output,
) -> bool {
    let text = manifest::with_strings(pod).to_string();
    let Ok(view) = Pod::parse(&text) else { return false };
    let found = findings(&view, ScanLimits::OFFLINE);
    if found.is_partial {
        output.note(&format!(
            "{}: {document}: too large to look at all of it",
            source.path.display()
        ));
    }
    let plain = view.annotation(annotations::PLAIN_ENV).unwrap_or_default();
    let is_accepted = |name: &str| plain.split(',').any(|it| it.trim() == name);
    for finding in &found.list {
        if is_accepted(&finding.name) {
            report.accepted += 1;
            continue;
        }
        let mut at = pointer.to_owned();
        for step in &finding.path {
            at.push('/');
            at.push_str(&manifest::escape_step(step));
        }
        let value = format!("{at}/value");
        let line = document.line(if document.has(&value) { &value } else { &at });
        report.findings.push(ScanFinding {
            file: source.path.display().to_string(),
            line,
            document: document.title(),
            namespace: document.namespace().map(str::to_owned),
            field: manifest::field(&at),
            container: finding.container.map(str::to_owned),
            name: finding.name.clone(),
            rule: finding.rule.id,
            what: finding.rule.what,
            confidence: finding.rule.confidence.as_str(),
        });
    }
    true
}
