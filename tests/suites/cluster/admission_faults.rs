//! Whatever happens to the webhook, no pod that asks for secrets is admitted without them, and no
//! other pod is held up.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::api_server::{ApiAnswer, ApiServer};
use e2e::kubectl::{Namespace, keep_logs, kubectl, rolled_out};
use e2e::wait;
use serde_json::{Value, json};

use crate::app::{pod, pod_spec};
use crate::faulty_webhook::{FaultyWebhook, WebhookFault};
use crate::harness::{
    Cluster, STEP_TIMEOUT, SYSTEM, exclusive, own_cluster_setting, project, value,
};

const REGISTRATION: &str =
    "mutatingwebhookconfigurations.admissionregistration.k8s.io/enclii-webhook";

const CA_BUNDLE: &str = "jsonpath={.webhooks[0].clientConfig.caBundle}";

/// Creates in flight at one time. Those that wait for a slow webhook take five seconds each.
const CREATES_AT_ONCE: usize = 64;

/// How many annotated pods each fault is tried with. `make test-matrix` tries ten thousand in all.
fn creates() -> usize {
    number("ENCLII_ADMISSION_CREATES", 440) / (WebhookFault::ALL.len() + 1)
}

/// How long certificates are turned over. `make test-matrix` does it for ten minutes.
fn turnover_time() -> Duration {
    Duration::from_secs(number("ENCLII_TURNOVER_SECONDS", 40) as u64)
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}

