//! No value that any test wrote is anywhere but in the pods' memory volumes.
//!
//! Every value of the run holds one random word (see [`crate::harness::marker`]), so a search for
//! the word is a search for all of them. `tests/cluster/test.sh` runs this last, by itself.

use std::path::{Path, PathBuf};

use e2e::kubectl::{kubectl, object};
use e2e::leaks::LeakSearch;
use serde_json::Value;

use crate::harness::{SYSTEM, env_marker, own_cluster_setting, shared, written_marker};

const KINDS: [&str; 3] =
    ["events", "pods,replicasets,deployments,jobs,configmaps,secrets", "secretbundles"];

#[test]
fn no_value_leaks() {
    let (cluster, _guard) = shared();
    // A new marker would be in nothing, and its search would find nothing.
    let marker = written_marker().expect("no test of this run has written a value");
    let mut search = LeakSearch::new(&marker).unwrap();
    // The values of variables are allowed in the runtime's state, and nowhere else.
    let mut variables = LeakSearch::new(&env_marker(&marker)).unwrap();
    let mut search_both = |kind: &str, source: &str, text: &[u8]| {
        search.text(kind, source, text);
        variables.text(kind, source, text);
    };

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
                search_both("logs", &format!("log of {namespace}/{name}"), log.as_bytes());
            }
        }
        if namespace == SYSTEM {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/metrics");
            let metrics = kubectl(&["get", "--raw", &path]).unwrap();
            assert!(metrics.contains("# TYPE"), "{name} has no metrics");
            search_both("metrics", &format!("metrics of {name}"), metrics.as_bytes());
        }
    }
    for kinds in KINDS {
        let objects = kubectl(&["get", kinds, "-A", "-o", "yaml"]).unwrap();
        search_both("objects", &format!("objects: {kinds}"), objects.as_bytes());
    }
    let audit = cluster.get("/v1/audit?limit=100000").unwrap();
    assert!(audit["events"].as_array().unwrap().len() > 10, "the audit log is empty");
    search_both("audit log", "the audit log", audit.to_string().as_bytes());

    // The run's own cluster names its files: etcd, the logs of every component and container, the
    // API server's audit log, switchyard's database. For another cluster there are the logs that
    // the tests kept.
    let paths = std::env::var("ENCLII_LEAK_PATHS").expect("ENCLII_LEAK_PATHS names what to search");
    let paths: Vec<PathBuf> =
        std::env::split_paths(&paths).filter(|it| !it.as_os_str().is_empty()).collect();
    assert!(!paths.is_empty(), "ENCLII_LEAK_PATHS names nothing to search");
    for path in &paths {
        search.path(path).unwrap();
        variables.path(path).unwrap();
    }
    if let Some(folder) = own_cluster_setting("CLUSTER_DIR") {
        for (path, bytes) in runtime_state(Path::new(&folder)) {
            search.text("the runtime's state", &path.display().to_string(), &bytes);
        }
    }
    assert!(object(SYSTEM, "secret", "enclii-bootstrap").unwrap().is_some());

    variables.finish(&["logs", "metrics", "objects", "audit log"]).unwrap();
    let searched = search.finish(&["logs", "metrics", "objects", "audit log"]).unwrap();
    for (kind, bytes) in searched {
        println!("searched {kind}: {} KiB", bytes / 1024);
    }
}

/// What containerd keeps of its containers on the node: its database and the `config.json` of each
/// that runs, with their contents. Images and the containers' own files are left out.
pub(crate) fn runtime_state(cluster: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let containerd = cluster.join("containerd");
    let tasks = containerd.join("state/io.containerd.runtime.v2.task/k8s.io");
    let tasks = std::fs::read_dir(tasks).expect("containerd's tasks").flatten();
    let configs = tasks.map(|task| task.path().join("config.json"));
    let database = containerd.join("root/io.containerd.metadata.v1.bolt/meta.db");
    // A container may end meanwhile.
    configs
        .chain([database])
        .filter_map(|path| std::fs::read(&path).ok().map(|bytes| (path, bytes)))
        .collect()
}
