//! `enclii doctor`: each problem is found and its way out is shown.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::{CliHarness, finish};

/// The state of a check, and its detail with the way out.
fn state(report: &Value, name: &str) -> (String, String) {
    let check = report["checks"].as_array().unwrap().iter().find(|it| it["name"] == name);
    let check = check.unwrap_or_else(|| panic!("there is no check {name}: {report}"));
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    (text("state"), text("detail") + "; " + &text("way_out"))
}

fn doctor(harness: &CliHarness, set: &[(&str, &str)], unset: &[&str]) -> (Option<i32>, Value) {
    let mut command = harness.enclii(&["doctor", "--no-cluster", "--output", "json"]);
    command.envs(set.iter().copied());
    for name in unset {
        command.env_remove(name);
    }
    let done = finish(&mut command, b"");
    (
        done.code,
        serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.err)),
    )
}

#[test]
fn a_healthy_system_passes() {
    let harness = CliHarness::start();
    let (code, report) = doctor(&harness, &[], &[]);
    assert_eq!((code, &report["healthy"]), (Some(0), &Value::Bool(true)), "{report}");
    for name in
        ["address", "name", "connection", "tls", "clock", "store", "credential file", "token"]
    {
        assert_eq!(state(&report, name).0, "ok", "{report}");
    }
    let words = harness.ok(&["doctor", "--no-cluster"], b"");
    assert!(
        words.contains("✓ store") && words.contains("– cluster: --no-cluster was given"),
        "{words}"
    );
}

#[test]
fn each_problem_is_found_with_its_way_out() {
    let harness = CliHarness::start();
    let check = |set: &[(&str, &str)], unset: &[&str], name: &str| {
        let (code, report) = doctor(&harness, set, unset);
        let (state, text) = state(&report, name);
        assert_eq!((code, state.as_str()), (Some(1), "failed"), "{report}");
        text
    };
    assert!(
        check(&[("ENCLII_ADDR", "http://localhost:1")], &[], "address")
            .contains("https://HOST:PORT")
    );
    assert!(check(&[("ENCLII_ADDR", "https://nowhere.invalid:1")], &[], "name").contains("DNS"));
    assert!(
        check(&[("ENCLII_ADDR", "https://127.0.0.1:1")], &[], "connection")
            .contains("is switchyard running there?")
    );
    assert!(check(&[], &["ENCLII_CACERT"], "tls").contains("--cacert"));
    assert!(check(&[("ENCLII_TOKEN", "wrong")], &[], "token").contains("enclii login"));
    assert!(check(&[], &["ENCLII_TOKEN_FILE"], "token").contains("not logged in"));
    let open = harness.file("open-token", b"x");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(check(&[("ENCLII_TOKEN_FILE", &open)], &[], "credential file").contains("chmod 600"));
}

#[test]
fn an_unreachable_cluster_is_skipped() {
    let harness = CliHarness::start();
    let words = harness.ok(&["doctor", "--kubectl", "/no/such/kubectl"], b"");
    assert!(words.contains("– cluster: /no/such/kubectl"), "{words}");
}
