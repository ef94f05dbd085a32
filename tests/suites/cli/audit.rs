//! `enclii audit`: lists, exports and verification.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use audit::{Checkpoint, Format, Record};
use e2e::wait;

use crate::harness::{CliHarness, finish};

fn records(text: &str) -> Vec<Record> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn list(harness: &CliHarness, more: &[&str]) -> Vec<Record> {
    records(&harness.ok(&[["audit", "list", "--output", "json"].as_slice(), more].concat(), b""))
}

/// Causes events: writes, a read and a refused request.
fn cause_events(harness: &CliHarness) {
    harness.set("A", b"hunter2");
    harness.set("B", b"hunter2");
    harness.ok(&["secrets", "get", "A"], b"");
    harness.ok(&["secrets", "set", "SHARED=-", "--service", "web"], b"hunter2");
    let nobody = finish(
        harness
            .enclii(&["secrets", "list"])
            .env_remove("ENCLII_TOKEN_FILE")
            .env("ENCLII_TOKEN", "wrong"),
        b"",
    );
    assert_eq!(nobody.code, Some(3), "{}", nobody.err);
}

#[test]
fn events_are_listed_for_people_and_for_programs() {
    let harness = CliHarness::start();
    cause_events(&harness);
    let all = list(&harness, &["--oldest-first"]);
    assert_eq!(
        all.iter().map(|record| record.sequence).collect::<Vec<_>>(),
        (1..=all.len() as u64).collect::<Vec<_>>()
    );
    // The events that `cause_events` is about: without those of switchyard's first start, and
    // without the lists that the command line asks for to suggest scopes.
    let caused: Vec<u64> = all
        .iter()
        .filter(|record| record.actor_type != "system" && record.action != "list")
        .map(|record| record.sequence)
        .collect();
    let table = harness.ok(&["audit", "list"], b"");
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("NUMBER") && lines[0].contains("WHO") && lines[0].contains("OUTCOME"),
        "{table}"
    );
    // The newest event is on top.
    let shown: Vec<u64> =
        lines[1..].iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(shown.len() > 5 && shown.is_sorted_by(|one, next| one > next), "{table}");
    for parts in [
        [&format!("{} ", caused[0]), "token:bootstrap", "write", "shop.prod.api A"],
        [&format!("{} ", caused[2]), "token:bootstrap", "read", "shop.prod.api A"],
    ] {
        let line = lines
            .iter()
            .find(|line| line.starts_with(parts[0]))
            .unwrap_or_else(|| panic!("{table}"));
        assert!(
            parts.iter().all(|part| line.contains(part)) && line.contains("127.0.0.1"),
            "{line}"
        );
    }
    assert!(!table.contains("hunter2"));

    let number = |record: &Record| caused.iter().position(|it| *it == record.sequence);
    let numbers = |more: &[&str]| {
        let listed = list(&harness, more);
        listed.iter().filter_map(number).map(|at| at + 1).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&["--action", "write"]), [4, 2, 1]);
    assert_eq!(numbers(&["--action", "write", "--oldest-first"]), [1, 2, 4]);
    assert_eq!(numbers(&["--scope", "shop.prod.api"]), [3, 2, 1]);
    assert_eq!(numbers(&["--scope", "shop.prod", "--action", "read"]), [3]);
    assert_eq!(numbers(&["--outcome", "denied"]), [5]);
    let by_bootstrap = ["--actor", "token:bootstrap", "--action", "write"];
    assert_eq!(numbers(&[&by_bootstrap[..], &["--limit", "2"]].concat()), [4, 2]);
    assert_eq!(numbers(&[&by_bootstrap[..], &["--limit", "2", "--oldest-first"]].concat()), [1, 2]);
    assert!(numbers(&["--actor", "user:bootstrap"]).is_empty());
    assert_eq!(numbers(&["--secret", "A"]), [3, 1]);
    assert_eq!(numbers(&["--secret", "shop.prod.api/B"]), [2]);
    assert!(numbers(&["--secret", "shop.prod.web/A"]).is_empty());
    assert_eq!(numbers(&["--since", "1h", "--action", "write"]), [4, 2, 1]);
    assert_eq!(numbers(&["--since", "2020-01-31", "--action", "write"]), [4, 2, 1]);
    assert!(numbers(&["--since", "2999-01-31"]).is_empty());
    assert!(numbers(&["--until", "1h"]).is_empty() && numbers(&["--scope", "shop.pro"]).is_empty());
    let (at, before) = (all[2].at, |record: &&Record| record.at < all[2].at);
    let mut expected: Vec<_> =
        all.iter().filter(before).filter_map(number).map(|at| at + 1).collect();
    expected.reverse();
    assert_eq!(numbers(&["--until", &at.to_string()]), expected);

    assert!(harness.run(&["audit", "list", "--limit", "2"], b"").err.contains("--limit is 2"));
    assert!(harness.run(&["audit", "list", "--actor", "nobody"], b"").err.contains("no event"));
    assert!(harness.fails(2, &["audit", "list", "--since", "yesterday"]).contains("2026-01-31"));
    assert!(harness.fails(2, &["audit", "list", "--secret", "a/b/C"]).contains("NAME"));
    assert!(harness.fails(2, &["audit", "list", "--action", "steal"]).contains("rotate"));
}

