//! A real Vault on the node that pods reach, with the API server's own review of their tokens.

use std::path::Path;

use e2e::kubectl::Namespace;
use e2e::vault::{MOUNT, PodListener, Vault};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{service_account, token};
use crate::harness::own_cluster_setting;
use crate::vault::may_review;

/// A Vault, and what its clients need.
pub(crate) struct VaultForPods {
    pub(crate) vault: Vault,
    /// The address for pods.
    pub(crate) address: String,
    /// The CA of its certificate, PEM.
    pub(crate) ca: String,
    /// How it reviews tokens.
    auth: Value,
}

impl VaultForPods {
    /// Starts one whose Kubernetes auth method asks the API server as a service account of this
    /// namespace. `None` on a foreign cluster, whose pods cannot reach this machine.
    pub(crate) fn start(namespace: &Namespace) -> Option<Self> {
        let program = own_cluster_setting("VAULT_BIN")?;
        let api = own_cluster_setting("API_SERVER")?;
        let cluster_ca = own_cluster_setting("CLUSTER_CA")?;
        let ip = own_cluster_setting("NODE_IP")?.into_string().unwrap();
        let (ca, certificate, key) = certificate_for(&ip);
        let listener = PodListener { ip: &ip, certificate: &certificate, key: &key };
        let vault = Vault::start_for_pods(Path::new(&program), &listener).unwrap();
        let address = format!("https://{ip}:{}", vault.pods_port().unwrap());
        service_account(namespace.name(), "reviewer").unwrap();
        may_review(namespace, "reviewer");
        let auth = json!({
            "kubernetes_host": api.to_str(),
            "kubernetes_ca_cert": std::fs::read_to_string(cluster_ca).unwrap(),
            "token_reviewer_jwt": token(namespace, "reviewer", &["--duration", "1h"]),
            "disable_local_ca_jwt": true,
        });
        let started = Self { vault, address, ca, auth };
        started.auth_method("kubernetes");
        Some(started)
    }

    /// Has another mount of the Kubernetes auth method.
    pub(crate) fn auth_method(&self, mount: &str) {
        self.post(&format!("sys/auth/{mount}"), json!({"type": "kubernetes"}));
        self.post(&format!("auth/{mount}/config"), self.auth.clone());
    }

    pub(crate) fn post(&self, path: &str, body: Value) {
        self.vault.api(Method::POST, path, &body).unwrap();
    }

    /// Writes a version of an entry of the KV engine.
    pub(crate) fn put(&self, path: &str, data: Value) {
        self.post(&format!("{MOUNT}/data/{path}"), json!({"data": data}));
    }

    /// A role for one service account, with a policy of the same name.
    pub(crate) fn role(&self, name: &str, namespace: &str, account: &str, policy: &str) {
        self.role_of("kubernetes", name, (namespace, account), policy);
    }

    /// Like [`VaultForPods::role`], of any mount of the auth method.
    pub(crate) fn role_of(
        &self,
        mount: &str,
        name: &str,
        (namespace, account): (&str, &str),
        policy: &str,
    ) {
        self.post(&format!("sys/policies/acl/{name}"), json!({"policy": policy}));
        let role = json!({
            "bound_service_account_names": [account],
            "bound_service_account_namespaces": [namespace],
            "audience": "vault", "token_policies": [name], "token_ttl": "1h",
        });
        self.post(&format!("auth/{mount}/role/{name}"), role);
    }
}

/// A CA, and a certificate of it for an address with its key.
fn certificate_for(ip: &str) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([ip.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    (ca, leaf.pem(), key.serialize_pem())
}
