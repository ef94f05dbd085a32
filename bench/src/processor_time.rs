//! How much processor time a process has used, as the kernel counts it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// The thread of switchyard that writes to the database.
const WRITER: &str = "database";

/// A sixtieth of an hour: some heartbeats of an agent.
const IDLE_MINUTE: Duration = Duration::from_secs(60);

/// Processor time of a process since its start. Only switchyard has a thread that writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// Of the threads that serve.
    pub serving: Duration,
    /// Of the thread that writes to the database.
    pub writing: Duration,
}

impl ProcessorTime {
    /// The time of a running process.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let tasks = Path::new("/proc").join(pid.to_string()).join("task");
        let read = || format!("read processor time of process {pid}");
        let mut time = Self::default();
        for task in std::fs::read_dir(&tasks).with_context(read)? {
            let task = task.with_context(read)?.path();
            // A thread may end meanwhile.
            let text = |file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
            let used = parse(&text("schedstat"));
            let of =
                if text("comm").trim() == WRITER { &mut time.writing } else { &mut time.serving };
            *of += used;
        }
        Ok(time)
    }

    /// The time since an earlier measurement.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            serving: self.serving.saturating_sub(before.serving),
            writing: self.writing.saturating_sub(before.writing),
        }
    }
}

/// The processor time of an idle process in an hour, in seconds, from that of a minute.
///
/// # Errors
/// If there is no such process.
pub fn idle_time(pid: u32) -> Result<f64> {
    let before = ProcessorTime::of(pid)?;
    std::thread::sleep(IDLE_MINUTE);
    let used = ProcessorTime::of(pid)?.since(before);
    Ok((used.serving + used.writing).as_secs_f64() * 60.0)
}

/// The first number is the time on a processor, in nanoseconds.
fn parse(schedstat: &str) -> Duration {
    let number = schedstat.split_ascii_whitespace().next().and_then(|it| it.parse().ok());
    Duration::from_nanos(number.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_thread() {
        assert_eq!(parse("1500 20 3\n"), Duration::from_nanos(1500));
        assert_eq!(parse(""), Duration::ZERO);
    }

    #[test]
    fn of_this_process() {
        let before = ProcessorTime::of(std::process::id()).unwrap();
        let work = std::thread::Builder::new().name(WRITER.to_owned()).spawn(|| {
            let end = std::time::Instant::now() + Duration::from_millis(20);
            while std::time::Instant::now() < end {
                std::hint::spin_loop();
            }
            ProcessorTime::of(std::process::id()).unwrap()
        });
        let used = work.unwrap().join().unwrap().since(before);
        assert!(used.writing > Duration::ZERO, "{used:?}");
        assert!(ProcessorTime::of(u32::MAX).is_err());
    }
}
