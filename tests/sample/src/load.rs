//! A client that sends requests at a constant rate, whatever the server does, and counts the
//! results.
//!
//! Each request has a due time. If it waits because every connection is busy, its latency includes
//! the wait, so that a slow server cannot hide its latency (coordinated omission).

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

use crate::args::LoadArgs;
use crate::serve::{self, Answer};
use client::Client;
use histogram::Histogram;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The results of a load client.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Requests that were answered or failed.
    pub sent: u64,
    /// Requests that were answered with 2xx.
    pub ok: u64,
    /// All other requests.
    pub failed: u64,
    /// The median latency of the 2xx answers, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile of their latency, in microseconds.
    pub p99_us: u64,
    /// Why the first failed request failed.
    pub first_error: Option<String>,
}

#[derive(Debug, Default)]
struct Counters {
    ok: u64,
    failed: u64,
    latencies: Histogram,
    first_error: Option<String>,
}

/// The counters of a running client. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LoadCounters(Arc<Mutex<Counters>>);

/// The URL is not a plain HTTP URL.
#[derive(Debug, thiserror::Error)]
#[error("read url {0}: must be http://HOST[:PORT]/PATH")]
pub struct UrlError(http::Uri);

impl LoadCounters {
    /// The results so far.
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

/// Sends requests as `load` says, until the duration is over or `stop` is cancelled.
///
/// # Errors
/// When the URL is not a plain HTTP URL.
pub async fn run(
    load: &LoadArgs,
    counters: &LoadCounters,
    stop: &CancellationToken,
) -> Result<(), UrlError> {
    let mut first = Client::new(&load.url).ok_or_else(|| UrlError(load.url.clone()))?;
    wait_for_first_answer(&mut first, load.wait, stop).await;
    let tasks = TaskTracker::new();
    let schedule = Arc::new(Schedule {
        start: Instant::now(),
        rate: load.rate,
        length: load.duration,
        next: AtomicU64::new(0),
    });
    for _ in 0..load.connections {
        let client = Client::new(&load.url).ok_or_else(|| UrlError(load.url.clone()))?;
        tasks.spawn(send_requests(client, Arc::clone(&schedule), counters.clone(), stop.clone()));
    }
    tasks.close();
    tokio::select! {
        () = tasks.wait() => {}
        () = file_exists(load.until_file.as_deref()) => stop.cancel(),
    }
    tasks.wait().await;
    Ok(())
}

/// Serves the counters at `/load` until `end` is cancelled.
pub async fn serve_counters(listener: TcpListener, counters: LoadCounters, end: CancellationToken) {
    let handler = move |request: &Request<Incoming>| -> Answer {
        match request.uri().path() {
            "/load" => serve::json(&counters.report()),
            _ => serve::text(StatusCode::NOT_FOUND, "the counters are at /load\n"),
        }
    };
    serve::serve(listener, end.cancelled_owned(), handler).await;
}

/// The due time of each request.
#[derive(Debug)]
struct Schedule {
    start: Instant,
    rate: u32,
    length: Duration,
    next: AtomicU64,
}

impl Schedule {
    /// The due time of the next request; `None` if the schedule is over.
    fn next(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let offset =
            Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(self.rate));
        (offset < self.length).then(|| self.start + offset)
    }
}

/// Waits until the server answers with 2xx, without counting: a Service's address is unreachable
/// for a moment after its first pod becomes ready.
async fn wait_for_first_answer(client: &mut Client, wait: Duration, stop: &CancellationToken) {
    let end = Instant::now() + wait;
    while Instant::now() < end && !stop.is_cancelled() {
        if client.request().await.is_ok_and(|status| status.is_success()) {
            return;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Sends the next due request on one connection until the schedule is over.
async fn send_requests(
    mut client: Client,
    schedule: Arc<Schedule>,
    counters: LoadCounters,
    stop: CancellationToken,
) {
    while let Some(due) = schedule.next() {
        // A sleep may be a millisecond too long, which is not the server's latency. So the latency
        // starts at the due time only if every connection was busy at that time.
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
        counters.count(outcome, from.elapsed());
    }
}

/// Waits until a file exists; never returns without a path.
async fn file_exists(path: Option<&Path>) {
    let Some(path) = path else { return std::future::pending().await };
    while !path.exists() {
        sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests;
