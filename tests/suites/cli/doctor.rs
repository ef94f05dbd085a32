//! `enclii doctor`: each ill is found, and its way out is said.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::world::{World, finish};

/// How a check ended: its state, and all that was said.
fn state(report: &Value, name: &str) -> (String, String) {
    let check = report["checks"].as_array().unwrap().iter().find(|it| it["name"] == name);
    let check = check.unwrap_or_else(|| panic!("there is no check {name}: {report}"));
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    (text("state"), text("detail") + "; " + &text("way_out"))
}

fn ask(world: &World, set: &[(&str, &str)], unset: &[&str]) -> (Option<i32>, Value) {
    let mut command = world.enclii(&["doctor", "--no-cluster", "--output", "json"]);
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
fn all_is_well() {
    let world = World::start();
    let (code, report) = ask(&world, &[], &[]);
    assert_eq!((code, &report["healthy"]), (Some(0), &Value::Bool(true)), "{report}");
    for name in
        ["address", "name", "connection", "tls", "clock", "store", "credential file", "token"]
    {
        assert_eq!(state(&report, name).0, "ok", "{report}");
    }
    let words = world.ok(&["doctor", "--no-cluster"], b"");
    assert!(
        words.contains("✓ store") && words.contains("– cluster: --no-cluster was given"),
        "{words}"
    );
}

#[test]
fn each_ill_is_found_with_its_way_out() {
    let world = World::start();
    let check = |set: &[(&str, &str)], unset: &[&str], name: &str| {
        let (code, report) = ask(&world, set, unset);
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
    let open = world.file("open-token", b"x");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(check(&[("ENCLII_TOKEN_FILE", &open)], &[], "credential file").contains("chmod 600"));
}

#[test]
fn a_cluster_that_cannot_be_asked_is_no_ill() {
    let world = World::start();
    let words = world.ok(&["doctor", "--kubectl", "/no/such/kubectl"], b"");
    assert!(words.contains("– cluster: /no/such/kubectl"), "{words}");
}
