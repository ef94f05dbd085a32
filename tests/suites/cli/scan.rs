//! `enclii scan`: finds plaintext credentials, says where, and never what.

use std::process::Command;

use serde_json::Value;

use crate::harness::CliHarness;

const DEPLOYMENT: &[u8] = b"# a comment
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  template:
    metadata:
      annotations:
        enclii.io/plain-env: ACCEPTED_TOKEN
    spec:
      containers:
      - name: api
        args: [--password, hunter2]
        env:
        - name: DATABASE_URL
          value: postgres://app:hunter2@db/shop
        - name: PIN_PASSWORD
          value: 123456
        - {name: ACCEPTED_TOKEN, value: hunter2}
        - {name: LOG_LEVEL, value: info}
---
kind: Service
metadata: {name: api}
";

const FOUND: i32 = 9;

#[test]
fn findings_have_a_place_and_no_value() {
    let harness = CliHarness::start();
    let file = harness.file("deployment.yaml", DEPLOYMENT);
    let done = harness.run(&["scan", &file], b"");
    assert_eq!(done.code, Some(FOUND), "{}", done.err);
    let text = String::from_utf8(done.out).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.strip_prefix(&file).unwrap()).collect();
    let at = "Deployment api: spec.template.spec.containers[0]";
    assert_eq!(
        lines,
        [
            format!(
                ":13: {at}.args[1]: password looks like a password in plain text (password-name, \
                 likely)"
            ),
            format!(
                ":16: {at}.env[0]: DATABASE_URL is an address with a password in it in plain text \
                 (url-password, certain)"
            ),
            format!(
                ":18: {at}.env[1]: PIN_PASSWORD looks like a password in plain text \
                 (password-name, likely)"
            ),
        ]
    );
    assert!(done.err.contains("3 found in 1 pods and pod templates, 1 accepted"), "{}", done.err);
    for format in ["text", "json", "sarif"] {
        let done = harness.run(&["scan", &file, "--output", format], b"");
        let printed = String::from_utf8(done.out).unwrap() + &done.err;
        assert!(!printed.contains("hunter2") && !printed.contains("123456"), "{printed}");
    }
}

#[test]
fn the_exit_code_says_what_was_found() {
    let harness = CliHarness::start();
    let clean = b"kind: Pod\nspec: {containers: [{name: a, env: [{name: A, value: b}]}]}\n";
    let secret =
        b"kind: Pod\nspec: {containers: [{name: a, env: [{name: TOKEN, value: hunter2}]}]}\n";
    assert_eq!(harness.run(&["scan", "-"], clean).code, Some(0));
    assert_eq!(harness.run(&["scan", "-"], secret).code, Some(FOUND));
    assert_eq!(harness.run(&["scan", "-", "--certain"], secret).code, Some(0));
    assert_eq!(harness.run(&["scan", "-"], b"a: [").code, Some(1));
    assert_eq!(harness.run(&["scan"], b"").code, Some(2));
    assert!(harness.fails(1, &["scan", "/absent"]).contains("read /absent"));
    // What is broken hides nothing.
    let both = [b"a: [hunter2\n---\n", &secret[..]].concat();
    let done = harness.run(&["scan", "-"], &both);
    assert_eq!(done.code, Some(FOUND));
    assert!(
        done.err.contains("parse -: not YAML") && !done.err.contains("hunter2"),
        "{}",
        done.err
    );
    let list = br#"[{"kind":"List","items":[
        {"kind":"CronJob","metadata":{"name":"c"},"spec":{"jobTemplate":{"spec":{"template":
        {"spec":{"containers":[{"env":[{"name":"TOKEN","value":"hunter2"}]}]}}}}}}]}]"#;
    let done = harness.run(&["scan", "-"], list);
    assert_eq!(done.code, Some(FOUND));
    assert!(String::from_utf8(done.out).unwrap().starts_with("-:3: CronJob c: "));
}

