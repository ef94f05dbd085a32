//! A client that sends requests at a constant rate, whatever the server does, and counts.
//!
//! Each request has a moment at which it is due. A request that waits because every connection is
//! busy is measured from that moment on, so that a slow server cannot hide how slow it is.

mod client;
mod histogram;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::Load;
use crate::serve::{self, Answer};
use client::Client;
use histogram::Histogram;

const LOOK_FOR_FILE: Duration = Duration::from_millis(20);

/// What a load client has counted.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Requests that have an outcome.
    pub sent: u64,
    /// Those that were answered with 2xx.
    pub ok: u64,
    /// Those that were not.
    pub failed: u64,
    /// The median of the answered ones, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile of the answered ones, in microseconds.
    pub p99_us: u64,
    /// Why the first one failed.
    pub first_error: Option<String>,
}

#[derive(Debug, Default)]
struct Counters {
    ok: u64,
    failed: u64,
    latencies: Histogram,
    first_error: Option<String>,
}

/// The counters of a running client.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<Mutex<Counters>>);

/// The URL is not one to send requests to.
#[derive(Debug, thiserror::Error)]
#[error("read url {0}: must be http://HOST[:PORT]/PATH")]
pub struct UrlError(http::Uri);

impl Running {
    /// What has been counted so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            sent: counters.ok + counters.failed,
            ok: counters.ok,
            failed: counters.failed,
            p50_us: counters.latencies.percentile(50),
            p99_us: counters.latencies.percentile(99),
            first_error: counters.first_error.clone(),
        }
    }

    fn count(&self, outcome: Result<StatusCode, String>, latency: Duration) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = match outcome {
            Ok(status) if status.is_success() => {
                counters.ok += 1;
                counters.latencies.add(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
                return;
            }
            Ok(status) => format!("answered {status}"),
            Err(error) => error,
        };
        counters.failed += 1;
        counters.first_error.get_or_insert(failure);
    }
}

/// Drives the server as `load` says, until it is over or `stop` is cancelled, and counts in
/// `running`.
///
/// # Errors
/// Where there is nothing to send requests to.
pub async fn run(load: &Load, running: &Running, stop: &CancellationToken) -> Result<(), UrlError> {
    let mut first = Client::new(&load.url).ok_or_else(|| UrlError(load.url.clone()))?;
    first_answer(&mut first, load.wait, stop).await;
    let tasks = TaskTracker::new();
    let schedule = Arc::new(Schedule {
        start: Instant::now(),
        rate: load.rate,
        length: load.duration,
        next: AtomicU64::new(0),
    });
    for _ in 0..load.connections {
        let client = Client::new(&load.url).ok_or_else(|| UrlError(load.url.clone()))?;
        tasks.spawn(work(client, Arc::clone(&schedule), running.clone(), stop.clone()));
    }
    tasks.close();
    tokio::select! {
        () = tasks.wait() => {}
        () = exists(load.until_file.as_deref()) => stop.cancel(),
    }
    tasks.wait().await;
    Ok(())
}

/// Serves the running counters at `/load`, until `end`.
pub async fn show(listener: TcpListener, running: Running, end: CancellationToken) {
    let handler = move |request: &Request<Incoming>| -> Answer {
        match request.uri().path() {
            "/load" => serve::json(&running.report()),
            _ => serve::text(StatusCode::NOT_FOUND, "the counters are at /load\n"),
        }
    };
    serve::serve(listener, end.cancelled_owned(), handler).await;
}

/// When each request is due.
#[derive(Debug)]
struct Schedule {
    start: Instant,
    rate: u32,
    length: Duration,
    next: AtomicU64,
}

impl Schedule {
    /// The moment of the next request; `None` where there is none any more.
    fn take(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let offset =
            Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(self.rate));
        (offset < self.length).then(|| self.start + offset)
    }
}

/// One connection's share: whatever request is due next. Waits until the server answers with 2xx,
/// for as long as was said and uncounted: a Service's address leads nowhere for a moment after its
/// first pod is ready.
async fn first_answer(client: &mut Client, wait: Duration, stop: &CancellationToken) {
    let end = Instant::now() + wait;
    while Instant::now() < end && !stop.is_cancelled() {
        if client.request().await.is_ok_and(|status| status.is_success()) {
            return;
        }
        sleep(LOOK_FOR_FILE).await;
    }
}

async fn work(
    mut client: Client,
    schedule: Arc<Schedule>,
    running: Running,
    stop: CancellationToken,
) {
    while let Some(due) = schedule.take() {
        // A sleep is a millisecond too long at times, which is not the server's doing: the measure
        // starts at the due moment only where it has passed while every connection was busy.
        let mut from = due;
        if due > Instant::now() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(due) => from = Instant::now(),
            }
        }
        if stop.is_cancelled() {
            return;
        }
        let outcome = client.request().await;
        running.count(outcome, from.elapsed());
    }
}

/// Waits for a file; for ever where none is named.
async fn exists(path: Option<&Path>) {
    let Some(path) = path else { return std::future::pending().await };
    while !path.exists() {
        sleep(LOOK_FOR_FILE).await;
    }
}

#[cfg(test)]
mod tests;
