//! Replicas with different keys.

use std::time::Duration;

use e2e::loopback::write_identities;
use e2e::postgres::Postgres;
use e2e::switchyard::Switchyard;

use crate::harness::write;

#[test]
fn a_replica_with_another_key_does_not_start() {
    let (postgres, directory) = (Postgres::start().unwrap(), tempfile::tempdir().unwrap());
    write_identities(directory.path(), &[], &[]).unwrap();
    let url = postgres.url();
    let key = |name: &str| directory.path().join(name);
    let replica = |name: &str| {
        let file = key(name);
        let settings =
            [("ENCLII_DATABASE_URL", url.as_str()), ("ENCLII_KEY_FILE", file.to_str().unwrap())];
        Switchyard::new(directory.path(), name, &settings).unwrap()
    };
    let (mut one, mut two) = (replica("one"), replica("two"));
    one.run().unwrap();
    // Its key file exists already, made by an operator, or it does not.
    for own in [true, false] {
        if own {
            lockbox::KeyFile::new(key("two")).load(None).unwrap();
        } else {
            std::fs::remove_file(key("two")).unwrap();
        }
        let mut process = two.spawn().unwrap();
        let status = process.finish(Duration::from_secs(60)).unwrap();
        let log = process.log();
        assert!(!status.success() && log.contains("values need key"), "{status}: {log}");
    }
    // With the first replica's key it starts, as the message says.
    std::fs::copy(key("one"), key("two")).unwrap();
    two.run().unwrap();
    write(&one, &[("A", "1")]);
    let (status, answer) = two.get("/v1/secrets/shop.prod.api/A").unwrap();
    assert_eq!((status, answer["value"].as_str()), (200, Some("MQ==")));
}
