//! Plaintext credentials in a pod: variables, commands, arguments, headers of probes, annotations.

use std::fmt;

use contract::annotations;

use crate::container_path::ContainerPath;
use crate::credential::arguments::detect_arguments;
use crate::credential::{self, Rule};
use crate::diagnostics::printable;
use crate::pod::{Container, EnvVar, Handler, Pod};

/// How much of a pod is looked at. Both count bytes of literals.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Of one literal; its beginning is looked at.
    pub value_bytes: usize,
    /// Of all literals together, in the order of the pod; later ones are not looked at.
    pub pod_bytes: usize,
    /// Findings; later ones are not reported.
    pub findings: usize,
}

impl ScanLimits {
    /// What an admission review may cost.
    pub const ADMISSION: Self =
        Self { value_bytes: 32 * 1024, pod_bytes: 256 * 1024, findings: 100 };
    /// What a person may wait for. The API server takes no larger object.
    pub const OFFLINE: Self =
        Self { value_bytes: 2 * 1024 * 1024, pod_bytes: 4 * 1024 * 1024, findings: 10_000 };
}

/// What was found, and whether a limit ended the scan early.
#[derive(Debug)]
pub struct Findings<'p> {
    /// In the order of the pod.
    pub list: Vec<Finding<'p>>,
    /// Whether something was not looked at.
    pub is_partial: bool,
}

/// A plaintext credential. Holds its name and its place, never its value.
#[derive(Debug)]
pub struct Finding<'p> {
    /// The variable, option, header or annotation; empty if the form alone gave it away.
    pub name: String,
    /// The rule that found it.
    pub rule: &'static Rule,
    /// The name of the container; `None` for an annotation.
    pub container: Option<&'p str>,
    /// The keys and indexes that lead to the literal or to the object that has it as `value`.
    pub path: Vec<String>,
    /// The entry of `env`, if it is one.
    pub(crate) variable: Option<&'p EnvVar<'p>>,
}

/// As messages write it: `spec.containers[0].env[2] in container api`.
impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.path.iter().enumerate() {
            match step.parse::<usize>() {
                Ok(number) => write!(f, "[{number}]")?,
                Err(_) if step.contains(['/', '.']) => write!(f, "[{}]", printable(step))?,
                Err(_) if index > 0 => write!(f, ".{}", printable(step))?,
                Err(_) => write!(f, "{}", printable(step))?,
            }
        }
        match self.container {
            Some(name) => write!(f, " in container {}", printable(name)),
            None => Ok(()),
        }
    }
}

/// Looks through a pod.
pub fn findings<'p>(pod: &'p Pod<'_>, limits: ScanLimits) -> Findings<'p> {
    findings_besides(pod, limits, &|_| false)
}

/// Looks through a pod, but not at the variables that are `skipped`.
pub(crate) fn findings_besides<'p>(
    pod: &'p Pod<'_>,
    limits: ScanLimits,
    skipped: &dyn Fn(&EnvVar<'_>) -> bool,
) -> Findings<'p> {
    let mut scan =
        Scan { limits, left: limits.pod_bytes, skipped, list: Vec::new(), is_partial: false };
    for (path, container) in pod.containers() {
        if container.is_agent() {
            continue;
        }
        scan.container(path, container);
    }
    for (key, value) in pod.annotations() {
        scan.annotation(key, value);
    }
    Findings { list: scan.list, is_partial: scan.is_partial }
}

struct Scan<'p, 's> {
    limits: ScanLimits,
    left: usize,
    skipped: &'s dyn Fn(&EnvVar<'_>) -> bool,
    list: Vec<Finding<'p>>,
    is_partial: bool,
}

