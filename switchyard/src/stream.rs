//! The agents' streams.
//!
//! A request is checked (who is it, may it read every bundle that it names) and upgraded; from then
//! on one task serves the pod until it goes away. What is expensive is shared: a generation is
//! opened once for all pods that wait for it, and wiped when the last of them has it.

mod connection;
mod frames;
mod holds;
mod login;
mod reports;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use certs::bundle::TrustBundle;
use contract::stream::PROTOCOL;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::{Semaphore, watch};

use crate::api::{App, Asked, Refusal};
use crate::live::Live;
use crate::metrics::{Ending, Operation};
use connection::Connection;
use holds::Holds;

/// Open streams on one replica: twice what one is meant to serve.
const MOST: usize = 10_000;

/// From the answer to the request until the connection is ours.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);

/// What all streams share.
#[derive(Clone)]
pub(crate) struct Streams {
    live: Live,
    holds: Holds,
    trust: watch::Receiver<TrustBundle>,
    places: Arc<Semaphore>,
}

impl Streams {
    pub(crate) fn new(live: Live, trust: watch::Receiver<TrustBundle>) -> Self {
        Self { live, holds: Holds::default(), trust, places: Arc::new(Semaphore::new(MOST)) }
    }
}

/// `GET /v1/agent/stream`.
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    asked: Asked,
    mut request: Request,
) -> Response {
    let named = login::named(request.uri().query());
    let upgrade = asks_for_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
    let (pod, caller) = match admit(&app, asked, named, upgrade.is_some()).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            app.metrics.count(Operation::Login, ending(&refusal));
            return refusal.into_response();
        }
    };
    let Ok(place) = Arc::clone(&app.streams.places).try_acquire_owned() else {
        return Refusal::unavailable(format!(
            "{MOST} agents are connected, and there is no place for more"
        ))
        .into_response();
    };
    app.metrics.count(Operation::Login, Ending::Ok);
    if let Some(upgrade) = upgrade {
        let serving = Arc::clone(&app);
        app.tasks.spawn("agent stream", async move {
            let _place = place;
            match tokio::time::timeout(UPGRADE_PATIENCE, upgrade).await {
                Ok(Ok(upgraded)) => {
                    Connection::new(serving, pod, caller).serve(TokioIo::new(upgraded)).await
                }
                Ok(Err(error)) => tracing::debug!(%error, "upgrade"),
                Err(_) => tracing::debug!("upgrade took too long"),
            }
        });
    }
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static(PROTOCOL)),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

async fn admit(
    app: &App,
    asked: Asked,
    named: Result<Vec<contract::BundleRef>, Refusal>,
    upgrades: bool,
) -> Result<(login::Admitted, crate::secrets::Caller), Refusal> {
    let caller = login::identify(app, asked).await?;
    if !upgrades {
        return Err(Refusal::upgrade_required(format!(
            "this path is a stream: send 'Connection: upgrade' and 'Upgrade: {PROTOCOL}'"
        )));
    }
    let admitted = login::admit(app, &caller, named?).await?;
    Ok((admitted, caller.caller))
}

fn asks_for_upgrade(request: &Request) -> bool {
    let has = |name, word: &str| {
        let values =
            request.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, PROTOCOL)
}

fn ending(refusal: &Refusal) -> Ending {
    match refusal.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ending::Denied,
        status if status.is_server_error() => Ending::Failed,
        _ => Ending::Refused,
    }
}
