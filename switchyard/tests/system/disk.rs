//! The audit log on a full or broken disk: no value leaves without its event, refusals are timely,
//! and acknowledged data survives.

use std::time::Duration;

use audit::{Record, StartingPoint, Verifier};
use contract::stream::ServerMessage;
use futures_util::future::join_all;
use http::Method;

use crate::agent::{TestAgent, held};
use crate::fault_injection::{FrozenFilesystem, MountedDisk, ReadOnlyFiles, SyscallFaults, fill};
use crate::harness::{Harness, body, until};

/// The time limit for a refusal: the server's request timeout, and slack for a busy machine.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(120);

async fn ask(harness: &Harness, method: Method, path: &str, body: &[u8]) -> Option<u16> {
    let token = harness.token();
    let asked = harness.try_ask(method, path, &token, body);
    let answer =
        tokio::time::timeout(REFUSAL_TIMEOUT, asked).await.expect("the answer came too late");
    answer.map(|(status, _, body)| {
        let leaked = body.windows(7).any(|it| it == b"hunter2")
            || body.windows(10).any(|it| it == b"aHVudGVyMg");
        assert!(status == 200 || !leaked, "a refusal with a value");
        status.as_u16()
    })
}

async fn read(harness: &Harness) -> Option<u16> {
    ask(harness, Method::GET, "/v1/secrets/shop.prod.api/A", b"").await
}

/// Waits until a read succeeds.
async fn serves_again(harness: &Harness) {
    until("it to serve again", async || read(harness).await == Some(200)).await;
}

async fn read_bundle(harness: &Harness) -> Option<u16> {
    ask(harness, Method::GET, "/v1/bundles/shop.prod.api/values", b"").await
}

/// The status that an agent's login is refused with.
async fn log_in(harness: &Harness) -> Option<u16> {
    let refused = tokio::time::timeout(
        REFUSAL_TIMEOUT,
        TestAgent::refused(harness, "api-two", "bundle=api-prod"),
    )
    .await
    .expect("the answer came too late");
    Some(refused.status)
}

/// Waits for this generation, or for the end of an idle stream. Any other generation is an error.
async fn expect_generation(agent: &mut TestAgent, generation: u64) {
    while let Some(message) = agent.next().await {
        if let ServerMessage::Hold(snapshot) = message {
            assert_eq!(snapshot.bundles[0].generation.0, generation);
            return;
        }
    }
}

async fn set(harness: &Harness) -> Option<u16> {
    ask(harness, Method::POST, "/v1/secrets/shop.prod.api/", body(&[("A", b"hunter2")]).expose())
        .await
}

