//! References between secrets: the commands of docs/cli.md.

use crate::harness::CliHarness;

const WRITTEN: &str = "postgres://${shop.prod/DB_HOST}/shop";

#[test]
fn a_value_with_references_is_written_read_and_followed() {
    let harness = CliHarness::start();
    harness.ok(&["secrets", "set", "--service", "", "DB_HOST=one.example"], b"");
    let assignment = format!("DATABASE_URL={WRITTEN}");
    harness.ok(&["secrets", "set", &assignment, "--references"], b"");
    let get = |words: &[&str]| harness.ok(&[&["secrets", "get"], words].concat(), b"");
    assert_eq!(get(&["DATABASE_URL"]), "postgres://one.example/shop");
    assert_eq!(get(&["DATABASE_URL", "--raw"]), WRITTEN);
    let shown = harness.ok(&["secrets", "show", "DATABASE_URL"], b"");
    assert!(shown.contains("refers to shop.prod/DB_HOST\n"), "{shown}");
    let export = harness.ok(&["secrets", "export"], b"");
    assert!(export.contains("postgres://one.example/shop"), "{export}");
    let file = harness.file("out.env", export.as_bytes());
    let imported = harness.ok(&["secrets", "import", &file], b"");
    assert!(imported.contains("unchanged"), "{imported}");
    assert_eq!(get(&["DATABASE_URL", "--raw"]), WRITTEN);
    harness.ok(&["secrets", "set", "--service", "", "DB_HOST=two.example"], b"");
    assert_eq!(get(&["DATABASE_URL"]), "postgres://two.example/shop");
    // Without the flag the text is what it is.
    harness.ok(&["secrets", "set", &format!("TEXT={WRITTEN}")], b"");
    assert_eq!(get(&["TEXT"]), WRITTEN);
    // Mistakes say what to do, and never the value.
    let held = harness.fails(6, &["secrets", "delete", "DB_HOST", "--service", "", "--yes"]);
    assert!(held.contains("it is referred to by shop.prod.api/DATABASE_URL;"), "{held}");
    let ring = "DB_HOST=hunter2${shop.prod.api/DATABASE_URL}";
    let ring = harness.fails(6, &["secrets", "set", "--service", "", ring, "--references"]);
    assert!(ring.contains("leads back to it") && !ring.contains("hunter2"), "{ring}");
    let home = harness.fails(1, &["secrets", "set", "A=hunter2${HOME}", "--references"]);
    assert!(home.contains("at byte 7") && !home.contains("hunter2"), "{home}");
    let table = harness.ok(&["access", "who-can-read", "shop.prod/DB_HOST"], b"");
    assert!(table.contains("THROUGH") && table.contains("shop.prod.api/DATABASE_URL"), "{table}");
}
