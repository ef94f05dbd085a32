//! Thousands of agents whose server ends and comes back: how often they try, all together.

use proptest::prelude::*;

use super::*;

const AGENTS: usize = 5000;
/// Many more than any of these simulations needs.
const SECONDS: usize = 600;

/// What the server does after it has cut all streams at second 0.
#[derive(Clone, Copy, Debug)]
struct ServerReturn {
    /// When it is back, in seconds.
    at: u32,
    /// How many logins it takes in a second; it answers 503 to the others.
    logins_per_second: usize,
}

/// What it then sees.
struct Herd {
    /// The attempts in each second.
    attempts: Vec<usize>,
    /// When the last agent is back, in seconds.
    complete_at: f64,
}

/// A generator for simulations: SplitMix64.
struct Random(u64);

impl Random {
    /// The next number from 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Second by second. An agent tries at most once in most seconds, and in each in its own order.
fn simulate(server: ServerReturn, seed: u64) -> Herd {
    let mut random = Random(seed);
    let delay = |failures, random: &mut Random| {
        let reason = Disconnect::Unavailable;
        reconnect_delay(reason, true, failures, random.next()).as_secs_f64()
    };
    // When each agent tries next, and its failures.
    let mut waiting: Vec<(f64, u32)> = (0..AGENTS).map(|_| (delay(1, &mut random), 1)).collect();
    let mut herd = Herd { attempts: vec![0; SECONDS], complete_at: 0.0 };
    for second in 0..SECONDS {
        let (end, mut logins) = (second as f64 + 1.0, 0);
        let is_back = second >= server.at as usize;
        let mut left = Vec::with_capacity(waiting.len());
        for (mut at, mut failures) in waiting {
            let mut is_connected = false;
            while at < end && !is_connected {
                herd.attempts[second] += 1;
                is_connected = is_back && logins < server.logins_per_second;
                if is_connected {
                    logins += 1;
                    herd.complete_at = herd.complete_at.max(at);
                } else {
                    failures += 1;
                    at += delay(failures, &mut random);
                }
            }
            if !is_connected {
                left.push((at, failures));
            }
        }
        waiting = left;
    }
    assert!(waiting.is_empty(), "{} agents never came back", waiting.len());
    herd
}

/// How many attempts a second there are while the server is away for long: each agent waits for
/// half of the longest delay on average.
fn steady() -> f64 {
    AGENTS as f64 / (RECONNECT.cap.as_secs_f64() / 2.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_herd_comes_back_soon_and_never_all_at_once(
        seed: u64, at in 0u32..180, logins_per_second in 300usize..5000
    ) {
        let herd = simulate(ServerReturn { at, logins_per_second }, seed);
        let peak = herd.attempts.iter().copied().max().unwrap();
        prop_assert!(peak as f64 <= 3.0 * steady(), "{peak} attempts in a second");
        let late = herd.complete_at - f64::from(at);
        prop_assert!(late <= 60.0, "the last agent is back after {late} s");
    }

    #[test]
    fn attempts_are_spread_evenly_while_the_server_is_away(seed: u64) {
        let herd = simulate(ServerReturn { at: 180, logins_per_second: AGENTS }, seed);
        let seconds = &herd.attempts[60..180];
        let (least, most) = (seconds.iter().min().unwrap(), seconds.iter().max().unwrap());
        prop_assert!(*least as f64 >= 0.8 * steady(), "{least} attempts in a second");
        prop_assert!(*most as f64 <= 1.2 * steady(), "{most} attempts in a second");
    }
}
