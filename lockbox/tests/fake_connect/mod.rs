//! A fake 1Password Connect server, modelled on the documentation and on reports about the real
//! one.
//!
//! It keeps its vaults in memory and serves HTTP on loopback. It reproduces Connect's difficult
//! behaviour, which a test can configure: writes become visible late, POST answers 200, lists omit
//! fields, `/health` always answers 200, valid tokens are sometimes refused, and answers get lost.
//! A test can also do what a person does in the 1Password app.
//!
//! It lacks files, `/v1/activity` and PATCH, which the backend does not use.

mod item_json;
mod response;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::Value;
use tokio::runtime::Runtime;

pub(crate) use state::{ComponentHealth, ConnectState, StopPoint, VaultGrant};

/// A running server. Its vaults survive a restart.
pub(crate) struct Connect {
    state: Arc<Mutex<ConnectState>>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Connect {
    /// A server with one vault, `Enclii`, and one token for it, [`Connect::TOKEN`].
    pub(crate) async fn start() -> Self {
        let mut connect = Self {
            state: Arc::default(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            runtime: None,
        };
        let vault = connect.state().add_vault(Self::VAULT);
        connect.state().add_token(Self::TOKEN, vec![VaultGrant { vault, write: true }]);
        connect.up().await;
        connect
    }

    pub(crate) const TOKEN: &str = "token-of-a-test";
    pub(crate) const VAULT: &str = "Enclii";

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn host(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ConnectState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the server and closes all its connections immediately.
    pub(crate) fn down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts the server at its address.
    pub(crate) async fn up(&mut self) {
        self.down();
        self.state().used = false;
        let listener = loop {
            match std::net::TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                // The previous server may not have released the port yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let app = Router::new()
            .fallback(serve)
            .layer(DefaultBodyLimit::max(16 << 20))
            .with_state(Arc::clone(&self.state));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        self.down();
    }
}

async fn serve(
    State(state): State<Arc<Mutex<ConnectState>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let halt = state.halts(format!("{method} {}", uri.path()));
        let done = (halt != Some(StopPoint::Before))
            .then(|| response::respond(&mut state, &method, &uri, &headers, body.as_ref()));
        let hang = method == Method::POST && done.is_some() && take(&mut state.hanging_posts);
        done.filter(|_| halt.is_none() && !hang)
    };
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

/// Decrements a counter. Returns whether it was above zero.
pub(crate) fn take(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}
