//! Programs of the agent's image that run only while they are needed.
//!
//! They hold what is larger than all of the agent: the protocols of databases, the languages of
//! templates. Such a program gets what it works with through a pipe, so that no argument, variable
//! or file has it; its answer is bounded, and it is killed if it does not end in time.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use contract::Redacted;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Why there is no answer of a program.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It cannot be started.
    #[error("start {program}")]
    Start {
        /// Its path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It took the request and did not answer in time.
    #[error("no answer of the program in time")]
    Timeout,
    /// The pipe to it broke.
    #[error("read the program's answer")]
    Pipe(#[source] io::Error),
    /// It ended without an answer.
    #[error("the program ended without an answer: {0}")]
    Ended(ExitStatus),
    /// What it wrote is no answer, or longer than one.
    #[error("the program's answer is none")]
    Answer,
}

/// What a program wrote, of `limit` bytes at most and within the time.
///
/// # Errors
/// When it cannot be run, is not done in time, or ends with a failure.
pub(crate) async fn ask(
    program: &Path,
    input: Redacted,
    (limit, time): (usize, Duration),
) -> Result<Redacted, HelperError> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Also when the answer is given up from outside.
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|source| HelperError::Start { program: program.display().to_string(), source })?;
    match timeout(time, exchange(&mut child, input, limit)).await {
        Ok(result) => result,
        Err(_) => {
            // Waits for its end too, so that no process is left.
            let _ = child.kill().await;
            Err(HelperError::Timeout)
        }
    }
}

/// Writes the request and reads the answer, which may begin before the request has ended.
async fn exchange(
    child: &mut Child,
    input: Redacted,
    limit: usize,
) -> Result<Redacted, HelperError> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(HelperError::Pipe(io::ErrorKind::BrokenPipe.into()));
    };
    let write = async move {
        // A program that ends before it has read all says so by its status.
        let _ = stdin.write_all(input.expose()).await;
    };
    let mut answer = Zeroizing::new(Vec::new());
    let mut stdout = stdout.take(limit as u64 + 1);
    let ((), read) = tokio::join!(write, stdout.read_to_end(&mut answer));
    read.map_err(HelperError::Pipe)?;
    if answer.len() > limit {
        let _ = child.kill().await;
        return Err(HelperError::Answer);
    }
    let status = child.wait().await.map_err(HelperError::Pipe)?;
    match status.success() {
        true => Ok(Redacted::new(std::mem::take(&mut *answer))),
        false => Err(HelperError::Ended(status)),
    }
}

/// Programs in place of the real ones, which have tests of their own.
#[cfg(test)]
pub(crate) mod stand_in {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    /// A shell script.
    pub(crate) fn script(folder: &tempfile::TempDir, lines: &str) -> PathBuf {
        let path = folder.path().join("program");
        let mut file = File::create(&path).unwrap();
        write!(file, "#!/bin/sh\n{lines}\n").unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::stand_in::script;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_answer_may_be_longer_than_a_pipe_holds_and_begin_early() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, "exec cat");
        let input = Redacted::new(vec![b'x'; 1 << 20]);
        let found = ask(&program, input.clone(), (1 << 20, MINUTE)).await.unwrap();
        assert_eq!(found.len(), input.len());
        let error = ask(&program, input, ((1 << 20) - 1, MINUTE)).await.unwrap_err();
        assert!(matches!(error, HelperError::Answer), "{error:?}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_answer_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let program = script(&folder, &format!("echo $$ >{}; exec sleep 600", pid.display()));
        let input = Redacted::from(b"canary".as_slice());
        let time = Duration::from_secs(1);
        let error = ask(&program, input, (10, time)).await.unwrap_err();
        assert!(matches!(error, HelperError::Timeout), "{error:?}");
        let pid = fs::read_to_string(pid).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "it still runs");
    }
}
