//! The demonstration with Vault and without switchyard. Each step checks what it shows.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use e2e::guard;
use e2e::loopback::Identity;
use e2e::loopback_webhook::LoopbackWebhook;
use e2e::sample::sha256;
use e2e::token_review::{AUDIENCE, TokenReviews};
use e2e::vault::{MOUNT, Vault};
use reqwest::Method;
use serde_json::{Value, json};

use crate::example;
use crate::folders::Folders;
use crate::output::{self, Progress};
use crate::pod_processes::PodProcesses;
use crate::steps::{finish, now_ms, reloaded};

const ROTATIONS: usize = 3;

/// Where the application's secrets are in the KV engine.
const PATH: &str = "shop/api";

/// What the pod's role may read.
const POLICY: &str = r#"
path "secret/data/shop/api"     { capabilities = ["read"] }
path "secret/metadata/shop/api" { capabilities = ["read"] }
"#;

/// How long the application answers requests: longer than everything that happens meanwhile.
const LOAD_SECONDS: usize = 25;

/// Seconds between two looks of the agent, and a time in which it has looked twice.
const POLL_SECONDS: u32 = 1;
const TWO_POLLS: Duration = Duration::from_secs(3);

/// Runs the demonstration.
///
/// # Errors
/// The first check that fails.
pub(crate) fn run(keep: bool, rate: u32) -> Result<()> {
    let mut progress = Progress::new(7);
    let folders = Folders::new()?;
    let directory = folders.disk.path();

    progress.step("Vault starts, and a stand-in for the review of tokens");
    let vault = Vault::start()?;
    let reviews = TokenReviews::start()?;
    log_in_with_kubernetes(&vault, &reviews)?;
    output::line(&format!("Vault is unsealed at {}", vault.address()));
    output::line(&format!(
        "there is no API server here: Vault asks {} whose a token is, which knows this pod's alone",
        reviews.address()
    ));
    let identity = Identity {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        pod: "api-demo".into(),
        uid: format!("demo-{}-{}", std::process::id(), now_ms()?),
        token: reviews.issue("shop-prod", "api"),
    };

    progress.step("The webhook starts, with Vault as the source: there is no switchyard");
    let webhook = webhook(directory, &vault)?;
    output::line(&format!("the webhook is ready at {}", webhook.url()));

    progress.step("A team puts its credentials into Vault, and says where they are");
    let store = Store { vault: &vault, key: format!("sk_demo_{}", now_ms()?) };
    let first = format!("postgres://shop:{}@db.shop-prod.svc:5432/shop", now_ms()?);
    store.put(&first)?;
    bundle(directory)?;

    progress.step("The API server asks the webhook about a pod of manifests/examples/api.yaml");
    let after = example::inject(|review| webhook.review(review))?;
    let logs = directory.join("logs");

    progress.step("The agent and the application start as the patched pod describes them");
    let mut running = PodProcesses::start(&logs, &after, &identity, folders.memory.path())?;
    let state = running.state()?;
    holds(&running, &first)?;
    output::line(&format!(
        "the agent logged in as shop-prod/api; the application (pid {}) found its files when it \
         started",
        state.pid
    ));

    progress.step(&format!(
        "{ROTATIONS} rotations while the application answers {rate} requests per second"
    ));
    let file = folders.memory.path().join("secrets/DATABASE_URL");
    let mut load = running.load(rate, LOAD_SECONDS, &logs)?;
    for round in 1..=ROTATIONS {
        let after = store.rotate(&mut running, &format!("rotated-{round}"))?;
        output::line(&format!(
            "rotation {round}: file replaced, application reloaded within {} ms of the command; \
             the agent looks every {POLL_SECONDS} s",
            after.as_millis()
        ));
    }

    progress.step("Deleted, undeleted, sealed and unsealed: the application keeps what works");
    let before = fs::read(&file)?;
    store.vault(&["kv", "delete", &format!("-mount={MOUNT}"), PATH], None)?;
    std::thread::sleep(TWO_POLLS);
    ensure!(fs::read(&file)? == before, "a deletion took the file");
    output::line("the file is as it was");
    let version = (ROTATIONS + 1).to_string();
    let versions = format!("-versions={version}");
    store.vault(&["kv", "undelete", &format!("-mount={MOUNT}"), &versions, PATH], None)?;
    store.vault(&["operator", "seal"], None)?;
    std::thread::sleep(TWO_POLLS);
    ensure!(fs::read(&file)? == before, "a sealed Vault took the file");
    output::line("the file is as it was");
    output::command("vault operator unseal");
    vault.unseal()?;
    let after = store.rotate(&mut running, "after-the-seal")?;
    output::line(&format!("the agent carried on: reloaded within {} ms", after.as_millis()));

    let result = finish(&mut load)?;
    ensure!(running.state()?.pid == state.pid, "the application was restarted");
    ensure!(
        result.failed == 0 && result.sent > 0,
        "requests failed: {} of {} ({:?})",
        result.failed,
        result.sent,
        result.first_error
    );
    output::verdict(&format!(
        "PASSED in {:.0} s: {} rotations in Vault, {} requests, none failed, no restart",
        progress.seconds(),
        ROTATIONS + 1,
        result.sent
    ));
    if keep {
        return keep_running(&vault, &running, directory);
    }
    output::line(
        "The stand-in for token reviews is the demo's. Vault's login with a real API server is",
    );
    output::line("tested in a cluster: tests/suites/cluster/vault_only.rs. Try next:");
    output::command("make demo VAULT=1 KEEP=1   # the same, and it keeps running for you to use");
    Ok(())
}

