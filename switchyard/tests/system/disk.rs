//! The audit trail on a disk that is full or broken: no value leaves without its event, every refusal
//! comes in time, and what was acknowledged is there afterwards.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Method;
use trail::{Record, Start, Verifier};

use crate::yard::{Yard, body, until};

/// How long a refusal may take: the clerk's patience, and room for a busy machine.
const BOUND: Duration = Duration::from_secs(20);

async fn ask(yard: &Yard, method: Method, path: &str, body: &[u8]) -> Option<u16> {
    let token = yard.token();
    let asked = yard.try_ask(method, path, &token, body);
    let answer = tokio::time::timeout(BOUND, asked).await.expect("the answer came too late");
    answer.map(|(status, _, body)| {
        let leaked = body.windows(7).any(|it| it == b"hunter2") || body.windows(10).any(|it| it == b"aHVudGVyMg");
        assert!(status == 200 || !leaked, "a refusal with a value");
        status.as_u16()
    })
}

async fn read(yard: &Yard) -> Option<u16> {
    ask(yard, Method::GET, "/v1/secrets/shop.prod.api/A", b"").await
}

async fn set(yard: &Yard) -> Option<u16> {
    ask(yard, Method::POST, "/v1/secrets/shop.prod.api/", body(&[("A", b"hunter2")]).expose()).await
}

/// So many events say that a value was handed out, or written.
async fn counted(yard: &Yard) -> (usize, usize) {
    let records: Vec<Record> = serde_json::from_value(yard.json("/v1/audit?limit=10000").await["events"].clone()).unwrap();
    let mut verifier = Verifier::new(Start::Origin, vec![], &[]);
    records.iter().for_each(|record| verifier.take(record));
    assert_eq!(verifier.finish().finding, None);
    let of = |action: &str| records.iter().filter(|record| record.action == action).count();
    (of("read"), of("write") + of("rotate"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn a_full_disk_refuses_and_an_empty_one_serves_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mounted = Mounted::tmpfs(&data, "8m");
    let yard = Yard::start_apart(directory.path().to_owned()).await;
    assert_eq!(set(&yard).await, Some(200));
    let (mut reads, mut refused) = (0, 0);
    fill(&data);
    for _ in 0..200 {
        match read(&yard).await {
            Some(200) => reads += 1,
            Some(503) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "the disk was not full");
    let writes = 1 + usize::from(set(&yard).await == Some(200));
    std::fs::remove_file(data.join("filler")).unwrap();
    until("it to serve again", async || {
        let status = read(&yard).await;
        reads += usize::from(status == Some(200));
        status == Some(200)
    })
    .await;
    let (read_events, write_events) = counted(&yard).await;
    assert!(read_events >= reads && write_events == writes, "{reads} reads of {read_events}, {writes} writes of {write_events}");
    yard.kill();
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn a_disk_that_cannot_flush_ends_the_process_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let yard = Yard::start_apart(directory.path().to_owned()).await;
    assert_eq!(set(&yard).await, Some(200));
    let (mut reads, mut writes) = (0, 1);
    assert_eq!(read(&yard).await, Some(200));
    reads += 1;
    let mut faults = Faults::attach(yard.process(), "fsync,fdatasync:error=EIO");
    // Whichever comes first: a refusal, or nobody there any more; never a value.
    for turn in 0.. {
        let status = if turn % 2 == 0 { read(&yard).await } else { set(&yard).await };
        match status {
            Some(200) if turn % 2 == 0 => reads += 1,
            Some(200) => writes += 1,
            Some(_) => {}
            None => break,
        }
        assert!(turn < 1000, "it serves on, with a disk that cannot flush");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("its end", async || yard.has_ended()).await;
    faults.end();
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("could not be flushed") && !log.contains("hunter2"), "{log}");
    let yard = Yard::start_apart(directory.path().to_owned()).await;
    let (read_events, write_events) = counted(&yard).await;
    assert!(read_events >= reads && write_events >= writes, "{reads} reads of {read_events}, {writes} writes of {write_events}");
    assert_eq!(read(&yard).await, Some(200));
}

/// Takes what is left, to the last byte.
fn fill(directory: &Path) {
    let mut file = std::fs::File::create(directory.join("filler")).unwrap();
    let mut block = 1 << 16;
    while block > 0 {
        if std::io::Write::write_all(&mut file, &vec![7; block]).is_err() {
            block /= 2;
        }
    }
}

/// A small disk. Needs root.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, size: &str) -> Self {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).arg(at).status().unwrap();
        assert!(done.success(), "mount a tmpfs: this test needs root");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Errors in place of a process' system calls.
struct Faults(Child);

impl Faults {
    fn attach(process: u32, inject: &str) -> Self {
        let calls = inject.split(':').next().unwrap();
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={inject}"),
            "-p",
            &process.to_string(),
        ]);
        let child = command.stderr(Stdio::null()).spawn().expect("strace is needed: tests/stores.sh installs it");
        let status = format!("/proc/{process}/status");
        // It is attached when the kernel says who traces.
        while std::fs::read_to_string(&status).unwrap().lines().any(|line| line == "TracerPid:\t0") {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.end();
    }
}
