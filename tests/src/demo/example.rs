//! The example Deployment's pod, before and after the webhook.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{admission, wait};
use serde_json::Value;

use crate::output;

const EXAMPLE: &str = include_str!("../../../manifests/examples/api.yaml");

/// What its credentials in plain text hold.
const LITERALS: [&str; 2] = ["correct-horse", "sk_test_"];

/// Has the webhook review the pod, and returns it as the API server would store it. Prints both.
///
/// # Errors
/// If the webhook does not take every credential out of the pod.
pub(crate) fn inject(ask: impl Fn(&Value) -> Result<Value>) -> Result<Value> {
    let documents = admission::documents(EXAMPLE)?;
    let workload = documents
        .iter()
        .find(|it| it["kind"] == "Deployment")
        .context("the example has no Deployment")?;
    let before = admission::pod_of(workload)?;
    output::line("before:");
    output::pod(&before);
    let review = admission::review(&before, "demo-review");
    for literal in LITERALS {
        ensure!(before.to_string().contains(literal), "the example no longer holds {literal}");
    }
    // The webhook watches the bundles: it knows the keys a moment after the write.
    let after = wait::until(
        "the webhook to know both keys and leave no credential in the pod",
        Duration::from_secs(10),
        || {
            let answer = ask(&review)?;
            if answer["response"]["allowed"] != true {
                return Ok(None);
            }
            let after = admission::apply(before.clone(), &answer)?;
            let text = after.to_string();
            Ok((!LITERALS.iter().any(|literal| text.contains(literal))).then_some(after))
        },
    )?;
    output::line("");
    output::line("after:");
    output::pod(&after);
    output::line("");
    output::line("no credential is left in the pod");
    Ok(after)
}
