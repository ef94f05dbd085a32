//! The policies and the registration as files of the API server (Kubernetes 1.37): they hold while
//! the objects are gone.
//!
//! A second API server on the cluster's database has the files, so that the cluster's own is as
//! everybody's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::api_server::ApiServer;
use e2e::guard::{self, Registration};
use e2e::kubectl::{kubectl, repository};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{pod, pod_spec};
use crate::harness::{STEP_TIMEOUT, exclusive, own_cluster_setting};
use crate::policy::{DRY, NoWebhook, Place};

/// An API server with files of its own.
struct SecondApiServer {
    child: Child,
    url: String,
    _registration: Registration,
}

impl SecondApiServer {
    /// Starts it with the first one's flags.
    fn start(cluster: &Path, admission: &Path) -> Result<Self> {
        let pid = fs::read_to_string(cluster.join("pids/kube-apiserver")).context("pid")?;
        let pid = pid.split_whitespace().next().context("pid")?.to_owned();
        let line = fs::read(format!("/proc/{pid}/cmdline")).context("flags")?;
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let (program, flags) = words.split_first().context("flags")?;
        let port = e2e::port::free_port()?;
        let replaced = ["--secure-port", "--admission-control-config-file", "--audit-log-path"];
        let is_kept = |flag: &&String| !replaced.iter().any(|it| flag.starts_with(it));
        let log = fs::File::create(cluster.join("logs/second-apiserver.log"))?;
        let mut command = Command::new(program);
        command
            .args(flags.iter().filter(is_kept))
            .arg(format!("--secure-port={port}"))
            .arg(format!("--admission-control-config-file={}", admission.display()))
            .arg(format!("--audit-log-path={}/logs/second-audit.log", cluster.display()))
            // The Service of the API server leads to the first one alone.
            .arg("--endpoint-reconciler-type=none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let (child, registration) = guard::spawn(&mut command)?;
        let url = format!("https://192.0.2.10:{port}");
        let mut server = Self { child, url, _registration: registration };
        wait::until("the second API server", STEP_TIMEOUT, || {
            ensure!(server.child.try_wait()?.is_none(), "it ended: logs/second-apiserver.log");
            Ok(kubectl(&["--server", &server.url, "get", "--raw", "/readyz"]).ok())
        })?;
        Ok(server)
    }
}

impl Drop for SecondApiServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files of `manifests/static`, with the address and the CA of the cluster's webhook.
fn files(directory: &Path) -> Result<PathBuf> {
    let source = repository().join("manifests/static");
    let read = |file: &str| fs::read_to_string(source.join(file)).context("read the files");
    for folder in ["policies", "webhooks", "plaintext"] {
        fs::create_dir_all(directory.join(folder))?;
    }
    write(&directory.join("policies/policies.yaml"), &read("policies/policies.yaml")?)?;

    let ca = kubectl(&[
        "get",
        "mutatingwebhookconfiguration",
        "enclii-webhook",
        "-o",
        "jsonpath={.webhooks[0].clientConfig.caBundle}",
    ])?;
    for file in ["webhooks/webhook.yaml", "plaintext/plaintext.yaml"] {
        let registration = read(file)?
            .replace(
                "enclii-webhook.example.com:8443",
                "enclii-webhook.enclii-system.svc.cluster.local:443",
            )
            .replace("caBundle: \"\"", &format!("caBundle: {ca}"));
        ensure!(
            registration.contains(&ca) && !registration.contains("example.com"),
            "{registration}"
        );
        write(&directory.join(file), &registration)?;
    }

    let place = directory.to_str().context("path")?;
    let admission = read("admission.yaml")?.replace("/etc/kubernetes/enclii", place);
    let file = directory.join("admission.yaml");
    write(&file, &admission)?;
    Ok(file)
}

fn write(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    fs::File::create(path)?.write_all(text.as_bytes()).context("write a file")
}

fn is_new_enough() -> bool {
    let version: Value =
        serde_json::from_str(&kubectl(&["version", "-o", "json"]).unwrap()).unwrap();
    let minor = version["serverVersion"]["minor"].as_str().unwrap();
    let minor: u32 = minor.trim_end_matches('+').parse().unwrap();
    minor >= 37
}

#[test]
fn as_files_of_the_api_server_they_hold_while_the_objects_are_gone() {
    let Some(cluster) = own_cluster_setting("CLUSTER_DIR") else { return };
    let (_cluster, _guard) = exclusive();
    if !is_new_enough() {
        println!("skipped: the API server takes no such files before Kubernetes 1.37");
        return;
    }
    let place = Place::new("files");
    let directory = tempfile::tempdir().unwrap();
    let admission = files(directory.path()).unwrap();
    let server = SecondApiServer::start(Path::new(&cluster), &admission).unwrap();
    let api = ApiServer::connect_with(&["--server", &server.url]).unwrap();
    let _gone = NoWebhook::new();
    let _no_plaintext = NoWebhook::of("validatingwebhookconfiguration/enclii-plaintext");
    let bindings = ["pods.enclii.io", "reserved.enclii.io"];
    for binding in bindings {
        kubectl(&["delete", "validatingadmissionpolicybinding", binding]).unwrap();
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // The first API server now takes what it should refuse.
        let asks = pod(place.namespace.name(), "asks", pod_spec(&[("API_TOKEN", "x")]));
        wait::until("the objects to be gone", STEP_TIMEOUT, || {
            Ok(place.create(&asks)?.is_admitted().then_some(()))
        })
        .unwrap();
        let through_files = |pod: &Value| api.create(&place.pods(), DRY, pod).unwrap();
        let injected = through_files(&asks);
        assert!(injected.is_admitted(), "{}", injected.message());
        assert_eq!(injected.body["spec"]["initContainers"][0]["name"], "enclii-agent");

        let mut hostile = place.injected.clone();
        let token = json!({"name": "enclii-token", "mountPath": "/mine", "readOnly": true});
        hostile["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(token);
        let mut plain = place.plain();
        plain["spec"]["containers"][0]["name"] = json!("enclii-agent");
        for (pod, policy) in [(hostile, "pods"), (plain, "reserved")] {
            let answer = through_files(&pod);
            let message = answer.message();
            assert!(!answer.is_admitted(), "{policy}: it was admitted");
            // The webhook may refuse it before the policy does.
            assert!(message.contains("enclii"), "{message}");
            if policy == "reserved" {
                assert!(message.contains("reserved.enclii.io.static.k8s.io"), "{message}");
            }
        }
        // A namespace that takes no plaintext.
        let label = ["label", "namespace", place.namespace.name(), "enclii.io/plaintext=deny"];
        kubectl(&label).unwrap();
        let mut secretive = place.plain();
        secretive["spec"]["containers"][0]["env"] =
            json!([{"name": "DB_URL", "value": "postgres://shop:template-plaintext@db/shop"}]);
        wait::until("a pod with plaintext to be refused", STEP_TIMEOUT, || {
            let answer = api.create(&place.pods(), DRY, &secretive)?;
            ensure!(answer.is_admitted() || answer.message().contains("plain text"), "{answer:?}");
            Ok((!answer.is_admitted()).then_some(()))
        })
        .unwrap();
        assert!(place.create(&secretive).unwrap().is_admitted());
        // What the webhook never sees.
        let path = place.running(&place.injected);
        let later = json!({"metadata": {"annotations": {"enclii.io/secrets": null}}});
        assert!(place.api.patch(&path, DRY, &later).unwrap().is_admitted());
        let refused = api.patch(&path, DRY, &later).unwrap();
        let message = refused.message();
        assert!(message.contains("pods.enclii.io.static.k8s.io"), "{message}");
    }));
    let policies = repository().join("manifests/policy");
    kubectl(&["apply", "-k", policies.to_str().unwrap()]).unwrap();
    result.unwrap();
}
