//! Logins at databases, by a program of its own that runs only while it checks.

use std::path::Path;
use std::time::Duration;

use contract::Redacted;
use contract::login_check::{
    LoginCheckAnswer, LoginCheckRequest, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, MAX_URL_BYTES,
};
use contract::stream::frame;

use crate::helper::{self, HelperError};

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
    /// The program gives no answer.
    #[error("try login")]
    Program(#[from] HelperError),
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
    let input = frame::encode(&header, &[url.expose()]);
    let time = Duration::from_millis(request.timeout_milliseconds).saturating_add(SPARE_TIME);
    let answer = helper::ask(program, input, (MAX_ANSWER_BYTES, time)).await?;
    serde_json::from_slice(answer.expose()).map_err(|_| HelperError::Answer.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use contract::check::LoginServer;
    use contract::login_check::{LoginAction, LoginOutcome};

    use super::*;
    use crate::error::error_chain;
    use crate::helper::stand_in::script;

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
            let error = check(&program, &request(20_000), &url).await.unwrap_err();
            let error = error_chain(&error);
            assert!(error.contains(expected) && !error.contains("canary"), "{lines}: {error}");
        }
        let error = check(Path::new("/nowhere"), &request(1), &url).await.unwrap_err();
        assert!(error_chain(&error).starts_with("try login: start /nowhere: "));
        let long = Redacted::new(vec![b'x'; MAX_URL_BYTES + 1]);
        let error = check(Path::new("/nowhere"), &request(1), &long).await.unwrap_err();
        assert!(matches!(error, LoginCheckError::Url(_)));
    }
}
