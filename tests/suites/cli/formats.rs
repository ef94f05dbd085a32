//! Files of other tools: read exactly, or refused with a way out. Exports: read by other tools.

use std::process::Command;

use serde_json::json;

use crate::harness::CliHarness;

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIB+/=\nabc\n-----END PRIVATE KEY-----\n";

#[test]
fn ciphertext_is_not_stored_as_a_value() {
    let harness = CliHarness::start();
    let sops = "A=ENC[AES256_GCM,data:hunter2,iv:x,tag:y,type:str]\nsops_version=3.9.0\n\
                sops_mac=ENC[AES256_GCM,data:hunter2,iv:x,tag:y,type:str]\n";
    let long = "BE9Y7LKANx77X1pv1HnEoil93fPa5c9rpL1ps48uaRT9zM8VR6mHx9yM";
    let dotenvx = format!("DOTENV_PUBLIC_KEY=\"02b1\"\nA=\"encrypted:{long}\"\n");
    for (text, words) in [
        (sops, ["A, sops_mac", "SOPS", "sops --decrypt"]),
        (dotenvx.as_str(), ["value of A", "dotenvx", "dotenvx decrypt"]),
        ("A=ENC(hunter2)\n", ["value of A", "Jasypt", "jasypt"]),
    ] {
        let file = harness.file("x.env", text.as_bytes());
        for command in [
            vec!["secrets", "import", file.as_str()],
            vec!["secrets", "set", "--env-file", file.as_str()],
        ] {
            let printed = harness.fails(1, &command);
            assert!(words.iter().all(|it| printed.contains(it)), "{command:?}: {printed}");
            assert!(printed.contains("--literal") && !printed.contains("hunter2"), "{printed}");
        }
    }
    harness.fails(4, &["secrets", "get", "A"]);
    let file = harness.file("x.env", b"A=ENC(hunter2)\n");
    harness.ok(&["secrets", "import", &file, "--literal"], b"");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), "ENC(hunter2)");
    harness.ok(&["secrets", "set", "--env-file", &file, "--literal"], b"");
    let vault = harness.file("all.yml", b"$ANSIBLE_VAULT;1.1;AES256\n6162\n");
    assert!(harness.fails(1, &["secrets", "import", &vault]).contains("ansible-vault decrypt"));
}

