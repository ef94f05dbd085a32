//! The webhook under the load of 16 busy connections that share this machine with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::Value;

use crate::budget::{Entry, Name};
use crate::driver::{Asked, Load, drive};
use crate::memory::Memory;
use crate::pod::Setup;
use crate::progress::say;

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const DURATION: Duration = Duration::from_secs(10);

/// Measures the webhook.
///
/// # Errors
/// Where a review is not answered with a patch.
pub fn measure(setup: &Setup) -> Result<Vec<Entry>> {
    say(&format!("webhook: {CONNECTIONS} connections for {} s", DURATION.as_secs()));
    let url: http::Uri = setup.system.webhook_url().parse()?;
    let load = Load {
        address: SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            url.port_u16().context("port of the webhook")?,
        )),
        host: "localhost",
        requests: vec![Asked {
            method: Method::POST,
            path: url.path().to_owned(),
            header: ("accept", "application/json".to_owned()),
            body: setup.review.clone().into(),
        }],
        tls: Some(tls(&setup.webhook_ca())?),
        connections: CONNECTIONS,
        warm_up: WARM_UP,
        duration: DURATION,
    };
    let found = drive(&load, patched)?;
    let memory = Memory::of(setup.system.webhook.id())?;
    Ok(vec![
        Name::WebhookRps16.measured(found.per_second),
        Name::WebhookP9916.measured(found.p99),
        Name::WebhookRss.measured(memory.resident),
    ])
}

/// Trusts the CAs of that file alone.
pub(crate) fn tls(ca: &Path) -> Result<Arc<rustls::ClientConfig>> {
    let pem = std::fs::read(ca).with_context(|| format!("read {}", ca.display()))?;
    let roots =
        runtime::root_certs::from_pem(&pem).with_context(|| format!("parse {}", ca.display()))?;
    Ok(Arc::new(
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
    ))
}

fn patched(body: &[u8]) -> Result<()> {
    let answer: Value = serde_json::from_slice(body).context("parse answer")?;
    ensure!(
        answer["response"]["patch"].is_string(),
        "the webhook did not patch the pod: {}",
        answer["response"]["status"]["message"]
    );
    Ok(())
}
