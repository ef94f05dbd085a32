//! Pods that start again and again leave nothing behind.
//!
//! `ENCLII_CRASH_LOOPS` sets how often.

use std::collections::VecDeque;

use crate::agent::TestAgent;
use crate::harness::{Harness, until};

/// The default of `--max-streams-per-pod`.
const STREAMS_OF_A_POD: usize = 4;

/// Fewer than the logins that a pod has at once.
const LOOPS_OF_A_POD: usize = 50;

/// Tables that grow with what happens, and not with what there is.
const HISTORY: [&str; 5] =
    ["audit_events", "audit_checkpoints", "audit_exports", "secret_reads", "counted_reads"];

/// How many rows each table has that describes what there is.
fn rows(harness: &Harness) -> Vec<(String, i64)> {
    let database = harness.database();
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let mut statement = database.prepare(names).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let names = names.map(Result::unwrap).filter(|name| !HISTORY.contains(&name.as_str()));
    let count = |name: String| {
        let query = format!("SELECT count(*) FROM \"{name}\"");
        let count = database.query_row(&query, [], |row| row.get(0)).unwrap();
        (name, count)
    };
    names.map(count).collect()
}

async fn open_streams(harness: &Harness) -> usize {
    let metrics = harness.metrics().await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("enclii_switchyard_agent_streams "))
        .unwrap();
    line.parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "how long the test is, not what it tests")]
fn loops() -> usize {
    std::env::var("ENCLII_CRASH_LOOPS").map_or(300, |text| text.parse().unwrap())
}

/// One run of an agent that ends without a word.
async fn run(harness: &Harness, pod: usize) -> TestAgent {
    let token = format!("many-{pod}");
    let mut agent = TestAgent::connect(harness, &token, "api-prod", vec![]).await;
    agent.hold().await;
    agent.applied("api-prod", 1).await;
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_leaves_no_pile_of_sessions() {
    let pods = loops().div_ceil(LOOPS_OF_A_POD);
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    for pod in 0..pods {
        drop(run(&harness, pod).await);
    }
    let bound = i64::try_from(pods).unwrap();
    let holdings = ("agent_holdings".to_owned(), bound);
    until("the first reports", async || rows(&harness).contains(&holdings)).await;
    let before = rows(&harness);

    for pod in 0..pods {
        // Of some the server learns that they have ended. A node that is gone does not say so.
        let mut gone = VecDeque::new();
        for number in 0..LOOPS_OF_A_POD {
            let agent = run(&harness, pod).await;
            if number % 2 == 0 {
                gone.push_back(agent);
            }
            // The server has ended the first of these by then.
            if gone.len() > 2 * STREAMS_OF_A_POD {
                gone.pop_front();
            }
        }
        until("the oldest streams to end", async || {
            open_streams(&harness).await <= STREAMS_OF_A_POD
        })
        .await;
        drop(gone);
        until("all streams to end", async || open_streams(&harness).await == 0).await;
    }
    // What there is of each pod may have come after the first look, and nothing of each start.
    for ((table, after), (_, before)) in rows(&harness).into_iter().zip(before) {
        assert!(after <= before + bound, "{table} had {before} rows and has {after}");
    }
}
