//! `enclii inject` of manifests that come from elsewhere.

use crate::harness::CliHarness;

const RULES: &[u8] = b"
foreignReferences:
  - from: vault:secret/data/shop/api
    bundle: api-prod
  - from: op://Shop/Database
    bundle: api-prod
    keys: {password: DATABASE_URL}
";

/// What becomes of a pod with this value of `DB`, by the operator's file.
fn inject(rules: &[u8], code: i32, value: &str) -> (String, String) {
    let harness = CliHarness::start();
    let manifest = format!(
        "kind: Pod\nmetadata: {{name: api, annotations: {{enclii.io/secrets: api-prod}}}}\n\
         spec: {{containers: [{{name: api, image: api, env: [{{name: DB, value: '{value}'}}]}}]}}\n"
    );
    let config = harness.file("webhook.yaml", rules);
    let bundle = "api-prod=DATABASE_URL";
    let words = ["inject", "-f", "-", "--bundle", bundle, "--config", &config];
    let done = harness.run(&words, manifest.as_bytes());
    assert_eq!(done.code, Some(code), "{}", done.err);
    (String::from_utf8(done.out).unwrap(), done.err)
}

#[test]
fn references_are_what_the_operators_file_says() {
    for value in ["vault:secret/data/shop/api#DATABASE_URL", "op://shop/database/password"] {
        let (out, error) = inject(RULES, 0, value);
        assert!(out.contains("name: DB_FILE") && !out.contains(value), "{out}");
        assert!(!error.contains("warning"), "{error}");
        let (out, error) = inject(b"foreignReferences: []\n", 0, value);
        assert!(out.contains(value), "{out}");
        assert!(error.contains("DB is a reference to another store"), "{error}");
    }
    let (_, error) = inject(RULES, 1, "vault:secret/data/shop/api#DATABASE_URL#2");
    assert!(error.contains("it names one version"), "{error}");
}

#[test]
fn rules_that_cannot_be_used_name_the_file() {
    for (rules, words) in [
        ("foreignReferences: [{from: secret/data, bundle: api-prod}]\n", "must be vault:PATH"),
        ("foreignReferences: [{from: 'vault:a', bundle: x}]\n", "bundle"),
        ("foreignReferences: [{from: 'vault:a', bundles: api-prod}]\n", "bundles"),
    ] {
        let (_, error) = inject(rules.as_bytes(), 1, "x");
        assert!(error.contains("webhook.yaml") && error.contains(words), "{error}");
    }
}

#[test]
fn a_volume_of_the_secret_becomes_the_agents() {
    let harness = CliHarness::start();
    let manifest = b"
kind: Pod
metadata: {name: api, annotations: {enclii.io/secrets: api-prod}}
spec:
  containers: [{name: api, image: api, volumeMounts: [{name: certs, mountPath: /etc/certs}]}]
  volumes:
    - name: certs
      secret:
        secretName: api-prod
        defaultMode: 0440
        items: [{key: DATABASE_URL, path: db/url, mode: 0400}]
";
    let words = ["inject", "-f", "-", "--bundle", "api-prod=DATABASE_URL"];
    let done = harness.run(&words, manifest);
    assert_eq!(done.code, Some(0), "{}", done.err);
    // The agent's configuration is JSON in a string of the YAML.
    let out = String::from_utf8(done.out).unwrap().replace("\\\"", "\"");
    assert!(!out.contains("secretName"), "{out}");
    for part in [
        r#""directory":"/run/enclii/volumes/certs""#,
        r#""mode":"0440","items":[{"secret":"DATABASE_URL","path":"db/url","mode":"0400"}]"#,
        "mountPath: /run/enclii/volumes/certs",
        "medium: Memory",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}
