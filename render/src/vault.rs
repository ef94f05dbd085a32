//! Templates of Vault Agent: Go's language with the functions of consul-template. Pure.
//!
//! A template sees Vault's answers to the calls that it makes, and nothing else. Its steps and its
//! output are bounded. What it multiplies in memory is bounded by the limits of the process.

mod answer;
mod functions;
mod numbers;
mod steps;
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::Redacted;
use contract::layout::MAX_TEMPLATE_STEPS;
use contract::rendering::{TemplateError, TemplateErrorKind};
use contract::template::TemplateFault;
use contract::vault_template::{
    self, FUNCTIONS, PKI_CERT, ParsedTemplate, SECRET, VaultTemplateCall, VaultTemplateOptions,
    parameters,
};
use gotmpl::{MissingKey, Template, Value};

use crate::Secrets;
use crate::output::Output;
use answer::VaultAnswer;
use functions::text;
use steps::Steps;

/// The name of the template's own text among the texts that it defines.
const MAIN: &str = "";

/// The text that a template makes of the secrets that it calls for.
pub(crate) fn render(
    source: &str,
    options: &VaultTemplateOptions,
    secrets: &Secrets,
) -> Result<Redacted, TemplateError> {
    let steps = Arc::new(Steps::default());
    let failed = |error: &gotmpl::TemplateError| steps.failure(error, source);
    let parsed = vault_template::parse(source, &options.delimiters);
    let parsed = parsed.map_err(|TemplateFault { line, what }| TemplateError {
        line,
        kind: TemplateErrorKind::other(what),
    })?;
    let template = template(parsed, &steps);
    let missing = match options.error_on_missing_key {
        true => MissingKey::Error,
        false => MissingKey::ZeroValue,
    };
    let mut template = template.missing_key(missing).max_range_iters(MAX_TEMPLATE_STEPS);
    for name in FUNCTIONS {
        if let Some(function) = functions::of(name) {
            let steps = Arc::clone(&steps);
            template = template.func(name, move |arguments| {
                function(arguments).map_err(|what| steps.refuse(format!("{name} {what}")))
            });
        }
    }
    let answers = Arc::new(answers(&options.calls, secrets));
    for name in [SECRET, PKI_CERT] {
        let (answers, steps) = (Arc::clone(&answers), Arc::clone(&steps));
        template = template.func(name, move |arguments| {
            call(name, arguments, &answers).map_err(|what| steps.refuse(what))
        });
    }
    let mut output = Output::new();
    match template.execute_template_fmt(&mut output, MAIN, &Value::Nil) {
        Ok(()) => Ok(output.into_bytes()),
        Err(_) if output.is_full() => Err(steps.error(TemplateErrorKind::TooLarge)),
        Err(error) => Err(failed(&error)),
    }
}

/// The template with its steps counted.
fn template(parsed: ParsedTemplate, steps: &Arc<Steps>) -> Template {
    let ParsedTemplate { tree, defines } = parsed;
    let mut template = steps.count(Template::new(MAIN));
    for define in defines {
        // As Go does, an empty text replaces none.
        let is_kept = define.body.is_empty_tree() && template.lookup(&define.name).is_some();
        if !is_kept {
            template = template.add_parse_tree(&define.name, steps::counted(define.body));
        }
    }
    template.add_parse_tree(MAIN, steps::counted(tree))
}

/// What identifies a call: its path and its parameters.
type CallKey = (String, BTreeMap<String, String>);

/// Vault's answers, by the calls.
fn answers(
    calls: &[VaultTemplateCall],
    secrets: &Secrets,
) -> BTreeMap<CallKey, Option<VaultAnswer>> {
    let answer = |call: &VaultTemplateCall| {
        let key = (call.path.clone(), call.parameters.clone());
        (key, secrets.get(call.secret.as_str()).and_then(VaultAnswer::read))
    };
    calls.iter().map(answer).collect()
}

/// The value of a call of [`SECRET`] or [`PKI_CERT`].
fn call(
    name: &str,
    arguments: &[Value],
    answers: &BTreeMap<CallKey, Option<VaultAnswer>>,
) -> Result<Value, String> {
    let texts: Option<Vec<_>> = arguments.iter().map(text).collect();
    let texts = texts.ok_or_else(|| format!("{name} takes texts"))?;
    let (path, rest) = texts.split_first().ok_or_else(|| format!("{name} needs a path"))?;
    let parameters = parameters(rest.iter().map(|it| &**it));
    let parameters = parameters.map_err(|_| format!("{name} takes \"KEY=VALUE\""))?;
    // No path in the texts below: a template may compute one of a value.
    match answers.get(&(path.to_string(), parameters)) {
        Some(Some(answer)) if name == PKI_CERT => Ok(answer.certificate()),
        Some(Some(answer)) => Ok(answer.secret()),
        Some(None) => Err(format!("{name}: what the agent has read is no answer of Vault")),
        None => Err(format!("{name}: it was not found in the template when the pod was admitted")),
    }
}

#[cfg(test)]
mod tests;
