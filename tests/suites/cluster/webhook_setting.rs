//! One setting of the webhook, for as long as a test needs it.

use e2e::kubectl::set_variable;

use crate::harness::{STEP_TIMEOUT, SYSTEM};

const WEBHOOK: &str = "enclii-webhook";

/// A variable of the webhook's Deployment, which counts more than its file, until this is dropped.
/// Only for tests that have the system for themselves.
pub(crate) struct WebhookSetting(&'static str);

impl WebhookSetting {
    pub(crate) fn new(variable: &'static str, value: &str) -> Self {
        let setting = Self(variable);
        set_variable(SYSTEM, WEBHOOK, &format!("{variable}={value}"), STEP_TIMEOUT).unwrap();
        setting
    }
}

impl Drop for WebhookSetting {
    fn drop(&mut self) {
        let word = format!("{}-", self.0);
        if let Err(error) = set_variable(SYSTEM, WEBHOOK, &word, STEP_TIMEOUT) {
            println!("{} stays set: {error}", self.0);
        }
    }
}
