//! A key that a program prints: the client of a cloud's key service, of a hardware module, of a
//! TPM.
//!
//! The program is run once at start, without a shell. Its standard output is the key and is neither
//! logged nor kept; what it writes to standard error is logged, since it says what went wrong.

use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{KEY_BYTES, LocalKey};

/// How long a program may take. A key service on the other side of the world answers within it.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than any key's text, and the most that is read of either stream.
const MOST: usize = 4096;

/// A program that prints a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCommand {
    program: String,
    arguments: Vec<String>,
}

/// Why a command gave no key.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be run.
    #[error("run key command {program}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ran for too long, and was ended.
    #[error("run key command {0}: it took longer than {PATIENCE:?}")]
    Late(String),
    /// It failed.
    #[error(
        "run key command {program}: it ended with {status}; what it wrote to standard error is in the log"
    )]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// What it printed is no key.
    #[error(
        "run key command {program}: it printed {length} bytes that are no key: {KEY_BYTES} raw bytes, or those in hex or in base64"
    )]
    Form {
        /// The program.
        program: String,
        /// How much it printed.
        length: usize,
    },
}

impl KeyCommand {
    /// A program and its arguments. The program is named by its path; without a slash it is looked
    /// for in `PATH`.
    #[must_use]
    pub fn new(program: String, arguments: Vec<String>) -> Self {
        Self { program, arguments }
    }

    /// Runs the program.
    ///
    /// # Errors
    /// Where it cannot be run, takes too long, fails, or prints something else than a key.
    pub async fn load(&self) -> Result<LocalKey, CommandError> {
        let program = || self.program.clone();
        let printed =
            timeout(PATIENCE, self.run()).await.map_err(|_| CommandError::Late(program()))??;
        key(&printed)
            .ok_or_else(|| CommandError::Form { program: program(), length: printed.len() })
    }

    async fn run(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let program = || self.program.clone();
        let failed = |source| CommandError::Run { program: program(), source };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        // Both at once: a program that fills one pipe would wait for ever while the other is read.
        let (printed, said) =
            tokio::try_join!(whole(child.stdout.take()), whole(child.stderr.take()))
                .map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        for line in String::from_utf8_lossy(&said).lines() {
            tracing::info!(
                program = self.program,
                line = line.escape_debug().to_string(),
                "key command said"
            );
        }
        if status.success() {
            Ok(printed)
        } else {
            Err(CommandError::Failed { program: program(), status })
        }
    }
}

impl fmt::Display for KeyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments may be nobody else's business.
        write!(f, "command:{}", self.program)
    }
}

/// Reads a stream to its end and keeps the beginning.
async fn whole<R: AsyncRead + Unpin>(stream: Option<R>) -> io::Result<Zeroizing<Vec<u8>>> {
    let Some(mut stream) = stream else { return Ok(Zeroizing::default()) };
    // One buffer of the final size: growing would leave copies behind.
    let mut bytes = Zeroizing::new(vec![0; MOST]);
    let mut filled = 0;
    while filled < MOST {
        match stream.read(&mut bytes[filled..]).await? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    let mut rest = Zeroizing::new([0; 512]);
    while stream.read(rest.as_mut()).await? > 0 {}
    Ok(bytes)
}

/// The key that was printed: raw, or as text with white space at its end.
fn key(printed: &[u8]) -> Option<LocalKey> {
    if printed.len() == KEY_BYTES {
        return LocalKey::new(printed);
    }
    let text = printed.trim_ascii_end();
    let bytes = match text.len() {
        64 => hex(text)?,
        _ => Zeroizing::new(STANDARD.decode(text).ok()?),
    };
    LocalKey::new(&bytes)
}

fn hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> KeyCommand {
        KeyCommand::new("/bin/sh".into(), vec!["-c".into(), script.into()])
    }

    #[test]
    fn forms_of_a_key() {
        let bytes: Vec<u8> = (0..32).collect();
        let expected = LocalKey::new(&bytes).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = STANDARD.encode(&bytes);
        let good = [
            bytes.clone(),
            hex.clone().into(),
            format!("{}\n", hex.to_uppercase()).into(),
            format!("{base64}\r\n").into(),
        ];
        for printed in good {
            assert_eq!(key(&printed).unwrap().key_id(), expected.key_id());
        }
        let bad: [&[u8]; 6] = [
            b"",
            &bytes[..31],
            &[0; 33],
            &hex.as_bytes()[1..],
            &[b'g'; 64],
            &base64.as_bytes()[..40],
        ];
        for printed in bad {
            assert!(key(printed).is_none(), "{printed:?}");
        }
    }

    #[tokio::test]
    async fn what_a_program_prints_is_the_key() {
        let key = shell("printf 0123456789abcdef0123456789abcdef; echo chatter >&2")
            .load()
            .await
            .unwrap();
        assert_eq!(
            key.key_id(),
            LocalKey::new(b"0123456789abcdef0123456789abcdef").unwrap().key_id()
        );
    }

    #[tokio::test]
    async fn no_shell_reads_the_arguments() {
        let text = "0123456789abcdef$(echo 01234567)";
        let key = KeyCommand::new("/usr/bin/printf".into(), vec!["%s".into(), text.into()])
            .load()
            .await
            .unwrap();
        assert_eq!(key.key_id(), LocalKey::new(text.as_bytes()).unwrap().key_id());
    }

    #[tokio::test]
    async fn what_is_refused_and_never_quoted() {
        let table = [
            ("printf hunter2", "it printed 7 bytes that are no key"),
            ("printf 0123456789abcdef0123456789abcdef; exit 3", "exit status: 3"),
            ("kill -9 $$", "signal: 9"),
            ("head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2", "it printed 4096 bytes"),
        ];
        for (script, expected) in table {
            let error = shell(script).load().await.unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains("hunter2") && !error.contains("0123"),
                "{script}: {error}"
            );
        }
        let missing = KeyCommand::new("/no/such/program".into(), Vec::new());
        assert!(matches!(missing.load().await.unwrap_err(), CommandError::Run { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_end_is_ended() {
        assert!(matches!(
            shell("exec sleep 1000").load().await.unwrap_err(),
            CommandError::Late(_)
        ));
    }
}
