//! The Vault backend with the login that a switchyard in a cluster has: the token of its service
//! account, which a real Vault has the API server review.

use std::path::Path;

use e2e::kubectl::{Namespace, apply, object};
use e2e::vault::{MOUNT, Vault};
use lockbox::{Store, VaultConfig, VaultLogin, conformance};
use reqwest::Method;
use serde_json::json;

use crate::app::{service_account, token};
use crate::harness::{own_cluster_setting, project, shared};

/// What switchyard's token may do, as the guide has it.
const POLICY: &str = r#"
path "secret/data/enclii/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/enclii/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "secret/destroy/enclii/*"  { capabilities = ["update"] }
"#;

/// Lets a service account ask the API server whose token that is. It goes with its namespace.
pub(crate) fn may_review(namespace: &Namespace, account: &str) {
    let owner = object("", "namespace", namespace.name()).unwrap().unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": namespace.name(), "ownerReferences": [{
            "apiVersion": "v1", "kind": "Namespace",
            "name": namespace.name(), "uid": owner["metadata"]["uid"],
        }]},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "system:auth-delegator"
        },
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace.name()}],
    });
    apply(&binding.to_string()).unwrap();
}

fn store(vault: &Vault, token_file: &Path) -> lockbox::Vault {
    let login = VaultLogin::Kubernetes {
        role: "switchyard".to_owned(),
        mount: "kubernetes".to_owned(),
        token_file: token_file.to_owned(),
    };
    lockbox::Vault::open(&VaultConfig {
        address: vault.address(),
        allow_plain_http: false,
        mount: MOUNT.to_owned(),
        prefix: "enclii".to_owned(),
        namespace: None,
        login,
        ca_file: None,
        timeout: VaultConfig::TIMEOUT,
        max_versions: VaultConfig::MAX_VERSIONS,
    })
    .unwrap()
}

#[test]
fn switchyards_service_account_logs_in_and_no_other() {
    let (_cluster, _guard) = shared();
    // A Vault on this machine and the API server of a foreign cluster cannot reach each other.
    let (Some(program), Some(api), Some(ca)) = (
        own_cluster_setting("VAULT_BIN"),
        own_cluster_setting("API_SERVER"),
        own_cluster_setting("CLUSTER_CA"),
    ) else {
        return;
    };
    let namespace = Namespace::create(&format!("{}-prod", project("vault")), &[]).unwrap();
    for account in ["switchyard", "stranger", "reviewer"] {
        service_account(namespace.name(), account).unwrap();
    }
    may_review(&namespace, "reviewer");

    let vault = Vault::start_program(Path::new(&program)).unwrap();
    let put = |path: &str, body| vault.api(Method::POST, path, &body).unwrap();
    put("sys/policies/acl/switchyard", json!({"policy": POLICY}));
    put("sys/auth/kubernetes", json!({"type": "kubernetes"}));
    let reviewer = token(&namespace, "reviewer", &["--duration", "1h"]);
    let ca = std::fs::read_to_string(ca).unwrap();
    put(
        "auth/kubernetes/config",
        json!({
            "kubernetes_host": api.to_str(), "kubernetes_ca_cert": ca,
            "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true
        }),
    );
    let role = json!({
        "bound_service_account_names": ["switchyard"],
        "bound_service_account_namespaces": [namespace.name()],
        "audience": "vault", "token_policies": ["switchyard"], "token_ttl": "1h",
    });
    put("auth/kubernetes/role/switchyard", role);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let for_vault = ["--audience", "vault", "--duration", "10m"];
    for (name, wrong) in [
        ("another service account", token(&namespace, "stranger", &for_vault)),
        ("a token for the API server", token(&namespace, "switchyard", &["--duration", "10m"])),
    ] {
        std::fs::write(&file, &wrong).unwrap();
        let store = store(&vault, &file);
        let error = runtime.block_on(store.health()).expect_err(name);
        assert!(!format!("{error} {error:?}").contains(&wrong), "{name}: {error}");
    }
    std::fs::write(&file, token(&namespace, "switchyard", &for_vault)).unwrap();
    let store = store(&vault, &file);
    let checks =
        runtime.block_on(conformance::run(&store, &"conformance".parse().unwrap())).unwrap();
    assert!(checks > 10, "{checks} checks");
}
