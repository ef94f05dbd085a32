//! Faults of the calls that change the volume, for tests: the process ends, or there is no room.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rustix::io::Errno;

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process ends before it.
    Killed,
    /// The volume has no room for what it would create, this many times.
    NoRoom(u32),
}

/// What a call does to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It takes room.
    Creates,
    /// It takes none.
    Other,
}

/// How a process ends.
struct End;

thread_local! {
    /// The fault, and after how many calls it comes.
    static NEXT: Cell<Option<(Fault, u32)>> = const { Cell::new(None) };
}

/// Does `work` with a fault after `calls` calls that it can happen to. `None` if that was the end
/// of the process.
pub(crate) fn with_fault<T>(fault: Fault, calls: u32, work: impl FnOnce() -> T) -> Option<T> {
    NEXT.set(Some((fault, calls)));
    let done = catch_unwind(AssertUnwindSafe(work));
    NEXT.set(None);
    done.map_err(|end| {
        if !end.is::<End>() {
            resume_unwind(end)
        }
    })
    .ok()
}

/// Comes before each call.
pub(super) fn before(change: Change) -> Result<(), Errno> {
    match NEXT.get() {
        Some((Fault::NoRoom(_), _)) if change == Change::Other => Ok(()),
        Some((fault, calls)) if calls > 0 => {
            NEXT.set(Some((fault, calls - 1)));
            Ok(())
        }
        Some((Fault::Killed, _)) => resume_unwind(Box::new(End)),
        Some((Fault::NoRoom(times), _)) => {
            NEXT.set((times > 1).then_some((Fault::NoRoom(times.saturating_sub(1)), 0)));
            Err(Errno::NOSPC)
        }
        None => Ok(()),
    }
}
