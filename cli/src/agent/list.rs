//! `enclii agent list`: the pods that switchyard knows, and which of them drift.

use contract::Scope;
use contract::api::{PodBundle, PodList, PodStatus};
use jiff::Timestamp;
use serde::Serialize;

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat, parse_scope};
use crate::error::Error;
use crate::missing;
use crate::output::Output;
use contract::agent_status::age::age;

/// List pods with what they hold, and those that drift from the newest generation.
///
/// Switchyard is asked, which knows what each agent last reported.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii agent list --bundle shop.prod.api
  enclii agent list --namespace shop-prod --drifting
  enclii agent list --bundle shop.prod.api --output json")]
pub(crate) struct ListAgentsArgs {
    /// Only pods that follow the bundle of this service: PROJECT.ENVIRONMENT.SERVICE.
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    bundle: Option<Scope>,
    /// Only pods of this namespace.
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<contract::Label>,
    /// Only pods that hold another generation than they should.
    #[arg(long)]
    drifting: bool,
    /// Also pods whose agents are not connected: most of them are gone.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// The JSON output.
#[derive(Serialize)]
struct PodReport<'a> {
    pods: &'a [PodStatus],
}

pub(super) async fn run(args: ListAgentsArgs, output: &Output) -> Result<(), Error> {
    let ListAgentsArgs { bundle, namespace, drifting, all, connection, output: format } = args;
    let client = Client::new(&connection, output)?;
    let by_bundle = bundle.as_ref().map(|it| format!("&bundle={it}")).unwrap_or_default();
    let by_namespace = namespace.map(|it| format!("&namespace={it}")).unwrap_or_default();
    let path = format!("/v1/pods?limit=1000{by_bundle}{by_namespace}");
    let listed = client.pages(&path, |page: PodList| (page.pods, page.next)).await;
    let mut pods: Vec<PodStatus> = match (listed, &bundle) {
        (Ok(pods), _) => pods,
        (Err(error), Some(scope)) => {
            return Err(missing::explain(&client, scope, None, error).await);
        }
        (Err(error), None) => return Err(error),
    };
    for pod in &mut pods {
        let is_asked = |it: &PodBundle| bundle.as_ref().is_none_or(|scope| *scope == it.scope);
        pod.bundles.retain(|it| is_asked(it) && (it.drifts || !drifting));
    }
    pods.retain(|it| !it.bundles.is_empty());
    let found = pods.len();
    pods.retain(|it| all || it.connected);
    let hidden = found - pods.len();
    if format == OutputFormat::Json {
        return output.json(&PodReport { pods: &pods });
    }
    if pods.is_empty() {
        let what = if drifting { "no connected pod drifts" } else { "no pod is connected" };
        output.note(what);
    } else {
        let now = Timestamp::now();
        let rows: Vec<_> =
            pods.iter().flat_map(|pod| pod.bundles.iter().map(|it| row(pod, it, now))).collect();
        let columns = ["NAMESPACE", "POD", "BUNDLE", "GENERATION", "FOR", "RELOAD", "STATE"];
        output.table(&columns, &rows);
    }
    if hidden > 0 {
        let more = if hidden == 1 { "1 more is" } else { &format!("{hidden} more are") };
        output.note(&format!("{more} not connected: --all lists them"));
    }
    Ok(())
}

fn row(pod: &PodStatus, bundle: &PodBundle, now: Timestamp) -> Vec<String> {
    let none = || "-".to_owned();
    vec![
        pod.namespace.clone(),
        pod.pod.clone(),
        bundle.bundle.to_string(),
        bundle.generation.map_or_else(none, |it| it.to_string()),
        bundle.since.map_or_else(none, |at| elapsed(at, now)),
        bundle.reload.clone().unwrap_or_else(none),
        state(pod, bundle, now),
    ]
}

fn elapsed(at: Timestamp, now: Timestamp) -> String {
    age(u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0))
}

/// Whether the pod holds what it should, and why not.
fn state(pod: &PodStatus, bundle: &PodBundle, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if !pod.connected {
        let since = pod.disconnected_at.map(|at| format!(" for {}", elapsed(at, now)));
        parts.push(format!("not connected{}", since.unwrap_or_default()));
    }
    let newest = bundle.newest;
    let refused = bundle.refused.iter().find(|it| it.generation == newest);
    let failed = bundle.failed.as_ref().filter(|it| it.generation == newest);
    match (refused, failed) {
        (Some(refused), _) => {
            let reason = refused.reason.as_ref().map(|it| format!(": {it}"));
            parts.push(format!("refuses {newest}{}", reason.unwrap_or_default()));
        }
        (None, Some(failed)) => {
            parts.push(format!("failed {newest} at {}: {}", failed.step, failed.detail));
        }
        (None, None) if bundle.drifts => parts.push(format!("drifts from {newest}")),
        (None, None) => parts.push("newest".to_owned()),
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A change of the pod, and its state then.
    type StateCase = (fn(&mut Value), &'static str);

    #[test]
    fn a_state_says_why_a_pod_drifts() {
        let now: Timestamp = "2026-11-30T09:00:00Z".parse().unwrap();
        let cases: [StateCase; 5] = [
            (|_| {}, "newest"),
            (|it| it["bundles"][0]["drifts"] = json!(true), "drifts from 7"),
            (
                |it| {
                    it["bundles"][0]["refused"] =
                        json!([{"generation": 7, "reason": "tls=1: old"}]);
                },
                "refuses 7: tls=1: old",
            ),
            (
                |it| {
                    let failed = json!({"generation": 7, "step": "write", "detail": "disk full"});
                    it["bundles"][0]["failed"] = failed;
                },
                "failed 7 at write: disk full",
            ),
            (
                |it| {
                    it["connected"] = json!(false);
                    it["disconnected_at"] = json!("2026-11-30T07:00:00Z");
                    it["bundles"][0]["refused"] = json!([{"generation": 6}]);
                },
                "not connected for 2h, newest",
            ),
        ];
        for (change, expected) in cases {
            let mut pod = json!({
                "namespace": "shop-prod", "pod": "api-1", "uid": "1", "service_account": "api",
                "agent": "1.2.3", "connected": true, "connected_at": "2026-11-30T08:00:00Z",
                "bundles": [{"scope": "shop.prod.api", "bundle": "api-prod", "generation": 7,
                    "newest": 7, "drifts": false, "reported_at": "2026-11-30T08:00:02Z"}],
            });
            change(&mut pod);
            let pod: PodStatus = serde_json::from_value(pod).unwrap();
            assert_eq!(state(&pod, &pod.bundles[0], now), expected);
        }
    }
}