#[test]
fn events_are_exported_in_every_format() {
    let harness = CliHarness::start();
    cause_events(&harness);
    let all = list(&harness, &["--oldest-first"]);
    for format in Format::ALL {
        let text = harness.ok(&["audit", "export", "--format", format.as_str()], b"");
        let expected: String = all.iter().map(|record| format.line(record) + "\n").collect();
        assert!(text.starts_with(&expected) && !text.contains("hunter2"), "{format}: {text}");
        // With --until, later events are left out.
        let at = all[3].at;
        let part = harness
            .ok(&["audit", "export", "--format", format.as_str(), "--until", &at.to_string()], b"");
        let expected: String = all
            .iter()
            .filter(|record| record.at < at)
            .map(|record| format.line(record) + "\n")
            .collect();
        assert_eq!(part, expected, "{format}");
        let rest = harness
            .ok(&["audit", "export", "--format", format.as_str(), "--since", &at.to_string()], b"");
        let expected: String = all
            .iter()
            .filter(|record| record.at >= at)
            .map(|record| format.line(record) + "\n")
            .collect();
        assert!(rest.starts_with(&expected), "{format}: {rest}");
    }
    let path = harness.directory.path().join("audit.jsonl");
    let out = crate::harness::text(&path);
    let printed = harness.ok(&["audit", "export", "--out", &out], b"");
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(printed.contains(&format!("{} events", written.lines().count())), "{printed}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(records(&written)[..all.len()], all[..]);
    harness.fails(1, &["audit", "export", "--out", &out]);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        written,
        "an existing file was overwritten"
    );
    assert!(harness.fails(2, &["audit", "export", "--format", "csv"]).contains("ocsf"));
    // Each export is an event, but not the one that was refused because its file exists.
    assert_eq!(harness.events("export"), 3 * Format::ALL.len() + 1);
}

/// A change to the lines of an export.
type Tampering<'a> = &'a dyn Fn(&mut Vec<String>);

/// A system whose audit log has checkpoints, an export of the log, the checkpoints and their key.
struct SignedLog {
    harness: CliHarness,
    lines: Vec<String>,
    /// The record of the last checkpoint.
    signed: u64,
    checkpoints: String,
    key: String,
}

impl SignedLog {
    fn start() -> Self {
        let harness = CliHarness::start_with(|at| {
            let external = at.join("external").to_str().unwrap().to_owned();
            vec![
                ("ENCLII_AUDIT_CHECKPOINT_DIRECTORY", external),
                ("ENCLII_AUDIT_CHECKPOINT_INTERVAL", "1".to_owned()),
            ]
        });
        for _ in 0..3 {
            cause_events(&harness);
        }
        let external = harness.directory.path().join("external/checkpoints.jsonl");
        let wanted = list(&harness, &[]).len() as u64;
        let text = wait::until("a checkpoint of all of it", Duration::from_secs(60), || {
            let text = std::fs::read_to_string(&external).unwrap_or_default();
            let last =
                text.lines().last().and_then(|line| serde_json::from_str::<Checkpoint>(line).ok());
            Ok(last.filter(|last| last.sequence >= wanted).map(|last| (last.sequence, text)))
        });
        let (signed, text) = text.unwrap();
        // A copy: the log grows, and later records are not in this export.
        let checkpoints = harness.file("checkpoints.jsonl", text.as_bytes());
        let answer = harness.system.get("/v1/audit/checkpoints").unwrap();
        let key = harness.file("audit.pub", answer["public_key"].as_str().unwrap().as_bytes());
        let lines: Vec<String> =
            harness.ok(&["audit", "export"], b"").lines().map(str::to_owned).collect();
        assert!(lines.len() as u64 >= signed && signed > 10);
        Self { harness, lines, signed, checkpoints, key }
    }

    /// Verifies an export of these lines.
    fn verify(&self, lines: &[String], more: &[&str]) -> crate::harness::CliOutput {
        let file = self.harness.file("export.jsonl", (lines.join("\n") + "\n").as_bytes());
        self.harness.run(&[["audit", "verify", "--file", &file].as_slice(), more].concat(), b"")
    }

    fn checkpoint_args(&self) -> [&str; 4] {
        ["--checkpoints", &self.checkpoints, "--key", &self.key]
    }
}

