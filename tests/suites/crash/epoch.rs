//! Clients work on one scope while the target is killed and restarted.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use e2e::random::SeededRng;
use e2e::wait;

use crate::client::{Client, RecordedCall};
use crate::coordination::Coordination;
use crate::fault_target::FaultTarget;
use crate::workload;

const CLIENTS: u64 = 4;
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the clients until there were `kills`. Returns the recorded calls.
pub(crate) fn run(
    target: &mut impl FaultTarget,
    scope: &str,
    kills: u64,
    random: &mut SeededRng,
    clock: Instant,
) -> Vec<RecordedCall> {
    let coordination = Coordination::default();
    coordination.up.store(true, Ordering::SeqCst);
    std::thread::scope(|threads| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (client, random, coordination) =
                    (Client::new(target.switchyard(), scope, clock), random.split(), &coordination);
                threads.spawn(move || workload::run(&client, random, coordination))
            })
            .collect();
        // A panic here must stop the clients, or the test would never end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..kills {
                kill_once(target, random, &coordination);
            }
            progress(&coordination, CLIENTS);
        }));
        coordination.stop.store(true, Ordering::SeqCst);
        let seen = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        seen
    })
}

/// Kills at a random moment, but not before some change was acknowledged since the last kill.
fn kill_once(target: &mut impl FaultTarget, random: &mut SeededRng, coordination: &Coordination) {
    progress(coordination, 1 + random.below(3 * CLIENTS));
    std::thread::sleep(Duration::from_micros(random.below(20_000)));
    coordination.up.store(false, Ordering::SeqCst);
    target.kill();
    target.restart();
    coordination.up.store(true, Ordering::SeqCst);
}

fn progress(coordination: &Coordination, changes: u64) {
    let from = coordination.acknowledged.load(Ordering::SeqCst);
    wait::until_every(Duration::from_millis(1), "acknowledged changes", STEP_TIMEOUT, || {
        Ok((coordination.acknowledged.load(Ordering::SeqCst) >= from + changes).then_some(()))
    })
    .unwrap();
}
