//! Logins at databases, by a program of its own that runs only while it checks.
//!
//! The protocols' libraries are several times the agent's size. The program gets the URL through a
//! pipe, so that no argument, variable or file has it; its answer is bounded, and it is killed if
//! it does not end in time.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use contract::Redacted;
use contract::login_check::{
    LoginCheckAnswer, LoginCheckRequest, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, MAX_URL_BYTES,
};
use contract::stream::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What the program has besides the request's own time: to start, and to write its answer.
const SPARE_TIME: Duration = Duration::from_millis(500);

/// Why a login could not be tried. That proves nothing of the credential.
#[derive(Debug, thiserror::Error)]
pub enum LoginCheckError {
    /// The value is longer than a URL.
    #[error("try login: the value has {0} bytes, and a URL has {MAX_URL_BYTES} at most")]
    Url(usize),
    /// The request cannot be written.
    #[error("try login: the request is longer than {MAX_REQUEST_BYTES} bytes")]
    Request,
    /// The program cannot be started.
    #[error("try login: start {program}")]
    Start {
        /// Its path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The program took the request and did not answer in time.
    #[error("try login: no answer of the program in time")]
    Timeout,
    /// The pipe to the program broke.
    #[error("try login: read the program's answer")]
    Pipe(#[source] io::Error),
    /// The program ended without an answer.
    #[error("try login: the program ended without an answer: {0}")]
    Ended(ExitStatus),
    /// What the program wrote is no answer, or longer than one.
    #[error("try login: the program's answer is none")]
    Answer,
}

/// Has the program try a login with a URL. It is [`contract::layout::LOGIN_CHECK_PROGRAM`], except
/// in tests.
///
/// # Errors
/// When the program cannot be run, or does not answer.
pub async fn check(
    program: &Path,
    request: &LoginCheckRequest,
    url: &Redacted,
) -> Result<LoginCheckAnswer, LoginCheckError> {
    if url.len() > MAX_URL_BYTES {
        return Err(LoginCheckError::Url(url.len()));
    }
    let header = serde_json::to_vec(request).map_err(|_| LoginCheckError::Request)?;
    if header.len() > MAX_REQUEST_BYTES {
        return Err(LoginCheckError::Request);
    }
    let mut command = Command::new(program);
    command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Also when the check is given up from outside.
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| LoginCheckError::Start {
        program: program.display().to_string(),
        source,
    })?;
    let input = frame::encode(&header, &[url.expose()]);
    let time = Duration::from_millis(request.timeout_milliseconds).saturating_add(SPARE_TIME);
    match timeout(time, exchange(&mut child, input)).await {
        Ok(result) => result,
        Err(_) => {
            // Waits for its end too, so that no process is left.
            let _ = child.kill().await;
            Err(LoginCheckError::Timeout)
        }
    }
}

/// Writes the request and reads the answer.
async fn exchange(child: &mut Child, input: Redacted) -> Result<LoginCheckAnswer, LoginCheckError> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(LoginCheckError::Pipe(io::ErrorKind::BrokenPipe.into()));
    };
    // A program that ends before it has read all says so by its status.
    let _ = stdin.write_all(input.expose()).await;
    drop((stdin, input));
    let mut answer = Vec::new();
    let limit = MAX_ANSWER_BYTES as u64 + 1;
    stdout.take(limit).read_to_end(&mut answer).await.map_err(LoginCheckError::Pipe)?;
    if answer.len() > MAX_ANSWER_BYTES {
        let _ = child.kill().await;
        return Err(LoginCheckError::Answer);
    }
    let status = child.wait().await.map_err(LoginCheckError::Pipe)?;
    if !status.success() {
        return Err(LoginCheckError::Ended(status));
    }
    serde_json::from_slice(&answer).map_err(|_| LoginCheckError::Answer)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use contract::check::LoginServer;
    use contract::login_check::{LoginAction, LoginOutcome};

    use super::*;

    /// A program in place of the real one, which has tests of its own with real servers.
    fn script(folder: &tempfile::TempDir, lines: &str) -> PathBuf {
        let path = folder.path().join("program");
        let mut file = File::create(&path).unwrap();
        write!(file, "#!/bin/sh\n{lines}\n").unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn request(timeout_milliseconds: u64) -> LoginCheckRequest {
        let action = LoginAction::Login { server: LoginServer::Postgres, since: None };
        LoginCheckRequest { action, timeout_milliseconds }
    }

    #[tokio::test]
    async fn the_program_gets_the_request_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let program = script(
            &folder,
            &format!(
                "tr '\\0' ' ' </proc/$$/environ >{0}.environ; echo $# >{0}.words; cat >{0}\n\
                 echo '{{\"outcome\":\"passed\",\"detail\":\"d\"}}'",
                seen.display()
            ),
        );
        let url = Redacted::from(b"postgres://u:canary@h/d".as_slice());
        let answer = check(&program, &request(20_000), &url).await.unwrap();
        assert_eq!(answer.outcome, LoginOutcome::Passed);
        let mut decoder = frame::Decoder::default();
        decoder.push(&fs::read(&seen).unwrap());
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.body, url);
        let header: LoginCheckRequest = serde_json::from_slice(&frame.header).unwrap();
        assert_eq!(header, request(20_000));
        let read = |kind: &str| fs::read_to_string(seen.with_extension(kind)).unwrap();
        assert_eq!((read("environ").as_str(), read("words").as_str()), ("", "0\n"));
    }

    #[tokio::test]
    async fn a_program_that_does_not_answer_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let program = script(&folder, &format!("echo $$ >{}; exec sleep 600", pid.display()));
        let url = Redacted::from(b"canary".as_slice());
        let error = check(&program, &request(500), &url).await.unwrap_err();
        assert!(matches!(error, LoginCheckError::Timeout), "{error:?}");
        let pid = fs::read_to_string(pid).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "it still runs");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error_without_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let url = Redacted::from(b"canary".as_slice());
        for (lines, expected) in [
            ("cat", "answer is none"),
            ("cat; cat /dev/zero", "answer is none"),
            ("exit 1", "exit status: 1"),
            ("kill -9 $$", "signal: 9"),
            ("exit 0", "answer is none"),
        ] {
            let program = script(&folder, lines);
            let error = check(&program, &request(20_000), &url).await.unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{lines}: {error}");
        }
        let error = check(Path::new("/nowhere"), &request(1), &url).await.unwrap_err();
        assert_eq!(error.to_string(), "try login: start /nowhere");
        let long = Redacted::new(vec![b'x'; MAX_URL_BYTES + 1]);
        let error = check(Path::new("/nowhere"), &request(1), &long).await.unwrap_err();
        assert!(matches!(error, LoginCheckError::Url(_)));
    }
}
