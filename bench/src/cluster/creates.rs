//! What the system costs those who do not use it: creates of a pod without the annotation.
//!
//! Each is a dry run, so that the answer takes no disk and no node. One goes to a namespace of
//! ours, the next to `kube-system`, which every entry and policy of the system leaves out.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::api::ApiProxy;
use crate::statistics::{median, milliseconds};

/// A namespace that the system never looks at.
const WITHOUT: &str = "kube-system";

const WARM_UP: u32 = 50;

/// The medians of a create with the system and without it, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct CreateTimes {
    pub(super) with: f64,
    pub(super) without: f64,
}

/// Creates `pod` so often in each namespace, in turns.
pub(super) fn measure_creates(
    api: &ApiProxy,
    namespace: &str,
    pod: &Value,
    pairs: u32,
) -> Result<CreateTimes> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + pairs {
        let first = time_of(api, namespace, pod)?;
        let second = time_of(api, WITHOUT, pod)?;
        if number >= WARM_UP {
            with.push(first);
            without.push(second);
        }
    }
    let median = |times: &[f64]| median(times).context("no create");
    Ok(CreateTimes { with: median(&with)?, without: median(&without)? })
}

fn time_of(api: &ApiProxy, namespace: &str, pod: &Value) -> Result<f64> {
    let mut pod = pod.clone();
    pod["spec"]["serviceAccountName"] = "default".into();
    let from = Instant::now();
    api.create(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), &pod)?;
    Ok(milliseconds(from.elapsed()))
}
