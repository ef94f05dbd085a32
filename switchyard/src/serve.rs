//! Runs the process: wires the parts together, from opening the database to the end of the drain.

mod audit_jobs;
mod error;
mod platform;
mod store;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::alt_names::{SubjectAltNames, SubjectAltNamesError};
use certs::resolver::server_config;
use contract::Redacted;
use lockbox::Database;
use lockbox::database::DatabaseKind;
use prometheus_client::registry::Registry;
use runtime::readiness::Readiness;
use runtime::signals::{Shutdown, ShutdownTimeouts};
use runtime::tasks::Tasks;
use tokio::net::TcpListener;

use crate::access::{AccessControl, WorkloadRules, record_configured_rights, run_read_count};
use crate::agents::Agents;
use crate::api;
use crate::app::{
    AppState, HealthCache, ListedBundles, PodEvents, RateLimiter, RefusalLog, StreamLimits,
    StreamState, byte_budget,
};
use crate::args::{DatabaseArgs, LimitArgs, ServeArgs};
use crate::audit::AuditLog;
use crate::bundle_updates::BundleUpdates;
use crate::certificates::{self, ServingCertificate};
use crate::cluster::PodEventRecorder;
use crate::disk::{DiskSpace, DiskThresholds, DiskWatch};
use crate::epoch::LedgerEpoch;
use crate::expiry_watch::ExpiryWatch;
use crate::identity::{
    OidcProvider, PeopleIssuer, TokenAuthenticator, TrustedIssuer, WorkloadConfigError,
    WorkloadIssuers, ensure_bootstrap_token, read_workload_issuers,
};
use crate::ledger_key;
use crate::ledger_watch::{report_forgeries, watch_ledger, watch_rights};
use crate::metrics::Metrics;
use crate::publisher::Publisher;
use crate::rekey::Rekey;
use crate::replicas::{self, LeaderElector};
use crate::repository::Repository;
use crate::secrets::{self, Secrets};
use crate::trust;
use audit_jobs::{AuditJobs, FinalCheckpoint};
pub use error::ServeError;
use platform::Platform;
use store::OpenedStore;

/// The time limit for each step after the drain. Notice, drain and these steps fit into the 30 s
/// that Kubernetes gives a pod.
const SHUTDOWN_STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs switchyard until `shutdown`.
///
/// # Errors
/// A part cannot start, or a task does not end in time.
pub async fn serve(args: ServeArgs, tasks: Tasks, shutdown: Shutdown) -> Result<(), ServeError> {
    let readiness = Readiness::new();
    allow_many_files();
    // Bind the ports first, so that a second instance fails early.
    let (public, operator) = (bind(args.daemon.listen)?, bind(args.daemon.admin)?);
    let (listen, admin) = (args.daemon.listen, args.daemon.admin);
    let notice = args.daemon.drain_notice;
    let database = open(&args).await?;
    let final_checkpoint =
        start(args, database.clone(), public, operator, &tasks, &readiness).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %listen, %admin, "switchyard started");
    let ended = shutdown
        .wait_and_drain(
            &tasks,
            &readiness,
            ShutdownTimeouts { notice, ..ShutdownTimeouts::default() },
        )
        .await;
    // No more events follow, so this checkpoint covers the whole log.
    if let Some(final_checkpoint) = final_checkpoint
        && tokio::time::timeout(SHUTDOWN_STEP_TIMEOUT, final_checkpoint.sign()).await.is_err()
    {
        tracing::error!(
            "no checkpoint signed at shutdown: not done within {SHUTDOWN_STEP_TIMEOUT:?}"
        );
    }
    // Abandons whatever the drain left. Acknowledged writes are in the WAL, which closing the
    // database checkpoints into the file.
    let _ = tokio::time::timeout(SHUTDOWN_STEP_TIMEOUT, database.close()).await;
    Ok(ended?)
}

/// Raises the soft limit of open files (usually 1,024) to the hard limit: each stream is a file
/// descriptor.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "raise limit of open files");
    }
}

async fn open(args: &ServeArgs) -> Result<Database, ServeError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let data = &args.data;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|source| ServeError::Data { path: data.to_owned(), source })?;
    let DatabaseArgs { database_url_file, database_url } = &args.database;
    let database = match (database_url_file, database_url) {
        (Some(path), _) => {
            let read = std::fs::read(path)
                .map_err(|source| ServeError::DatabaseUrl { path: path.clone(), source })?;
            Database::connect(&Redacted::new(read)).await?
        }
        (None, Some(url)) => Database::connect(url).await?,
        (None, None) => Database::open(&data.join("switchyard.db")).await?,
    };
    tracing::info!(kind = database.kind().as_str(), "database opened");
    Ok(database)
}

