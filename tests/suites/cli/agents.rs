//! `enclii agent`: the status of one pod through a stand-in for kubectl, and the list of pods that
//! a real switchyard knows of a real agent.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::agent::Agent;
use e2e::loopback::{Identity, Loopback, NamespaceScope};
use serde_json::{Value, json};

use crate::harness::{CliHarness, CliOutput, finish};

/// A `kubectl` that writes its words to a file and prints an answer.
fn kubectl(harness: &CliHarness, answer: &str, complaint: &str, code: u8) -> String {
    let words = harness.directory.path().join("words");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\ncat <<'END'\n{answer}\nEND\n\
         echo '{complaint}' >&2\nexit {code}\n",
        words.display()
    );
    let path = harness.file("kubectl", script.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn status(change: impl FnOnce(&mut Value)) -> String {
    let mut status = json!({
        "agent": "1.2.3", "now": 1_800_000_000,
        "source": {"kind": "switchyard", "address": "https://switchyard", "connected": true,
            "since": 1_799_999_000},
        "bundles": [{"bundle": "api-prod", "generation": 6, "since": 1_799_999_940}],
        "checks": [{"stage": "after", "at": 1_799_999_950,
            "results": [{"check": "postgres=URL", "outcome": "passed", "detail": "logged in"}]}],
    });
    change(&mut status);
    status.to_string()
}

fn asked(harness: &CliHarness, kubectl: &str, more: &[&str]) -> CliOutput {
    let words = [&["agent", "status", "api-1", "--kubectl", kubectl][..], more].concat();
    harness.run(&words, b"")
}

#[test]
fn the_status_of_a_pod_comes_from_its_agent() {
    let harness = CliHarness::start();
    let well = kubectl(&harness, &status(|_| {}), "", 0);
    let shown = asked(&harness, &well, &["-n", "shop-prod"]);
    let text = String::from_utf8(shown.out).unwrap();
    assert_eq!(shown.code, Some(0), "{text}{}", shown.err);
    for line in [
        "✓ pod api-1: nothing is wrong",
        "✓ source: switchyard at https://switchyard, connected for 16m; agent 1.2.3",
        "✓ bundle api-prod: generation 6, for 1m",
        "reload: the application was not told of anything yet",
        "checks after the reload 50s ago:",
        "✓ postgres=URL passed: logged in",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    assert!(!text.contains('\x1b'), "{text:?}");
    let words = std::fs::read_to_string(harness.directory.path().join("words")).unwrap();
    let expected = [
        "exec",
        "api-1",
        "--container",
        "enclii-agent",
        "--namespace",
        "shop-prod",
        "--",
        "/enclii-agent",
        "status",
        "--json",
    ];
    assert_eq!(words.lines().collect::<Vec<_>>(), expected);
    let coloured = asked(&harness, &well, &["--color", "always"]);
    assert!(String::from_utf8(coloured.out).unwrap().contains("\x1b[32m✓"));
    let printed = asked(&harness, &well, &["--output", "json"]);
    let printed: Value = serde_json::from_slice(&printed.out).unwrap();
    assert_eq!(printed["bundles"][0]["generation"], 6);
}

#[test]
fn something_wrong_in_a_pod_is_exit_code_1() {
    let harness = CliHarness::start();
    // The agent fails too, and kubectl says so.
    let wrong = status(|it| {
        it["refused"] = json!([{"bundle": "api-prod", "generation": 7,
            "reason": "postgres=URL: the login is refused\u{1b}[2J"}]);
    });
    let wrong = kubectl(&harness, &wrong, "command terminated with exit code 1", 1);
    let shown = asked(&harness, &wrong, &[]);
    let text = String::from_utf8(shown.out).unwrap();
    assert_eq!(shown.code, Some(1), "{text}");
    let start = "✗ pod api-1: one thing is wrong\n✗ api-prod generation 7 failed a check: \
        postgres=URL: the login is refused\\u{1b}[2J\n    write a secret that works";
    assert!(text.starts_with(start), "{text}");
    for (answer, complaint, code, expected) in [
        ("", "Error from server (NotFound): pods \"api-1\" not found", 1, "pods \"api-1\" not"),
        ("not a status", "", 0, "something else than a status"),
    ] {
        let kubectl = kubectl(&harness, answer, complaint, code);
        let failed = asked(&harness, &kubectl, &[]);
        assert_eq!(failed.code, Some(1));
        assert!(failed.err.contains("ask the agent of pod api-1: "), "{}", failed.err);
        assert!(failed.err.contains(expected), "{}", failed.err);
    }
    assert!(asked(&harness, "/no/such/kubectl", &[]).err.contains("/no/such/kubectl"));
    harness.fails(2, &["agent", "status", "--", "--all"]);
}

/// A switchyard that knows one pod, and an agent in it.
fn with_an_agent(directory: &Path) -> (Loopback, Agent) {
    let place = NamespaceScope { namespace: "shop-prod", project: "shop", environment: "prod" };
    let token = "token-of-api-1";
    let pod = Identity {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        pod: "api-1".into(),
        uid: "1".into(),
        token: token.into(),
    };
    let system = Loopback::start(directory, &[place], &[pod]).unwrap();
    let mut set = system.enclii().unwrap();
    set.args(["secrets", "set", "A=-", "--project", "shop", "--env", "prod", "--service", "api"]);
    assert_eq!(finish(&mut set, b"one").code, Some(0));
    let ca = directory.join("trust/ca.crt");
    let agent = Agent::start(&ca, token, "api-prod", system.switchyard_port()).unwrap();
    (system, agent)
}

#[test]
fn pods_are_listed_with_what_they_hold() {
    let directory = tempfile::tempdir().unwrap();
    let (system, agent) = with_an_agent(directory.path());
    let list = |more: &[&str]| {
        let mut command = system.enclii().unwrap();
        command.args(["agent", "list"]).args(more);
        finish(&mut command, b"")
    };
    e2e::wait::until("the pod", std::time::Duration::from_secs(60), || {
        let listed = list(&["--bundle", "shop.prod.api"]);
        anyhow::ensure!(listed.code == Some(0), "{}", listed.err);
        Ok(String::from_utf8(listed.out)?.contains("api-1").then_some(()))
    })
    .unwrap();
    let table = String::from_utf8(list(&["-n", "shop-prod"]).out).unwrap();
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&row[..4], ["shop-prod", "api-1", "api-prod", "1"], "{table}");
    assert_eq!(row[5..], ["not-needed", "newest"], "{table}");
    let drifting = list(&["--drifting"]);
    assert!(drifting.out.is_empty() && drifting.err.contains("no connected pod drifts"));
    let printed = list(&["--output", "json"]);
    let printed: Value = serde_json::from_slice(&printed.out).unwrap();
    assert_eq!(printed["pods"][0]["connected"], true);
    let none = list(&["--bundle", "shop.prod.aip"]);
    assert_eq!(none.code, Some(4), "{}", none.err);

    drop(agent);
    e2e::wait::until("the pod to go", std::time::Duration::from_secs(60), || {
        let listed = list(&[]);
        Ok(listed.err.contains("1 more is not connected").then_some(()))
    })
    .unwrap();
    let all = String::from_utf8(list(&["--all"]).out).unwrap();
    assert!(all.contains("not connected for "), "{all}");
}
