//! What other users of the machine can see of switchyard: its files and its memory.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::harness::{Harness, until, write};

/// The files that hold anything but certificates, by name.
const PRIVATE: [&str; 9] = [
    "audit-export",
    "audit-key",
    "bootstrap-token",
    "checkpoints.jsonl",
    "key",
    "switchyard.db",
    "switchyard.db-shm",
    "switchyard.db-wal",
    "switchyard.db.lock",
];

/// Starts a program that makes every file as wide as it asks for.
const WITHOUT_UMASK: [&str; 4] = ["sh", "-c", "umask 0000; exec \"$@\"", "sh"];

/// The mode of each of them that exists.
fn modes(directory: &Path) -> BTreeMap<String, u32> {
    let folders = [directory.join("data"), directory.join("outside")];
    let entries = folders.iter().flat_map(|it| fs::read_dir(it).into_iter().flatten().flatten());
    let files = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let mode = entry.metadata().ok()?.permissions().mode() & 0o7777;
        PRIVATE.contains(&name.as_str()).then_some((name, mode))
    });
    files.collect()
}

/// The flags that make it write checkpoints and an export as well.
fn flags(directory: &Path) -> Vec<String> {
    let outside = directory.join("outside");
    fs::create_dir_all(&outside).unwrap();
    let (sinks, export) = (directory.join("sinks.yaml"), outside.join("audit-export"));
    write(&sinks, &format!("sinks:\n- name: file\n  file: {}\n", export.display()));
    [
        "--audit-checkpoint-directory",
        outside.to_str().unwrap(),
        "--audit-checkpoint-events",
        "1",
        "--audit-sinks",
        sinks.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec()
}

#[tokio::test]
async fn every_file_is_its_owners_whatever_the_umask() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let more = flags(directory);
    let start = async || Harness::start_child_by(&WITHOUT_UMASK, directory.to_owned(), &more).await;
    let harness = start().await;
    // Its event is exported and signed.
    harness.set("shop.prod.api", &[("A", b"1")]).await;
    until("every file", async || modes(directory).len() == PRIVATE.len()).await;
    let made = modes(directory);
    assert!(made.values().all(|mode| *mode == 0o600), "{made:?}");
    assert_eq!(fs::metadata(directory.join("data")).unwrap().mode() & 0o7777, 0o700);
    harness.kill();

    // Wide files, as an older version or a copy made them.
    for folder in ["data", "outside"] {
        for entry in fs::read_dir(directory.join(folder)).unwrap().flatten() {
            if entry.file_name() != "key" && entry.metadata().unwrap().is_file() {
                fs::set_permissions(entry.path(), Permissions::from_mode(0o644)).unwrap();
            }
        }
    }
    let _harness = start().await;
    let log = || fs::read_to_string(directory.join("log")).unwrap();
    until("the report", async || log().contains("if nobody else is to, run chmod 0600")).await;
    until("its log file", async || modes(directory).contains_key("switchyard.db-wal")).await;
    // Those that an operator may have opened on purpose are reported, the others narrowed.
    for (name, mode) in modes(directory) {
        let reported = ["audit-export", "checkpoints.jsonl"].contains(&name.as_str());
        assert_eq!(mode, if reported { 0o644 } else { 0o600 }, "{name}");
    }
    for name in ["switchyard.db", "audit-key", "bootstrap-token", "audit-export"] {
        assert!(log().lines().any(|it| it.contains(name) && it.contains("0644")), "{}", log());
    }
}

#[tokio::test]
async fn the_process_dumps_no_core_and_its_memory_belongs_to_root() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    // Everything of root's process is root's anyway, so root runs it as somebody else.
    let starter: &[&str] = if rustix::process::getuid().is_root() {
        chown(directory, Some(65534), Some(65534)).unwrap();
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    } else {
        &[]
    };
    let harness = Harness::start_child_by(starter, directory.to_owned(), &[]).await;
    let proc = Path::new("/proc").join(harness.process().to_string());
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<_> = core.split_ascii_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core}");
    // The files of an undumpable process belong to root.
    assert_eq!(fs::metadata(proc.join("mem")).unwrap().uid(), 0);
    // It still reads its own numbers.
    let metrics = harness.metrics().await;
    for name in ["process_open_fds ", "process_resident_memory_bytes "] {
        assert!(metrics.contains(name), "{metrics}");
    }
}
