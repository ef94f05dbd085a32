//! Process settings that keep the values in this process's memory private.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Why the process could not be hardened.
#[derive(Debug, thiserror::Error)]
pub enum HardeningError {
    /// Other processes of the same user could read its memory.
    #[error("make process undumpable")]
    Dumpable(#[source] std::io::Error),
    /// A crash could write its memory to a file.
    #[error("disable core dumps")]
    CoreDumps(#[source] std::io::Error),
}

/// Makes the process undumpable and disables core dumps, its children's too: in a pod whose
/// containers share one process namespace, and on a developer's machine, other processes of the
/// same user could otherwise read its memory.
///
/// A daemon calls it first of all. What it reads of itself in `/proc/self` stays readable to it.
///
/// # Errors
/// When the kernel refuses one of the settings.
pub fn apply() -> Result<(), HardeningError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| HardeningError::Dumpable(errno.into()))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|errno| HardeningError::CoreDumps(errno.into()))
}
