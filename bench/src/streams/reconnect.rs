//! Thousands of agents whose server ends and comes back: how hard they try, and how soon all of
//! them have what was written since.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::loopback::write_identities;
use e2e::switchyard::Switchyard;

use super::client::{self, Streams};
use super::{OPEN_STREAMS, namespaces, pods, write};
use crate::budget::{Measurement, Metric};
use crate::pod::{SECRET, value};
use crate::progress::print_progress;
use crate::results::Results;

/// How long the server is away the second time.
const OUTAGE: Duration = Duration::from_secs(60);
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than the budget, so that a miss is measured.
const FRESH_TIMEOUT: Duration = Duration::from_secs(600);

/// Measures one replica that is killed, and back at once, and killed again and away for a minute.
///
/// # Errors
/// If a stream does not open, or a write does not arrive.
pub(crate) fn measure(results: &mut Results) -> Result<Vec<Measurement>> {
    client::allow_many_files()?;
    let directory = tempfile::Builder::new().prefix("enclii-bench-").tempdir()?;
    write_identities(directory.path(), &namespaces(), &pods(OPEN_STREAMS))?;
    let mut switchyard =
        Switchyard::new(directory.path(), "switchyard", &[("ENCLII_RATE_LIMIT", "0")])?;
    switchyard.run()?;
    print_progress(&format!("switchyard: {OPEN_STREAMS} streams, and a restart"));
    let generation = change(&switchyard, 0)?;
    let streams = Streams::open(switchyard.port(), &switchyard.ca(), OPEN_STREAMS)?;
    streams.wait_until_all_hold(generation, OPEN_TIMEOUT)?;
    ensure!(streams.take_attempts().is_empty(), "streams ended before the restart");

    let mut attempts = PerSecond::new();
    switchyard.kill()?;
    let first = freshness(&mut switchyard, &streams, 1)?;
    attempts.count(&streams.take_attempts());

    print_progress(&format!("switchyard: {OPEN_STREAMS} streams, and {} s away", OUTAGE.as_secs()));
    // Until every stream has lasted for so long that its end is the first failure again.
    std::thread::sleep(Duration::from_secs(15));
    let mut outage = PerSecond::new();
    switchyard.kill()?;
    std::thread::sleep(OUTAGE);
    let second = freshness(&mut switchyard, &streams, 2)?;
    outage.count(&streams.take_attempts());

    let away = OUTAGE.as_secs() as usize;
    let steady = outage.mean(away / 2..away).context("no attempt while the server was away")?;
    let (peaks, ratio) = ([attempts.peak(), outage.peak()], |peak: usize| peak as f64 / steady);
    results.note(format!(
        "reconnect_peak: {} attempts in the busiest second after a restart, {} after {away} s \
         away, {steady:.0} a second while away; all fresh {first:.1} and {second:.1} s after the \
         return",
        peaks[0], peaks[1],
    ));
    Ok(vec![
        Metric::ReconnectPeak.measurement(peaks.into_iter().map(ratio).fold(0.0, f64::max)),
        Metric::ReconnectFresh.measurement(first.max(second)),
    ])
}

fn change(switchyard: &Switchyard, number: usize) -> Result<u64> {
    write(switchyard, &[(SECRET.to_owned(), value("reconnect", number))])
}

/// Starts the server and writes a value. Returns how many seconds after the server was ready the
/// last stream had it.
fn freshness(switchyard: &mut Switchyard, streams: &Streams, number: usize) -> Result<f64> {
    switchyard.run()?;
    let ready = Instant::now();
    let generation = change(switchyard, number)?;
    let arrived = streams.wait_until_all_hold(generation, FRESH_TIMEOUT)?;
    let last = arrived.into_iter().max().context("no arrival")?;
    Ok(last.saturating_duration_since(ready).as_secs_f64())
}

/// How many attempts there were in each second.
struct PerSecond {
    from: Instant,
    counts: Vec<usize>,
}

impl PerSecond {
    /// Counted from now.
    fn new() -> Self {
        Self { from: Instant::now(), counts: Vec::new() }
    }

    fn count(&mut self, attempts: &[Instant]) {
        for at in attempts {
            let second = at.saturating_duration_since(self.from).as_secs() as usize;
            if self.counts.len() <= second {
                self.counts.resize(second + 1, 0);
            }
            if let Some(count) = self.counts.get_mut(second) {
                *count += 1;
            }
        }
    }

    fn peak(&self) -> usize {
        self.counts.iter().copied().max().unwrap_or_default()
    }

    /// Of these seconds, if there were that many.
    fn mean(&self, seconds: std::ops::Range<usize>) -> Option<f64> {
        let counts = self.counts.get(seconds)?;
        let all: usize = counts.iter().sum();
        (all > 0).then(|| all as f64 / counts.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_the_second() {
        let mut seconds = PerSecond::new();
        let at = |millis| seconds.from + Duration::from_millis(millis);
        let attempts = [at(0), at(999), at(1000), at(3500)];
        seconds.count(&attempts);
        assert_eq!(seconds.counts, [2, 1, 0, 1]);
        assert_eq!((seconds.peak(), seconds.mean(1..3)), (2, Some(0.5)));
        assert_eq!((seconds.mean(2..3), seconds.mean(2..9)), (None, None));
    }
}
