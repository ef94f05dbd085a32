//! Keeps the values out of a core file. Being undumpable would do that too, but the program opens
//! its files through this process (`/proc/PID/fd`), which an undumpable one does not allow.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit on core files that this process was started with, which is the program's.
pub(super) struct CoreLimit(Rlimit);

impl CoreLimit {
    /// Lets this process leave no core file from now on. If the kernel refuses, the program runs
    /// all the same.
    pub(super) fn forbid() -> Self {
        let given = getrlimit(Resource::Core);
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: given.maximum });
        Self(given)
    }

    /// Gives the program the limit that it would have without this process.
    pub(super) fn give(self, program: Pid) {
        // It may have ended already.
        let _ = prlimit(Some(program), Resource::Core, self.0);
    }
}
