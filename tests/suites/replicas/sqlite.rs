//! SQLite serves one replica.

use std::time::Duration;

use e2e::loopback::write_identities;
use e2e::switchyard::Switchyard;

#[test]
fn a_second_switchyard_on_one_file_says_so_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    write_identities(directory.path(), &[], &[]).unwrap();
    let mut first = Switchyard::new(directory.path(), "first", &[]).unwrap();
    first.run().unwrap();
    let second = Switchyard::new(directory.path(), "second", &[]).unwrap();
    let mut process = second.spawn().unwrap();
    let status = process.finish(Duration::from_secs(30)).unwrap();
    let log = process.log();
    assert!(
        !status.success()
            && log.contains("another process has it open")
            && log.contains("PostgreSQL"),
        "{status}: {log}"
    );
    // The first one still serves.
    assert_eq!(first.get("/v1/audit").unwrap().0, 200);
    // A killed one leaves no lock behind.
    first.kill().unwrap();
    let mut third = Switchyard::new(directory.path(), "third", &[]).unwrap();
    third.run().unwrap();
}
