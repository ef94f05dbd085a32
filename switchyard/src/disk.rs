//! Watches the free space of the volume that the embedded database lies on.
//!
//! The audit log only grows, and without room for an event nothing is answered. So there is a
//! warning long before, and a reserve: once the free space is below it, pods do not log in, values
//! are not written, and refusals are only counted, so that the rest is there for the operators:
//! their deletes, their reads of the audit log, and the events of both.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How often the free space is read.
const INTERVAL: Duration = Duration::from_secs(10);

/// The reserve if the operator names none, in bytes: at most this, and at most a twentieth of the
/// volume.
const DEFAULT_RESERVE: u64 = 64 << 20;
const DEFAULT_RESERVE_PART: u64 = 20;

/// When to warn and when to save space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskThresholds {
    /// Warn below this many percent.
    pub(crate) warning_percent: u8,
    /// The reserve in bytes. `None` for the default.
    pub(crate) reserve: Option<u64>,
}

/// The size of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DataVolume {
    size: u64,
    free: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskLevel {
    Enough,
    Low,
    Reserve,
}

/// Whether there is space. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskSpace(Arc<AtomicBool>);

impl DiskSpace {
    /// Whether only the reserve is left.
    pub(crate) fn is_in_reserve(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reads the free space of one directory's volume.
pub(crate) struct DiskWatch {
    directory: PathBuf,
    thresholds: DiskThresholds,
    space: DiskSpace,
    metrics: Metrics,
    level: DiskLevel,
}

impl DiskWatch {
    /// Reads the free space for the first time.
    pub(crate) fn start(
        directory: &Path,
        thresholds: DiskThresholds,
        space: DiskSpace,
        metrics: Metrics,
    ) -> Self {
        let directory = directory.to_owned();
        let mut watch = Self { directory, thresholds, space, metrics, level: DiskLevel::Enough };
        watch.read();
        watch
    }

    /// Reads it again and again until `stopping`.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        while stopping.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            self.read();
        }
    }

    fn read(&mut self) {
        let volume = match volume(&self.directory) {
            Ok(volume) => volume,
            Err(error) => {
                tracing::warn!(%error, directory = %self.directory.display(), "read free space");
                return;
            }
        };
        self.metrics.data_volume(volume.size, volume.free);
        let level = volume.level(self.thresholds);
        self.space.0.store(level == DiskLevel::Reserve, Ordering::Relaxed);
        let DataVolume { size, free } = volume;
        if level != std::mem::replace(&mut self.level, level) {
            match level {
                DiskLevel::Enough => tracing::info!(size, free, "the data volume has space again"),
                DiskLevel::Low => tracing::warn!(
                    size,
                    free,
                    "the data volume is filling up; the audit log only grows, so enlarge it"
                ),
                DiskLevel::Reserve => tracing::error!(
                    size,
                    free,
                    "the data volume is nearly full: pods do not log in and values are not \
                     written until there is space"
                ),
            }
        }
    }
}

impl DataVolume {
    fn level(self, thresholds: DiskThresholds) -> DiskLevel {
        let DiskThresholds { warning_percent, reserve } = thresholds;
        let default = DEFAULT_RESERVE.min(self.size / DEFAULT_RESERVE_PART);
        let free_of = |percent: u64| self.size / 100 * percent;
        if self.free < reserve.unwrap_or(default) {
            DiskLevel::Reserve
        } else if self.free < free_of(u64::from(warning_percent)) {
            DiskLevel::Low
        } else {
            DiskLevel::Enough
        }
    }
}

fn volume(directory: &Path) -> io::Result<DataVolume> {
    let found = rustix::fs::statvfs(directory)?;
    // What a process that is not root may still use.
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(DataVolume { size: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_of_a_volume() {
        const GIB: u64 = 1 << 30;
        let thresholds = DiskThresholds { warning_percent: 20, reserve: None };
        let level = |size, free, thresholds| DataVolume { size, free }.level(thresholds);
        for (size, free, expected) in [
            (GIB, GIB / 2, DiskLevel::Enough),
            (GIB, GIB / 5 - (1 << 20), DiskLevel::Low),
            (GIB, GIB / 20 + 1, DiskLevel::Low),
            (GIB, GIB / 20 - 1, DiskLevel::Reserve),
            (GIB, 0, DiskLevel::Reserve),
            // A large volume has no larger reserve.
            (1000 * GIB, 65 << 20, DiskLevel::Low),
            (1000 * GIB, 63 << 20, DiskLevel::Reserve),
        ] {
            assert_eq!(level(size, free, thresholds), expected, "{free} of {size}");
        }
        let own = DiskThresholds { warning_percent: 0, reserve: Some(0) };
        assert_eq!(level(GIB, 0, own), DiskLevel::Enough);
        let own = DiskThresholds { warning_percent: 20, reserve: Some(2 * GIB) };
        assert_eq!(level(GIB, GIB, own), DiskLevel::Reserve);
    }

    #[test]
    fn a_volume_has_a_size() {
        let directory = tempfile::tempdir().unwrap();
        let DataVolume { size, free } = volume(directory.path()).unwrap();
        assert!(size > 0 && free <= size);
        assert!(volume(&directory.path().join("absent")).is_err());
    }
}
