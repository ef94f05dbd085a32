//! Pods that come from elsewhere: volumes of a Secret that the bundle replaces, and references in
//! the words of Bank-Vaults and 1Password.

use std::time::Duration;

use e2e::api_server::ApiServer;
use e2e::kubectl::{Namespace, describe, kubectl, object, ready_pods};
use e2e::sample::{AppState, sha256};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{admit, pod, pod_spec, service_account, state};
use crate::harness::{Cluster, STEP_TIMEOUT, SYSTEM, project, shared, value};
use crate::policy::DRY;

/// A namespace whose bundle `api-prod` has these keys, and its scope.
fn set_up(cluster: &Cluster, name: &str, secrets: &[(&str, &str)]) -> (Namespace, String) {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    service_account(namespace.name(), "api").unwrap();
    let scope = format!("{project}.prod.api");
    for (key, value) in secrets {
        cluster.set(&scope, key, value.as_bytes()).unwrap();
        cluster.wait_for_bundle(namespace.name(), "api-prod", key).unwrap();
    }
    (namespace, scope)
}

fn ready(namespace: &str) {
    wait::until(&format!("pod {namespace}/api"), STEP_TIMEOUT, || {
        Ok(ready_pods(namespace, "app=api")?.pop())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)));
}

/// Waits until the application has read these values from its files.
fn has_read(namespace: &str, expected: &[(&str, &str)]) -> AppState {
    wait::until(&format!("the application of {namespace} to read its files"), STEP_TIMEOUT, || {
        let state = state(namespace, "api").ok();
        let is_read = |state: &AppState| {
            let mut all = expected.iter();
            all.all(|(name, value)| state.digests.get(*name) == Some(&sha256(value.as_bytes())))
        };
        Ok(state.filter(is_read))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", describe(namespace)))
}

/// A pod that mounts the Secret of the bundle's name, which does not exist: in its application, in
/// an init container that compares what it finds, and as one file.
fn with_secret_volume(namespace: &str, key: &str) -> Value {
    let mut spec = pod_spec(&[
        ("API_TOKEN", "x"),
        ("KEY_FILE", "/etc/app/tls/key"),
        ("ONE_FILE", "/etc/one"),
        ("PATH_FILE", "/run/secrets/app/token"),
    ]);
    let items = json!([{"key": "TLS_KEY", "path": "tls/key", "mode": 0o400}]);
    spec["volumes"] = json!([
        {"name": "app", "secret": {"secretName": "api-prod", "items": items}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "api-prod"}}]}}
    ]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "app", "mountPath": "/etc/app"},
        {"name": "all", "mountPath": "/etc/one", "subPath": "TLS_KEY"}
    ]);
    let expected = format!("KEY={}", sha256(key.as_bytes()));
    spec["initContainers"] = json!([{
        "name": "first", "image": "enclii/sample:0.1.0", "imagePullPolicy": "IfNotPresent",
        "args": ["once", "--expect", expected],
        "env": [{"name": "KEY_FILE", "value": "/etc/app/TLS_KEY"}],
        "volumeMounts": [{"name": "all", "mountPath": "/etc/app"}]
    }]);
    let mut manifest = pod(namespace, "api", spec);
    let annotations = &mut manifest["metadata"]["annotations"];
    annotations["enclii.io/reload"] = json!("http=http://127.0.0.1:8080/-/reload");
    annotations["enclii.io/path-API_TOKEN"] = json!("app/token");
    manifest
}