#[test]
fn tags_and_quotes_of_other_tools_are_never_half_read() {
    let harness = CliHarness::start();
    for text in ["A: !vault hunter2\n", "A: !ENV ${hunter2}\n", "A: !Sub [hunter2]\n"] {
        let file = harness.file("x.yaml", text.as_bytes());
        let printed = harness.fails(1, &["secrets", "import", &file]);
        assert!(printed.contains("line 1") && printed.contains("!vault"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    let file = harness.file("x.yaml", b"A: !!str 12\nB: \"!vault\"\n");
    harness.ok(&["secrets", "import", &file], b"");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), "12");

    let file = harness.file("x.env", b"T=`a 'b' \"c\" $d\nnext`\nU=1\n");
    harness.ok(&["secrets", "import", &file], b"");
    assert_eq!(harness.ok(&["secrets", "get", "T"], b""), "a 'b' \"c\" $d\nnext");
    let file = harness.file("x.env", b"A=1\nT=`never closed\n");
    assert!(harness.fails(1, &["secrets", "import", &file]).contains("line 2"));
}

#[test]
fn properties_are_read_as_java_reads_them() {
    let harness = CliHarness::start();
    let text = b"# x\nDB_URL=jdbc\\:postgresql\\://h/d\nLONG: one, \\\n    two\nBLANK value\n";
    let file = harness.file("app.properties", text);
    for command in [
        vec!["secrets", "import", file.as_str()],
        vec!["secrets", "set", "--env-file", file.as_str(), "--service", "other"],
    ] {
        harness.ok(&command, b"");
    }
    for service in ["api", "other"] {
        for (name, value) in
            [("DB_URL", "jdbc:postgresql://h/d"), ("LONG", "one, two"), ("BLANK", "value")]
        {
            let read = harness.ok(&["secrets", "get", name, "--service", service], b"");
            assert_eq!(read, value, "{service}");
        }
    }
    let printed = harness.ok(&["secrets", "export", "--format", "properties"], b"");
    assert!(printed.contains("DB_URL=jdbc\\:postgresql\\://h/d\n"), "{printed}");
    let toml = harness.file("x.toml", b"A = \"x\\u00e9\"\n");
    assert!(harness.fails(1, &["secrets", "import", &toml]).contains("--format"));
}

#[test]
fn a_key_that_cannot_be_a_name_blocks_nothing() {
    let harness = CliHarness::start();
    let text = br#"{".dockerconfigjson": "{}", "ConnectionStrings:Default": "x", "A": "1",
                    "PORT": 5432}"#;
    let file = harness.file("app.json", text);
    let printed = harness.fails(1, &["secrets", "import", &file, "--skip", "PORT"]);
    for part in [
        "--rename .dockerconfigjson=dockerconfigjson",
        "--rename ConnectionStrings:Default=ConnectionStrings_Default",
        "--skip",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let import = |more: &[&str]| {
        harness.json(&[["secrets", "import", &file, "--skip", "PORT"].as_slice(), more].concat())
    };
    let done = import(&[
        "--skip",
        ".dockerconfigjson",
        "--rename",
        "ConnectionStrings:Default=DEFAULT_CONNECTION",
    ]);
    assert_eq!(done["written"]["versions"], json!({"A": 1, "DEFAULT_CONNECTION": 1}));
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: r}\n\
                  data: {.dockerconfigjson: e30=}\n";
    let file = harness.file("secret.yaml", secret.as_bytes());
    harness.ok(&["secrets", "import", &file, "--rename", ".dockerconfigjson=DOCKER_CONFIG"], b"");
    assert_eq!(harness.ok(&["secrets", "get", "DOCKER_CONFIG"], b""), "{}");
    let env = harness.file("x.env", b"app.db:url=1\nB=2\n");
    let printed = harness.fails(1, &["secrets", "set", "--env-file", &env]);
    assert!(printed.contains("line 1: app.db:url"), "{printed}");
    harness.ok(&["secrets", "set", "--env-file", &env, "--rename", "app.db:url=APP_DB"], b"");
    let unused =
        harness.fails(1, &["secrets", "import", &env, "--skip", "app.db:url", "--skip", "C"]);
    assert!(unused.contains("no key C"), "{unused}");
}

#[test]
fn shells_and_parsers_read_an_export_as_it_was() {
    let harness = CliHarness::start();
    harness.set("PEM_KEY", PEM.as_bytes());
    harness.set("WORDS", b"two words, a \\ and \"quotes\"");
    harness.set("QUOTE", b"it's $5 `now` \\ \"x\"");
    let done = harness.run(&["secrets", "export"], b"");
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("QUOTE") && !done.err.contains("PEM_KEY"), "{}", done.err);
    let file = harness.file("out.env", &done.out);
    for shell in ["bash", "dash", "sh"] {
        let script = ". \"$0\"; printf '%s|' \"$PEM_KEY\" \"$WORDS\" \"$QUOTE\"";
        let read = Command::new(shell).args(["-c", script, &file]).output().unwrap();
        assert_eq!(
            String::from_utf8(read.stdout).unwrap(),
            format!("{PEM}|two words, a \\ and \"quotes\"|it's $5 `now` \\ \"x\"|"),
            "{shell}"
        );
    }
    harness.ok(&["secrets", "import", &file, "--service", "copy"], b"");
    for name in ["PEM_KEY", "WORDS", "QUOTE"] {
        let read = |service| harness.run(&["secrets", "get", name, "--service", service], b"").out;
        assert_eq!(read("copy"), read("api"), "{name}");
    }
    harness.set("NUL", b"a\0b");
    assert!(harness.fails(2, &["secrets", "export"]).contains("NUL"));
}
