//! The agent's memory holds no value once the files are written.
//!
//! The tests read the memory of the real process. It is undumpable, so they need root.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "stream/pod.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod pod;
#[path = "stream/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use contract::layout::CONFIG_VARIABLE;
use contract::stream::{AgentMessage, ServerMessage};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use pod::{Pod, applied};
use server::{Server, Session, TestCa, snapshot};

// A copy that is still there after this time stays until something happens to overwrite it.
const WIPE_TIMEOUT: Duration = Duration::from_secs(30);

const SIZES: [usize; 3] = [64, 4 << 10, 60 << 10];

/// Starts every marker. Fragments of a value are recognised by it.
const PREFIX: &str = "memory-canary-5d81f0c3a96e47b2-";

/// A value of this size that repeats the generation's marker, so that each fragment of it is found.
fn value(generation: u64, size: usize) -> Vec<u8> {
    format!("{PREFIX}{generation:04};").bytes().cycle().take(size).collect()
}

/// The generations whose values are in the writable memory of a process, at least in part.
fn generations_in_memory(process: &Child) -> BTreeSet<u64> {
    let found = find_in_memory(process, PREFIX.as_bytes(), 4);
    found.iter().filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).collect()
}

/// Each `length` bytes that follow `needle` in the writable memory of a process.
fn find_in_memory(process: &Child, needle: &[u8], length: usize) -> Vec<Vec<u8>> {
    let proc = format!("/proc/{}", process.id().unwrap());
    let memory = File::open(format!("{proc}/mem")).unwrap();
    let mut found = Vec::new();
    let mut read = 0;
    for mapping in fs::read_to_string(format!("{proc}/maps")).unwrap().lines() {
        let (range, rest) = mapping.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let address = |text| u64::from_str_radix(text, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(address(end) - address(start)).unwrap()];
        // A mapping may have shrunk since it was listed.
        let Ok(count) = memory.read_at(&mut bytes, address(start)) else { continue };
        read += count;
        let matches = bytes[..count].windows(needle.len() + length);
        found.extend(
            matches
                .filter(|window| window.starts_with(needle))
                .map(|window| window[needle.len()..].to_vec()),
        );
    }
    assert!(read > 100 << 10, "only {read} bytes of memory were read");
    found
}

fn start(pod: &Pod, server: &Server, ca: &TestCa) -> Child {
    let config = pod.config(server.address(), &ca.pem, "none");
    let mut command = Command::new(env!("CARGO_BIN_EXE_enclii-agent"));
    command.env_clear().env(CONFIG_VARIABLE, config.to_json().unwrap());
    command.kill_on_drop(true).spawn().unwrap()
}

/// Waits until the process's memory holds no value.
async fn expect_wiped(agent: &Child, context: &str) {
    let deadline = Instant::now() + WIPE_TIMEOUT;
    loop {
        let generations = generations_in_memory(agent);
        if generations.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{context}: values of {generations:?} are in memory");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn rotate(session: &mut Session, generation: u64, values: &[(&str, &[u8])]) {
    session.send(&snapshot(generation, values)).await;
    assert_eq!(applied(&session.receive().await).0, generation);
}

#[tokio::test]
#[ignore = "needs root: make test-stores"]
async fn no_value_stays_in_memory_after_any_rotation() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = start(&pod, &server, &ca);

    // The first snapshot comes with the answer to the login, and so through the HTTP library.
    let first = snapshot(1, &[("A", &value(1, 4 << 10))]).encode().unwrap();
    let mut session = server.login().await.open_with(first.expose()).await;
    assert!(matches!(session.receive().await, AgentMessage::Hello { .. }));
    assert_eq!(applied(&session.receive().await).0, 1);
    expect_wiped(&agent, "first snapshot").await;

    let mut generation = 1;
    for round in 0..3 {
        for (at, size) in SIZES.into_iter().enumerate() {
            generation += 1;
            rotate(&mut session, generation, &[("A", &value(generation, size))]).await;
            expect_wiped(&agent, &format!("round {round}, {size} bytes")).await;

            // A smaller value follows, which overwrites a part of the buffers only.
            generation += 1;
            let values = [value(generation, 48), value(generation, SIZES[(at + round) % 3] / 2)];
            rotate(&mut session, generation, &[("A", &values[0]), ("B", &values[1])]).await;
            expect_wiped(&agent, &format!("round {round}, smaller than {size} bytes")).await;
        }
        drop(session);
        (session, _) = server.session().await;
        expect_wiped(&agent, &format!("round {round}, after a reconnect")).await;
    }
    assert_eq!(pod.file("A"), Some(value(generation, 48)));
}

#[tokio::test]
#[ignore = "needs root: make test-stores"]
async fn a_value_that_could_not_be_written_is_in_memory_until_it_is_replaced() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = start(&pod, &server, &ca);
    let (mut session, _) = server.session().await;

    // The agent keeps these files to write them later. It also shows that this test finds values.
    fs::create_dir(pod.volume().join("A")).unwrap();
    for (generation, size) in (1..).zip(SIZES) {
        session.send(&snapshot(generation, &[("A", &value(generation, size))])).await;
        assert!(matches!(session.receive().await, AgentMessage::Failed { .. }));
        let deadline = Instant::now() + WIPE_TIMEOUT;
        while generations_in_memory(&agent) != BTreeSet::from([generation]) {
            assert!(Instant::now() < deadline, "{generation}: {:?}", generations_in_memory(&agent));
            sleep(Duration::from_millis(20)).await;
        }
    }
    fs::remove_dir(pod.volume().join("A")).unwrap();
    rotate(&mut session, 9, &[("A", &value(9, 64))]).await;
    expect_wiped(&agent, "after the files were written").await;
}

#[tokio::test]
#[ignore = "needs root: make test-stores"]
async fn the_token_is_not_in_memory_after_the_login() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    pod.write_token(&format!("{PREFIX}0001"));
    let server = Server::start(&ca).await;
    let agent = start(&pod, &server, &ca);
    let login = server.login().await;
    assert!(login.head.contains(PREFIX));
    let mut session = login.open().await;
    session.receive().await;
    expect_wiped(&agent, "after the login").await;
    pod.write_token(&format!("{PREFIX}0002"));
    session.send(&ServerMessage::Ping).await;
    assert!(matches!(session.receive().await, AgentMessage::Token { .. }));
    expect_wiped(&agent, "after a newer token was sent").await;
    drop(session);
}
