//! The cluster, through `kubectl`, which knows how to log in.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// For one call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `kubectl` to its end, whatever its exit code.
///
/// # Errors
/// It cannot be run, or does not end in time; in words.
pub(crate) async fn run(kubectl: &Path, words: &[&str]) -> Result<Output, String> {
    let mut command = Command::new(kubectl);
    command.args(words).args(["--request-timeout", "5s"]).stdin(Stdio::null()).kill_on_drop(true);
    ended(kubectl, command).await
}

/// Runs a program in a container of a pod.
///
/// # Errors
/// `kubectl` cannot be run, or does not end in time; in words.
pub(crate) async fn exec(
    kubectl: &Path,
    namespace: Option<&str>,
    (pod, container): (&str, &str),
    program: &[&str],
) -> Result<Output, String> {
    let mut command = Command::new(kubectl);
    command.args(["exec", pod, "--container", container]);
    if let Some(namespace) = namespace {
        command.args(["--namespace", namespace]);
    }
    command.arg("--").args(program).stdin(Stdio::null()).kill_on_drop(true);
    ended(kubectl, command).await
}

async fn ended(kubectl: &Path, mut command: Command) -> Result<Output, String> {
    match timeout(TIMEOUT, command.output()).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(format!("{}: {error}", kubectl.display())),
        Err(_) => Err(format!("{} did not answer within {TIMEOUT:?}", kubectl.display())),
    }
}

/// What `kubectl` says last when it fails.
pub(crate) fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    format!("kubectl: {}", text.lines().last().unwrap_or("it failed"))
}
