//! Everything that one machine can show without a cluster, in an order in which nothing that is
//! measured shares the processors with what was measured before.

use std::path::Path;

use anyhow::Result;

use crate::part::Part;
use crate::pod::Setup;
use crate::vault::{self, Figures};
use crate::{agent, load, review, writes};

/// Measures all of it; Vault Agent too, where there is a program of it.
#[must_use]
pub fn measure(vault: Option<&Path>) -> Part {
    let mut part = Part::default();
    let peer = vault.and_then(|program| peer(program, &mut part));
    if let Err(error) = ours(peer.as_ref(), &mut part) {
        part.failures.push(format!("start the system on loopback: {error:#}"));
    }
    part
}

fn ours(peer: Option<&Figures>, part: &mut Part) -> Result<()> {
    let setup = Setup::start()?;
    part.take("agent", agent::measure(&setup, peer));
    part.take("writes", writes::measure(&setup, peer));
    part.take("webhook", load::measure(&setup));
    part.take("review", review::measure(&setup));
    Ok(())
}

fn peer(program: &Path, part: &mut Part) -> Option<Figures> {
    match vault::measure(program) {
        Ok(figures) => Some(figures),
        Err(error) => {
            part.failures.push(format!("Vault Agent: {error:#}"));
            None
        }
    }
}
