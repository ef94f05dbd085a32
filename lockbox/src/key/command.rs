//! A key that a program prints, such as the client of a cloud key service, a hardware security
//! module or a TPM.
//!
//! The program runs once at start, without a shell. Its standard output is the key and is neither
//! logged nor kept. Its standard error is logged.

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

/// How long a program may take. A distant key service answers within it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of either stream is kept. It is more than any encoding of a key.
const MAX_OUTPUT_BYTES: usize = 4096;

/// A program that prints a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCommand {
    program: String,
    arguments: Vec<String>,
}

/// Why a command did not provide a key.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be started.
    #[error("run key command {program}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ran for too long and was killed.
    #[error("run key command {0}: it took longer than {COMMAND_TIMEOUT:?}")]
    Timeout(String),
    /// It failed.
    #[error("run key command {program}: it ended with {status}; its standard error is in the log")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Its output is not a key.
    #[error(
        "run key command {program}: it printed {length} bytes, which are not a key: must be \
         {KEY_BYTES} bytes, raw, in hex or in base64"
    )]
    NotAKey {
        /// The program.
        program: String,
        /// How much it printed.
        length: usize,
    },
}

impl KeyCommand {
    /// A program and its arguments. A program without a slash in its name is looked up in `PATH`.
    #[must_use]
    pub fn new(program: String, arguments: Vec<String>) -> Self {
        Self { program, arguments }
    }

    /// Runs the program.
    ///
    /// # Errors
    /// If it cannot be started, takes too long, fails, or does not print a key.
    pub async fn load(&self) -> Result<LocalKey, CommandError> {
        let program = || self.program.clone();
        let printed = timeout(COMMAND_TIMEOUT, self.run())
            .await
            .map_err(|_| CommandError::Timeout(program()))??;
        parse_key(&printed)
            .ok_or_else(|| CommandError::NotAKey { program: program(), length: printed.len() })
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
        // Both are read at once: a program that fills one pipe would block while only the other is
        // read.
        let (printed, stderr) =
            tokio::try_join!(read_to_end(child.stdout.take()), read_to_end(child.stderr.take()))
                .map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        for line in String::from_utf8_lossy(&stderr).lines() {
            tracing::info!(
                program = self.program,
                line = line.escape_debug().to_string(),
                "key command wrote to standard error"
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
        // The arguments may be confidential.
        write!(f, "command:{}", self.program)
    }
}

/// Reads a stream to its end and keeps the beginning.
async fn read_to_end<R: AsyncRead + Unpin>(stream: Option<R>) -> io::Result<Zeroizing<Vec<u8>>> {
    let Some(mut stream) = stream else { return Ok(Zeroizing::default()) };
    // One buffer of the final size: growing would leave copies behind.
    let mut bytes = Zeroizing::new(vec![0; MAX_OUTPUT_BYTES]);
    let mut filled = 0;
    while filled < MAX_OUTPUT_BYTES {
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

/// Parses the output: raw bytes, or text with trailing white space.
fn parse_key(printed: &[u8]) -> Option<LocalKey> {
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
    fn keys_are_raw_hex_or_base64() {
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
            assert_eq!(parse_key(&printed).unwrap().key_id(), expected.key_id());
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
            assert!(parse_key(printed).is_none(), "{printed:?}");
        }
    }

    #[tokio::test]
    async fn the_output_of_the_program_is_the_key() {
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
    async fn arguments_are_not_passed_through_a_shell() {
        let text = "0123456789abcdef$(echo 01234567)";
        let key = KeyCommand::new("/usr/bin/printf".into(), vec!["%s".into(), text.into()])
            .load()
            .await
            .unwrap();
        assert_eq!(key.key_id(), LocalKey::new(text.as_bytes()).unwrap().key_id());
    }

    #[tokio::test]
    async fn invalid_output_is_refused_and_never_quoted() {
        let table = [
            ("printf hunter2", "it printed 7 bytes, which are not a key"),
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
    async fn a_program_that_hangs_is_killed() {
        assert!(matches!(
            shell("exec sleep 1000").load().await.unwrap_err(),
            CommandError::Timeout(_)
        ));
    }
}