/// Verifies the log and counts its read events and its write events.
async fn counted(harness: &Harness) -> (usize, usize) {
    let records: Vec<Record> =
        serde_json::from_value(harness.json("/v1/audit?limit=10000").await["events"].clone())
            .unwrap();
    let mut verifier = Verifier::new(StartingPoint::Genesis, vec![], &[]);
    records.iter().for_each(|record| verifier.push(record));
    assert_eq!(verifier.finish().finding, None);
    let of = |action: &str| records.iter().filter(|record| record.action == action).count();
    (of("read"), of("write") + of("rotate"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn a_full_disk_refuses_until_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mounted = MountedDisk::tmpfs(&data, "8m");
    let harness = Harness::start_child(directory.path().to_owned()).await;
    assert_eq!(set(&harness).await, Some(200));
    let (mut reads, mut refused) = (0, 0);
    fill(&data);
    for _ in 0..200 {
        match read(&harness).await {
            Some(200) => reads += 1,
            Some(503) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "the disk was not full");
    let writes = 1 + usize::from(set(&harness).await == Some(200));
    std::fs::remove_file(data.join("filler")).unwrap();
    serves_again(&harness).await;
    reads += 1;
    let (read_events, write_events) = counted(&harness).await;
    assert!(
        read_events >= reads && write_events == writes,
        "{reads} reads of {read_events}, {writes} writes of {write_events}"
    );
    harness.kill();
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn a_disk_that_cannot_flush_ends_the_process_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let harness = Harness::start_child(directory.path().to_owned()).await;
    assert_eq!(set(&harness).await, Some(200));
    let (mut reads, mut writes) = (0, 1);
    assert_eq!(read(&harness).await, Some(200));
    reads += 1;
    let mut faults = SyscallFaults::attach(harness.process(), "fsync,fdatasync:error=EIO");
    // Requests may be refused or the process may exit, but no value may be served unaudited.
    for turn in 0.. {
        let status = if turn % 2 == 0 { read(&harness).await } else { set(&harness).await };
        match status {
            Some(200) if turn % 2 == 0 => reads += 1,
            Some(200) => writes += 1,
            Some(_) => {}
            None => break,
        }
        assert!(turn < 1000, "it serves on, with a disk that cannot flush");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("its end", async || harness.has_ended()).await;
    faults.end();
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("could not be flushed") && !log.contains("hunter2"), "{log}");
    let harness = Harness::start_child(directory.path().to_owned()).await;
    let (read_events, write_events) = counted(&harness).await;
    assert!(
        read_events >= reads && write_events >= writes,
        "{reads} reads of {read_events}, {writes} writes of {write_events}"
    );
    assert_eq!(read(&harness).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn a_read_only_disk_refuses_until_it_is_writable() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mounted = MountedDisk::ext4(directory.path(), &data);
    let harness = Harness::start_child(directory.path().to_owned()).await;
    assert_eq!(
        (set(&harness).await, read(&harness).await, read_bundle(&harness).await),
        (Some(200), Some(200), Some(200))
    );
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    assert_eq!(agent.values().await.0, 1);
    let read_only = ReadOnlyFiles::make(&data);
    for _ in 0..2 {
        let answers =
            tokio::join!(read(&harness), set(&harness), read_bundle(&harness), log_in(&harness));
        assert_eq!(answers, (Some(503), Some(503), Some(503), Some(503)));
    }
    drop(read_only);
    serves_again(&harness).await;
    let reads = 2;
    assert_eq!(set(&harness).await, Some(200));
    expect_generation(&mut agent, 2).await;
    let (read_events, write_events) = counted(&harness).await;
    // Plus one read of the bundle and one generation sent to an agent.
    assert!(
        read_events >= reads + 2 && write_events == 2,
        "{reads} reads of {read_events}, {write_events} writes"
    );
    harness.kill();
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn a_blocked_disk_times_out_and_nothing_leaves_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mounted = MountedDisk::ext4(directory.path(), &data);
    let harness = Harness::start_child(directory.path().to_owned()).await;
    assert_eq!((set(&harness).await, read(&harness).await), (Some(200), Some(200)));
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    assert_eq!(agent.values().await.0, 1);
    drop(agent);
    let frozen = FrozenFilesystem::freeze(&data);
    let (reads, sets, bundles, logins) = tokio::join!(
        join_all((0..8).map(|_| read(&harness))),
        join_all((0..3).map(|_| set(&harness))),
        join_all((0..2).map(|_| read_bundle(&harness))),
        join_all((0..2).map(|_| log_in(&harness))),
    );
    for status in reads.into_iter().chain(sets).chain(bundles).chain(logins) {
        assert_eq!(status, Some(503));
    }
    drop(frozen);
    serves_again(&harness).await;
    let reads = 2;
    // A refused write may have been carried out later; an acknowledged one was.
    until("a write", async || set(&harness).await == Some(200)).await;
    let generation =
        harness.json("/v1/bundles/shop.prod.api").await["generation"].as_u64().unwrap();
    let mut agent =
        TestAgent::connect(&harness, "api-one", "api-prod", vec![held("api-prod", 1)]).await;
    expect_generation(&mut agent, generation).await;
    let (read_events, write_events) = counted(&harness).await;
    assert!(
        read_events >= reads + 2 && write_events >= 2,
        "{reads} reads of {read_events}, {write_events} writes"
    );
    harness.kill();
    drop(mounted);
}
