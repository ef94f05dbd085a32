//! Looks for a new generation of the bundle, and brings it to the program.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::api::BundleValues;
use contract::bundle::Generation;
use contract::reload::Signal;
use contract::{Scope, SecretName};
use runtime::backoff;
use rustix::process::{self, Pid, kill_process};

use super::files::Files;
use crate::client::Client;
use crate::error::Error;
use crate::output::Output;

/// What is looked for, and what follows.
pub(super) struct Watch<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) scope: Scope,
    pub(super) held: Generation,
    pub(super) every: Duration,
    /// These alone, where there are any.
    pub(super) only: BTreeSet<SecretName>,
    /// Those that became variables, which are no files.
    pub(super) variables: BTreeSet<SecretName>,
    pub(super) signal: Option<Signal>,
    pub(super) output: &'a Output,
    /// What was said last of a failure: each is told once.
    pub(super) said: Option<String>,
}

impl Watch<'_> {
    /// After a while: the new generation, where there is one. May be dropped at any moment.
    pub(super) async fn next(&mut self) -> Option<BundleValues> {
        // Not all programs of a machine at one moment.
        tokio::time::sleep(self.every.mul_f64(0.8 + 0.4 * backoff::random())).await;
        match self.look().await {
            Ok(values) => {
                self.said = None;
                values
            }
            Err(error) => {
                let text = format!("the files stay as they are: {error}");
                if self.said.as_ref() != Some(&text) {
                    self.output.note(&text);
                    self.said = Some(text);
                }
                None
            }
        }
    }

    async fn look(&self) -> Result<Option<BundleValues>, Error> {
        if self.client.bundle(&self.scope).await?.state.generation == self.held {
            return Ok(None);
        }
        self.client.bundle_values(&self.scope).await.map(Some)
    }

    /// Replaces the files, then tells the program.
    pub(super) fn apply(&mut self, values: BundleValues, files: &mut Files, program: Pid) {
        let wanted = |name: &SecretName| {
            !self.variables.contains(name) && (self.only.is_empty() || self.only.contains(name))
        };
        let secrets = values
            .secrets
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, it)| (name, &it.value));
        if let Err(error) = files.replace(secrets) {
            self.output.note(&format!("the files stay as they are: {error}"));
            return;
        }
        self.held = values.generation;
        self.output.detail(|| format!("{} is generation {}", values.scope, values.generation));
        let Some(signal) = self.signal else { return };
        if let Some(number) = process::Signal::from_named_raw(i32::from(signal.number()))
            .filter(|_| catches(program, signal))
        {
            // It may have ended just now.
            let _ = kill_process(program, number);
        } else {
            self.output.note(&format!(
                "the program does not catch {}, which would end it, so that it was not sent",
                signal.name()
            ));
        }
    }
}

/// A signal that is not caught would end the program, or be lost.
fn catches(program: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.as_raw_nonzero()))
        .unwrap_or_default();
    super::supervise::mask(&status, "SigCgt:").is_some_and(|caught| signal.is_in(caught))
}