#[test]
fn a_volume_of_the_secret_is_filled_from_the_bundle_and_follows_it() {
    let (cluster, _guard) = shared();
    let (token, first, second) = (value("token"), value("first"), value("second"));
    let secrets = [("API_TOKEN", &*token), ("TLS_KEY", &*first)];
    let (namespace, scope) = set_up(cluster, "secretvolume", &secrets);
    let namespace = namespace.name();
    admit(&with_secret_volume(namespace, &first).to_string()).unwrap();
    ready(namespace);
    has_read(namespace, &[("KEY", &first), ("ONE", &first), ("PATH", &token)]);

    let found = object(namespace, "pod", "api").unwrap().unwrap();
    for name in ["app", "all"] {
        let volumes = found["spec"]["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|it| it["name"] == name).unwrap();
        assert_eq!(volume["emptyDir"]["medium"], "Memory", "{volume}");
    }
    let mounts = &found["spec"]["containers"][0]["volumeMounts"];
    assert!(mounts[0]["readOnly"] == true && mounts[1]["readOnly"] == true, "{mounts}");

    // Nothing restarts: the file changes where it is, and one by `subPath` does not, as always.
    cluster.set(&scope, "TLS_KEY", second.as_bytes()).unwrap();
    let state = has_read(namespace, &[("KEY", &second), ("PATH", &token)]);
    assert_eq!(state.digests["ONE"], sha256(first.as_bytes()));
}

/// The operator's rules, put back when dropped.
struct Rules(Value);

impl Rules {
    fn set(rules: &Value) -> Self {
        let before = object(SYSTEM, "configmap", "enclii-webhook-config").unwrap().unwrap();
        let found = Self(before["data"]["webhook.yaml"].clone());
        // JSON is YAML.
        write_config(&json!(json!({ "foreignReferences": rules }).to_string()));
        found
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        write_config(&self.0);
    }
}

fn write_config(text: &Value) {
    let patch = json!({ "data": { "webhook.yaml": text } }).to_string();
    let target = ["-n", SYSTEM, "patch", "configmap", "enclii-webhook-config"];
    kubectl(&[&target[..], &["--type", "merge", "-p", &patch]].concat()).unwrap();
}

#[test]
fn references_of_other_tools_are_names_where_the_operator_maps_them() {
    let (cluster, _guard) = shared();
    let (token, password) = (value("token"), value("password"));
    let secrets = [("API_TOKEN", &*token), ("DB_PASSWORD", &*password)];
    let (namespace, _scope) = set_up(cluster, "migration", &secrets);
    let namespace = namespace.name();
    let project = project("migration");
    let _rules = Rules::set(&json!([
        { "from": format!("vault:secret/data/{project}/api"), "bundle": "api-prod" },
        {
            "from": format!("op://{project}/Database"), "bundle": "api-prod",
            "keys": { "password": "DB_PASSWORD" }
        },
    ]));
    let vault = format!("vault:secret/data/{project}/api#API_TOKEN");
    let one_password = format!("op://{}/database/Password", project.to_uppercase());
    let with = |vault: &str| {
        pod(namespace, "api", pod_spec(&[("TOKEN", vault), ("PASSWORD", &one_password)]))
    };

    // Each replica of the webhook reads the file by itself. All of them have, when many requests
    // in a row say so.
    let api = ApiServer::connect().unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let version = with(&format!("{vault}#1"));
    wait::until("the webhook to read the rules", Duration::from_secs(180), || {
        for _ in 0..20 {
            let answer = api.create(&path, DRY, &version)?;
            if answer.is_admitted() || !answer.message().contains("it names one version") {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .unwrap();
    let answer = api.create(&path, DRY, &with(&format!("vault:other/{project}#K"))).unwrap();
    assert!(answer.is_admitted(), "{}", answer.message());
    let kept = answer.body["spec"]["containers"][0]["env"].to_string();
    assert!(kept.contains("vault:other/"), "{kept}");

    admit(&with(&vault).to_string()).unwrap();
    ready(namespace);
    has_read(namespace, &[("TOKEN", &token), ("PASSWORD", &password)]);
    let found = object(namespace, "pod", "api").unwrap().unwrap().to_string();
    let kept = ["\"value\":\"vault:", "\"value\":\"op://"].iter().any(|it| found.contains(it));
    assert!(!kept, "{found}");
}
