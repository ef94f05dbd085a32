//! Real servers that keep an old certificate when the new one is broken, and stay ready.

use contract::AgentStatus;
use contract::layout::AGENT_CONTAINER;
use contract::stream::CheckStage;
use e2e::kubectl::{Namespace, PortForward, apply, kubectl, ready_pods, rolled_out};
use e2e::wait;
use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};

use crate::app::service_account;
use crate::harness::{self, Cluster, STEP_TIMEOUT, shared};

/// Built by tests/cluster/servers-image.sh.
const IMAGE: &str = "enclii.test/servers:1";

/// The port of each server.
const PORT: u16 = 8443;

const NGINX: &str = "
events {}
error_log /dev/stderr;
pid /tmp/nginx.pid;
http {
    access_log off;
    server {
        listen 8443 ssl;
        ssl_certificate /run/secrets/server.pem;
        ssl_certificate_key /run/secrets/server.pem;
        include /run/secrets/more.conf;
        location / { return 200 'ok'; }
    }
}
";

const HAPROXY: &str = "
global
    log stderr format raw local0
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend web
    bind :8443 ssl crt /run/secrets/server.pem
    http-request return status 200 content-type text/plain string ok
";

/// A certificate and its key.
struct ServerPem {
    certificate: String,
    key: String,
}

impl ServerPem {
    fn new() -> Self {
        let generated = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { certificate: generated.cert.pem(), key: generated.signing_key.serialize_pem() }
    }

    fn both(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }
}

/// A server in a pod of its own.
struct ServerPod {
    cluster: &'static Cluster,
    namespace: Namespace,
    scope: String,
    forward: Option<PortForward>,
}

impl ServerPod {
    /// Starts it with a first certificate. `None` where its image is not in the cluster.
    fn start(name: &str, command: &[&str], config: &str, reload: &str) -> Option<Self> {
        harness::own_cluster_setting("ENCLII_LEAK_PATHS")?;
        let (cluster, _guard) = shared();
        let project = &harness::project(name);
        let labels = [("enclii.io/project", project.as_str()), ("enclii.io/environment", "prod")];
        let namespace = Namespace::create(&format!("{project}-prod"), &labels).unwrap();
        let scope = format!("{project}.prod.api");
        cluster.set(&scope, "server.pem", ServerPem::new().both().as_bytes()).unwrap();
        cluster.set(&scope, "more.conf", b"# nothing\n").unwrap();
        cluster.wait_for_bundle(namespace.name(), "api-prod", "more.conf").unwrap();
        service_account(namespace.name(), "api").unwrap();
        let labels = json!({"app": "api"});
        let objects = [
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": {"server.conf": config},
                "metadata": {"name": "server", "namespace": namespace.name()}
            }),
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "api", "namespace": namespace.name()},
                "spec": {"selector": labels, "ports": [{"port": PORT}]}
            }),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "api", "namespace": namespace.name()},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels, "annotations": {
                            "enclii.io/secrets": "api-prod",
                            "enclii.io/reload": reload,
                            "enclii.io/verify": format!("tls={PORT}")
                        }},
                        "spec": {
                            "serviceAccountName": "api",
                            "volumes": [{"name": "conf", "configMap": {"name": "server"}}],
                            "containers": [{
                                "name": "server", "image": IMAGE, "command": command,
                                "imagePullPolicy": "Never",
                                "securityContext": {"runAsUser": 0},
                                "ports": [{"containerPort": PORT}],
                                "readinessProbe": {"tcpSocket": {"port": PORT},
                                    "periodSeconds": 1},
                                "volumeMounts": [{"name": "conf", "mountPath": "/conf"}]
                            }]
                        }
                    }
                }
            }),
        ];
        objects.iter().for_each(|object| apply(&object.to_string()).unwrap());
        rolled_out(namespace.name(), "deployment/api", STEP_TIMEOUT).unwrap();
        Some(Self { cluster, namespace, scope, forward: None })
    }

    fn set(&self, name: &str, value: &str) {
        self.cluster.set(&self.scope, name, value.as_bytes()).unwrap();
    }

    fn pod(&self) -> String {
        ready_pods(self.namespace.name(), "app=api").unwrap().remove(0)
    }

    /// What the agent says of itself.
    fn status(&self) -> AgentStatus {
        let words = ["exec", &self.pod(), "-c", AGENT_CONTAINER, "--"];
        let program = ["/enclii-agent", "status", "--json"];
        let namespace = ["-n", self.namespace.name()];
        let text = kubectl(&[&namespace[..], &words[..], &program[..]].concat()).unwrap();
        AgentStatus::from_json(text.as_bytes()).unwrap()
    }

    /// Waits until the server serves a certificate.
    fn serves(&mut self, pem: &ServerPem) {
        let forward = self.forward.take().unwrap_or_else(|| {
            PortForward::open(self.namespace.name(), "api", PORT, STEP_TIMEOUT).unwrap()
        });
        let roots = runtime::root_certs::from_pem(pem.certificate.as_bytes()).unwrap();
        let tls =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client = reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(STEP_TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        let url = format!("https://localhost:{}/", forward.port());
        wait::until("the server to serve its certificate", STEP_TIMEOUT, || {
            Ok(client.get(&url).send().ok().filter(|it| it.status().is_success()).map(drop))
        })
        .unwrap();
        self.forward = Some(forward);
    }

    /// Waits until the agent knows that what the files hold works. A generation that is replaced
    /// before that is none to come back to.
    fn is_checked(&self) {
        wait::until("checks of the current generation", STEP_TIMEOUT, || {
            let status = self.status();
            let run = status.checks.iter().rfind(|run| run.stage == CheckStage::After);
            let checked = run.and_then(|run| run.generations.first());
            let holds = status.bundles.first().and_then(|it| it.generation);
            Ok((checked.map(|it| it.generation) == holds).then_some(()))
        })
        .unwrap();
    }

    /// Waits until the agent has refused one generation more, and returns why.
    fn refused(&self, count: usize) -> String {
        wait::until("a refused generation", STEP_TIMEOUT, || {
            Ok(Some(self.status()).filter(|it| it.refused.len() == count))
        })
        .unwrap()
        .refused
        .remove(count - 1)
        .reason
    }

    /// Three rotations in a row, a broken certificate, and one that works again.
    fn rotates(&mut self) -> ServerPem {
        for _ in 0..3 {
            let pem = ServerPem::new();
            self.set("server.pem", &pem.both());
            self.serves(&pem);
        }
        let last = ServerPem::new();
        self.set("server.pem", &last.both());
        self.serves(&last);
        let broken = ServerPem { certificate: ServerPem::new().certificate, key: last.key.clone() };
        self.set("server.pem", &broken.both());
        let reason = self.refused(1);
        assert!(reason.contains("no secret has a certificate whose private key"), "{reason}");
        self.serves(&last);
        let pem = ServerPem::new();
        self.set("server.pem", &pem.both());
        self.serves(&pem);
        self.is_checked();
        pem
    }
}

