//! The webhook under the load of 16 busy connections that share this machine with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::Value;

use crate::bare_server::BareServerProcess;
use crate::budget::{Measurement, Metric};
use crate::driver::{Load, LoadResult, RequestTemplate, drive, tls_config};
use crate::memory::Memory;
use crate::pod::Setup;
use crate::progress::print_progress;

/// The name of the limit in the table.
const LIMIT: &str = "bare hyper server";

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const DURATION: Duration = Duration::from_secs(10);

/// Measures the webhook.
///
/// # Errors
/// If a review is not answered with a patch.
pub fn measure(setup: &Setup) -> Result<Vec<Measurement>> {
    print_progress(&format!("webhook: {CONNECTIONS} connections for {} s", DURATION.as_secs()));
    let url: http::Uri = setup.system.webhook_url().parse()?;
    let load = Load {
        address: SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            url.port_u16().context("port of the webhook")?,
        )),
        host: "localhost",
        requests: vec![RequestTemplate {
            method: Method::POST,
            path: url.path().to_owned(),
            header: ("accept", "application/json".to_owned()),
            body: setup.review.clone().into(),
        }],
        tls: Some(tls_config(&setup.webhook_certificates().join("ca.crt"))?),
        connections: CONNECTIONS,
        warm_up: WARM_UP,
        duration: DURATION,
    };
    let found = drive(&load, patched)?;
    let memory = Memory::of(setup.system.webhook.process.id())?;
    let limit = limit(setup, load)?;
    Ok(vec![
        Metric::WebhookRpsAt16
            .measurement(found.per_second)
            .with_baseline(Some((LIMIT, limit.per_second))),
        Metric::WebhookP99At16.measurement(found.p99).with_baseline(Some((LIMIT, limit.p99))),
        Metric::WebhookRss.measurement(memory.resident),
    ])
}

/// What the same load gets from a server that decides nothing.
fn limit(setup: &Setup, load: Load) -> Result<LoadResult> {
    print_progress("webhook: its limit, a server that answers the same bytes without looking");
    let review = serde_json::from_str(&setup.review).context("parse review")?;
    let response = setup.system.review(&review)?.to_string();
    let certificates = setup.webhook_certificates();
    let server = BareServerProcess::start(&certificates, response.as_bytes(), setup.directory())?;
    drive(&Load { address: server.address, ..load }, patched)
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