/// Starts every part. The tasks own what it creates; after they end, only the final checkpoint
/// remains to be signed.
async fn start(
    args: ServeArgs,
    database: Database,
    public: TcpListener,
    operator: TcpListener,
    tasks: &Tasks,
    readiness: &Readiness,
) -> Result<Option<FinalCheckpoint>, ServeError> {
    // Close this gate before the admin port opens: without a gate the process would be ready.
    let starting = readiness.gate("the start");
    let metrics = start_admin(operator, tasks, readiness)?;
    let repository = Repository::open(database.clone()).await?;
    // If the ledger is lost, this vital task ends and the process with it.
    let ledger = repository.clone();
    spawn(tasks, "durable ledger", async move { ledger.lost().await });
    let disk = watch_disk(&args, &database, &metrics, tasks);
    let (connections, pod_limits) = (args.daemon.limits(), args.limits);
    let mut epoch = LedgerEpoch::open(repository.clone(), &args.data).await?;
    let OpenedStore { store, embedded } = store::open(&args, database, tasks).await?;
    spawn(tasks, "forgeries", report_forgeries(repository.clone(), metrics.clone()));
    let opening = ledger_key::open(&repository, &store, epoch.knows_key(), args.accept_ledger);
    let Some(opened) = tasks.stopping().run_until_cancelled(opening).await else {
        return Ok(None);
    };
    epoch.opened_with_key(opened?).await?;
    tasks.spawn_vital("ledger epoch", epoch.watch(tasks.stopping()));
    repository.check_rights().await?;
    spawn(tasks, "grants and tokens", watch_rights(repository.clone()));
    let (audit_args, data) = (args.audit.clone(), args.data.clone());
    let (names, retention) = (names(&args)?, args.delete_retention);
    let history = args.pruning.policy();
    let expiry_watch = ExpiryWatch::new(repository.clone(), metrics.clone(), args.expiry_warning);
    spawn(tasks, "expiry watch", expiry_watch.run());
    let development = args.development_identities.is_some();
    let oidc = args.oidc.config().map(|it| OidcProvider::new(it, development)).transpose()?;
    let groups = args.oidc.oidc_roles.clone();
    let trusted = trusted_issuers(&args)?;
    let rules = WorkloadRules::new(&trusted);
    let workloads = WorkloadIssuers::new(trusted, development)?;
    let rate_limiter = RateLimiter::new(args.rate.rate_limit, args.rate.rate_burst);
    let restore = args.restore_bootstrap_token;
    let Platform {
        pods,
        namespaces,
        bundle_sink,
        trust_target,
        bootstrap_target,
        certificate_source,
        development_pods,
        pod_events,
    } = platform::detect(args, tasks, readiness).await?;
    ensure_bootstrap_token(&bootstrap_target, &repository, restore).await?;
    record_configured_rights(&repository, &groups, &rules, &development_pods).await?;
    let certificate = readiness.gate("a certificate to serve");
    let ServingCertificate { resolver, bundle } =
        certificates::start(certificate_source, names, certificate, tasks);
    spawn(tasks, "trust bundle", trust::publish(trust_target, bundle.clone()));

    let updates = BundleUpdates::default();
    spawn(tasks, "listener", replicas::listen(repository.clone(), updates.clone()));
    let leader = LeaderElector::new(repository.clone());
    let publisher =
        Publisher::new(bundle_sink, repository.clone(), namespaces.clone(), updates.clone());
    leader.lead("publisher", tasks, move |_| publisher.clone().run());
    let ledger = repository.clone();
    leader.lead("ledger check", tasks, move |_| watch_ledger(ledger.clone()));
    let ledger = repository.clone();
    leader.lead("read count", tasks, move |fence| run_read_count(ledger.clone(), fence));
    let (audit, writer) = AuditLog::new(repository.clone());
    // It ends when the last handle is dropped.
    tasks.spawn_vital("audit writer", writer.run());
    let refusals = RefusalLog::new(audit.clone(), disk.clone(), metrics.clone());
    tasks.spawn_vital("refusals", refusals.clone().run(tasks.stopping()));

    let secrets =
        Secrets::new(repository.clone(), store.clone(), audit.clone(), updates.clone(), retention);
    let retention_job = secrets.clone();
    leader.lead("sweep", tasks, move |fence| {
        secrets::enforce_retention(retention_job.clone(), fence)
    });
    let pruning_job = secrets.clone();
    leader.lead("prune", tasks, move |fence| {
        secrets::prune_history(pruning_job.clone(), history, fence)
    });
    if let Some(interval) = store.poll_interval() {
        let import_job = secrets.clone();
        leader.lead("adopt", tasks, move |fence| {
            secrets::import_store_changes(import_job.clone(), interval, fence)
        });
    }

    let rekey = embedded.map(|embedded| Rekey::new(embedded, repository.clone(), audit.clone()));
    if let Some(rekey_job) = rekey.clone() {
        leader.lead("rekey", tasks, move |fence| rekey_job.clone().run(fence));
    }

    let agents = Agents::default();
    let writing = agents.clone().run(repository.clone(), tasks.stopping());
    tasks.spawn_vital("states of agents", writing);
    let pod_events = start_pod_events(pod_events, &metrics, tasks);

    let AuditJobs { public_key, final_checkpoint } =
        audit_jobs::start(&audit_args, &data, &repository, &leader, &metrics, tasks)?;

    let app = AppState {
        checkpoint_public_key: public_key,
        secrets,
        tokens: TokenAuthenticator::new(repository.clone()),
        access: AccessControl::new(namespaces, repository.clone(), groups, rules),
        streams: StreamState::new(updates, bundle, stream_limits(pod_limits)),
        repository,
        audit,
        pods,
        oidc,
        workloads,
        metrics,
        tasks: tasks.clone(),
        store,
        rekey,
        refusals,
        disk,
        bytes: byte_budget(),
        rate_limiter,
        health: HealthCache::default(),
        listed_bundles: ListedBundles::default(),
        agents,
        pod_events,
    };
    // HTTP/1.1 only: agent streams use Upgrade, which HTTP/2 does not have.
    let tls = Arc::new(server_config(resolver, &[b"http/1.1"])?);
    let handler = runtime::tls::tower_handler(api::router(Arc::new(app)));
    tasks.spawn_vital("api", runtime::tls::serve(public, tls, connections, handler, tasks.clone()));
    starting.ready();
    Ok(final_checkpoint)
}