fn restarts(namespace: &Namespace) -> u64 {
    let pods = e2e::kubectl::objects(namespace.name(), "pod", "app=api").unwrap();
    let statuses = pods.iter().filter_map(|pod| pod["status"]["containerStatuses"].as_array());
    statuses.flatten().filter_map(|it| Value::as_u64(&it["restartCount"])).sum()
}

#[test]
fn nginx_takes_up_certificates_and_loses_a_broken_one() {
    let command = ["nginx", "-c", "/conf/server.conf", "-g", "daemon off;"];
    let Some(mut nginx) = ServerPod::start("nginx", &command, NGINX, "signal=SIGHUP") else {
        return;
    };
    let served = nginx.rotates();

    // A configuration that nginx refuses keeps the old certificate, and nginx stays ready.
    nginx.set("more.conf", "this is no directive;\n");
    nginx.is_checked();
    let pem = ServerPem::new();
    nginx.set("server.pem", &pem.both());
    let reason = nginx.refused(2);
    assert!(reason.contains("serves another certificate than server.pem"), "{reason}");
    nginx.serves(&served);
    let status = nginx.status();
    let stages: Vec<_> = status.checks.iter().map(|run| run.stage).collect();
    assert!(stages.contains(&CheckStage::Restored), "{stages:?}");
    nginx.set("more.conf", "# nothing\n");
    nginx.serves(&pem);
    assert_eq!(restarts(&nginx.namespace), 0);
}

#[test]
fn haproxy_takes_up_certificates_and_refuses_a_broken_one() {
    let command = ["haproxy", "-W", "-f", "/conf/server.conf"];
    let Some(mut haproxy) = ServerPod::start("haproxy", &command, HAPROXY, "signal=SIGUSR2") else {
        return;
    };
    haproxy.rotates();
    assert_eq!(restarts(&haproxy.namespace), 0);
}
