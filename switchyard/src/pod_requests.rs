//! What the agents of this replica count of their applications' requests. In memory alone: it is of
//! use while a generation is looked at, and no longer. Pure.

use std::collections::VecDeque;

use contract::api::PodRequests;
use contract::requests::{MAX_BOUNDS, MAX_WINDOWS, RequestWindow, p95_bound, total};
use jiff::Timestamp;

use crate::audit::sanitize;

/// How many windows of a pod are kept: about a minute.
const MAX_KEPT: usize = 60;

/// The requests of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CountedRequests {
    metric: String,
    /// In microseconds.
    bounds: Vec<u64>,
    windows: VecDeque<RequestWindow>,
    received_at: Timestamp,
}

impl CountedRequests {
    /// Adds the requests of a message to the `known` ones. Returns whether they were taken: not if
    /// the message is longer than one may be, or its numbers do not fit together.
    pub(crate) fn add(
        known: &mut Option<Self>,
        (metric, bounds, windows): (&str, Vec<u64>, Vec<RequestWindow>),
        received_at: Timestamp,
    ) -> bool {
        let is_ascending = bounds.is_sorted_by(|one, next| one < next);
        let fits = bounds.len() <= MAX_BOUNDS && windows.len() <= MAX_WINDOWS && is_ascending;
        if !fits || !windows.iter().all(|it| it.is_consistent(bounds.len())) {
            return false;
        }
        // Windows with other bounds cannot be added up.
        let mut kept = match known.take() {
            Some(earlier) if earlier.bounds == bounds => earlier.windows,
            _ => VecDeque::new(),
        };
        kept.extend(windows);
        let too_many = kept.len().saturating_sub(MAX_KEPT);
        kept.drain(..too_many);
        *known = Some(Self { metric: sanitize(metric), bounds, windows: kept, received_at });
        true
    }

    /// What the API shows.
    pub(crate) fn status(&self) -> PodRequests {
        let Self { metric, bounds, windows, received_at } = self;
        PodRequests {
            metric: metric.clone(),
            seconds: total(windows, |it| it.milliseconds).saturating_add(500) / 1000,
            requests: total(windows, |it| it.requests),
            errors: total(windows, |it| it.errors),
            p95_milliseconds: p95_bound(windows, bounds).map(|micros| micros.div_ceil(1000)),
            at: *received_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(requests: u64, errors: u64, latency: &[u64]) -> RequestWindow {
        let latency = latency.to_vec();
        RequestWindow { at: 1, milliseconds: 1000, requests, errors, latency }
    }

    fn add(known: &mut Option<CountedRequests>, bounds: &[u64], new: Vec<RequestWindow>) -> bool {
        let message = ("http_requests_total", bounds.to_vec(), new);
        CountedRequests::add(known, message, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_minute_is_kept() {
        let bounds = [100_000, 250_000];
        let mut kept = None;
        for _ in 0..2 * MAX_KEPT {
            assert!(add(&mut kept, &bounds, vec![window(10, 1, &[5, 5, 0])]));
        }
        let status = kept.as_ref().unwrap().status();
        assert_eq!((status.seconds, status.requests, status.errors), (60, 600, 60));
        assert_eq!(status.p95_milliseconds, Some(250));
        // Other bounds begin anew.
        assert!(add(&mut kept, &[1], vec![window(7, 0, &[7, 0])]));
        let status = kept.unwrap().status();
        assert_eq!((status.requests, status.p95_milliseconds), (7, Some(1)));
    }

    #[test]
    fn what_does_not_fit_together_is_not_kept() {
        let mut kept = None;
        assert!(add(&mut kept, &[], vec![window(1, 0, &[])]));
        assert!(!add(&mut kept, &[], vec![window(1, 2, &[])]));
        assert!(!add(&mut kept, &[2, 1], vec![]));
        assert!(!add(&mut kept, &[1], vec![window(1, 0, &[1])]));
        assert!(!add(&mut kept, &[], vec![window(1, 0, &[]); MAX_WINDOWS + 1]));
        let many: Vec<u64> = (1..=MAX_BOUNDS as u64 + 1).collect();
        assert!(!add(&mut kept, &many, vec![]));
        // What was there before stays.
        assert_eq!(kept.unwrap().status().requests, 1);
    }
}
