//! The hunt: no value that any test wrote is anywhere but in the pods' memory volumes.
//!
//! Every value of the run holds one random word (see [`crate::harness::marker`]), so that looking for
//! the word looks for all of them. Runs last, by itself.

use std::path::{Path, PathBuf};

use e2e::kubectl::{kubectl, object};
use serde_json::Value;

use crate::encodings::{find, forms};
use crate::harness::{SYSTEM, marker, shared};

/// What is searched, and how much of it there was.
struct LeakSearch {
    forms: Vec<(String, Vec<u8>)>,
    found: Vec<String>,
    places: usize,
    bytes: usize,
}

impl LeakSearch {
    fn search(&mut self, place: &str, text: &[u8]) {
        self.places += 1;
        self.bytes += text.len();
        if let Some(form) = find(text, &self.forms) {
            self.found.push(format!("{place} ({form})"));
        }
    }

    fn files(&mut self, path: &Path) {
        if path.is_dir() {
            let mut entries: Vec<_> =
                std::fs::read_dir(path).unwrap().flatten().map(|it| it.path()).collect();
            entries.sort();
            entries.iter().for_each(|it| self.files(it));
        } else if path.is_file() {
            // A file may go while the system runs: a rotated log, a database's journal.
            if let Ok(text) = std::fs::read(path) {
                self.search(&path.display().to_string(), &text);
            }
        }
    }
}

#[test]
fn hunt() {
    let (cluster, _guard) = shared();
    let marker = marker();
    let mut hunt = LeakSearch { forms: forms(&marker), found: Vec::new(), places: 0, bytes: 0 };

    let pods: Value =
        serde_json::from_str(&kubectl(&["get", "pods", "-A", "-o", "json"]).unwrap()).unwrap();
    for pod in pods["items"].as_array().unwrap() {
        let (namespace, name) = (
            pod["metadata"]["namespace"].as_str().unwrap(),
            pod["metadata"]["name"].as_str().unwrap(),
        );
        for previous in ["--previous=false", "--previous=true"] {
            if let Ok(log) = kubectl(&["-n", namespace, "logs", name, "--all-containers", previous])
            {
                hunt.search(&format!("log of {namespace}/{name}"), log.as_bytes());
            }
        }
        if namespace == SYSTEM {
            let metrics = kubectl(&[
                "get",
                "--raw",
                &format!("/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/metrics"),
            ])
            .unwrap();
            assert!(metrics.contains("# TYPE"), "{name} has no metrics");
            hunt.search(&format!("metrics of {name}"), metrics.as_bytes());
        }
    }
    for kinds in ["events", "pods,replicasets,deployments,jobs,configmaps,secrets", "secretbundles"]
    {
        hunt.search(
            &format!("objects: {kinds}"),
            kubectl(&["get", kinds, "-A", "-o", "yaml"]).unwrap().as_bytes(),
        );
    }
    let audit = cluster.get("/v1/audit?limit=100000").unwrap();
    assert!(
        audit["events"].as_array().unwrap().len() > 10,
        "the audit trail is empty, so this hunt is of nothing"
    );
    hunt.search("the audit trail", audit.to_string().as_bytes());

    // The run's own cluster tells where its files are: etcd, the logs of every component and
    // container, the API server's audit log, switchyard's database.
    let paths: Vec<PathBuf> = std::env::var("ENCLII_LEAK_PATHS")
        .map(|list| std::env::split_paths(&list).collect())
        .unwrap_or_default();
    for path in &paths {
        let before = hunt.bytes;
        hunt.files(path);
        assert!(
            hunt.bytes > before,
            "{} is empty or out of reach, so this hunt is of nothing",
            path.display()
        );
    }
    assert!(object(SYSTEM, "secret", "enclii-bootstrap").unwrap().is_some());

    println!(
        "searched {} places, {} KiB, {} of them paths of the cluster",
        hunt.places,
        hunt.bytes / 1024,
        paths.len()
    );
    assert!(hunt.found.is_empty(), "values turned up in:\n{}", hunt.found.join("\n"));
}
