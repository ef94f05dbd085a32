//! Rows that another program created from the description of the formats.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use contract::Version;
use lockbox::{Reference, StoredVersion};

use crate::harness::{TestDatabase, get};

const KEY_ID: &str = "4783b8bf6af7607f";

const FIRST: [&str; 3] = [
    "00112233445566778899aabbccddeeff",
    "000102030405060708090a0b2367b07cad8ca870e12cf9e4c1980a1ef7a3f143\
     88022507441a9bfa9de882316c4f18593348bf768df3e80edf64fc60",
    "1415161718191a1b1c1d1e1fe54662cb08576c175255171bf6bbb0d30503c25a\
     37fb4d1b590ffd71447c7bb276e4e1c1a739e528d1cb8fb5",
];

const SECOND: [&str; 3] = [
    "ffeeddccbbaa99887766554433221100.975c343e69b37efa779c34232f8577c0",
    "000102030405060708090a0bec90352fb9ae2cbbe27565f97ab0841269848559\
     586f6668ca6865239e12f345993b29ecc1a2546b87418d70b01639ac",
    "1415161718191a1b1c1d1e1fe54662cb08576c175255171bf6bbb0c60912de40\
     73a95a12500bef6798ca92fab94cf639e136be4537127829d7",
];

async fn database() -> (TestDatabase, StoredVersion, StoredVersion) {
    let database = TestDatabase::new().await;
    let key: Vec<u8> = (0..32).collect();
    std::fs::File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(database.path("key"))
        .unwrap()
        .write_all(&key)
        .unwrap();
    database.open("key", &[]).await;
    for (version, format, [reference, wrapped, sealed]) in [(1, 1, FIRST), (2, 2, SECOND)] {
        database
            .run(&format!(
                "INSERT INTO lockbox_values
                     (reference, scope, name, version, format, key_id, wrapped_key, sealed)
                 VALUES ('{reference}', 'shop.prod.api', 'A', {version}, {format}, '{KEY_ID}',
                         x'{wrapped}', x'{sealed}')"
            ))
            .await;
    }
    let stored = |version, reference: &str| StoredVersion {
        version: Version(version),
        reference: Reference::new(reference.to_owned()),
    };
    (database, stored(1, FIRST[0]), stored(2, SECOND[0]))
}

#[tokio::test]
async fn both_formats_are_read() {
    let (database, first, second) = database().await;
    let store = database.open("key", &[]).await;
    assert_eq!(get(&store, "A", &first).await.unwrap(), "written by the first release");
    assert_eq!(get(&store, "A", &second).await.unwrap(), "written by the second release");
}

#[tokio::test]
async fn a_rekey_rewrites_format_1() {
    let (database, first, second) = database().await;
    let before = database.bytes("SELECT sealed FROM lockbox_values WHERE version = 2").await;
    let store = database.open("new", &["key"]).await;
    let batch =
        store.rewrap(&store.current_key().await.unwrap(), Default::default()).await.unwrap();
    assert_eq!((batch.done, batch.failed, batch.next), (2, Vec::new(), None));
    assert_eq!(database.text("SELECT group_concat(format || key_id) FROM lockbox_values").await, {
        let id = store.current_key().await.unwrap();
        format!("2{id},2{id}")
    });
    let store = database.open("new", &[]).await;
    assert_eq!(get(&store, "A", &first).await.unwrap(), "written by the first release");
    assert_eq!(get(&store, "A", &second).await.unwrap(), "written by the second release");
    assert_eq!(
        database.bytes("SELECT sealed FROM lockbox_values WHERE version = 2").await,
        before,
        "a value was touched"
    );
}

#[tokio::test]
async fn a_rekey_rewrites_format_1_under_the_same_key() {
    let (database, first, _) = database().await;
    let store = database.open("key", &[]).await;
    let current = store.current_key().await.unwrap();
    assert_eq!(store.rekey_progress(&current).await.unwrap().remaining, 1);
    assert_eq!(store.rewrap(&current, Default::default()).await.unwrap().done, 1);
    assert_eq!(store.rekey_progress(&current).await.unwrap().remaining, 0);
    assert_eq!(get(&store, "A", &first).await.unwrap(), "written by the first release");
    // Downgrading the format does not open the row.
    database.run("UPDATE lockbox_values SET format = 1 WHERE version = 1").await;
    assert!(get(&store, "A", &first).await.is_err());
}
