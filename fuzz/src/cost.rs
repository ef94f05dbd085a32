//! The cost of one call: memory by the allocator's count, time by the thread's own clock.

use std::time::Duration;

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What one call may take beside its input, in bytes.
const MAX_MEMORY: usize = 32 << 20;

/// What one call may take of a processor. Inputs are some fifty times shorter than the longest
/// pod, and the code is some three times slower with the counters of the fuzzer.
const MAX_CPU: Duration = Duration::from_millis(50);

/// How often a call that took too long is made again. The quickest counts, because the others may
/// have been disturbed by what else the machine does.
const ROUNDS: usize = 5;

/// Calls `work`, and panics if it costs more than a review may.
///
/// # Panics
/// If it takes more than 32 MiB, or more than 50 ms of a processor each of five times.
pub fn bounded<T>(mut work: impl FnMut() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let (mut taken, result) = timed(&mut work);
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak <= MAX_MEMORY, "{peak} bytes are more than {MAX_MEMORY}");
    for _ in 1..ROUNDS {
        if taken <= MAX_CPU {
            break;
        }
        taken = taken.min(timed(&mut work).0);
    }
    assert!(taken <= MAX_CPU, "{taken:?} of a processor are more than {MAX_CPU:?}");
    result
}

fn timed<T>(work: &mut impl FnMut() -> T) -> (Duration, T) {
    let from = processor_time();
    let result = work();
    (processor_time().saturating_sub(from), result)
}

/// What this thread has used of a processor.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}
