//! What became of each of a pod's annotations, for people.

use contract::annotations::{
    AGENT_METRICS, AGENT_RESOURCES, CONTAINERS, DELIVER, ENV, FILE_MODE, FORMAT, METRICS, PATH,
    PLACEMENT, PLAIN_ENV, PREFIX, RELOAD, RELOAD_CONTAINER, RELOAD_TIMEOUT, SECRETS, STATUS,
    TEMPLATE, VERIFY,
};
use contract::{Annotations, ReloadRequest, layout};

use crate::compat::{COMPAT_BUNDLE, Mapped, Mapping, Treatment, explain_vault};
use crate::config::InjectionConfig;
use crate::diagnostics::printable;
use crate::pod::Pod;

/// What becomes of the annotations of a pod that is to be created in `namespace`: those of this
/// system, and where the operator turns them on, those of the Vault Agent Injector. Whether the pod
/// is admitted depends on more than these.
#[must_use]
pub fn explain(pod: &Pod<'_>, namespace: &str, config: &InjectionConfig) -> Mapping {
    let vault = explain_vault(pod, namespace, config);
    // What is wrong with them together is among the errors already.
    let is_vault = vault.is_some();
    let mut mapping = vault.unwrap_or_default();
    let own = own(pod, is_vault);
    mapping.annotations.extend(own.annotations);
    if !is_vault {
        mapping.errors.extend(own.errors);
    }
    mapping.annotations.sort_by(|a, b| a.annotation.cmp(&b.annotation));
    mapping
}

/// Those of this system. With the Injector's annotations a pod needs no bundle of its own.
fn own(pod: &Pod<'_>, is_vault: bool) -> Mapping {
    let all: Vec<_> = pod.annotations().filter(|(key, _)| key.starts_with(PREFIX)).collect();
    let mut mapping = Mapping::default();
    let has_bundle = all.iter().any(|(key, _)| *key == SECRETS);
    let bundle = (is_vault && !has_bundle).then_some((SECRETS, COMPAT_BUNDLE));
    let parsed = match Annotations::parse(all.iter().copied().chain(bundle)) {
        Ok(parsed) => parsed,
        Err(errors) => {
            for error in errors.iter() {
                let message = error.message();
                let prefix = format!("annotation {}: ", error.key);
                let outcome = message.strip_prefix(&prefix).unwrap_or(&message).to_owned();
                let annotation = error.key.to_owned();
                let treatment = Treatment::Refused;
                mapping.annotations.push(Mapped { annotation, treatment, outcome });
                mapping.errors.push(message);
            }
            return mapping;
        }
    };
    for (key, value) in all {
        let (treatment, outcome) = match &parsed {
            _ if key == STATUS => (Treatment::Ignored, "the webhook writes it".to_owned()),
            None => (Treatment::Ignored, format!("the pod has no {SECRETS}")),
            Some(parsed) => match meaning(key, value, parsed) {
                Some(outcome) => (Treatment::Used, outcome),
                None => (Treatment::Ignored, unknown(key, parsed)),
            },
        };
        mapping.annotations.push(Mapped { annotation: printable(key), treatment, outcome });
    }
    mapping
}

/// Why a key has no effect.
fn unknown(key: &str, parsed: &Annotations) -> String {
    let similar = parsed.unknown.iter().find(|it| it.key == key).and_then(|it| it.similar);
    match similar {
        Some(similar) => format!("it is not known; did you mean {similar}?"),
        None => "it is not known".to_owned(),
    }
}

/// What a known key means in this pod.
fn meaning(key: &str, value: &str, parsed: &Annotations) -> Option<String> {
    fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
        names.into_iter().map(|it| printable(it)).collect::<Vec<_>>().join(", ")
    }
    let directory = layout::SECRETS_DIRECTORY;
    let file = |prefix: &str| key.strip_prefix(prefix).map(printable);
    Some(match key {
        SECRETS => {
            let names: Vec<_> = parsed.bundles.iter().map(|it| it.as_str()).collect();
            format!("each secret of {} is a file in {directory}", names.join(", "))
        }
        RELOAD => match &parsed.reload {
            ReloadRequest::None => "the application is not told of new values".to_owned(),
            ReloadRequest::Restart => "all containers start again for new values".to_owned(),
            reload => format!("new values are told by {}", printable(&reload.to_string())),
        },
        RELOAD_CONTAINER => format!("container {} is told", printable(value.trim())),
        RELOAD_TIMEOUT => {
            format!("a POST has {} s", parsed.reload_timeout_seconds.unwrap_or_default())
        }
        VERIFY => match parsed.verify.as_deref() {
            Some([]) | None => "nothing is checked after a change".to_owned(),
            Some(checks) => {
                let checks: Vec<_> = checks.iter().map(|it| printable(&it.to_string())).collect();
                format!("checked after a change: {}", checks.join("; "))
            }
        },
        METRICS => format!("requests are counted at {}", parsed.metrics.as_ref()?),
        DELIVER => format!("values are delivered as {}", printable(&parsed.deliver.to_string())),
        ENV => format!("taken out of the environment: {}", list(&parsed.env)),
        PLAIN_ENV => format!("left alone: {}", list(&parsed.plain_env)),
        CONTAINERS => {
            format!("the secrets are in {}", list(parsed.containers.iter().flatten()))
        }
        PLACEMENT => format!("the agent is {}", parsed.placement?.as_str()),
        AGENT_METRICS => {
            format!("the agent shows its own metrics on port {}", parsed.agent_metrics?)
        }
        AGENT_RESOURCES => format!("the agent has {}", printable(value.trim())),
        FILE_MODE => format!("the files have the mode {}", parsed.file_mode?),
        _ => {
            if let Some(file) = file(TEMPLATE) {
                format!("renders {directory}/{file}")
            } else if let Some(file) = file(FORMAT) {
                format!("all secrets as {} in {directory}/{file}", printable(value.trim()))
            } else {
                let file = file(PATH)?;
                format!("{file} is at {directory}/{} too", printable(value.trim()))
            }
        }
    })
}