#[test]
fn directories_are_scanned_and_templates_noted() {
    let harness = CliHarness::start();
    let directory = harness.directory.path().join("manifests");
    std::fs::create_dir_all(directory.join("chart/.git")).unwrap();
    harness.file("manifests/a.yaml", DEPLOYMENT);
    harness.file("manifests/README.md", DEPLOYMENT);
    harness.file("manifests/chart/.git/b.yaml", DEPLOYMENT);
    harness.file("manifests/chart/c.yaml", b"a: {{ .Values.a }}\n{{- end }}\n");
    let done = harness.run(&["scan", directory.to_str().unwrap()], b"");
    assert_eq!(done.code, Some(FOUND));
    assert!(done.err.contains("in 1 pods and pod templates"), "{}", done.err);
    assert!(done.err.contains("c.yaml: not scanned: "), "{}", done.err);
}

#[test]
fn a_baseline_accepts_what_was_there() {
    let harness = CliHarness::start();
    let file = harness.file("deployment.yaml", DEPLOYMENT);
    let report = harness.run(&["scan", &file, "--output", "json"], b"").out;
    let json: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(json["findings"].as_array().unwrap().len(), 3);
    assert_eq!(json["findings"][1]["line"], 16);
    assert_eq!(json["findings"][1]["namespace"], "shop");
    assert_eq!(json["findings"][1]["rule"], "url-password");
    let baseline = harness.file("baseline.json", &report);
    // A line more: what moved is still accepted.
    harness.file("deployment.yaml", &[b"# another\n", DEPLOYMENT].concat());
    assert_eq!(harness.run(&["scan", &file, "--baseline", &baseline], b"").code, Some(0));
    let more = String::from_utf8(DEPLOYMENT.to_vec()).unwrap().replace("LOG_LEVEL", "NEW_TOKEN");
    harness.file("deployment.yaml", more.as_bytes());
    let done = harness.run(&["scan", &file, "--baseline", &baseline], b"");
    assert_eq!(done.code, Some(FOUND));
    assert_eq!(String::from_utf8(done.out).unwrap().lines().count(), 1);
    harness.fails(1, &["scan", &file, "--baseline", &file]);
}

/// The required properties and the types of the SARIF 2.1.0 schema, for what a log of ours has.
#[test]
fn sarif_has_the_form_of_its_schema() {
    let harness = CliHarness::start();
    let file = harness.file("deployment.yaml", DEPLOYMENT);
    let done = harness.run(&["scan", &file, "-o", "sarif"], b"");
    let log: Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "enclii");
    let rules = driver["rules"].as_array().unwrap();
    let ids: Vec<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "the schema wants unique rules");
    for rule in rules {
        assert!(rule["shortDescription"]["text"].is_string());
        assert!(
            ["error", "warning"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap())
        );
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        assert!(ids.contains(&result["ruleId"].as_str().unwrap()));
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].is_string());
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.starts_with("file:///") && !uri.contains(' '), "{uri}");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(result["partialFingerprints"]["encliiPlace/v1"].is_string());
    }
}

/// The commands of the recipes in docs/scan.md, run as a pipeline runs them.
#[test]
fn the_recipes_run() {
    let harness = CliHarness::start();
    let guide = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scan.md"),
    )
    .unwrap();
    let commands: Vec<_> = guide
        .lines()
        .filter_map(|line| line.split_once("enclii scan manifests/"))
        .map(|(_, options)| format!("enclii scan manifests/{}", options.split('#').next().unwrap()))
        .collect();
    assert!(commands.len() >= 4, "{commands:?}");
    let directory = harness.directory.path();
    std::fs::create_dir_all(directory.join("manifests")).unwrap();
    harness.file("manifests/a.yaml", DEPLOYMENT);
    let program = harness.enclii(&[]).get_program().to_owned();
    for command in commands {
        let done = Command::new("sh")
            .args(["-c", &command.replacen("enclii", "\"$ENCLII\"", 1)])
            .env("ENCLII", &program)
            .current_dir(directory)
            .output()
            .unwrap();
        // The report that the recipe before made accepts everything.
        let expected = if command.contains("--baseline") { 0 } else { FOUND };
        assert_eq!(done.status.code(), Some(expected), "{command}: {done:?}");
    }
}
