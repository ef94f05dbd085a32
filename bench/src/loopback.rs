//! Everything that one machine can show without a cluster, one thing after the other.

use anyhow::Result;
use e2e::postgres::Postgres;

use crate::args::{Loopback, Subject};
use crate::part::Part;
use crate::pod::Setup;
use crate::vault::{self, Figures};
use crate::{agent, load, replicas, review, stores, streams, writes};

/// Measures all of it; Vault Agent too, where there is a program of it.
#[must_use]
pub fn measure(args: &Loopback) -> Part {
    let mut part = Part::default();
    let peer = peer(args, &mut part);
    // Each of these has servers of its own, and none of them is there while another one is
    // measured.
    if args.wants(Subject::Stores) {
        let measured = stores::measure(args.vault.as_deref(), &mut part);
        part.take("stores", measured);
    }
    if args.wants(Subject::Streams) {
        let measured = streams::measure(&mut part);
        part.take("streams", measured);
    }
    if args.wants(Subject::Replicas) {
        replicas(&mut part);
    }
    let wanted = [Subject::Agent, Subject::Writes, Subject::Webhook, Subject::Review];
    if wanted.into_iter().any(|subject| args.wants(subject))
        && let Err(error) = ours(args, peer.as_ref(), &mut part)
    {
        part.failures.push(format!("start the system on loopback: {error:#}"));
    }
    part
}

/// Vault Agent, which is over before our own servers start.
fn peer(args: &Loopback, part: &mut Part) -> Option<Figures> {
    let program = args
        .vault
        .as_deref()
        .filter(|_| args.wants(Subject::Agent) || args.wants(Subject::Writes))?;
    vault::measure(program)
        .map_err(|error| part.failures.push(format!("Vault Agent: {error:#}")))
        .ok()
}

/// Where there is no PostgreSQL, there are no replicas to measure.
fn replicas(part: &mut Part) {
    if Postgres::is_installed() {
        let measured = replicas::measure(part);
        part.take("replicas", measured);
    } else {
        part.note("replica_push_p99: PostgreSQL is not installed (Debian's postgresql-15)");
    }
}

fn ours(args: &Loopback, peer: Option<&Figures>, part: &mut Part) -> Result<()> {
    let setup = Setup::start()?;
    if args.wants(Subject::Agent) {
        part.take("agent", agent::measure(&setup, peer));
    }
    if args.wants(Subject::Writes) {
        let measured = writes::measure(&setup, peer, part);
        part.take("writes", measured);
    }
    if args.wants(Subject::Webhook) {
        part.take("webhook", load::measure(&setup));
    }
    if args.wants(Subject::Review) {
        part.take("review", review::measure(&setup));
    }
    Ok(())
}
