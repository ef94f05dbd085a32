//! What the demonstration prints.

use std::io::IsTerminal;
use std::time::Instant;

use serde_json::Value;

/// Numbers the steps and shows the time since the start with each.
pub(crate) struct Progress {
    started: Instant,
    step: usize,
    steps: usize,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        Self { started: Instant::now(), step: 0, steps }
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, text: &str) {
        self.step += 1;
        let (step, steps, seconds) = (self.step, self.steps, self.seconds());
        if std::io::stdout().is_terminal() {
            println!("\n\x1b[1;36m[{step}/{steps}] {text}\x1b[0m \x1b[2m({seconds:.1} s)\x1b[0m")
        } else {
            println!("\n[{step}/{steps}] {text} ({seconds:.1} s)")
        }
    }

    /// The seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// How the demonstration ended.
pub(crate) fn verdict(text: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\x1b[1m{text}\x1b[0m")
    } else {
        println!("\n{text}")
    }
}

/// Something that happened.
pub(crate) fn line(text: &str) {
    println!("   {text}");
}

/// A command as the user would type it.
pub(crate) fn command(text: &str) {
    if std::io::stdout().is_terminal() {
        println!("   \x1b[2m$\x1b[0m \x1b[1m{text}\x1b[0m")
    } else {
        println!("   $ {text}")
    }
}

/// The containers of a pod: the parts of them that change.
pub(crate) fn pod(pod: &Value) {
    for (list, word) in [("initContainers", "init container"), ("containers", "container")] {
        for container in pod["spec"][list].as_array().into_iter().flatten() {
            let sidecar = if container["restartPolicy"] == "Always" { " (sidecar)" } else { "" };
            line(&format!(
                "{word} {}{sidecar}, image {}",
                text(&container["name"]),
                text(&container["image"])
            ));
            for variable in container["env"].as_array().into_iter().flatten() {
                line(&format!("    env    {} = {}", text(&variable["name"]), value(variable)));
            }
            for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                let read_only = if mount["readOnly"] == true { ", read-only" } else { "" };
                line(&format!(
                    "    mount  {} (volume {}{read_only})",
                    text(&mount["mountPath"]),
                    text(&mount["name"])
                ));
            }
        }
    }
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let kind = match (
            volume.pointer("/emptyDir/medium"),
            volume.pointer("/projected/sources/0/serviceAccountToken/audience"),
        ) {
            (Some(medium), _) => format!(
                "emptyDir, medium {}, at most {}",
                text(medium),
                text(&volume["emptyDir"]["sizeLimit"])
            ),
            (_, Some(audience)) => format!("service-account token, audience {}", text(audience)),
            _ => "other".to_owned(),
        };
        line(&format!("volume {}: {kind}", text(&volume["name"])));
    }
}

fn value(variable: &Value) -> String {
    match (&variable["value"], variable.pointer("/valueFrom/fieldRef/fieldPath")) {
        (Value::String(literal), _) if literal.len() > 80 => {
            format!("{}…", literal.chars().take(77).collect::<String>())
        }
        (Value::String(literal), _) => literal.clone(),
        (_, Some(field)) => format!("(the pod's {})", text(field)),
        _ => String::new(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
