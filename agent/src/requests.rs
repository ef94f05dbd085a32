//! The application's requests: counted once a second from its own metrics, while switchyard asks.
//!
//! ```text
//! exposition (pure)   the text → samples
//! preset (pure)       which of them count requests, in common frameworks
//! totals (pure)       what was added between two looks
//! ```
//!
//! A look is one GET on the pod's loopback. What it costs is bounded: its time, the bytes, the
//! lines, the series, and for how long the agent goes on.

mod exposition;
mod preset;
mod totals;

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use contract::agent_status::RequestStatus;
use contract::requests::{MAX_COUNT_SECONDS, MAX_WINDOWS, RequestWindow, p95_bound};
use contract::stream::AgentMessage;
use contract::{LoopbackUrl, MetricsEndpoint};
use http::{Method, header};
use http_body_util::Empty;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::loopback::{self, addresses, exchange};
use preset::Preset;
use totals::{Added, Totals};

/// How often the agent looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time for one look, so that one is over before the next.
const TIMEOUT: Duration = Duration::from_millis(800);

/// The longest text that is read, in bytes.
const MAX_BODY_BYTES: usize = 2 << 20;

type Look = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// Counts the application's requests for as long as it is asked to.
pub(crate) struct RequestCounter {
    url: LoopbackUrl,
    /// Until when, if it is asked.
    until: Option<Instant>,
    /// When to look next.
    next: Instant,
    look: Option<Look>,
    /// The last look, and when it was.
    before: Option<(Instant, Totals)>,
    preset: Option<&'static Preset>,
    /// The bounds of the windows, in microseconds.
    bounds: Vec<u64>,
    /// What is not sent yet. When there are too many, the oldest is dropped.
    windows: VecDeque<RequestWindow>,
    /// What was counted since it was asked.
    sum: RequestWindow,
    status: RequestStatus,
}

impl RequestCounter {
    /// Counts nothing until it is asked to.
    pub(crate) fn new(endpoint: &MetricsEndpoint) -> Self {
        Self {
            url: endpoint.url().clone(),
            until: None,
            next: Instant::now(),
            look: None,
            before: None,
            preset: None,
            bounds: Vec::new(),
            windows: VecDeque::new(),
            sum: RequestWindow::default(),
            status: RequestStatus::default(),
        }
    }

    /// Counts for some time from now on.
    pub(crate) fn count_for(&mut self, seconds: u32) {
        let now = Instant::now();
        let time = Duration::from_secs(seconds.min(MAX_COUNT_SECONDS).into());
        if self.until.is_none() {
            // What was added since the last time is not of this one.
            (self.before, self.next) = (None, now);
            (self.sum, self.status) = (RequestWindow::default(), RequestStatus::default());
            self.windows.clear();
        }
        self.until = self.until.max(Some(now + time));
    }

    /// Waits for the next look, and takes it. `now` is the time of the machine's clock, in
    /// milliseconds since 1970. Waits for ever unless it is asked. Nothing is lost if the future is
    /// dropped.
    pub(crate) async fn next(&mut self, now: impl Fn() -> u64) {
        let Some(until) = self.until else { return pending().await };
        if self.look.is_none() {
            sleep_until(self.next).await;
            self.look = Some(Box::pin(look(self.url.clone())));
        }
        let Some(look) = &mut self.look else { return };
        let found = look.await;
        self.look = None;
        let at = Instant::now();
        self.next = (self.next + INTERVAL).max(at);
        self.take(found, at, now());
        if at >= until {
            self.until = None;
        }
    }

    fn take(&mut self, found: Result<Bytes, String>, at: Instant, now: u64) {
        self.status.at = now / 1000;
        let text = match found {
            Ok(text) => text,
            Err(detail) => return self.status.detail = Some(detail),
        };
        let path = self.url.path().split('?').next().unwrap_or_default();
        let totals = Totals::read(&String::from_utf8_lossy(&text), self.preset, path);
        self.preset = totals.preset;
        self.status.metric = self.preset.map(|preset| preset.requests.to_owned());
        self.status.detail = match self.preset {
            Some(_) => None,
            None => Some("none of its metrics is known to count requests".to_owned()),
        };
        if let Some((earlier, before)) = &self.before {
            let added = totals.since(before);
            let milliseconds = at.saturating_duration_since(*earlier).as_millis();
            self.add(added, u64::try_from(milliseconds).unwrap_or(u64::MAX).max(1), now);
        }
        self.before = Some((at, totals));
    }

    fn add(&mut self, added: Added, milliseconds: u64, now: u64) {
        let Added { requests, errors, latency } = added;
        let bounds: Vec<u64> = latency.keys().copied().filter(|it| *it != u64::MAX).collect();
        if bounds != self.bounds {
            // A message has bounds for all of its windows.
            self.bounds = bounds;
            self.windows.clear();
            self.sum.latency.clear();
        }
        let latency: Vec<u64> = latency.into_values().collect();
        self.sum.requests += requests;
        self.sum.errors += errors;
        self.sum.milliseconds = self.sum.milliseconds.saturating_add(milliseconds);
        self.sum.latency.resize(latency.len(), 0);
        for (sum, count) in self.sum.latency.iter_mut().zip(&latency) {
            *sum = sum.saturating_add(*count);
        }
        self.status.requests = self.sum.requests;
        self.status.errors = self.sum.errors;
        self.status.seconds = self.sum.milliseconds.saturating_add(500) / 1000;
        self.status.p95_milliseconds =
            p95_bound([&self.sum], &self.bounds).map(|micros| micros.div_ceil(1000));
        if self.preset.is_some() {
            if self.windows.len() == MAX_WINDOWS {
                self.windows.pop_front();
            }
            let window = RequestWindow { at: now, milliseconds, requests, errors, latency };
            self.windows.push_back(window);
        }
    }

