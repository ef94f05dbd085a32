//! Pods that somebody made to get around the agent: each differs in one place from what the webhook
//! makes.

use serde_json::{Value, json};

use super::edit::{
    agent, app, configuration, filled_volume, init, list, mark, metrics, metrics_port, mount,
    mount_in_agent, remove, replace_in_configuration, status, token, variable, volume,
};

/// A change of a pod.
pub(super) type Edit = fn(&mut Value);

/// One change of an injected pod.
pub(super) struct Hostile {
    pub(super) name: &'static str,
    pub(super) change: Edit,
    /// A part of the policy's message.
    pub(super) says: &'static str,
}

pub(super) const fn hostile(name: &'static str, says: &'static str, change: Edit) -> Hostile {
    Hostile { name, change, says }
}

const NO_AGENT: &str = "has no agent";
pub(super) const BEFORE: &str = "before the agent can mount";
const STATUS: &str = "enclii.io/status is not as the webhook writes it";
pub(super) const NOT_A_SIDECAR: &str = "not a sidecar as the webhook makes it";
const NOT_AN_INIT: &str = "not an init container as the webhook makes it";
const PROBE: &str = "has a probe or another termination message path";
const PORT: &str = "has another port than the one that enclii.io/agent-metrics asks for";
pub(super) const SECURITY: &str = "securityContext is not the webhook's";
pub(super) const CONFIGURATION: &str = "not one that the webhook writes";
const VARIABLE: &str = "changes what a program does";
const SECRETS_MOUNT: &str = "does not mount the secrets";
const TOKEN_MOUNT: &str = "does not mount its token";
const HIDES: &str = "can hide what it uses";
const TOKEN: &str = "not the token that the webhook asks for";
const OTHER_TOKEN: &str = "in the volume enclii-token alone";
const VOLUME: &str = "not the memory volume";
pub(super) const IDENTITY: &str = "no other container can mount it";
const READ_ONLY: &str = "at /run/secrets and read-only";
const SECRET: &str = "a volume holds a Secret that the bundle replaces";
const FILLED: &str = "a volume that the agent fills is not the memory volume";

