//! Epochs of work, each on one scope with a few kills, and the check of the audit log after them.

use std::time::{Instant, SystemTime};

use e2e::random::SeededRng;

use crate::fault_target::FaultTarget;
use crate::{audit_log, epoch, verify};

/// Kills in one epoch. Each kill leaves calls with an unknown outcome, and the check of a history
/// takes longer the more of them it has.
const KILLS_PER_EPOCH: u64 = 10;

const DEFAULT_KILLS: u64 = 25;

/// Runs all epochs and prints a summary.
pub(crate) fn run(what: &str, target: &mut impl FaultTarget) {
    let kills = setting("ENCLII_CRASH_KILLS").unwrap_or(DEFAULT_KILLS);
    assert!(kills > 0, "ENCLII_CRASH_KILLS=0 tests nothing");
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = setting("ENCLII_CRASH_SEED")
        .unwrap_or_else(|| since.as_secs() ^ u64::from(since.subsec_nanos()));
    println!("{what}: {kills} kills, ENCLII_CRASH_SEED={seed}");
    let mut random = SeededRng::new(seed);
    let clock = Instant::now();
    let (mut killed, mut epochs) = (0, 0);
    let mut expected = audit_log::ExpectedEvents::default();
    while killed < kills {
        let here = KILLS_PER_EPOCH.min(kills - killed);
        let scope = format!("shop.prod.e{epochs}");
        let done = epoch::run(target, &scope, here, &mut random, clock);
        let (calls, unknown) =
            verify::check(target.switchyard(), &scope, done, clock, &mut expected);
        killed += here;
        epochs += 1;
        println!(
            "{what}: {killed} kills; {calls} calls of {scope} explained, {unknown} without answer"
        );
    }
    assert!(expected.len() > 0, "no call was acknowledged");
    let events = audit_log::check(target.switchyard(), &expected);
    println!(
        "{what}: the audit log's {events} events hold all {} acknowledged calls; {:?}",
        expected.len(),
        clock.elapsed()
    );
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
