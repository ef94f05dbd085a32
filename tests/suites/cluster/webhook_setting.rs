//! One setting of the webhook, for as long as a test needs it.

use e2e::kubectl::{kubectl, objects, rolled_out};
use e2e::wait;

use crate::harness::{STEP_TIMEOUT, SYSTEM};

const WEBHOOK: &str = "deployment/enclii-webhook";
const LABEL: &str = "app.kubernetes.io/name=enclii-webhook";

/// A variable of the webhook's Deployment, which counts more than its file, until this is dropped.
/// Only for tests that have the system for themselves.
pub(crate) struct WebhookSetting(&'static str);

impl WebhookSetting {
    pub(crate) fn new(variable: &'static str, value: &str) -> Self {
        let setting = Self(variable);
        set(&format!("{variable}={value}")).unwrap();
        setting
    }
}

impl Drop for WebhookSetting {
    fn drop(&mut self) {
        if let Err(error) = set(&format!("{}-", self.0)) {
            println!("{} stays set: {error}", self.0);
        }
    }
}

/// Returns when all replicas have it and the old ones are gone: those answer, on connections that
/// the API server has, until the end of their drain.
fn set(word: &str) -> anyhow::Result<()> {
    kubectl(&["-n", SYSTEM, "set", "env", WEBHOOK, word])?;
    rolled_out(SYSTEM, WEBHOOK, STEP_TIMEOUT)?;
    wait::until("the old replicas to be gone", STEP_TIMEOUT, || {
        let pods = objects(SYSTEM, "pods", LABEL)?;
        let are_new = pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(are_new.then_some(()))
    })
}
