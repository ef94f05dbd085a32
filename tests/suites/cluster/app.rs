//! The sample application as workloads of a test's own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kubectl::{Namespace, apply, ask, kubectl, ready_pods, rolled_out};
use e2e::sample::{AppState, LoadReport, sha256};
use e2e::wait;
use serde_json::{Value, json};

use crate::harness::STEP_TIMEOUT;

const IMAGE: &str = "enclii/sample:0.1.0";

/// A Deployment of the sample application, to be changed by a test before it is applied.
pub(crate) struct App {
    pub(crate) namespace: String,
    pub(crate) manifest: Value,
}

impl App {
    /// Two replicas of `api` that ask for `api-prod` and have credentials in plaintext, as teams
    /// ship them.
    pub(crate) fn new(namespace: &str, reload: &str) -> Self {
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "api", "namespace": namespace},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "api"}},
                "template": {
                    "metadata": {
                        "labels": {"app": "api"},
                        "annotations": {"enclii.io/secrets": "api-prod", "enclii.io/reload": reload}
                    },
                    "spec": pod_spec(&[
                        ("DATABASE_URL", TEMPLATE_URL),
                        ("STRIPE_API_KEY", TEMPLATE_KEY),
                        ("LOG_LEVEL", "info")
                    ])
                }
            }
        });
        Self { namespace: namespace.to_owned(), manifest }
    }

    pub(crate) fn deploy(&self) -> Result<()> {
        service_account(&self.namespace, "api")?;
        apply(&self.manifest.to_string())?;
        rolled_out(&self.namespace, "deployment/api", STEP_TIMEOUT)
    }

    pub(crate) fn pods(&self) -> Result<Vec<String>> {
        ready_pods(&self.namespace, "app=api")
    }

    /// The state of each pod's application.
    pub(crate) fn states(&self) -> Result<Vec<AppState>> {
        self.pods()?.iter().map(|pod| state(&self.namespace, pod)).collect()
    }

    /// Waits until every pod's application holds a value.
    pub(crate) fn holds(&self, name: &str, value: &str) -> Result<Vec<AppState>> {
        let digest = sha256(value.as_bytes());
        wait::until(
            &format!("every application of {} to hold the new {name}", self.namespace),
            Duration::from_secs(60),
            || {
                let states = self.states()?;
                Ok(Some(states).filter(|it| {
                    !it.is_empty()
                        && it.iter().all(|state| state.digests.get(name) == Some(&digest))
                }))
            },
        )
    }
}

/// The plaintext of the template; no value of the store, so that the hunt for those is not misled.
pub(crate) const TEMPLATE_URL: &str = "postgres://shop:template-plaintext@db.internal:5432/shop";
/// Likewise.
pub(crate) const TEMPLATE_KEY: &str = "sk_test_templateplaintext0000";

/// A pod's spec: one container of the sample application with these variables.
pub(crate) fn pod_spec(variables: &[(&str, &str)]) -> Value {
    let env: Vec<_> =
        variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "serviceAccountName": "api",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": true},
        "containers": [{
            "name": "api", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 8080}],
            "env": env,
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
            "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}}
        }]
    })
}

/// A bare pod that asks for `api-prod`.
pub(crate) fn pod(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "labels": {"app": name},
            "annotations": {"enclii.io/secrets": "api-prod"}
        },
        "spec": spec
    })
}

/// Applies a manifest whose bundle was announced a moment ago: the webhook learns of it by
/// watching.
pub(crate) fn admit(manifest: &str) -> Result<()> {
    wait::until("the webhook to know the bundle", STEP_TIMEOUT, || match apply(manifest) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.to_string().contains("does not exist") => Ok(None),
        Err(error) => Err(error),
    })
}

pub(crate) fn service_account(namespace: &str, name: &str) -> Result<()> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace}
    });
    apply(&account.to_string())
}

/// A service account's token, of the kind that kubectl is asked for.
pub(crate) fn token(namespace: &Namespace, account: &str, more: &[&str]) -> String {
    let words = [&["-n", namespace.name(), "create", "token", account][..], more].concat();
    kubectl(&words).unwrap().trim().to_owned()
}

pub(crate) fn state(namespace: &str, pod: &str) -> Result<AppState> {
    ask(namespace, pod, 8080, "/state")
}

/// A client inside the cluster that sends requests at a constant rate to `api`.
pub(crate) struct LoadClient {
    namespace: String,
}

impl LoadClient {
    pub(crate) fn start(namespace: &str, rate: u32) -> Result<Self> {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "api", "namespace": namespace},
            "spec": {"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 8080}]}
        });
        apply(&service.to_string())?;
        let address = wait::until("the Service's address", STEP_TIMEOUT, || {
            let service = e2e::kubectl::object(namespace, "service", "api")?;
            Ok(service.and_then(|it| it["spec"]["clusterIP"].as_str().map(str::to_owned)))
        })?;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "load", "namespace": namespace, "labels": {"app": "load"}},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "load", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                    "args": [
                        "load", "--url", format!("http://{address}/"), "--rate", rate.to_string(),
                        "--duration", "600", "--wait", "60", "--listen", "0.0.0.0:8080"
                    ],
                    "readinessProbe": {
                        "httpGet": {"path": "/load", "port": 8080}, "periodSeconds": 1
                    }
                }]
            }
        });
        apply(&pod.to_string())?;
        wait::until("the load client", STEP_TIMEOUT, || {
            Ok(ready_pods(namespace, "app=load")?.pop())
        })?;
        let client = Self { namespace: namespace.to_owned() };
        wait::until("the first requests", STEP_TIMEOUT, || {
            Ok(Some(client.now()?).filter(|it| it.sent > 0))
        })?;
        Ok(client)
    }

    pub(crate) fn now(&self) -> Result<LoadReport> {
        ask(&self.namespace, "load", 8080, "/load").context("the load client")
    }

    /// The count so far, with no failure in it.
    pub(crate) fn without_failure(&self) -> Result<LoadReport> {
        let load = self.now()?;
        ensure!(
            load.failed == 0,
            "{} of {} requests failed: {:?}",
            load.failed,
            load.sent,
            load.first_error
        );
        Ok(load)
    }
}