pub(super) const HOSTILE: &[Hostile] = &[
    hostile("no agent", NO_AGENT, |pod| {
        list(&mut pod["spec"]["initContainers"]).retain(|it| it["name"] != "enclii-agent");
    }),
    hostile("nothing of ours", NO_AGENT, |pod| {
        remove(&mut pod["spec"], "initContainers");
        let volumes = list(&mut pod["spec"]["volumes"]);
        volumes.retain(|it| !it["name"].as_str().unwrap().starts_with("enclii-"));
        let mounts = list(&mut app(pod)["volumeMounts"]);
        mounts.retain(|it| it["name"] != "enclii-secrets");
    }),
    hostile("an agent with another name", NO_AGENT, |pod| {
        agent(pod)["name"] = json!("enclii-agents");
    }),
    hostile("the agent behind the application", BEFORE, |pod| {
        let mut it = agent(pod).clone();
        remove(&mut it, "restartPolicy");
        remove(&mut pod["spec"], "initContainers");
        list(&mut pod["spec"]["containers"]).push(it);
    }),
    hostile("an application with the agent's name, and no agent", "image is not", |pod| {
        remove(&mut pod["spec"], "initContainers");
        app(pod)["name"] = json!("enclii-agent");
    }),
    hostile("a status of somebody else", STATUS, |pod| {
        pod["metadata"]["annotations"]["enclii.io/status"] = json!("injected");
    }),
    hostile("a status of another placement", STATUS, |pod| status(pod, "first")),
    hostile("another image", "image is not the operator's", |pod| {
        agent(pod)["image"] = json!("evil/agent:0.1.0");
    }),
    hostile("another tag", "image is not the operator's", |pod| {
        agent(pod)["image"] = json!("enclii/agent:latest");
    }),
    hostile("another registry", "image is not the operator's", |pod| {
        agent(pod)["image"] = json!("evil.example.com/enclii/agent:0.1.0");
    }),
    hostile("the image with a digest", "image is not the operator's", |pod| {
        agent(pod)["image"] = json!(format!("enclii/agent:0.1.0@sha256:{}", "0".repeat(64)));
    }),
    hostile("a command", NOT_A_SIDECAR, |pod| agent(pod)["command"] = json!(["/bin/sh"])),
    hostile("arguments", NOT_A_SIDECAR, |pod| agent(pod)["args"] = json!(["help"])),
    hostile("no hook", NOT_A_SIDECAR, |pod| remove(agent(pod), "lifecycle")),
    hostile("another hook", NOT_A_SIDECAR, |pod| {
        agent(pod)["lifecycle"]["postStart"]["exec"]["command"] = json!(["/enclii-agent", "help"]);
    }),
    hostile("a hook that asks elsewhere", NOT_A_SIDECAR, |pod| {
        agent(pod)["lifecycle"]["postStart"] = json!({"httpGet": {"path": "/", "port": 80}});
    }),
    hostile("a stop hook", NOT_A_SIDECAR, |pod| {
        agent(pod)["lifecycle"]["preStop"] = json!({"exec": {"command": ["/enclii-agent"]}});
    }),
    hostile("an agent that ends", NOT_A_SIDECAR, |pod| {
        remove(agent(pod), "restartPolicy");
        remove(agent(pod), "lifecycle");
    }),
    hostile("a sidecar where none stays", NOT_AN_INIT, |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("init");
    }),
    hostile("a command where no sidecar stays", NOT_AN_INIT, |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("env, init");
        remove(agent(pod), "restartPolicy");
        remove(agent(pod), "lifecycle");
        agent(pod)["command"] = json!(["/bin/sh", "-c"]);
    }),
    hostile("arguments where no sidecar stays", NOT_AN_INIT, |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("init");
        remove(agent(pod), "restartPolicy");
        remove(agent(pod), "lifecycle");
        agent(pod)["args"] = json!(["--address=https://evil"]);
    }),
    hostile("another task where no sidecar stays", NOT_AN_INIT, |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("init");
        remove(agent(pod), "restartPolicy");
        remove(agent(pod), "lifecycle");
        agent(pod)["args"] = json!(["help"]);
    }),
    hostile("no task where no sidecar stays", NOT_AN_INIT, |pod| {
        pod["metadata"]["annotations"]["enclii.io/deliver"] = json!("init");
        remove(agent(pod), "restartPolicy");
        remove(agent(pod), "lifecycle");
    }),
    hostile("a port that nobody asked for", PORT, |pod| {
        agent(pod)["ports"] = json!([metrics_port(9876)]);
    }),
    hostile("another port than the pod asks for", PORT, |pod| {
        metrics(pod, json!([metrics_port(9877)]));
    }),
    hostile("a port of the node", PORT, |pod| {
        metrics(pod, json!([metrics_port(9876)]));
        agent(pod)["ports"][0]["hostPort"] = json!(9876);
    }),
    hostile("a port beside the one that the pod asks for", PORT, |pod| {
        let other = json!({"containerPort": 9877, "name": "other", "protocol": "TCP"});
        metrics(pod, json!([metrics_port(9876), other]));
    }),
    hostile("a liveness probe", PROBE, |pod| {
        agent(pod)["livenessProbe"] = json!({"exec": {"command": ["/enclii-agent", "help"]}});
    }),
    hostile("a startup probe", PROBE, |pod| {
        agent(pod)["startupProbe"] = json!({"tcpSocket": {"port": 80}});
    }),
    hostile("a readiness probe", PROBE, |pod| {
        agent(pod)["readinessProbe"] = json!({"httpGet": {"port": 80, "host": "evil"}});
    }),
    hostile("the token as termination message", PROBE, |pod| {
        agent(pod)["terminationMessagePath"] = json!("/run/enclii/identity/token");
    }),
    hostile("no security context", SECURITY, |pod| remove(agent(pod), "securityContext")),
    // Some clusters refuse it by themselves.
    hostile("privileged", "rivileged", |pod| {
        agent(pod)["securityContext"]["privileged"] = json!(true);
        remove(&mut agent(pod)["securityContext"], "allowPrivilegeEscalation");
    }),
    hostile("privilege escalation", SECURITY, |pod| {
        agent(pod)["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    }),
    hostile("capabilities", SECURITY, |pod| {
        agent(pod)["securityContext"]["capabilities"] =
            json!({"drop": ["ALL"], "add": ["SYS_PTRACE"]});
    }),
    hostile("capabilities kept", SECURITY, |pod| {
        agent(pod)["securityContext"]["capabilities"] = json!({"drop": ["NET_RAW"]});
    }),
    hostile("a writable root", SECURITY, |pod| {
        remove(&mut agent(pod)["securityContext"], "readOnlyRootFilesystem");
    }),
    hostile("no seccomp", SECURITY, |pod| {
        agent(pod)["securityContext"]["seccompProfile"] = json!({"type": "Unconfined"});
    }),
    hostile("perhaps root", SECURITY, |pod| {
        remove(&mut agent(pod)["securityContext"], "runAsNonRoot");
    }),
    hostile("no configuration", CONFIGURATION, |pod| remove(agent(pod), "env")),
    hostile("two configurations", CONFIGURATION, |pod| {
        let second = configuration(pod).as_str().unwrap().to_owned();
        variable(agent(pod), "ENCLII_AGENT_CONFIG", &second);
    }),
    hostile("another address", CONFIGURATION, |pod| {
        replace_in_configuration(pod, "switchyard.enclii-system.svc", "evil.example.com");
    }),
    hostile("an address that begins alike", CONFIGURATION, |pod| {
        replace_in_configuration(pod, "enclii-system.svc\"", "enclii-system.svc.evil.com\"");
    }),
    hostile("a source before the source", CONFIGURATION, |pod| {
        let evil = r#"{"source":{"type":"switchyard","address":"https://evil"},"version""#;
        replace_in_configuration(pod, r#"{"version""#, evil);
    }),
    hostile("a configuration from elsewhere", CONFIGURATION, |pod| {
        let env = list(&mut agent(pod)["env"]);
        let it = env.iter_mut().find(|it| it["name"] == "ENCLII_AGENT_CONFIG").unwrap();
        *it = json!({
            "name": "ENCLII_AGENT_CONFIG",
            "valueFrom": {"configMapKeyRef": {"name": "mine", "key": "config"}}
        });
    }),
    hostile("a library", VARIABLE, |pod| variable(agent(pod), "LD_PRELOAD", "/x.so")),
    hostile("an allocator's switch", VARIABLE, |pod| variable(agent(pod), "MALLOC_TRACE", "/x")),
    hostile("a switch of libc", VARIABLE, |pod| variable(agent(pod), "GLIBC_TUNABLES", "x")),
    hostile("a log of everything", VARIABLE, |pod| variable(agent(pod), "RUST_LOG", "trace")),
    hostile("another setting of ours", VARIABLE, |pod| {
        variable(agent(pod), "ENCLII_LOG_FILTER", "trace");
    }),
    hostile("variables from elsewhere", VARIABLE, |pod| {
        agent(pod)["envFrom"] = json!([{"configMapRef": {"name": "mine"}}]);
    }),
    hostile("an agent without the secrets", SECRETS_MOUNT, |pod| {
        list(&mut agent(pod)["volumeMounts"]).retain(|it| it["name"] != "enclii-secrets");
    }),
    hostile("secrets elsewhere", SECRETS_MOUNT, |pod| {
        mount(agent(pod), "enclii-secrets")["mountPath"] = json!("/run/elsewhere");
    }),
    hostile("a part of the secrets", SECRETS_MOUNT, |pod| {
        mount(agent(pod), "enclii-secrets")["subPath"] = json!("part");
    }),
    hostile("secrets that the agent cannot write", SECRETS_MOUNT, |pod| {
        mount(agent(pod), "enclii-secrets")["readOnly"] = json!(true);
    }),
    hostile("an agent without a token", TOKEN_MOUNT, |pod| {
        list(&mut agent(pod)["volumeMounts"]).retain(|it| it["name"] != "enclii-token");
    }),
    hostile("the token elsewhere", TOKEN_MOUNT, |pod| {
        mount(agent(pod), "enclii-token")["mountPath"] = json!("/run/enclii/other");
    }),
    hostile("another program over the agent's", HIDES, |pod| mount_in_agent(pod, "/enclii-agent")),
    hostile("a directory over the token", HIDES, |pod| {
        mount_in_agent(pod, "/run/enclii/identity/x");
    }),
    hostile("a directory below the secrets", HIDES, |pod| mount_in_agent(pod, "/run/secrets/x")),
    hostile("a device", HIDES, |pod| {
        list(&mut pod["spec"]["volumes"])
            .push(json!({"name": "block", "persistentVolumeClaim": {"claimName": "block"}}));
        agent(pod)["volumeDevices"] = json!([{"name": "block", "devicePath": "/dev/x"}]);
    }),
    hostile("a token for somebody else", TOKEN, |pod| token(pod)["audience"] = json!("vault")),
    hostile("a token that lasts", TOKEN, |pod| token(pod)["expirationSeconds"] = json!(86400)),
    hostile("a token with another name", TOKEN, |pod| token(pod)["path"] = json!("other")),
    hostile("a Secret as token", TOKEN, |pod| {
        *volume(pod, "enclii-token") =
            json!({"name": "enclii-token", "secret": {"secretName": "mine"}});
    }),
    hostile("more beside the token", TOKEN, |pod| {
        list(&mut volume(pod, "enclii-token")["projected"]["sources"])
            .push(json!({"configMap": {"name": "mine"}}));
    }),
    hostile("a second token for the application", OTHER_TOKEN, |pod| {
        list(&mut pod["spec"]["volumes"]).push(json!({
            "name": "mine",
            "projected": {"sources": [
                {"serviceAccountToken": {"audience": "enclii.io", "path": "token"}}
            ]}
        }));
        list(&mut app(pod)["volumeMounts"]).push(json!({"name": "mine", "mountPath": "/mine"}));
    }),
    hostile("secrets on disk", VOLUME, |pod| {
        remove(&mut volume(pod, "enclii-secrets")["emptyDir"], "medium");
    }),
    hostile("secrets without a limit", VOLUME, |pod| {
        remove(&mut volume(pod, "enclii-secrets")["emptyDir"], "sizeLimit");
    }),
    hostile("secrets on the node", VOLUME, |pod| {
        *volume(pod, "enclii-secrets") =
            json!({"name": "enclii-secrets", "hostPath": {"path": "/tmp"}});
    }),
    hostile("the token in the application", IDENTITY, |pod| {
        list(&mut app(pod)["volumeMounts"])
            .push(json!({"name": "enclii-token", "mountPath": "/mine", "readOnly": true}));
    }),
    hostile("the token in an init container", IDENTITY, |pod| {
        let mounts = json!([{"name": "enclii-token", "mountPath": "/mine", "readOnly": true}]);
        init(pod, 1, json!({"volumeMounts": mounts}));
    }),
    hostile("secrets that the application can write", READ_ONLY, |pod| {
        remove(mount(app(pod), "enclii-secrets"), "readOnly");
    }),
    hostile("secrets elsewhere in the application", READ_ONLY, |pod| {
        mount(app(pod), "enclii-secrets")["mountPath"] = json!("/mine");
    }),
    hostile("a part of the secrets in the application", READ_ONLY, |pod| {
        mount(app(pod), "enclii-secrets")["subPathExpr"] = json!("x");
    }),
    hostile("a named part of the secrets in the application", READ_ONLY, |pod| {
        mount(app(pod), "enclii-secrets")["subPath"] = json!("..data");
    }),
    hostile("the mark of another container", READ_ONLY, |pod| {
        mark(pod)["subPath"] = json!(".container/other");
    }),
    hostile("all secrets in place of a mark", READ_ONLY, |pod| remove(mark(pod), "subPath")),
    hostile("a mark at another place", READ_ONLY, |pod| mark(pod)["mountPath"] = json!("/mine")),
    hostile("a mark that the application can write", READ_ONLY, |pod| {
        remove(mark(pod), "readOnly");
    }),
    hostile("a mark that a variable names", READ_ONLY, |pod| {
        let it = mark(pod);
        remove(it, "subPath");
        it["subPathExpr"] = json!("x");
    }),
    hostile("a mark and no secrets", "no container of the application mounts", |pod| {
        mark(pod);
        list(&mut app(pod)["volumeMounts"]).retain(|it| it["mountPath"] != "/run/secrets");
    }),
    hostile("secrets that an init container can write", READ_ONLY, |pod| {
        let mounts = json!([{"name": "enclii-secrets", "mountPath": "/run/secrets"}]);
        init(pod, 1, json!({"volumeMounts": mounts}));
    }),
    hostile("a container before the agent", BEFORE, |pod| {
        let mounts =
            json!([{"name": "enclii-secrets", "mountPath": "/run/secrets", "readOnly": true}]);
        init(pod, 0, json!({"volumeMounts": mounts}));
    }),
    hostile("nobody gets the secrets", "no container of the application mounts", |pod| {
        list(&mut app(pod)["volumeMounts"]).retain(|it| it["name"] != "enclii-secrets");
    }),
    hostile("a variable of the Secret", "from a Secret that the bundle replaces", |pod| {
        list(&mut app(pod)["env"]).push(json!({
            "name": "API_TOKEN",
            "valueFrom": {"secretKeyRef": {"name": "api-prod", "key": "API_TOKEN"}}
        }));
    }),
    hostile("all variables of the Secret", "from a Secret that the bundle replaces", |pod| {
        app(pod)["envFrom"] = json!([{"secretRef": {"name": "api-prod"}}]);
    }),
    hostile("the Secret as a volume", SECRET, |pod| {
        let secret = json!({"name": "mine", "secret": {"secretName": "api-prod"}});
        list(&mut pod["spec"]["volumes"]).push(secret);
    }),
    hostile("the Secret in a projected volume", SECRET, |pod| {
        let sources = json!([{"configMap": {"name": "x"}}, {"secret": {"name": "api-prod"}}]);
        let projected = json!({"name": "mine", "projected": {"sources": sources}});
        list(&mut pod["spec"]["volumes"]).push(projected);
    }),
    hostile("a volume on disk that the agent fills", FILLED, |pod| {
        mount_in_agent(pod, "/run/enclii/volumes/mine");
    }),
    hostile("a volume that the agent fills and the application writes", FILLED, |pod| {
        filled_volume(pod, false);
    }),
];