    /// What there is to send, if there is something.
    pub(crate) fn message(&mut self) -> Option<AgentMessage> {
        let metric = self.preset?.requests.to_owned();
        if self.windows.is_empty() {
            return None;
        }
        let (bounds, windows) = (self.bounds.clone(), self.windows.drain(..).collect());
        Some(AgentMessage::Requests { metric, bounds, windows })
    }

    /// What people are told.
    pub(crate) fn status(&self) -> RequestStatus {
        self.status.clone()
    }
}

/// One look at the metrics.
async fn look(url: LoopbackUrl) -> Result<Bytes, String> {
    let get = async {
        let request = loopback::request(Method::GET, url.host(), url.port(), url.path())
            .header(header::ACCEPT, "text/plain;version=0.0.4, */*;q=0.1")
            .body(Empty::new())
            .map_err(|_| format!("build request for {url}"))?;
        let addresses = addresses(url.host(), url.port());
        let tcp = TcpStream::connect(&*addresses)
            .await
            .map_err(|error| format!("connect {url}: {error}"))?;
        let answer = exchange(tcp, request, MAX_BODY_BYTES)
            .await
            .map_err(|error| format!("get {url}: {error}"))?;
        let status = answer.status;
        if !status.is_success() {
            return Err(format!("get {url}: the application answered {status}, expected 2xx"));
        }
        answer.body.ok_or_else(|| format!("get {url}: more than {MAX_BODY_BYTES} bytes"))
    };
    let late = |_| Err(format!("get {url}: no answer within {TIMEOUT:?}"));
    timeout(TIMEOUT, get).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> RequestCounter {
        RequestCounter::new(&"9090/metrics".parse().unwrap())
    }

    fn look_at(it: &mut RequestCounter, text: &'static str, at: Instant) {
        it.take(Ok(Bytes::from_static(text.as_bytes())), at, 5_000);
    }

    #[tokio::test]
    async fn the_first_look_counts_nothing_and_the_next_one_what_was_added() {
        let (mut it, at) = (counter(), Instant::now());
        it.count_for(60);
        look_at(&mut it, "http_requests_total{code=\"200\"} 1000\n", at);
        assert_eq!(it.message(), None);
        let later = at + Duration::from_millis(1100);
        look_at(&mut it, "http_requests_total{code=\"200\"} 1010\n", later);
        let Some(AgentMessage::Requests { metric, bounds, windows }) = it.message() else {
            panic!()
        };
        assert_eq!((metric.as_str(), bounds.len()), ("http_requests_total", 0));
        let expected = RequestWindow {
            at: 5000,
            milliseconds: 1100,
            requests: 10,
            errors: 0,
            latency: Vec::new(),
        };
        assert_eq!(windows, [expected]);
        assert_eq!((it.status().requests, it.status().seconds), (10, 1));
        // It is sent once.
        assert_eq!(it.message(), None);
    }

    #[tokio::test]
    async fn what_is_not_sent_is_kept_up_to_a_limit() {
        let (mut it, mut at) = (counter(), Instant::now());
        it.count_for(60);
        for _ in 0..MAX_WINDOWS + 5 {
            look_at(&mut it, "http_requests_total{code=\"500\"} 7\n", at);
            at += INTERVAL;
        }
        let Some(AgentMessage::Requests { windows, .. }) = it.message() else { panic!() };
        assert_eq!(windows.len(), MAX_WINDOWS);
    }

    #[tokio::test]
    async fn why_nothing_is_counted_is_said() {
        let (mut it, at) = (counter(), Instant::now());
        it.count_for(60);
        it.take(Err("connect http://localhost:9090/metrics: refused".to_owned()), at, 1);
        assert!(it.status().detail.unwrap().contains("refused"));
        look_at(&mut it, "up 1\n", at);
        assert!(it.status().detail.unwrap().contains("none of its metrics"));
        // One whose first request comes now has counted from zero.
        look_at(&mut it, "http_requests_total{code=\"500\"} 2\n", at + INTERVAL);
        assert_eq!((it.status().errors, it.status().detail), (2, None));
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_only_while_it_is_asked() {
        let mut it = RequestCounter::new(&"1/metrics".parse().unwrap());
        assert!(timeout(Duration::from_secs(99), it.next(|| 0)).await.is_err());
        it.count_for(3);
        let mut looks = 0;
        while timeout(Duration::from_secs(99), it.next(|| 0)).await.is_ok() {
            looks += 1;
        }
        assert_eq!(looks, 4);
        // A long time is cut.
        it.count_for(u32::MAX);
        let most = Instant::now() + Duration::from_secs(MAX_COUNT_SECONDS.into());
        assert_eq!(it.until, Some(most));
    }
}
