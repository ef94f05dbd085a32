//! Credentials in plain text that are not a key of any bundle.

use crate::config::InjectionConfig;
use crate::credential::Confidence;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::findings::{Finding, ScanLimits, findings_besides};
use crate::pod::{EnvVar, Pod};
use crate::requested::RequestedSecrets;

/// Checks every literal that stays in a pod, also in containers that do not get the secrets.
///
/// Only a variable refuses the pod, and only if it is certain: it is what a bundle replaces.
pub(crate) fn check(
    pod: &Pod<'_>,
    requested: &RequestedSecrets<'_>,
    config: &InjectionConfig,
    diagnostics: &mut Diagnostics,
) {
    // What a bundle replaces does not stay. Most credentials of most pods are these.
    let is_replaced = |variable: &EnvVar<'_>| requested.secret_for(variable).is_some();
    let found = findings_besides(pod, ScanLimits::ADMISSION, &is_replaced);
    for finding in &found.list {
        let is_plain =
            requested.is_plain_env(&finding.name) || config.plain_env.contains(&finding.name);
        if !is_plain {
            report(finding, requested, diagnostics);
        }
    }
    if found.is_partial {
        diagnostics.warn(Warning::NotAllExamined);
    }
}

fn report(finding: &Finding<'_>, requested: &RequestedSecrets<'_>, diagnostics: &mut Diagnostics) {
    let (at, name) = (finding.to_string(), printable(&finding.name));
    if finding.variable.is_none() {
        let what = finding.rule.what;
        diagnostics.warn(Warning::CredentialElsewhere { at, what });
    } else if finding.rule.confidence == Confidence::Certain {
        let set = requested.set_command_in_first_bundle(&finding.name);
        diagnostics.deny(Violation::Plaintext { at, name, what: finding.rule.what, set });
    } else {
        diagnostics.warn(Warning::LooksLikeCredential { at, name });
    }
}
