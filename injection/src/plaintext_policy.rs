//! What a namespace's policy says about plaintext credentials in a pod or a pod template that does
//! not ask for secrets.

use std::collections::HashSet;
use std::fmt;

use contract::annotations;

use crate::compat::COMPAT_BUNDLE;
use crate::config::InjectionConfig;
use crate::credential::Confidence;
use crate::diagnostics::printable;
use crate::findings::{Finding, ScanLimits, findings};
use crate::pod::Pod;

/// What the label `enclii.io/plaintext` of a namespace asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaintextMode {
    /// Everything that is found is a warning.
    Warn,
    /// What is certainly a credential is refused; the rest is a warning.
    Deny,
}

impl PlaintextMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Warn, Self::Deny];

    /// The mode as the label spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// What becomes of a pod or a template. Holds names and places, never a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PlaintextVerdict {
    /// Why it is refused.
    pub refusal: Option<String>,
    /// Warnings for its author.
    pub warnings: Vec<String>,
}

/// The most findings in a message. The API server shortens warnings at 4 KiB in all, and a message
/// becomes an event of 1 KiB.
const MAX_LISTED: usize = 10;

/// Whether the injection compares a pod's variables with the keys of its bundles. That of the
/// Injector's annotations leaves variables alone, whoever wrote the name of its bundle.
#[must_use]
pub fn injection_checks_variables(pod: &Pod<'_>) -> bool {
    pod.annotation(annotations::SECRETS).is_some_and(|asked| asked.trim() != COMPAT_BUNDLE)
}

/// Looks for plaintext credentials. `place` is the path of the pod in its object: empty for a pod,
/// `spec.template.` for a Deployment.
///
/// One that asks for secrets is for [`crate::admit()`], which knows the keys of its bundles.
#[must_use]
pub fn plaintext_verdict(
    pod: &Pod<'_>,
    place: &str,
    mode: PlaintextMode,
    config: &InjectionConfig,
) -> PlaintextVerdict {
    if injection_checks_variables(pod) {
        return PlaintextVerdict::default();
    }
    // As in the annotation's parser, a longer value is not read.
    let plain = pod.annotation(annotations::PLAIN_ENV);
    let plain = plain.filter(|it| it.len() <= annotations::MAX_VALUE_BYTES).unwrap_or_default();
    let plain: HashSet<&str> = plain.split(',').map(str::trim).collect();
    let found = findings(pod, ScanLimits::ADMISSION);
    let is_plain = |name: &String| plain.contains(&**name) || config.plain_env.contains(name);
    let secret = found.list.iter().filter(|it| !is_plain(&it.name));
    let (refused, warned): (Vec<_>, Vec<_>) = secret.partition(|finding| {
        mode == PlaintextMode::Deny && finding.rule.confidence == Confidence::Certain
    });
    let sentence = |finding| Sentence { place, finding }.to_string();
    let mut warnings: Vec<String> = warned.iter().take(MAX_LISTED).copied().map(sentence).collect();
    if warned.len() > MAX_LISTED {
        warnings.push(format!("and {} more credentials in plain text", warned.len() - MAX_LISTED));
    }
    if !warned.is_empty() {
        warnings.push(way_out(place));
    }
    if found.is_partial {
        let what = "more literals than a review looks at, so credentials may be among the rest";
        warnings.push(format!("{place}spec: it holds {what}; `enclii scan` looks at all of them"));
    }
    PlaintextVerdict { refusal: refusal(&refused, place), warnings }
}

fn refusal(refused: &[&Finding<'_>], place: &str) -> Option<String> {
    if refused.is_empty() {
        return None;
    }
    let mut message = "this namespace takes no credentials in plain text".to_owned();
    for finding in refused.iter().take(MAX_LISTED) {
        message.push_str(&format!("\n- {}", Sentence { place, finding }));
    }
    if refused.len() > MAX_LISTED {
        message.push_str(&format!("\n- and {} more", refused.len() - MAX_LISTED));
    }
    message.push('\n');
    message.push_str(&way_out(place));
    Some(message)
}

fn way_out(place: &str) -> String {
    format!(
        "store each with `enclii secrets set NAME=-` and give {place}metadata the annotation {}; \
         or, if it is not secret, list its name there in {}",
        annotations::SECRETS,
        annotations::PLAIN_ENV
    )
}

/// One finding, without its value.
struct Sentence<'a> {
    place: &'a str,
    finding: &'a Finding<'a>,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, finding } = self;
        write!(f, "{place}{finding}: ")?;
        if !finding.name.is_empty() {
            write!(f, "{} ", printable(&finding.name))?;
        }
        let verb = match (finding.rule.confidence, finding.name.is_empty()) {
            (Confidence::Certain, false) => "is ",
            (Confidence::Likely, false) => "looks like ",
            (Confidence::Certain, true) => "",
            (Confidence::Likely, true) => "perhaps ",
        };
        write!(f, "{verb}{} in plain text", finding.rule.what)
    }
}
