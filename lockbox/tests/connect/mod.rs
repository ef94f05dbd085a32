//! A stand-in for a 1Password Connect server, made from what is written and reported about the real
//! one.
//!
//! It keeps its vaults in memory and speaks HTTP on loopback. What makes Connect hard to live with
//! is in it and can be set: writes show late, POST answers 200, lists have no fields, errors have
//! their words, `/health` answers 200 whatever is the matter, good tokens are refused now and then,
//! answers get lost. A test may also do what a person does in the 1Password app.
//!
//! Not in it: files, `/v1/activity`, PATCH, which the backend does not use.

mod answer;
mod fields;
mod world;

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

pub(crate) use world::{Grant, Halt, Part, World};

/// A running Connect. Its vaults outlive a restart.
pub(crate) struct Connect {
    world: Arc<Mutex<World>>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Connect {
    /// A server with one vault, `Enclii`, and one token for it, [`Connect::TOKEN`].
    pub(crate) async fn start() -> Self {
        let mut connect = Self {
            world: Arc::default(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            runtime: None,
        };
        let vault = connect.world().add_vault(Self::VAULT);
        connect.world().add_token(Self::TOKEN, vec![Grant { vault, write: true }]);
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

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the server with all its connections, whatever they are at.
    pub(crate) fn down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts the server at its address.
    pub(crate) async fn up(&mut self) {
        self.down();
        self.world().used = false;
        let listener = loop {
            match std::net::TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                // The one before it may not have let go yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let app = Router::new()
            .fallback(serve)
            .layer(DefaultBodyLimit::max(16 << 20))
            .with_state(Arc::clone(&self.world));
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
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let answer = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let halt = world.halts(format!("{method} {}", uri.path()));
        let done = (halt != Some(Halt::Before))
            .then(|| answer::answer(&mut world, &method, &uri, &headers, body.as_ref()));
        let hang = method == Method::POST && done.is_some() && take(&mut world.hanging_posts);
        done.filter(|_| halt.is_none() && !hang)
    };
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

/// Uses up one of a number of occasions.
pub(crate) fn take(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}