#[test]
fn an_unchanged_log_is_valid() {
    let it = SignedLog::start();
    let done = it.verify(&it.lines, &it.checkpoint_args());
    assert_eq!(done.code, Some(0), "{}", done.err);
    let printed = String::from_utf8(done.out).unwrap() + &done.err;
    assert!(
        printed.contains(&format!("record {}, signed at", it.signed))
            && printed.contains("nobody changed"),
        "{printed}"
    );
    // Switchyard's own records, with its own key and with the given key.
    let online = it.harness.ok(&["audit", "verify"], b"");
    assert!(online.contains("form an unbroken chain"), "{online}");
    it.harness.ok(&["audit", "verify", "--checkpoints", &it.checkpoints, "--key", &it.key], b"");
    let report: serde_json::Value =
        serde_json::from_slice(&it.verify(&it.lines, &["--output", "json"]).out).unwrap();
    assert_eq!(
        (&report["records"], &report["finding"]),
        (&it.lines.len().into(), &serde_json::Value::Null)
    );
    // A partial export starts later, which needs --partial.
    let part = it.verify(&it.lines[4..], &["--partial"]);
    assert!(
        part.code == Some(0) && part.err.contains("record 5 itself is not verified"),
        "{part:?}"
    );
    let part = it.verify(&it.lines[4..], &[]);
    assert!(
        part.code == Some(8)
            && part.err.contains("begins with record 5")
            && part.err.contains("--partial"),
        "{part:?}"
    );
    // What is no export in jsonl says what it is.
    for format in ["ocsf", "cef"] {
        let text = it.harness.ok(&["audit", "export", "--format", format], b"");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for more in [&[][..], &["--partial"], &it.checkpoint_args()] {
            let done = it.verify(&lines, more);
            assert!(
                done.code == Some(8) && done.err.contains(&format!("format {format}")),
                "{done:?}"
            );
        }
    }
    let listed = it.harness.ok(&["audit", "list", "--output", "json"], b"");
    let lines: Vec<String> = listed.lines().map(str::to_owned).collect();
    for more in [&[][..], &["--partial"]] {
        let done = it.verify(&lines, more);
        assert!(done.code == Some(8) && done.err.contains("newest first"), "{done:?}");
    }
    for (lines, says) in [(&["{}"][..], "not an export"), (&["NUMBER  TIME"], "not an export")] {
        let lines: Vec<String> = lines.iter().map(|it| (*it).to_owned()).collect();
        let done = it.verify(&lines, &[]);
        assert!(done.code == Some(8) && done.err.contains(says), "{done:?}");
    }
    let empty = it.harness.file("empty.jsonl", b"");
    let done = it.harness.run(&["audit", "verify", "--file", &empty], b"");
    assert!(done.code == Some(8) && done.err.contains("holds no record"), "{done:?}");
    // Checkpoints without a key prove nothing.
    assert_eq!(it.verify(&it.lines, &["--checkpoints", &it.checkpoints]).code, Some(2));
}

#[test]
fn each_kind_of_tampering_ends_with_7_and_names_the_record() {
    let it = SignedLog::start();
    let with = |change: Tampering<'_>| {
        let mut lines = it.lines.clone();
        change(&mut lines);
        it.verify(&lines, &it.checkpoint_args())
    };
    let another = |line: &str| {
        let changed = line.replace("\"outcome\":\"allowed\"", "\"outcome\":\"failed\"");
        assert_ne!(changed, line);
        changed
    };
    let cut = usize::try_from(it.signed).unwrap() - 2;
    let end = format!("the end was cut off: record {} is missing", cut + 1);
    let table: &[(Tampering<'_>, &str)] = &[
        (&|it| it[6] = another(&it[6]), "record 7 was edited"),
        (&|it| drop(it.remove(6)), "record 7 was deleted"),
        (&|it| drop(it.drain(6..9)), "records 7 to 9 were deleted"),
        (&|it| it.swap(6, 8), "record 7 appears later"),
        (&|it| it.insert(6, another(&it[6])), "inserted at 7"),
        (&|it| it.insert(6, it[2].clone()), "an older one appears again at 7"),
        (&|it| it.truncate(cut), &end),
        (&|it| it[6].truncate(20), "line 7 is not a record"),
    ];
    for (change, words) in table {
        let done = with(change);
        assert_eq!(done.code, Some(7), "{words}: {}", done.err);
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    // The same as JSON.
    let mut lines = it.lines.clone();
    lines.remove(6);
    let done = it.verify(&lines, &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!((done.code, &report["finding"]["sequence"]), (Some(7), &7.into()));
    // Only external checkpoints reveal a truncated log; without them, a note says so.
    let short = it.verify(&it.lines[..cut], &[]);
    assert!(short.code == Some(0) && short.err.contains("--checkpoints"), "{short:?}");
    // A checkpoint that somebody else signed is refused.
    let forged = std::fs::read_to_string(&it.checkpoints)
        .unwrap()
        .replace("\"signature\":\"", "\"signature\":\"AAAA");
    let forged = it.harness.file("forged.jsonl", forged.as_bytes());
    let done = it.verify(&it.lines, &["--checkpoints", &forged, "--key", &it.key]);
    assert!(done.code == Some(7) && done.err.contains("forged"), "{done:?}");
}
