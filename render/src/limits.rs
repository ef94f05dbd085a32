//! What the kernel lets this process have. A template that multiplies a text takes memory before
//! any of its steps ends, and the container that this program shares with the agent would be ended
//! for it.

use contract::layout::MAX_POD_BYTES;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Memory besides that for the values, in bytes: a file, once more as it is sent, and an engine.
const BASE_BYTES: usize = 8 << 20;

/// How often the values may be in memory: as they arrive, as an engine holds them, in the files.
const COPIES: usize = 4;

/// Time of computing, in seconds. Half a million steps take a fraction of one.
const CPU_SECONDS: u64 = 5;

/// A limit could not be set.
#[derive(Debug, thiserror::Error)]
#[error("limit {0}")]
pub struct LimitError(&'static str, #[source] std::io::Error);

/// Sets the limits that hold for any request. Beyond the memory, an allocation fails and with it
/// the process; beyond the time, the kernel ends it.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn apply() -> Result<(), LimitError> {
    set(Resource::Cpu, CPU_SECONDS, "computing time")?;
    limit_memory(MAX_POD_BYTES)
}

/// Limits the memory, which is not that of the program's own code, to what values of this many
/// bytes together may need. It can only be lowered.
///
/// # Errors
/// When the kernel refuses it.
pub fn limit_memory(values: usize) -> Result<(), LimitError> {
    set(Resource::Data, (BASE_BYTES + COPIES * values) as u64, "memory")
}

fn set(resource: Resource, most: u64, name: &'static str) -> Result<(), LimitError> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, limit).map_err(|errno| LimitError(name, errno.into()))
}
