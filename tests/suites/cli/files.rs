//! Import and export, in every form.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::world::World;

#[test]
fn an_import_writes_what_has_changed_and_nothing_else() {
    let world = World::start();
    let file = world.file("first.env", b"A=1\nB='two words'\n# not C=3\n");
    let dry = world.json(&["secrets", "import", &file, "--dry-run"]);
    assert_eq!(dry, json!({"scope": "shop.prod.api", "changes": {"A": "new", "B": "new"}}));
    world.fails(4, &["secrets", "get", "A"]);

    let done = world.json(&["secrets", "import", &file]);
    assert_eq!(done["written"]["versions"], json!({"A": 1, "B": 1}));
    assert_eq!(done["written"]["bundles"][0]["generation"], 1, "a file is one generation");
    let writes = world.events("write");

    let again = world.json(&["secrets", "import", &file]);
    assert_eq!(
        again,
        json!({"scope": "shop.prod.api", "changes": {"A": "unchanged", "B": "unchanged"}})
    );
    assert_eq!(world.events("write"), writes, "what has not changed was written");

    let next = world.file("next.json", br#"{"A": "1", "B": "2", "C": {"base64": "AP8="}}"#);
    let table = world.ok(&["secrets", "import", &next], b"");
    assert!(table.contains("2 written, 1 unchanged"), "{table}");
    assert_eq!(world.run(&["secrets", "get", "C"], b"").out, b"\0\xff");
    assert_eq!(
        world.json(&["secrets", "import", &next, "--rewrite"])["written"]["versions"]["A"],
        2
    );
}

#[test]
fn every_form_goes_out_and_comes_in() {
    let world = World::start();
    world.set("TEXT", b"a 'b' \"c\" $d `e`\n\tline \\n #x\r\n");
    world.set("EMPTY", b"");
    world.set("tls.key", b"-----BEGIN X-----\nabc\n-----END X-----\n");
    for form in ["env", "json", "yaml", "k8s-secret"] {
        let text = world.run(&["secrets", "export", "--format", form], b"").out;
        let to = ["--service", "copy", "--format", form];
        let done = world
            .run(&[["secrets", "import", "-", "--output", "json"].as_slice(), &to].concat(), &text);
        assert_eq!(done.code, Some(0), "{form}: {}", done.err);
        let back =
            world.run(&["secrets", "export", "--service", "copy", "--format", form], b"").out;
        let unnamed = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).unwrap().replace("copy-prod", "api-prod")
        };
        assert_eq!(unnamed(&back), unnamed(&text), "{form}");
        for name in ["TEXT", "EMPTY", "tls.key"] {
            let read =
                |service| world.run(&["secrets", "get", name, "--service", service], b"").out;
            assert_eq!(read("copy"), read("api"), "{name} as {form}");
            world.ok(&["secrets", "delete", name, "--service", "copy", "--yes"], b"");
        }
    }
    // A shell reads what we write.
    world.ok(&["secrets", "delete", "tls.key", "--yes"], b"");
    let file = world.file("out.env", &world.run(&["secrets", "export"], b"").out);
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
fn bytes_that_are_no_text_have_another_form() {
    let world = World::start();
    world.set("B", b"\xff\0");
    let refused = world.fails(2, &["secrets", "export"]);
    assert!(refused.contains("B is no text") && refused.contains("--format"), "{refused}");
    assert!(
        world.ok(&["secrets", "export", "--format", "json"], b"").contains(r#""base64": "/wA=""#)
    );
    assert!(
        world
            .ok(&["secrets", "export", "--format", "k8s-secret", "--namespace", "shop-prod"], b"")
            .contains("namespace: shop-prod")
    );
}

#[test]
fn a_file_is_its_owners_alone_and_stays_unless_told() {
    let world = World::start();
    world.set("A", b"1");
    let path = world.directory.path().join("out.json");
    let out = crate::world::text(&path);
    let said = world.ok(&["secrets", "export", "--out", &out], b"");
    assert!(said.contains("0600"), "{said}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read(&path).unwrap(), b"{\n  \"A\": \"1\"\n}\n", "the form is the name's");
    assert!(world.fails(1, &["secrets", "export", "--out", &out]).contains("--force"));
    world.set("A", b"2");
    world.ok(&["secrets", "export", "--out", &out, "--force"], b"");
    assert_eq!(std::fs::read(&path).unwrap(), b"{\n  \"A\": \"2\"\n}\n");
}

#[test]
fn what_is_refused_names_the_place() {
    let world = World::start();
    for (name, text, expected) in [
        ("a.env", "A=1\nhunter2\n", "line 2"),
        ("a.json", "{\"PORT\": 5432}", "value of PORT: is a number; put it in quotes"),
        ("a.yaml", "A: x\nA: y\n", "twice"),
        ("b.yaml", "A:\n  B: c\n", "value of A"),
        ("empty.env", "# nothing\n", "there is no secret"),
        ("unclear", "hello\n", "--format"),
    ] {
        let file = world.file(name, text.as_bytes());
        let said = world.fails(1, &["secrets", "import", &file]);
        assert!(said.contains(expected) && said.contains(name), "{said}");
    }
}