/// The issuers whose jobs may log in.
fn trusted_issuers(args: &ServeArgs) -> Result<Vec<TrustedIssuer>, WorkloadConfigError> {
    let Some(file) = &args.workload.workload_issuers else { return Ok(Vec::new()) };
    let people = args.oidc.config();
    let people =
        people.as_ref().map(|it| PeopleIssuer { issuer: &it.issuer, audience: &it.audience });
    read_workload_issuers(file, people)
}

fn start_admin(
    operator: TcpListener,
    tasks: &Tasks,
    readiness: &Readiness,
) -> Result<Metrics, ServeError> {
    let mut registry = Registry::default();
    runtime::metrics::register_process(&mut registry, SystemTime::now());
    let metrics = Metrics::new(&mut registry);
    runtime::admin::start(operator, registry, readiness, tasks).map_err(ServeError::AdminPort)?;
    Ok(metrics)
}

/// Watches the volume of an embedded database. One of a server is its operator's.
fn watch_disk(
    args: &ServeArgs,
    database: &Database,
    metrics: &Metrics,
    tasks: &Tasks,
) -> DiskSpace {
    let space = DiskSpace::default();
    if database.kind() == DatabaseKind::Sqlite {
        let LimitArgs { disk_warning, disk_reserve, .. } = args.limits;
        let reserve = disk_reserve.map(|mebibytes| u64::from(mebibytes) << 20);
        let thresholds = DiskThresholds { warning_percent: disk_warning, reserve };
        let watch = DiskWatch::start(&args.data, thresholds, space.clone(), metrics.clone());
        tasks.spawn_vital("data volume", watch.run(tasks.stopping()));
    }
    space
}

/// Starts the writer of events on pods, if there is a cluster and the operator wants them.
fn start_pod_events(
    recorder: Option<PodEventRecorder>,
    metrics: &Metrics,
    tasks: &Tasks,
) -> PodEvents {
    let Some(recorder) = recorder else { return PodEvents::off(metrics.clone()) };
    let (events, writer) = PodEvents::new(recorder, metrics.clone());
    spawn(tasks, "events on pods", async move {
        writer.run().await;
        std::future::pending().await
    });
    events
}

fn stream_limits(limits: LimitArgs) -> StreamLimits {
    let LimitArgs { max_streams_per_namespace, max_streams_per_pod, .. } = limits;
    StreamLimits::new(max_streams_per_namespace.get(), max_streams_per_pod.get())
}

/// Spawns a task that runs until the drain.
fn spawn(tasks: &Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stopping = tasks.stopping();
    tasks.spawn_vital(name, async move {
        let _ = stopping.run_until_cancelled(work).await;
    });
}

/// The names in the certificate: the Service, loopback, and those that the operator adds.
fn names(args: &ServeArgs) -> Result<SubjectAltNames, SubjectAltNamesError> {
    let names = SubjectAltNames::of_service(&args.service, &args.namespace)?
        .and(SubjectAltNames::parse(["localhost", "127.0.0.1", "::1"])?);
    if args.certificate_names.is_empty() {
        Ok(names)
    } else {
        Ok(names.and(SubjectAltNames::parse(&args.certificate_names)?))
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    runtime::listen::bind(address).map_err(|source| ServeError::Listen { address, source })
}
