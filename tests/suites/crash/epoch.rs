//! Clients at work on one scope while somebody kills and revives.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::seeded::Seeded;
use e2e::wait;

use crate::client::{Client, Seen};
use crate::rounds::Victim;
use crate::work;

const CLIENTS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// What clients and killer tell each other.
#[derive(Default)]
pub(crate) struct Signs {
    /// Nobody is dead at the moment.
    pub(crate) up: AtomicBool,
    /// Go home.
    pub(crate) over: AtomicBool,
    /// Changes that were acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// The last value that was given out.
    pub(crate) values: AtomicU64,
}

/// Lets the clients work until there were `kills`, and gives what they saw.
pub(crate) fn run(
    victim: &mut impl Victim,
    scope: &str,
    kills: u64,
    random: &mut Seeded,
    clock: Instant,
) -> Vec<Seen> {
    let signs = Signs::default();
    signs.up.store(true, Ordering::SeqCst);
    std::thread::scope(|threads| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (client, random, signs) =
                    (Client::new(victim.switchyard(), scope, clock), random.split(), &signs);
                threads.spawn(move || work::go_on(&client, random, signs))
            })
            .collect();
        // Clients that find no end would hide what went wrong here.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..kills {
                kill_once(victim, random, &signs);
            }
            progress(&signs, CLIENTS);
        }));
        signs.over.store(true, Ordering::SeqCst);
        let seen = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        seen
    })
}

/// At a random moment, but never before something was acknowledged since the last time.
fn kill_once(victim: &mut impl Victim, random: &mut Seeded, signs: &Signs) {
    progress(signs, 1 + random.below(3 * CLIENTS));
    std::thread::sleep(Duration::from_micros(random.below(20_000)));
    signs.up.store(false, Ordering::SeqCst);
    victim.kill();
    victim.revive();
    signs.up.store(true, Ordering::SeqCst);
}

fn progress(signs: &Signs, changes: u64) {
    let from = signs.acknowledged.load(Ordering::SeqCst);
    wait::until_every(Duration::from_millis(1), "acknowledged changes", PATIENCE, || {
        Ok((signs.acknowledged.load(Ordering::SeqCst) >= from + changes).then_some(()))
    })
    .unwrap();
}
