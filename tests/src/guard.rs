//! Ends child processes and removes folders if their owner is gone, however it ended.
//!
//! A value that owns a process ends it when dropped, but nothing is dropped when a signal kills the
//! owner. So a small shell process reads what the owner has from a pipe. The pipe closes when the
//! owner ends; the shell then kills the registered processes and removes the registered folders.
//! `PR_SET_PDEATHSIG` would not do: it follows the thread that made the child, not its process.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};

use crate::proc_stat::started_at;

/// One line on standard input for each change: `+ PID STARTED`, `- PID STARTED`, `folder PATH`.
/// A process is killed only if it started when its line says: its id may be another's by now.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
processes= folders=
newline='
'
while read -r action what; do
	case $action in
	+) processes="$processes$newline$what" ;;
	-) processes=$(printf '%s\n' "$processes" | grep -vxF "$what") ;;
	folder) folders="$folders$newline$what" ;;
	esac
done
printf '%s\n' "$processes" | while read -r pid started; do
	[ -n "$pid" ] || continue
	stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
	set -- ${stat##*) }
	[ "${20}" != "$started" ] || kill -KILL "$pid"
done
printf '%s\n' "$folders" | while read -r folder; do
	[ -n "$folder" ] || continue
	# A killed server's own children may write for a moment longer.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		rm -rf "$folder" 2>/dev/null
		[ -e "$folder" ] || break
		sleep 0.1
	done
done
"#;

enum State {
    Idle,
    Running { shell: Child, pipe: ChildStdin, folders: Vec<PathBuf> },
    Closed,
}

static STATE: Mutex<State> = Mutex::new(State::Idle);

/// A registered process. Dropping it takes the process off the list.
#[derive(Debug)]
pub struct Registration {
    line: Option<String>,
}

/// Starts a child and registers it, so that it ends with this process.
///
/// # Errors
/// If it cannot be started, or [`clean_up`] was called.
pub fn spawn(command: &mut Command) -> Result<(Child, Registration)> {
    let mut state = lock();
    running(&mut state)?;
    let child = command.spawn()?;
    // A child that has ended already needs no registration.
    let line = started_at(child.id()).map(|started| format!("{} {started}", child.id()));
    if let Some(line) = &line {
        send(&mut state, &format!("+ {line}"));
    }
    Ok((child, Registration { line }))
}

/// Removes this folder when this process ends without having removed it.
///
/// # Errors
/// If the guard cannot be started, or [`clean_up`] was called.
pub fn register_folder(folder: &Path) -> Result<()> {
    let mut state = lock();
    running(&mut state)?;
    send(&mut state, &format!("folder {}", folder.display()));
    if let State::Running { folders, .. } = &mut *state {
        folders.push(folder.to_owned());
    }
    Ok(())
}

/// Ends all registered processes and removes all registered folders now. Nothing starts after that.
pub fn clean_up() {
    let state = std::mem::replace(&mut *lock(), State::Closed);
    if let State::Running { mut shell, pipe, folders } = state {
        drop(pipe);
        let _ = shell.wait();
        // Another thread may have made files until it noticed that its servers are gone.
        for folder in folders {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Whether [`clean_up`] was called.
#[must_use]
pub fn is_closed() -> bool {
    matches!(*lock(), State::Closed)
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            send(&mut lock(), &format!("- {line}"));
        }
    }
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn running(state: &mut State) -> Result<()> {
    match state {
        State::Running { .. } => return Ok(()),
        State::Closed => bail!("interrupted"),
        State::Idle => {}
    }
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C reaches the whole foreground process group, and this has to outlive it.
        .process_group(0)
        .spawn()
        .context("start sh")?;
    let pipe = shell.stdin.take().context("standard input of sh")?;
    *state = State::Running { shell, pipe, folders: Vec::new() };
    Ok(())
}

fn send(state: &mut State, line: &str) {
    if let State::Running { pipe, .. } = state {
        // If the shell was killed, the values that own the processes still end them.
        let _ = writeln!(pipe, "{line}");
    }
}
