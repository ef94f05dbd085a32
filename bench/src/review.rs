//! One review as a function of bytes: what the decision itself costs, without a socket.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use contract::annotations;
use injection::{Bundle, InjectionConfig};
use webhook::catalog::Catalog;
use webhook::review::{Outcome, ReviewContext, respond};

use crate::budget::{Measurement, Metric};
use crate::pod::{BUNDLE, NAMESPACE, SECRETS, Setup, names};
use crate::progress::print_progress;
use crate::statistics::median;

/// The pods whose memory the tests of the decision count.
#[path = "../../injection/tests/cost/shapes.rs"]
mod shapes;

/// How often each of those pods is reviewed. The quickest one counts: the others were interrupted.
const WORST_ROUNDS: usize = 7;

const BATCHES: usize = 300;
const BATCH: u32 = 100;

/// Measures the review of the example's pod.
///
/// # Errors
/// If it is not patched.
pub fn measure(setup: &Setup) -> Result<Vec<Measurement>> {
    print_progress(&format!("review: {BATCHES} batches of {BATCH}"));
    let catalog = Catalog::default();
    let keys = names(SECRETS).iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let (project, environment) = (Some("shop".parse()?), Some("prod".parse()?));
    catalog.set(NAMESPACE, BUNDLE, Bundle { keys, project, environment, ..Bundle::default() });
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
    let in_process = median(&batches).context("no batch")?;
    Ok(vec![
        Metric::ReviewInProcess.measurement(in_process),
        Metric::ReviewWorst.measurement(worst(&config)?),
    ])
}

/// Reviews pods that are made to be expensive, and returns the time of the worst, in milliseconds.
fn worst(config: &InjectionConfig) -> Result<f64> {
    let catalog = Catalog::default();
    let keys = (0..shapes::KEYS).map(|at| format!("KEY_{at}").parse()).collect::<Result<_, _>>()?;
    catalog.set(NAMESPACE, shapes::BUNDLE, Bundle { keys, ..Bundle::default() });
    let context = ReviewContext { bundles: &catalog, config, waiting_for: None };
    let mut worst = (0.0, "");
    for shapes::Shape { name, json } in shapes::all() {
        let review = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"1","operation":"CREATE","resource":{{"resource":"pods"}},"namespace":"{NAMESPACE}","object":{json}}}}}"#
        );
        ensure!(json.len() <= shapes::MAX_POD, "{name} is larger than a request may be");
        let times = (0..WORST_ROUNDS).map(|_| {
            let from = Instant::now();
            black_box(respond(black_box(review.as_bytes()), &context));
            from.elapsed().as_secs_f64() * 1e3
        });
        let quickest = times.fold(f64::INFINITY, f64::min);
        if quickest > worst.0 {
            worst = (quickest, name);
        }
    }
    print_progress(&format!("review_worst: {}", worst.1));
    Ok(worst.0)
}
