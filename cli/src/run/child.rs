//! The child process until it becomes the program.
//!
//! The program must not outlive `enclii run`, which holds its files. Only a process itself can ask
//! the kernel to be killed with its parent (PR_SET_PDEATHSIG), so the child is first this program
//! again, which asks and then becomes the program. The kernel forgets the request in processes that
//! the program starts, and if the program gains rights as it starts (setuid).

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use crate::error::Error;

/// This program, even if its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The first argument of the child. Nobody types it.
const CHILD_ARGUMENT: &str = "--become-child-of";

/// The command that becomes the program, and that ends with this process.
pub(super) fn command(command_line: &[OsString]) -> Command {
    let mut words = command_line.iter();
    if Path::new(THIS_PROGRAM).exists() {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg(CHILD_ARGUMENT).arg(getpid().as_raw_nonzero().to_string()).args(words);
        return command;
    }
    // Without /proc there are no files that the program could lose.
    let program = words.next().map_or_else(|| OsStr::new(""), OsString::as_os_str);
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// If the arguments are those of a child, becomes the program. Returns the failure, with the exit
/// code that shells use.
pub(crate) fn exec_if_child(
    arguments: impl Iterator<Item = OsString>,
) -> Option<(Error, ExitCode)> {
    let mut arguments = arguments.skip(1);
    if arguments.next()? != CHILD_ARGUMENT {
        return None;
    }
    let parent = arguments.next().and_then(|it| it.to_str()?.parse().ok()).and_then(Pid::from_raw);
    let program = arguments.next()?;
    let error = match end_with(parent) {
        Ok(()) => {
            let source = Command::new(&program).args(arguments).exec();
            Error::Exec { program, source }
        }
        Err(error) => error,
    };
    let code = error.exit_code();
    Some((error, code))
}

/// Asks the kernel to kill this process when its parent ends.
fn end_with(parent: Option<Pid>) -> Result<(), Error> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Error::System(format!("bind the program to enclii: {error}")))?;
    // If the parent ended before the request, nobody would kill this process.
    if parent.is_some() && getppid() == parent {
        Ok(())
    } else {
        Err(Error::System("start the program: enclii has ended".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arguments_of_a_child_make_one() {
        for words in [&["enclii"][..], &["enclii", "run", "--", "true"], &["enclii", "--help"]] {
            assert!(exec_if_child(words.iter().map(OsString::from)).is_none(), "{words:?}");
        }
    }
}