impl<'p> Scan<'p, '_> {
    /// The part of a literal that may be looked at.
    fn take<'t>(&mut self, text: &'t str) -> &'t str {
        let most = text.len().min(self.limits.value_bytes).min(self.left);
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.left -= end;
        self.is_partial |= end < text.len();
        &text[..end]
    }

    fn add(&mut self, finding: Finding<'p>) {
        if self.list.len() < self.limits.findings {
            self.list.push(finding);
        } else {
            self.is_partial = true;
        }
    }

    fn container(&mut self, path: ContainerPath, container: &'p Container<'_>) {
        let name = &*container.name;
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let Some(value) = variable.literal().filter(|_| !(self.skipped)(variable)) else {
                continue;
            };
            let value = self.take(value);
            if let Some(rule) = credential::detect(&variable.name, value) {
                let name = variable.name.to_string();
                self.add(Finding {
                    name,
                    rule,
                    container: Some(&container.name),
                    path: path.steps(&["env", &index.to_string()]),
                    variable: Some(variable),
                });
            }
        }
        // A command and its arguments are one command line.
        let command = container.command.as_deref().unwrap_or_default();
        let args = container.args.as_deref().unwrap_or_default();
        self.command(name, command.iter().chain(args).map(|it| &**it), |index| {
            let (list, index) = match index.checked_sub(command.len()) {
                None => ("command", index),
                Some(index) => ("args", index),
            };
            path.steps(&[list, &index.to_string()])
        });
        for (field, handler) in container.handlers() {
            self.handler(path, name, field, handler);
        }
    }

    fn command<'t>(
        &mut self,
        container: &'p str,
        arguments: impl Iterator<Item = &'t str>,
        path: impl Fn(usize) -> Vec<String>,
    ) {
        let arguments: Vec<&str> = arguments.map(|it| self.take(it)).collect();
        for found in detect_arguments(arguments.into_iter()) {
            self.add(Finding {
                name: found.name,
                rule: found.rule,
                container: Some(container),
                path: path(found.index),
                variable: None,
            });
        }
    }

    /// A probe or a hook.
    fn handler(
        &mut self,
        path: ContainerPath,
        container: &'p str,
        field: &[&'static str],
        handler: &'p Handler<'_>,
    ) {
        self.command(container, handler.command(), |index| {
            path.steps(&[field, &["exec", "command", &index.to_string()]].concat())
        });
        for (index, (name, value)) in handler.headers().enumerate() {
            let value = self.take(value);
            if let Some(rule) = credential::detect(name, value) {
                let index = index.to_string();
                self.add(Finding {
                    name: name.to_owned(),
                    rule,
                    container: Some(container),
                    path: path.steps(&[field, &["httpGet", "httpHeaders", &index]].concat()),
                    variable: None,
                });
            }
        }
    }

    fn annotation(&mut self, key: &'p str, value: &str) {
        if key.starts_with(annotations::PREFIX) {
            return;
        }
        let value = self.take(value);
        let name = key.rsplit('/').next().unwrap_or(key);
        // Annotations describe credentials far more often than they hold one, so a name counts
        // where the value is random.
        if let Some(rule) = credential::detect_in_note(name, value) {
            self.add(Finding {
                name: key.to_owned(),
                rule,
                container: None,
                path: ["metadata", "annotations", key].map(str::to_owned).to_vec(),
                variable: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{
        "metadata": {"annotations": {
            "example.com/db": "postgres://a:hunter2@b/c",
            "enclii.io/secrets": "postgres://a:hunter2@b/c"
        }},
        "spec": {
            "containers": [{
                "name": "app",
                "env": [{"name": "A"}, {"name": "DB_PASSWORD", "value": "hunter2"}],
                "command": ["sh", "--token=hunter2"],
                "args": ["x", "--password", "hunter2"],
                "livenessProbe": {"httpGet": {"httpHeaders": [
                    {"name": "X-Api-Key", "value": "hunter2"}
                ]}},
                "readinessProbe": {"exec": {"command": ["redis-cli", "-a", "hunter2"]}},
                "lifecycle": {"preStop": {"exec": {"command": ["--api-key=hunter2"]}}}
            }],
            "initContainers": [
                {"name": "init", "env": [{"name": "TOKEN", "value": "hunter2"}]},
                {"name": "enclii-agent", "env": [{"name": "TOKEN", "value": "hunter2"}]}
            ]
        }
    }"#;

    #[test]
    fn every_place_is_looked_at_and_the_agent_is_not() {
        let pod = Pod::parse(POD).unwrap();
        let found = findings(&pod, ScanLimits::ADMISSION);
        let places: Vec<_> = found.list.iter().map(|it| format!("{it}: {}", it.name)).collect();
        assert_eq!(
            places,
            [
                "spec.containers[0].env[1] in container app: DB_PASSWORD",
                "spec.containers[0].command[1] in container app: token",
                "spec.containers[0].args[2] in container app: password",
                "spec.containers[0].livenessProbe.httpGet.httpHeaders[0] in container app: \
                 X-Api-Key",
                "spec.containers[0].readinessProbe.exec.command[2] in container app: password",
                "spec.containers[0].lifecycle.preStop.exec.command[0] in container app: api-key",
                "spec.initContainers[0].env[0] in container init: TOKEN",
                "metadata.annotations[example.com/db]: example.com/db",
            ]
        );
        assert!(!found.is_partial);
    }

    #[test]
    fn the_limits_end_a_scan_and_it_is_said() {
        let variable = |value: &str| format!(r#"{{"name":"DB_PASSWORD","value":"{value}"}}"#);
        let pod = |values: &[&str]| {
            let env: Vec<_> = values.iter().map(|value| variable(value)).collect();
            format!(r#"{{"spec":{{"containers":[{{"name":"a","env":[{}]}}]}}}}"#, env.join(","))
        };
        let limits = ScanLimits { value_bytes: 40, pod_bytes: 60, findings: 2 };
        let url = "postgres://a:b@c";
        for (values, expected, is_partial) in [
            (&["hunter2", "hunter2"][..], 2, false),
            (&["hunter2", "hunter2", "hunter2"], 2, true),
            // What begins within the limit of a value is found, and what begins later is not.
            (&[&*format!("{url} {}", "ü".repeat(30))], 1, true),
            (&[&*format!("{} /{url}", "/x ".repeat(30))], 0, true),
            // The third value is beyond the limit of the pod.
            (&[&*"/".repeat(30), &*"/".repeat(30), "hunter2"], 0, true),
        ] {
            let json = pod(values);
            let pod = Pod::parse(&json).unwrap();
            let found = findings(&pod, limits);
            assert_eq!((found.list.len(), found.is_partial), (expected, is_partial), "{values:?}");
        }
    }
}
