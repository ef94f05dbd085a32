//! What keeps the values in this process's memory out of other hands.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Why the process could not be protected.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// Other processes of the same user could read its memory.
    #[error("make process undumpable")]
    Dumpable(#[source] std::io::Error),
    /// A crash could leave its memory in a file.
    #[error("forbid core files")]
    Core(#[source] std::io::Error),
}

/// Protects this process's memory: in a pod whose containers share one process namespace, other
/// processes of the same user could otherwise read it. `/proc/self` is closed to the process itself
/// from then on too; nothing here reads it.
///
/// # Errors
/// Where the kernel does not let it.
pub fn start() -> Result<(), HardenError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| HardenError::Dumpable(errno.into()))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|errno| HardenError::Core(errno.into()))
}
