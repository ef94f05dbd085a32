//! When secrets were last read, and which ones nobody reads.

use std::time::{Duration, Instant};

use crate::harness::CliHarness;

#[test]
fn unused_secrets_are_listed_and_last_reads_shown() {
    let harness = CliHarness::start();
    harness.set("USED", b"one");
    harness.set("OLD", b"two");
    harness.ok(&["secrets", "get", "USED"], b"");
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let shown = harness.json(&["secrets", "show", "USED"]);
        if shown["last_read_by_program"].is_string() {
            break;
        }
        assert!(Instant::now() < deadline, "not counted: {shown}");
        std::thread::sleep(Duration::from_millis(500));
    }
    let shown = harness.ok(&["secrets", "show", "USED"], b"");
    assert!(shown.contains("read      by a pod: never up to 20"), "{shown}");
    assert!(shown.contains("\n          by a program: 20"), "{shown}");

    let listed = harness.json(&["secrets", "list", "--unused", "2020-01-01"]);
    assert!(listed["secrets"].as_array().unwrap().is_empty(), "{listed}");
    assert!(listed["reads_until"].is_string(), "{listed}");
    let none = harness.run(&["secrets", "list", "--unused", "90d"], b"");
    assert_eq!(none.code, Some(0));
    assert!(none.err.contains("has no secrets that nobody read since then"), "{none:?}");
    assert!(none.err.contains("reads are counted up to 20"), "{none:?}");
    let found = harness.json(&["secrets", "search", "--unused", "90d"]);
    assert!(found["secrets"].as_array().unwrap().is_empty(), "{found}");
    for words in [
        &["secrets", "list", "--unused", "soon"][..],
        &["secrets", "list", "--unused", "90d", "--inherited"],
        &["secrets", "list", "--unused", "90d", "--expires-before", "30d"],
    ] {
        harness.fails(2, words);
    }
    assert!(harness.fails(1, &["secrets", "list", "--unused", "2100-01-01"]).contains("future"));
}
