//! A patched pod's containers as processes of this machine: no images and no namespaces, but the
//! same programs, arguments, variables and files.
//!
//! A volume's mount point is a directory of the test, since mounting needs root. Every path in the
//! spec below a mount point is replaced by that directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::program;

/// A pod's spec and the directories of its volumes.
pub struct Pod {
    spec: Value,
    uid: String,
    volumes: BTreeMap<String, PathBuf>,
}

impl Pod {
    /// `volumes` gives the directory of each volume by its name.
    #[must_use]
    pub fn new(spec: Value, uid: &str, volumes: BTreeMap<String, PathBuf>) -> Self {
        Self { spec, uid: uid.to_owned(), volumes }
    }

    /// The command of the container with this name, application or init.
    ///
    /// # Errors
    /// If there is no such container, or its program was not built.
    pub fn container(&self, name: &str) -> Result<Command> {
        let container = self.find(name)?;
        let image = container["image"].as_str().context("image")?;
        let mut words = strings(&container["command"]);
        if words.is_empty() {
            words.push(entry_point(image)?);
        }
        words.extend(strings(&container["args"]));
        self.command(container, &words)
    }

    /// The command of a container's postStart hook.
    ///
    /// # Errors
    /// If it has none.
    pub fn post_start(&self, name: &str) -> Result<Command> {
        let container = self.find(name)?;
        let words = strings(
            container
                .pointer("/lifecycle/postStart/exec/command")
                .context("the container has no postStart hook")?,
        );
        self.command(container, &words)
    }

    fn find(&self, name: &str) -> Result<&Value> {
        ["initContainers", "containers"]
            .iter()
            .filter_map(|list| self.spec[list].as_array())
            .flatten()
            .find(|it| it["name"] == name)
            .with_context(|| format!("the pod has no container {name}"))
    }

    fn command(&self, container: &Value, words: &[String]) -> Result<Command> {
        let (first, rest) = words.split_first().context("the container has no command")?;
        let mut command = Command::new(program(first.trim_start_matches('/'))?);
        command.args(rest).env_clear();
        for variable in container["env"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().context("name of a variable")?;
            let value = match variable
                .pointer("/valueFrom/fieldRef/fieldPath")
                .and_then(Value::as_str)
            {
                Some("metadata.uid") => self.uid.clone(),
                Some(other) => anyhow::bail!("fieldRef {other} is not supported"),
                None => self.relocated(container, variable["value"].as_str().unwrap_or_default()),
            };
            command.env(name, value);
        }
        Ok(command)
    }

    /// The text with every mount point replaced by its volume's directory. Works on text, since the
    /// agent's configuration is JSON that holds such paths.
    fn relocated(&self, container: &Value, text: &str) -> String {
        let mut text = text.to_owned();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let (Some(path), Some(volume)) = (mount["mountPath"].as_str(), mount["name"].as_str())
            else {
                continue;
            };
            if let Some(directory) = self.volumes.get(volume) {
                text = text.replace(path, &directory.to_string_lossy());
            }
        }
        text
    }
}

/// The program that one of the system's images starts: `enclii/agent:0.1.0` starts `enclii-agent`.
fn entry_point(image: &str) -> Result<String> {
    let name = image.rsplit('/').next().and_then(|it| it.split(':').next()).context("image")?;
    Ok(format!("/enclii-{name}"))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
