//! Polls for a new generation of the bundle and delivers it to the program.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::api::BundleValues;
use contract::bundle::{Generation, GenerationTag};
use contract::reload::Signal;
use contract::{Scope, SecretName};
use runtime::backoff;
use rustix::process::{self, Pid, kill_process};

use super::memory_files::MemoryFiles;
use super::signal_mask;
use crate::client::Client;
use crate::error::Error;
use crate::output::Output;

/// The watched bundle, and what to do with a new generation.
pub(super) struct BundleWatch<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) scope: Scope,
    /// The generation that the program has, and its tag: after a restore of the server's database,
    /// another generation has the same number.
    pub(super) current: (Generation, Option<GenerationTag>),
    pub(super) interval: Duration,
    /// Only these secrets, or all if it is empty.
    pub(super) only: BTreeSet<SecretName>,
    /// The secrets that became variables and have no file.
    pub(super) variables: BTreeSet<SecretName>,
    pub(super) signal: Option<Signal>,
    pub(super) output: &'a Output,
    /// The last failure that was reported, so that it is not repeated.
    pub(super) last_failure: Option<String>,
}

impl BundleWatch<'_> {
    /// Waits for the interval and returns the new generation, if there is one. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<BundleValues> {
        // Jitter, so that not all programs of a machine poll at the same moment.
        tokio::time::sleep(self.interval.mul_f64(0.8 + 0.4 * backoff::random())).await;
        match self.poll().await {
            Ok(values) => {
                self.last_failure = None;
                values
            }
            Err(error) => {
                let text = format!("the files are unchanged: {error}");
                if self.last_failure.as_ref() != Some(&text) {
                    self.output.note(&text);
                    self.last_failure = Some(text);
                }
                None
            }
        }
    }

    async fn poll(&self) -> Result<Option<BundleValues>, Error> {
        let state = self.client.bundle(&self.scope).await?.state;
        if (state.generation, state.tag) == self.current {
            return Ok(None);
        }
        self.client.bundle_values(&self.scope).await.map(Some)
    }

    /// Replaces the files, then signals the program.
    pub(super) fn apply(&mut self, values: BundleValues, files: &mut MemoryFiles, program: Pid) {
        let is_file = |name: &SecretName| {
            !self.variables.contains(name) && (self.only.is_empty() || self.only.contains(name))
        };
        let secrets = values
            .secrets
            .iter()
            .filter(|(name, _)| is_file(name))
            .map(|(name, it)| (name, &it.value));
        if let Err(error) = files.replace(secrets) {
            self.output.note(&format!("the files are unchanged: {error}"));
            return;
        }
        self.current = (values.generation, values.tag);
        self.output.verbose(|| format!("{} is generation {}", values.scope, values.generation));
        let Some(signal) = self.signal else { return };
        if let Some(number) = process::Signal::from_named_raw(i32::from(signal.number()))
            .filter(|_| handles(program, signal))
        {
            // The program may have just ended.
            let _ = kill_process(program, number);
        } else {
            self.output.note(&format!(
                "{} was not sent: the program does not handle it, and it would end the program",
                signal.name()
            ));
        }
    }
}

/// Whether the program handles the signal, which would otherwise end it or be lost.
fn handles(program: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.as_raw_nonzero()))
        .unwrap_or_default();
    signal_mask::parse(&status, "SigCgt:").is_some_and(|handled| signal.is_in(handled))
}
