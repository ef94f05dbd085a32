//! Resource limits of this process, which the program does not inherit: no core dumps, which would
//! hold values, and a file descriptor for each value.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Error;

/// The original limits, and those of this process while it holds values.
pub(super) struct ResourceLimits {
    original: [(Resource, Rlimit); 2],
    raised: [(Resource, Rlimit); 2],
}

/// Raises the limits, for the descriptors of two generations of `files` and all else.
pub(super) fn raise(files: usize) -> Result<ResourceLimits, Error> {
    let needed = u64::try_from(files).unwrap_or(u64::MAX).saturating_mul(3).saturating_add(128);
    let original = [Resource::Core, Resource::Nofile].map(|it| (it, getrlimit(it)));
    let raised = original.map(|(resource, mut limit)| {
        limit.current = match resource {
            Resource::Core => Some(0),
            // `None` means unlimited.
            _ => limit
                .current
                .map(|current| current.max(needed).min(limit.maximum.unwrap_or(u64::MAX))),
        };
        (resource, limit)
    });
    let limits = ResourceLimits { original, raised };
    limits.apply()?;
    Ok(limits)
}

impl ResourceLimits {
    /// Applies the limits of this process.
    pub(super) fn apply(&self) -> Result<(), Error> {
        set(&self.raised)
    }

    /// Restores the original limits, for the program that is about to start.
    pub(super) fn restore(&self) -> Result<(), Error> {
        set(&self.original)
    }
}

fn set(limits: &[(Resource, Rlimit)]) -> Result<(), Error> {
    for (resource, limit) in limits {
        setrlimit(*resource, *limit)
            .map_err(|error| Error::System(format!("set limit {resource:?}: {error}")))?;
    }
    Ok(())
}