/// The Kubernetes auth method with one role, and its policy.
fn log_in_with_kubernetes(vault: &Vault, reviews: &TokenReviews) -> Result<()> {
    let post = |path: &str, body: Value| vault.api(Method::POST, path, &body).map(drop);
    post("sys/auth/kubernetes", json!({"type": "kubernetes"}))?;
    let host = reviews.address();
    post("auth/kubernetes/config", json!({"kubernetes_host": host, "disable_local_ca_jwt": true}))?;
    post("sys/policies/acl/shop-prod_api", json!({"policy": POLICY}))?;
    let role = json!({
        "bound_service_account_names": "api",
        "bound_service_account_namespaces": "shop-prod",
        "audience": AUDIENCE,
        "token_policies": ["shop-prod_api"],
        "token_ttl": "1h",
    });
    post("auth/kubernetes/role/shop-prod_api", role)
}

/// The webhook of an operator who has Vault.
fn webhook(directory: &Path, vault: &Vault) -> Result<LoopbackWebhook> {
    let settings = json!({
        "source": "vault",
        "vaultAddress": vault.address(),
        "vaultRole": "{namespace}_{service_account}",
        "vaultAudience": AUDIENCE,
        "vaultPollSeconds": POLL_SECONDS,
    });
    // In a folder of its own, since the webhook watches all of it.
    fs::create_dir(directory.join("settings"))?;
    let file = directory.join("settings/webhook.yaml");
    write(&file, settings.to_string().as_bytes())?;
    output::line("webhook.yaml:");
    for (key, value) in settings.as_object().into_iter().flatten() {
        output::line(&format!("    {key}: {value}"));
    }
    let config = file.to_string_lossy().into_owned();
    LoopbackWebhook::start(directory, &["--config".into(), config, "--trust-every-caller".into()])
}

/// The SecretBundle of the team.
fn bundle(directory: &Path) -> Result<()> {
    let of = |field: &str| json!({"type": "kv", "mount": MOUNT, "path": PATH, "field": field});
    let mapping =
        json!({"DATABASE_URL": of("DATABASE_URL"), "STRIPE_API_KEY": of("STRIPE_API_KEY")});
    output::line("SecretBundle api-prod in namespace shop-prod, spec.vault:");
    for (key, value) in mapping.as_object().into_iter().flatten() {
        output::line(&format!("    {key}: {value}"));
    }
    let object = json!({
        "apiVersion": "enclii.io/v1", "kind": "SecretBundle",
        "metadata": {"name": "api-prod", "namespace": "shop-prod"},
        "spec": {"vault": mapping},
    });
    let folder = directory.join("bundles/shop-prod");
    fs::create_dir_all(&folder)?;
    write(&folder.join("api-prod.json"), object.to_string().as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes).with_context(|| format!("write {}", path.display()))
}

/// The team's secrets in Vault.
struct Store<'v> {
    vault: &'v Vault,
    key: String,
}

impl Store<'_> {
    /// Runs `vault`, and shows it. What it reads from standard input is not shown.
    fn vault(&self, words: &[&str], input: Option<&[u8]>) -> Result<()> {
        let from = if input.is_some() { " < values.json" } else { "" };
        output::command(&format!("vault {}{from}", words.join(" ")));
        let mut command = self.vault.command();
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, _registration) = guard::spawn(&mut command)?;
        let mut stdin = child.stdin.take().context("standard input")?;
        stdin.write_all(input.unwrap_or_default())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("vault {}: {}", words[0], String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn put(&self, url: &str) -> Result<()> {
        let data = json!({"DATABASE_URL": url, "STRIPE_API_KEY": self.key}).to_string();
        let mount = format!("-mount={MOUNT}");
        self.vault(&["kv", "put", &mount, PATH, "-"], Some(data.as_bytes()))
    }

    /// Writes a new value, and waits until the application has it. Returns how long that took.
    fn rotate(&self, running: &mut PodProcesses, word: &str) -> Result<Duration> {
        let url = format!("postgres://shop:{word}-{}@db.shop-prod.svc:5432/shop", now_ms()?);
        let reloads = running.state()?.reloads;
        // The clock starts before the command does, so the figure includes its start-up.
        let from = SystemTime::now();
        self.put(&url)?;
        let at = reloaded(running, reloads, Duration::from_secs(40))?;
        holds(running, &url)?;
        Ok(at.duration_since(from).unwrap_or_default())
    }
}

/// Whether the application holds this value.
fn holds(running: &PodProcesses, url: &str) -> Result<()> {
    let held = running.state()?.digests.get("DATABASE_URL") == Some(&sha256(url.as_bytes()));
    ensure!(held, "the application holds another value than Vault");
    Ok(())
}

/// Keeps everything running until a signal ends this process.
fn keep_running(vault: &Vault, running: &PodProcesses, directory: &Path) -> Result<()> {
    output::line("");
    output::line(&format!(
        "It keeps running until Ctrl-C. The application is {}",
        running.url("/state")
    ));
    let command: Command = vault.command();
    output::command(&format!("export VAULT_ADDR={}", vault.address()));
    output::command(&format!("export VAULT_TOKEN=$(cat {})", vault.root_token_file()?.display()));
    let program = command.get_program().to_string_lossy().into_owned();
    output::command(&format!("{program} kv get -mount={MOUNT} {PATH}"));
    output::line(&format!("all files are in {}", directory.display()));
    loop {
        std::thread::sleep(Duration::from_secs(1));
        ensure!(!running.has_ended(), "the application ended");
    }
}