/// A namespace with the bundle `api-prod`, which has the key `API_TOKEN`.
fn namespace(cluster: &Cluster, name: &str) -> Namespace {
    let project = project(name);
    let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
    let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
    crate::app::service_account(namespace.name(), "api").unwrap();
    let scope = format!("{project}.prod.api");
    cluster.set(&scope, "API_TOKEN", value(name).as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();
    namespace
}

fn asking(namespace: &str) -> Value {
    pod(namespace, "asks", pod_spec(&[("API_TOKEN", "x")]))
}

fn plain(namespace: &str) -> Value {
    let mut pod = pod(namespace, "plain", pod_spec(&[("A", "x")]));
    pod["metadata"]["annotations"] = json!({});
    pod
}

/// Creates a pod on the server's side only: admitted or refused, and not stored.
fn create(api: &ApiServer, namespace: &str, pod: &Value) -> Result<ApiAnswer> {
    api.create(&format!("/api/v1/namespaces/{namespace}/pods"), "dryRun=All", pod)
}

/// Whether a pod was admitted, and with its agent. An answer that is neither is an error.
fn admitted(answer: &ApiAnswer) -> Result<bool> {
    let object = &answer.body;
    match answer.status {
        201 => {
            let agent = &object["spec"]["initContainers"][0]["name"];
            anyhow::ensure!(agent == "enclii-agent", "a pod was admitted without its agent");
            let env = object["spec"]["containers"][0]["env"].to_string();
            anyhow::ensure!(env.contains("API_TOKEN_FILE"), "a pod kept its plaintext: {env}");
            Ok(true)
        }
        403 | 500..=599 => Ok(false),
        other => anyhow::bail!("HTTP {other}: {}", answer.message()),
    }
}

/// Creates `count` pods at once and returns how many were admitted.
fn create_many(api: &ApiServer, namespace: &str, count: usize) -> Result<usize> {
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let first_error = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..CREATES_AT_ONCE.min(count) {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::SeqCst) < count {
                    let answer = create(api, namespace, &asking(namespace));
                    match answer.and_then(|it| admitted(&it)) {
                        Ok(true) => drop(passed.fetch_add(1, Ordering::SeqCst)),
                        Ok(false) => {}
                        Err(error) => {
                            first_error.lock().unwrap().get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    match first_error.into_inner().unwrap() {
        Some(error) => Err(error),
        None => Ok(passed.into_inner()),
    }
}

/// Puts the registration back, and the keeper that looks after it.
struct RedirectedEntry {
    client_config: Value,
}

impl RedirectedEntry {
    fn take() -> Result<Self> {
        keeper_replicas(0)?;
        let found: Value = serde_json::from_str(&kubectl(&["get", REGISTRATION, "-o", "json"])?)?;
        let entry = found["webhooks"].as_array().context("webhooks")?.first();
        Ok(Self { client_config: entry.context("an entry")?["clientConfig"].clone() })
    }

    fn point_to(&self, client_config: &Value) -> Result<()> {
        let path = "/webhooks/0/clientConfig";
        let patch = json!([{"op": "replace", "path": path, "value": client_config}]);
        kubectl(&["patch", REGISTRATION, "--type=json", "-p", &patch.to_string()]).map(drop)
    }
}

impl Drop for RedirectedEntry {
    fn drop(&mut self) {
        let _ = self.point_to(&self.client_config);
        let _ = keeper_replicas(1);
    }
}

/// Starts or ends the certificate keeper.
fn keeper_replicas(count: usize) -> Result<()> {
    let replicas = format!("--replicas={count}");
    kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-certificates", &replicas])?;
    rolled_out(SYSTEM, "deployment/enclii-certificates", STEP_TIMEOUT)?;
    wait::until("the keeper's pods", STEP_TIMEOUT, || {
        let label = "app.kubernetes.io/name=enclii-certificates";
        Ok((e2e::kubectl::objects(SYSTEM, "pods", label)?.len() == count).then_some(()))
    })
}

/// The API server learns of a changed registration a moment later.
fn wait_until_admitted(api: &ApiServer, namespace: &str, expected: bool) {
    wait::until(&format!("a pod that asks: admitted {expected}"), STEP_TIMEOUT, || {
        let answer = create(api, namespace, &asking(namespace))?;
        Ok((admitted(&answer)? == expected).then_some(()))
    })
    .unwrap();
}

#[test]
fn no_fault_of_the_webhook_lets_a_pod_in_without_its_agent() {
    if own_cluster_setting("NODE_IP").is_none() {
        return;
    }
    let (cluster, _guard) = exclusive();
    let namespace = namespace(cluster, "faults");
    let name = namespace.name();
    let api = ApiServer::connect().unwrap();
    wait_until_admitted(&api, name, true);
    let registration = RedirectedEntry::take().unwrap();
    for fault in WebhookFault::ALL {
        let webhook = FaultyWebhook::start(fault).unwrap();
        registration.point_to(&webhook.client_config()).unwrap();
        wait_until_admitted(&api, name, false);
        let began = Instant::now();
        let passed =
            create_many(&api, name, creates()).unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!(passed, 0, "{fault:?}: a pod was admitted that nobody has seen");
        println!("{fault:?}: {} creates refused in {:?}", creates(), began.elapsed());
        assert!(
            fault == WebhookFault::Stopped || webhook.connections() > 0,
            "{fault:?} was not reached"
        );
        // Nobody else waits for it.
        let answer = create(&api, name, &plain(name)).unwrap();
        assert!(answer.is_admitted(), "{fault:?}: {}", answer.message());
    }
    drop(registration);
    wait_until_admitted(&api, name, true);
}

/// The replicas that the Service sends requests to.
fn ready_replicas() -> Result<usize> {
    Ok(e2e::kubectl::ready_pods(SYSTEM, "app.kubernetes.io/name=enclii-webhook")?.len())
}

#[test]
fn a_replica_is_not_ready_while_its_certificate_is_not_the_registered_one() {
    let (cluster, _guard) = exclusive();
    let namespace = namespace(cluster, "unregistered");
    let api = ApiServer::connect().unwrap();
    wait_until_admitted(&api, namespace.name(), true);
    let registration = RedirectedEntry::take().unwrap();
    let mut other = registration.client_config.clone();
    other["caBundle"] =
        FaultyWebhook::start(WebhookFault::Stopped).unwrap().client_config()["caBundle"].clone();
    registration.point_to(&other).unwrap();
    wait::until("no replica to be ready", STEP_TIMEOUT, || {
        Ok((ready_replicas()? == 0).then_some(()))
    })
    .unwrap();
    drop(registration);
    wait::until("both replicas to be ready", STEP_TIMEOUT, || {
        Ok((ready_replicas()? == 2).then_some(()))
    })
    .unwrap();
    wait_until_admitted(&api, namespace.name(), true);
}

#[test]
fn a_webhook_that_is_killed_again_and_again_lets_no_pod_in_without_its_agent() {
    let (cluster, _guard) = exclusive();
    let namespace = namespace(cluster, "killed");
    let name = namespace.name();
    let api = ApiServer::connect().unwrap();
    wait_until_admitted(&api, name, true);
    keep_logs(SYSTEM);
    let (sent, refused) = under_load(&api, name, || {
        // About a hundred creates each time.
        for _ in 0..(creates() / 100).max(3) {
            let label = "app.kubernetes.io/name=enclii-webhook";
            let delete = ["-n", SYSTEM, "delete", "pod", "-l", label, "--grace-period=0"];
            kubectl(&[&delete[..], &["--force"]].concat()).unwrap();
            std::thread::sleep(Duration::from_secs(2));
        }
    });
    println!("{sent} creates while every replica was killed, {} refused", refused.len());
    for why in &refused {
        assert!(why.contains("failed calling webhook"), "{why}");
    }
    rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT).unwrap();
    // The API server's connections to replicas that are gone end a moment later.
    wait::until("every pod to be admitted again", STEP_TIMEOUT, || {
        Ok((create_many(&api, name, 64)? == 64).then_some(()))
    })
    .unwrap();
}

/// Runs `act` while 50 pods that ask are created each second. Returns how many were, and why some
/// were refused.
fn under_load(api: &ApiServer, namespace: &str, act: impl FnOnce()) -> (usize, Vec<String>) {
    let (sent, refused) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (done, first) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for worker in 0..10u32 {
            let (sent, refused, done) = (&sent, &refused, &done);
            scope.spawn(move || {
                let mut next = first + Duration::from_millis(20) * worker;
                while !done.load(Ordering::SeqCst) {
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                    next += Duration::from_millis(200);
                    sent.fetch_add(1, Ordering::SeqCst);
                    let answer = create(api, namespace, &asking(namespace));
                    match answer.and_then(|it| Ok((admitted(&it)?, it.message().to_owned()))) {
                        Ok((true, _)) => {}
                        Ok((false, why)) => refused.lock().unwrap().push(why),
                        Err(error) => refused.lock().unwrap().push(format!("{error:#}")),
                    }
                }
            });
        }
        // Also if it panics: the threads must end, or the scope waits for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        done.store(true, Ordering::SeqCst);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    (sent.into_inner(), refused.into_inner().unwrap())
}

/// Whatever it is, it is another one after a turnover.
fn serving_certificate() -> Result<Option<String>> {
    let secret = e2e::kubectl::object(SYSTEM, "secret", "enclii-webhook-tls")?;
    Ok(secret.and_then(|it| it["data"]["tls.crt"].as_str().map(str::to_owned)))
}

/// Gives the keeper these lifetimes, and takes them back when it is dropped.
struct ShortLives;

impl ShortLives {
    fn of(ca: Duration) -> Result<Self> {
        let life = |name: &str, life: Duration| format!("{name}={}ms", life.as_millis());
        let variables = [
            life("ENCLII_CA_LIFETIME", ca),
            life("ENCLII_CERTIFICATE_LIFETIME", ca / 2),
            life("ENCLII_CA_OVERLAP", ca / 6),
        ];
        let words = ["-n", SYSTEM, "set", "env", "deployment/enclii-certificates"];
        let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
        kubectl(&[&words[..], &variables].concat())?;
        rolled_out(SYSTEM, "deployment/enclii-certificates", STEP_TIMEOUT)?;
        let short = Self;
        Self::anew()?;
        Ok(short)
    }

    /// Has the keeper make a CA and a certificate. One that runs puts back those that it knows.
    fn anew() -> Result<()> {
        keeper_replicas(0)?;
        kubectl(&["-n", SYSTEM, "delete", "secret", "enclii-webhook-ca", "enclii-webhook-tls"])?;
        keeper_replicas(1)
    }
}

impl Drop for ShortLives {
    fn drop(&mut self) {
        keep_logs(SYSTEM);
        let _ = kubectl(&["-n", SYSTEM, "rollout", "undo", "deployment/enclii-certificates"]);
        let _ = rolled_out(SYSTEM, "deployment/enclii-certificates", STEP_TIMEOUT);
        // It looks at the clock each minute again, and these end before that.
        let _ = Self::anew();
    }
}

#[test]
fn certificates_turn_over_under_load_without_a_refusal() {
    let (cluster, _guard) = exclusive();
    let namespace = namespace(cluster, "turnover");
    let name = namespace.name();
    let api = ApiServer::connect().unwrap();
    keep_logs(SYSTEM);
    kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-webhook", "--replicas=3"]).unwrap();
    rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT).unwrap();
    wait_until_admitted(&api, name, true);

    let seconds = number("ENCLII_TURNOVER_CA_SECONDS", 24) as u64;
    let short = ShortLives::of(Duration::from_secs(seconds)).unwrap();
    let (mut leaves, mut registered) = (BTreeSet::new(), BTreeSet::new());
    let end = Instant::now() + turnover_time();
    let (sent, refused) = under_load(&api, name, || {
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(500));
            leaves.extend(serving_certificate().unwrap());
            registered.insert(kubectl(&["get", REGISTRATION, "-o", CA_BUNDLE]).unwrap());
        }
    });
    drop(short);
    keep_logs(SYSTEM);
    kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-webhook", "--replicas=2"]).unwrap();
    wait_until_admitted(&api, name, true);
    let (leaves, bundles) = (leaves.len(), registered.len());
    println!("{leaves} certificates, {bundles} bundles, {sent} creates, {} refused", refused.len());
    assert!(leaves >= 3 && bundles >= 3, "the certificates did not turn over");
    assert!(refused.is_empty(), "{} of {sent}: {:?}", refused.len(), refused.first());
}

#[test]
fn a_rolling_restart_of_the_webhook_refuses_nothing() {
    let (cluster, _guard) = exclusive();
    let namespace = namespace(cluster, "drained");
    let name = namespace.name();
    let api = ApiServer::connect().unwrap();
    wait_until_admitted(&api, name, true);
    keep_logs(SYSTEM);
    let (sent, refused) = under_load(&api, name, || {
        kubectl(&["-n", SYSTEM, "rollout", "restart", "deployment/enclii-webhook"]).unwrap();
        rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT).unwrap();
        // The old ones go on for their notice and their drain.
        wait::until("the old replicas to end", STEP_TIMEOUT, || {
            let label = "app.kubernetes.io/name=enclii-webhook";
            Ok((e2e::kubectl::objects(SYSTEM, "pods", label)?.len() == 2).then_some(()))
        })
        .unwrap();
    });
    println!("{sent} creates during a rolling restart, {} refused", refused.len());
    assert!(sent > 0 && refused.is_empty(), "{} of {sent}: {:?}", refused.len(), refused.first());
}
