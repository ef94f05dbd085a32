//! Two replicas on one PostgreSQL: how soon a write at one reaches an agent of the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::loopback::write_identities;
use e2e::postgres::Postgres;
use e2e::switchyard::Switchyard;

use crate::budget::{Measurement, Metric};
use crate::pod::{SECRET, value};
use crate::progress::print_progress;
use crate::results::Results;
use crate::statistics::{median, milliseconds, percentile};
use crate::streams::client::Streams;
use crate::streams::{namespaces, pods, write};

const WRITES: usize = 200;
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Measures the delivery from one to the other.
///
/// # Errors
/// If PostgreSQL is not installed, or a write does not arrive.
pub fn measure(results: &mut Results) -> Result<Vec<Measurement>> {
    print_progress(&format!("two replicas: {WRITES} writes at one to an agent at the other"));
    let postgres = Postgres::start()?;
    let directory = tempfile::Builder::new().prefix("enclii-bench-").tempdir()?;
    write_identities(directory.path(), &namespaces(), &pods(1))?;
    let url = postgres.url();
    let replica = |name: &str| {
        let mut switchyard = Switchyard::new(
            directory.path(),
            name,
            &[("ENCLII_DATABASE_URL", &url), ("ENCLII_RATE_LIMIT", "0")],
        )?;
        switchyard.run()?;
        anyhow::Ok(switchyard)
    };
    let (one, other) = (replica("one")?, replica("other")?);
    write(&one, &[(SECRET.to_owned(), value("first", 0))])?;
    let stream = Streams::open(other.port(), &other.ca(), 1)?;
    stream.wait_until_all_hold(1, STEP_TIMEOUT)?;
    let (mut times, mut answers) = (Vec::with_capacity(WRITES), Vec::with_capacity(WRITES));
    for number in 0..WRITES {
        let from = Instant::now();
        let generation = write(&one, &[(SECRET.to_owned(), value("write", number))])?;
        answers.push(milliseconds(from.elapsed()));
        for at in stream.wait_until_all_hold(generation, STEP_TIMEOUT)? {
            times.push(milliseconds(at.saturating_duration_since(from)));
        }
        // Not in step with any timer of the system.
        std::thread::sleep(Duration::from_micros(20_000 + (number * 7919 % 10_000) as u64));
    }
    results.note(format!(
        "replica_push_p99: the median is {:.1} ms, and that of the write's own answer {:.1} ms",
        median(&times).context("no write")?,
        median(&answers).context("no write")?
    ));
    Ok(vec![Metric::ReplicaPushP99.measurement(percentile(&times, 99).context("no write")?)])
}
