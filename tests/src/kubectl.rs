//! A real cluster through `kubectl`: the one that `KUBECONFIG` names.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::guard::{self, Registration};
use crate::wait;

/// Runs `kubectl` and returns its standard output.
///
/// # Errors
/// If it fails; the message is what it printed.
pub fn kubectl(words: &[&str]) -> Result<String> {
    let output = run(words, None)?;
    if !output.status.success() {
        bail!("kubectl {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Applies a manifest.
///
/// # Errors
/// If the cluster refuses it; the message is its own.
pub fn apply(manifest: &str) -> Result<()> {
    let output = run(&["apply", "-f", "-"], Some(manifest))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The cluster's message when it refuses a manifest.
///
/// # Errors
/// If it takes it.
pub fn rejection(manifest: &str) -> Result<String> {
    match apply(manifest) {
        Ok(()) => bail!("the cluster accepted what it should have refused"),
        Err(error) => Ok(error.to_string()),
    }
}

/// An object, or `None` if it does not exist.
///
/// # Errors
/// If kubectl fails otherwise.
pub fn object(namespace: &str, kind: &str, name: &str) -> Result<Option<Value>> {
    let text = kubectl(&["-n", namespace, "get", kind, name, "--ignore-not-found", "-o", "json"])?;
    if text.trim().is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
}

/// The objects of a kind that a label selector finds.
///
/// # Errors
/// If kubectl fails.
pub fn objects(namespace: &str, kind: &str, selector: &str) -> Result<Vec<Value>> {
    let text = kubectl(&["-n", namespace, "get", kind, "-l", selector, "-o", "json"])?;
    let list: Value = serde_json::from_str(&text)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Sends a GET request to a pod through the API server's proxy.
///
/// # Errors
/// If the pod does not answer with 2xx.
pub fn ask<T: serde::de::DeserializeOwned>(
    namespace: &str,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<T> {
    let text = kubectl(&[
        "get",
        "--raw",
        &format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}"),
    ])?;
    serde_json::from_str(&text).with_context(|| format!("answer of {namespace}/{pod}{path}"))
}

/// Waits until a workload has rolled out.
///
/// # Errors
/// If it has not in time: the message shows its pods and their events.
pub fn rolled_out(namespace: &str, workload: &str, timeout: Duration) -> Result<()> {
    let flag = format!("--timeout={}s", timeout.as_secs());
    kubectl(&["-n", namespace, "rollout", "status", workload, &flag])
        .map(drop)
        .map_err(|error| anyhow::anyhow!("{error}\n{}", describe(namespace)))
}

/// Sets a variable of a Deployment (`NAME=value`, or `NAME-` to remove it), and returns when all
/// replicas have it and the old ones are gone: those answer, on connections that are open, until
/// they have drained.
///
/// # Errors
/// If it cannot be set, or the rollout does not end in time.
pub fn set_variable(namespace: &str, name: &str, word: &str, timeout: Duration) -> Result<()> {
    set_variables(namespace, name, &[word], timeout)
}

/// Like [`set_variable`], for several at once.
///
/// # Errors
/// As [`set_variable`].
pub fn set_variables(namespace: &str, name: &str, words: &[&str], timeout: Duration) -> Result<()> {
    let workload = format!("deployment/{name}");
    kubectl(&[&["-n", namespace, "set", "env", &workload][..], words].concat())?;
    rolled_out(namespace, &workload, timeout)?;
    let label = format!("app.kubernetes.io/name={name}");
    wait::until("the old replicas to be gone", timeout, || {
        let pods = objects(namespace, "pods", &label)?;
        let are_new = pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(are_new.then_some(()))
    })
}

/// The names of the pods that run and are ready, of a label selector.
///
/// # Errors
/// If kubectl fails.
pub fn ready_pods(namespace: &str, selector: &str) -> Result<Vec<String>> {
    Ok(objects(namespace, "pods", selector)?
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .filter(|pod| {
            pod["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|it| it["type"] == "Ready" && it["status"] == "True")
        })
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect())
}

/// The pods and events of a namespace, for the message of a failed test.
#[must_use]
pub fn describe(namespace: &str) -> String {
    let show = |words: &[&str]| kubectl(words).unwrap_or_else(|error| error.to_string());
    format!(
        "pods of {namespace}:\n{}\nevents:\n{}",
        show(&["-n", namespace, "get", "pods", "-o", "wide"]),
        show(&["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"])
    )
}

/// Saves the logs of a namespace's containers, also of restarted ones, in the folder
/// `ENCLII_KEEP_LOGS`. Logs end with their pods, and the search for leaks comes later.
pub fn keep_logs(namespace: &str) {
    let Some(folder) = std::env::var_os("ENCLII_KEEP_LOGS").map(PathBuf::from) else { return };
    let _ = std::fs::create_dir_all(&folder);
    let pods = kubectl(&["-n", namespace, "get", "pods", "-o", "name"]).unwrap_or_default();
    for pod in pods.lines() {
        for previous in ["false", "true"] {
            let Ok(log) = kubectl(&[
                "-n",
                namespace,
                "logs",
                pod,
                "--all-containers",
                "--ignore-errors",
                &format!("--previous={previous}"),
            ]) else {
                continue;
            };
            let name = format!("{namespace}-{}-{previous}.log", pod.replace('/', "-"));
            let _ = std::fs::File::create(folder.join(name))
                .and_then(|mut file| file.write_all(log.as_bytes()));
        }
    }
}

/// A namespace for one test. Dropping the value deletes it.
pub struct Namespace(String);

impl Namespace {
    /// Creates the namespace. Deletes one that an earlier run left first.
    ///
    /// # Errors
    /// If the cluster refuses it.
    pub fn create(name: &str, labels: &[(&str, &str)]) -> Result<Self> {
        kubectl(&[
            "delete",
            "namespace",
            name,
            "--ignore-not-found",
            "--wait=true",
            "--timeout=60s",
        ])?;
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}
        });
        apply(&manifest.to_string())?;
        let namespace = Self(name.to_owned());
        // Pods are refused until the controller has made the default service account.
        wait::until("the default service account", Duration::from_secs(30), || {
            object(name, "serviceaccount", "default")
        })?;
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        keep_logs(&self.0);
        let _ = kubectl(&["delete", "namespace", &self.0, "--ignore-not-found", "--wait=false"]);
    }
}

/// A forwarded port of a Service: `kubectl port-forward`.
pub struct PortForward {
    child: std::process::Child,
    port: u16,
    _registration: Registration,
}

impl PortForward {
    /// Forwards a port and waits until it accepts connections.
    ///
    /// # Errors
    /// If the Service has no pod in time.
    pub fn open(namespace: &str, service: &str, port: u16, timeout: Duration) -> Result<Self> {
        let local = crate::port::free_port()?;
        wait::until_every(
            Duration::from_millis(500),
            &format!("a port-forward to {namespace}/{service}"),
            timeout,
            || {
                let mut command = command(&[
                    "-n",
                    namespace,
                    "port-forward",
                    &format!("service/{service}"),
                    &format!("{local}:{port}"),
                ]);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let (mut child, registration) =
                    guard::spawn(&mut command).context("start kubectl port-forward")?;
                let open = wait::until("the port", Duration::from_secs(5), || {
                    anyhow::ensure!(child.try_wait()?.is_none(), "port-forward ended");
                    Ok(std::net::TcpStream::connect(("127.0.0.1", local)).ok())
                });
                if open.is_ok() {
                    return Ok(Some(Self { child, port: local, _registration: registration }));
                }
                let _ = child.kill();
                let _ = child.wait();
                Ok(None)
            },
        )
    }

    /// The port of loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortForward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The repository's folder, where the manifests are.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command.args(words);
    command
}

fn run(words: &[&str], input: Option<&str>) -> Result<Output> {
    let mut child = command(words)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start kubectl")?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).context("write to kubectl")?;
    }
    child.wait_with_output().context("wait for kubectl")
}
