//! References to removed variables, wherever a pod has them.

use serde_json::{Value, json};

use crate::support::{admitted, annotate, one, refused};

fn with(deliver: &str, parts: Value) -> Value {
    let mut pod = annotate(one(parts), &[("deliver", deliver)]);
    let container = &mut pod["spec"]["containers"][0];
    if container["env"].is_null() {
        container["env"] = json!([{ "name": "DATABASE_URL", "value": "x" }]);
    }
    if container["command"].is_null() {
        container["command"] = json!(["app"]);
    }
    pod
}

#[test]
fn probes_and_hooks_are_checked_as_arguments_are() {
    let exec = json!({ "exec": { "command": ["check", "$(DATABASE_URL)"] } });
    for deliver in ["files", "exec"] {
        for (parts, field) in [
            (json!({ "livenessProbe": exec }), "livenessProbe"),
            (json!({ "readinessProbe": exec }), "readinessProbe"),
            (json!({ "startupProbe": exec }), "startupProbe"),
            (json!({ "lifecycle": { "postStart": exec } }), "lifecycle.postStart"),
            (json!({ "lifecycle": { "preStop": exec } }), "lifecycle.preStop"),
        ] {
            let message = refused(&with(deliver, parts));
            let expected = format!(
                "spec.containers[0].{field}.exec.command[1] in container api: uses $(DATABASE_URL)"
            );
            assert!(message.starts_with(&expected), "{message}");
        }
    }
}

/// What kubelet 1.37 makes of `$(DATABASE_URL)` in the command of a probe or a hook, before the
/// webhook and after it: only where the probe had the value, something is lost.
#[test]
fn a_probe_that_had_a_literal_value_is_refused_however_it_is_delivered() {
    let probe = json!({ "exec": { "command": ["check", "--db=$(DATABASE_URL)"] } });
    let hook = json!({ "preStop": probe });
    let literal = json!([{ "name": "DATABASE_URL", "value": "x" }]);
    let key = json!({ "name": "api-prod", "key": "DATABASE_URL" });
    let key = json!([{ "name": "DATABASE_URL", "valueFrom": { "secretKeyRef": key } }]);
    let source = json!([{ "secretRef": { "name": "api-prod" } }]);
    let env = |env: &Value, field: &str, handler: &Value| json!({ "env": env, field: handler });
    let all = json!({ "env": [], "envFrom": source, "livenessProbe": probe });
    for (deliver, parts, expected) in [
        // The value becomes an empty text.
        ("env", env(&literal, "livenessProbe", &probe), Some("by a literal value of env at most")),
        ("env", env(&literal, "startupProbe", &probe), Some("by a literal value of env at most")),
        // An empty text before and after.
        ("env", env(&key, "readinessProbe", &probe), None),
        // The text itself before and after, since a hook is not expanded.
        ("env", env(&literal, "lifecycle", &hook), None),
        // It was the text itself.
        ("env", all, None),
        ("exec", env(&literal, "livenessProbe", &probe), Some("by a literal value of env at most")),
        ("exec", env(&literal, "lifecycle", &hook), Some("by a literal value of env at most")),
        ("files", env(&literal, "livenessProbe", &probe), Some("is removed from the pod")),
        ("files", env(&literal, "lifecycle", &hook), Some("is removed from the pod")),
    ] {
        let pod = with(deliver, parts);
        match expected {
            Some(expected) => assert!(refused(&pod).contains(expected), "{deliver}: {pod}"),
            None => {
                let (patched, _) = admitted(&pod);
                assert_eq!(admitted(&patched).0, patched, "{deliver}");
            }
        }
    }
    // A shell in the container finds the variable that kubelet has read.
    let shell = json!({ "exec": { "command": ["sh", "-c", "check \"$DATABASE_URL\""] } });
    let found = admitted(&with("env", env(&literal, "livenessProbe", &shell))).1;
    assert!(!found.iter().any(|it| it.contains("shell")), "{found:?}");
}

#[test]
fn a_variable_that_a_program_sets_has_its_own_way_out() {
    let message = refused(&with("exec", json!({ "args": ["$(DATABASE_URL)"] })));
    assert!(message.contains("before the agent's program sets the variable"), "{message}");
    assert!(message.contains("enclii.io/deliver: DATABASE_URL=env"), "{message}");
}

#[test]
fn a_reference_to_a_later_variable_is_left_alone() {
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    let database = variable("DATABASE_URL", "x");
    let reference = variable("DSN", "$(DATABASE_URL)?a");
    for deliver in ["files", "exec"] {
        let (patched, _) = admitted(&with(deliver, json!({ "env": [reference, database] })));
        assert_eq!(patched["spec"]["containers"][0]["env"][0], reference);
        assert_eq!(admitted(&patched).0, patched);
        let message = refused(&with(deliver, json!({ "env": [database, reference] })));
        assert!(message.contains("spec.containers[0].env[1]"), "{message}");
        // The first of two counts, and so does a source, which comes before all of them.
        let twice = json!({ "env": [database, reference, database] });
        assert!(refused(&with(deliver, twice)).contains("env[1]"));
        let source = json!([{ "secretRef": { "name": "api-prod" } }]);
        let source = json!({ "env": [reference], "envFrom": source });
        assert!(refused(&with(deliver, source)).contains("env[0]"));
    }
}

#[test]
fn a_shell_that_finds_nothing_is_a_warning() {
    let shell = json!(["sh", "-c", "app --db ${DATABASE_URL:?} $OTHER"]);
    let probe = json!({ "exec": { "command": ["sh", "-ec", "test -n \"$DATABASE_URL\""] } });
    let warnings = |deliver: &str, parts: Value| admitted(&with(deliver, parts)).1;
    let found = warnings("files", json!({ "command": shell }));
    assert!(
        matches!(&*found, [one] if one.starts_with(
            "spec.containers[0].command[2] in container api: a shell finds $DATABASE_URL empty"
        )),
        "{found:?}"
    );
    let args = json!({ "command": ["sh"], "args": ["-c", "$DATABASE_URL"] });
    assert!(warnings("files", args)[0].starts_with("spec.containers[0].args[1]"));
    assert_eq!(warnings("exec", json!({ "command": shell })), [] as [String; 0]);
    for deliver in ["files", "exec"] {
        let found = warnings(deliver, json!({ "preStop": null, "livenessProbe": probe }));
        assert!(found[0].contains(".livenessProbe.exec.command[2]"), "{found:?}");
    }
    assert!(warnings("files", json!({ "args": ["$DATABASE_URL"] })).is_empty());
}
