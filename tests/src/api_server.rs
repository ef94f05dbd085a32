//! The API server itself, without kubectl: for tests that send more requests than processes could.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::blocking::Client;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::kubectl::kubectl;

/// More than the API server waits for any webhook.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A client with the certificate of the kubeconfig. Cloning shares its connections.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    url: String,
}

/// The answer to a create: the HTTP status and the object, or a Status with the reason.
pub type Created = (u16, Value);

impl ApiServer {
    /// The API server of `KUBECONFIG`.
    ///
    /// # Errors
    /// If the kubeconfig has no client certificate, or the client cannot be made.
    pub fn connect() -> Result<Self> {
        let config = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])?;
        let config: Value = serde_json::from_str(&config)?;
        let pem = |of: &Value, key: &str| -> Result<Vec<u8>> {
            let text = of[key].as_str().with_context(|| format!("{key} in the kubeconfig"))?;
            Ok(STANDARD.decode(text)?)
        };
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let roots = runtime::root_certs::from_pem(&pem(cluster, "certificate-authority-data")?)?;
        let certificate = pem(user, "client-certificate-data")?;
        let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&pem(user, "client-key-data")?)?;
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .context("build HTTP client")?;
        let url = cluster["server"].as_str().context("server in the kubeconfig")?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    /// Creates a pod on the server's side only: admitted or refused, and not stored.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub fn create_pod_dry_run(&self, namespace: &str, pod: &Value) -> Result<Created> {
        let url = format!("{}/api/v1/namespaces/{namespace}/pods?dryRun=All", self.url);
        let answer = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .body(pod.to_string())
            .send()?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(&answer.bytes()?)?))
    }
}
