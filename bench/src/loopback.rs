//! Everything that one machine can measure without a cluster, one part after another.

use anyhow::Result;
use e2e::postgres::Postgres;

use crate::args::{Benchmark, Loopback};
use crate::pod::Setup;
use crate::results::Results;
use crate::vault::{self, VaultAgentFigures};
use crate::{agent, replicas, review, stores, streams, webhook_load, writes};

/// Measures the selected parts, and Vault Agent if its program is given.
#[must_use]
pub fn measure(args: &Loopback) -> Results {
    let mut results = Results::default();
    let peer = peer(args, &mut results);
    // Each part starts its own servers, and none runs while another part is measured.
    if args.wants(Benchmark::Stores) {
        let measured = stores::measure(args.vault.as_deref(), &mut results);
        results.take("stores", measured);
    }
    if args.wants(Benchmark::Streams) {
        let measured = streams::measure(&mut results);
        results.take("streams", measured);
    }
    if args.wants(Benchmark::Reconnect) {
        let measured = streams::reconnect::measure(&mut results);
        results.take("reconnect", measured);
    }
    if args.wants(Benchmark::Agent) {
        results.take("agent", agent::measure_sizes(peer.as_ref()));
    }
    if args.wants(Benchmark::Replicas) {
        replicas(&mut results);
    }
    let wanted = [Benchmark::Agent, Benchmark::Delivery, Benchmark::Webhook, Benchmark::Review];
    if wanted.into_iter().any(|benchmark| args.wants(benchmark))
        && let Err(error) = ours(args, peer.as_ref(), &mut results)
    {
        results.failures.push(format!("start the system on loopback: {error:#}"));
    }
    results
}

/// Measures Vault Agent before the other servers start.
fn peer(args: &Loopback, results: &mut Results) -> Option<VaultAgentFigures> {
    let program = args
        .vault
        .as_deref()
        .filter(|_| args.wants(Benchmark::Agent) || args.wants(Benchmark::Delivery))?;
    vault::measure(program)
        .map_err(|error| results.failures.push(format!("Vault Agent: {error:#}")))
        .ok()
}

/// Measures the replicas if PostgreSQL is installed.
fn replicas(results: &mut Results) {
    if Postgres::is_installed() {
        let measured = replicas::measure(results);
        results.take("replicas", measured);
    } else {
        results.note("replica_push_p99: PostgreSQL is not installed (Debian's postgresql-15)");
    }
}

fn ours(args: &Loopback, peer: Option<&VaultAgentFigures>, results: &mut Results) -> Result<()> {
    let setup = Setup::start()?;
    if args.wants(Benchmark::Agent) {
        results.take("agent", agent::measure(&setup, peer));
    }
    if args.wants(Benchmark::Delivery) {
        let measured = writes::measure(&setup, peer, results);
        results.take("writes", measured);
    }
    if args.wants(Benchmark::Webhook) {
        results.take("webhook", webhook_load::measure(&setup));
    }
    if args.wants(Benchmark::Review) {
        results.take("review", review::measure(&setup));
    }
    Ok(())
}
