//! Import and export in every format.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::CliHarness;

#[test]
fn an_import_writes_only_what_has_changed() {
    let harness = CliHarness::start();
    let file = harness.file("first.env", b"A=1\nB='two words'\n# not C=3\n");
    let dry = harness.json(&["secrets", "import", &file, "--dry-run"]);
    assert_eq!(dry, json!({"scope": "shop.prod.api", "changes": {"A": "new", "B": "new"}}));
    harness.fails(4, &["secrets", "get", "A"]);

    let done = harness.json(&["secrets", "import", &file]);
    assert_eq!(done["written"]["versions"], json!({"A": 1, "B": 1}));
    assert_eq!(done["written"]["bundles"][0]["generation"], 1, "a file must become one generation");
    let writes = harness.events("write");

    let again = harness.json(&["secrets", "import", &file]);
    assert_eq!(
        again,
        json!({"scope": "shop.prod.api", "changes": {"A": "unchanged", "B": "unchanged"}})
    );
    assert_eq!(harness.events("write"), writes, "an unchanged secret was written");

    let next = harness.file("next.json", br#"{"A": "1", "B": "2", "C": {"base64": "AP8="}}"#);
    let table = harness.ok(&["secrets", "import", &next], b"");
    assert!(table.contains("2 written, 1 unchanged"), "{table}");
    assert_eq!(harness.run(&["secrets", "get", "C"], b"").out, b"\0\xff");
    assert_eq!(
        harness.json(&["secrets", "import", &next, "--rewrite"])["written"]["versions"]["A"],
        2
    );
}

#[test]
fn every_format_round_trips() {
    let harness = CliHarness::start();
    harness.set("TEXT", b"a 'b' \"c\" $d `e`\n\tline \\n #x\r\n");
    harness.set("EMPTY", b"");
    harness.set("tls.key", b"-----BEGIN X-----\nabc\n-----END X-----\n");
    for form in ["env", "json", "yaml", "k8s-secret"] {
        let text = harness.run(&["secrets", "export", "--format", form], b"").out;
        let to = ["--service", "copy", "--format", form];
        let done = harness
            .run(&[["secrets", "import", "-", "--output", "json"].as_slice(), &to].concat(), &text);
        assert_eq!(done.code, Some(0), "{form}: {}", done.err);
        let back =
            harness.run(&["secrets", "export", "--service", "copy", "--format", form], b"").out;
        let unnamed = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).unwrap().replace("copy-prod", "api-prod")
        };
        assert_eq!(unnamed(&back), unnamed(&text), "{form}");
        for name in ["TEXT", "EMPTY", "tls.key"] {
            let read =
                |service| harness.run(&["secrets", "get", name, "--service", service], b"").out;
            assert_eq!(read("copy"), read("api"), "{name} as {form}");
            harness.ok(&["secrets", "delete", name, "--service", "copy", "--yes"], b"");
        }
    }
    // A shell reads the file.
    harness.ok(&["secrets", "delete", "tls.key", "--yes"], b"");
    let file = harness.file("out.env", &harness.run(&["secrets", "export"], b"").out);
    let shell = std::process::Command::new("bash")
        .args(["-c", ". \"$0\"; printf %s \"$EMPTY|$TEXT\"", &file])
        .output()
        .unwrap();
    assert!(
        shell.stdout.starts_with(b"|a 'b' \"c\" $d `e`"),
        "{}",
        String::from_utf8_lossy(&shell.stdout)
    );
}

#[test]
fn binary_values_need_another_format() {
    let harness = CliHarness::start();
    harness.set("B", b"\xff\0");
    let refused = harness.fails(2, &["secrets", "export"]);
    assert!(refused.contains("B is not text") && refused.contains("--format"), "{refused}");
    assert!(
        harness.ok(&["secrets", "export", "--format", "json"], b"").contains(r#""base64": "/wA=""#)
    );
    assert!(
        harness
            .ok(&["secrets", "export", "--format", "k8s-secret", "--namespace", "shop-prod"], b"")
            .contains("namespace: shop-prod")
    );
}

#[test]
fn only_the_owner_can_read_a_file_and_it_is_replaced_only_with_force() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let path = harness.directory.path().join("out.json");
    let out = crate::harness::text(&path);
    let printed = harness.ok(&["secrets", "export", "--out", &out], b"");
    assert!(printed.contains("0600"), "{printed}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read(&path).unwrap(), b"{\n  \"A\": \"1\"\n}\n", "wrong format");
    assert!(harness.fails(1, &["secrets", "export", "--out", &out]).contains("--force"));
    harness.set("A", b"2");
    harness.ok(&["secrets", "export", "--out", &out, "--force"], b"");
    assert_eq!(std::fs::read(&path).unwrap(), b"{\n  \"A\": \"2\"\n}\n");
}

#[test]
fn errors_name_the_position() {
    let harness = CliHarness::start();
    for (name, text, expected) in [
        ("a.env", "A=1\nhunter2\n", "line 2"),
        ("a.json", "{\"PORT\": 5432}", "value of PORT: must be a string, not a number; quote it"),
        ("a.yaml", "A: x\nA: y\n", "repeats a key"),
        ("b.yaml", "A:\n  B: c\n", "value of A"),
        ("empty.env", "# nothing\n", "the file has no secrets"),
        ("unclear", "hello\n", "--format"),
    ] {
        let file = harness.file(name, text.as_bytes());
        let printed = harness.fails(1, &["secrets", "import", &file]);
        assert!(printed.contains(expected) && printed.contains(name), "{printed}");
    }
}

#[test]
fn an_export_and_the_comparison_of_an_import_read_all_values_in_one_request() {
    let harness = CliHarness::start();
    let file = harness.file("many.env", b"A=1\nB=2\nC=3\nD=4\n");
    harness.ok(&["secrets", "import", &file], b"");
    harness.ok(&["secrets", "set", "--service", "", "WIDE=5"], b"");
    // The requests that a command sends, without the server's answer.
    let requests = |words: &[&str]| {
        let done = harness.run(&[&["--verbose"], words].concat(), b"");
        assert_eq!(done.code, Some(0), "{}", done.err);
        let paths = done.err.lines().filter_map(|line| {
            let (method, rest) = line.split_once(' ')?;
            let path = rest.split_once(": 200")?.0;
            let method = method.trim_start_matches(|it: char| !it.is_ascii_uppercase());
            Some(format!("{method} {path}"))
        });
        paths.collect::<Vec<_>>()
    };
    let before = harness.events("read");
    let read = "POST /v1/read/shop.prod.api?inherited=false".to_owned();
    let list = "GET /v1/secrets/shop.prod.api/?limit=1000".to_owned();
    assert_eq!(requests(&["secrets", "export"]), [list.clone(), read.clone()]);
    assert_eq!(requests(&["secrets", "export", "B", "A"]), std::slice::from_ref(&read));
    assert_eq!(
        requests(&["secrets", "export", "A", "WIDE", "--inherited"]),
        ["POST /v1/read/shop.prod.api?inherited=true"]
    );
    assert_eq!(requests(&["secrets", "import", &file, "--dry-run"]), [list, read]);
    assert_eq!(harness.events("read") - before, 4 + 2 + 2 + 4, "one event for each value");
    // What is not there is an error that says where it is.
    let missing = harness.fails(4, &["secrets", "export", "A", "WIDE"]);
    assert!(missing.contains("shop.prod has it"), "{missing}");
}
