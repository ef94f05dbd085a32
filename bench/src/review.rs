//! One review as a function of bytes: what the decision itself costs, without a socket.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use contract::annotations;
use injection::{Bundle, InjectionConfig};
use webhook::catalog::Catalog;
use webhook::review::{Outcome, ReviewContext, respond};

use crate::budget::{Measurement, Metric};
use crate::pod::{BUNDLE, NAMESPACE, Setup, names};
use crate::progress::print_progress;
use crate::statistics::median;

const BATCHES: usize = 300;
const BATCH: u32 = 100;

/// Measures the review of the example's pod.
///
/// # Errors
/// If it is not patched.
pub fn measure(setup: &Setup) -> Result<Vec<Measurement>> {
    print_progress(&format!("review: {BATCHES} batches of {BATCH}"));
    let catalog = Catalog::default();
    let keys = names().iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let (project, environment) = (Some("shop".parse()?), Some("prod".parse()?));
    catalog.set(NAMESPACE, BUNDLE, Bundle { keys, project, environment });
    let image = format!("enclii/agent:{}", env!("CARGO_PKG_VERSION"));
    let config =
        InjectionConfig::new(image, "https://switchyard.enclii-system.svc".into(), setup.trust()?);
    let context = ReviewContext { bundles: &catalog, config: &config, waiting_for: None };
    let body = setup.review.as_bytes();
    ensure!(
        respond(body, &context).record.outcome == Outcome::Injected,
        "the pod with {} was not patched",
        annotations::SECRETS
    );

    let batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let from = Instant::now();
            for _ in 0..BATCH {
                black_box(respond(black_box(body), &context));
            }
            from.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
        })
        .collect();
    Ok(vec![Metric::ReviewInProcess.measurement(median(&batches).context("no batch")?)])
}
