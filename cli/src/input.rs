//! Values from outside the command line: standard input, files and the terminal.

use std::io::{IsTerminal, Read};
use std::path::Path;

use contract::layout::MAX_VALUE_BYTES;
use contract::{Redacted, SecretName};

use crate::error::Error;

/// Reads one value from standard input to its end. One byte over the limit is enough to know that
/// it is too large.
pub(crate) fn stdin_value() -> Result<Redacted, Error> {
    stdin(u64::try_from(MAX_VALUE_BYTES).unwrap_or(u64::MAX).saturating_add(1))
}

/// Reads a file; `-` is standard input.
pub(crate) fn file(path: &Path) -> Result<Redacted, Error> {
    if path.as_os_str() == "-" {
        return stdin(MAX_FILE_BYTES);
    }
    std::fs::read(path)
        .map(Redacted::new)
        .map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The largest file of many values.
const MAX_FILE_BYTES: u64 = 64 << 20;

fn stdin(limit: u64) -> Result<Redacted, Error> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(Error::Stdin)?;
    Ok(Redacted::new(bytes))
}

/// Whether a person can be asked.
pub(crate) fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Prompts for one line at the terminal, without echo. The shell would run further pasted lines, so
/// they are discarded and reported.
pub(crate) fn prompt(name: &SecretName) -> Result<Redacted, Error> {
    let value = rpassword::prompt_password(format!("Value of {name} (not shown): "))
        .map(Redacted::from)
        .map_err(Error::Stdin)?;
    if let Ok(terminal) = std::fs::File::open("/dev/tty")
        && rustix::io::ioctl_fionread(&terminal).is_ok_and(|left| left > 0)
    {
        let _ = rustix::termios::tcflush(&terminal, rustix::termios::QueueSelector::IFlush);
        return Err(Error::Usage(format!(
            "more than one line was pasted for {name}, and nothing was written: give a file \
             ({name}=@PATH) or standard input ({name}=-)"
        )));
    }
    if value.is_empty() {
        return Err(Error::Usage(format!("nothing was typed; write {name}= for an empty value")));
    }
    Ok(value)
}
