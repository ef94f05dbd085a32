//! Epochs of work, each on one scope with a few kills, and the check of the audit log after them.

use std::time::{Duration, Instant, SystemTime};

use e2e::random::SeededRng;
use e2e::switchyard::Switchyard;
use e2e::wait;

use crate::{audit_log, epoch, verify};

/// Kills in one epoch. Each kill leaves calls with an unknown outcome, and the check of a history
/// takes longer the more of them it has.
const KILLS_PER_EPOCH: u64 = 10;

const DEFAULT_KILLS: u64 = 25;
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// What is killed and started again.
pub(crate) trait FaultTarget {
    fn kill(&mut self);
    /// Starts it again and waits until switchyard serves.
    fn restart(&mut self);
    fn switchyard(&self) -> &Switchyard;
}

/// Waits until switchyard serves requests that need its database.
pub(crate) fn wait_until_serving(switchyard: &Switchyard) {
    wait::until("switchyard to answer", STEP_TIMEOUT, || {
        Ok(switchyard.get("/v1/audit?limit=1").ok().filter(|(status, _)| *status == 200))
    })
    .unwrap();
}

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
