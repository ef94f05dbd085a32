//! The process: its parts, wired together, from the database to the end of the drain.

mod audit_jobs;
mod platform;
mod store;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::alt_names::{SubjectAltNames, SubjectAltNamesError};
use certs::resolver::server_config;
use contract::Redacted;
use lockbox::Database;
use lockbox::database::OpenError;
use prometheus_client::registry::Registry;
use runtime::readiness::Readiness;
use runtime::signals::{Shutdown, ShutdownError, ShutdownTimeouts};
use runtime::tasks::Tasks;
use runtime::tls::Limits;
use tokio::net::TcpListener;

use crate::access::Access;
use crate::api::{self, App, Pace};
use crate::args::{DatabaseArgs, ServeArgs};
use crate::audit::{AuditLog, SigningKeyError, SinksError};
use crate::certificates::{self, ServingCertificate};
use crate::identity::{self, BootstrapError, DevelopmentError, Tokens, bootstrap};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::publisher::Publisher;
use crate::rekey::Rekey;
use crate::replicas::{self, LeaderElector};
use crate::repository::{Repository, RepositoryError};
use crate::secrets::{self, Secrets};
use crate::stream::Streams;
use crate::trust;
use audit_jobs::{AuditJobs, FinalCheckpoint};
use platform::Platform;
use store::{OpenedStore, StoreOpenError};

/// Connections that are no streams yet, and the command line's.
const MAX_CONNECTIONS: usize = 4096;

/// For each thing that is left to do after the drain. Notice, drain and this have room in the 30 s
/// that Kubernetes gives a pod.
const SHUTDOWN_STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// Why switchyard could not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be made.
    #[error("make data directory {path}")]
    Data {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file with the database's URL.
    #[error("read database URL from {path}")]
    DatabaseUrl {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] RepositoryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// The development file.
    #[error(transparent)]
    Development(#[from] DevelopmentError),
    /// Development identities on an address that others can reach.
    #[error(
        "take development identities: {0} is not a loopback address, and whoever has the file is every pod in it"
    )]
    NotLoopback(SocketAddr),
    /// Neither a service account nor a kubeconfig is usable.
    #[error("set up the Kubernetes client (without a cluster, give --development-identities)")]
    Client(#[source] kube::Error),
    /// The first administrator's token.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The identity provider.
    #[error(transparent)]
    Oidc(#[from] identity::SetupError),
    /// A name for the certificate.
    #[error("name the certificate")]
    Names(#[from] SubjectAltNamesError),
    /// The cryptography provider lacks a TLS version.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// A port could not be had.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The key that checkpoints of the audit trail are signed with.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// The sinks of the audit trail.
    #[error(transparent)]
    Sinks(#[from] SinksError),
    /// The drain did not end in order.
    #[error("stop")]
    Stop(#[from] ShutdownError),
}

/// Runs switchyard until `shutdown`.
///
/// # Errors
/// Where it cannot start, or a task does not end in time.
pub async fn serve(args: ServeArgs, tasks: Tasks, shutdown: Shutdown) -> Result<(), ServeError> {
    let readiness = Readiness::new();
    allow_many_files();
    // The ports first: whoever has them is the one that runs.
    let (public, operator) = (bind(args.listen).await?, bind(args.admin).await?);
    let (listen, admin, notice) = (args.listen, args.admin, args.drain_notice);
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
    // Nobody writes any more, so this is the trail's end.
    if let Some(final_checkpoint) = final_checkpoint
        && tokio::time::timeout(SHUTDOWN_STEP_TIMEOUT, final_checkpoint.sign()).await.is_err()
    {
        tracing::error!("no checkpoint signed at the end: it took over {SHUTDOWN_STEP_TIMEOUT:?}");
    }
    // Whatever the drain left is cut off; what was acknowledged is in the log, which folds into the
    // file.
    let _ = tokio::time::timeout(SHUTDOWN_STEP_TIMEOUT, database.close()).await;
    Ok(ended?)
}

/// Each stream is a file, and the usual limit of 1,024 is one that a process may raise for itself.
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

/// Starts every part. What it makes is owned by the tasks: when they end, nothing is left but a
/// last word to the audit trail.
async fn start(
    args: ServeArgs,
    database: Database,
    public: TcpListener,
    operator: TcpListener,
    tasks: &Tasks,
    readiness: &Readiness,
) -> Result<Option<FinalCheckpoint>, ServeError> {
    // Before anybody can ask: without a gate the process would be ready.
    let starting = readiness.gate("the start");
    let metrics = observe(operator, tasks, readiness);
    let repository = Repository::open(database.clone()).await?;
    // Its end is the process' end.
    let losing = repository.clone();
    spawn(tasks, "durable ledger", async move { losing.lost().await });
    let OpenedStore { store, embedded } = store::open(&args, database, tasks).await?;
    let (outside, data) = (args.audit.clone(), args.data.clone());
    let (names, retention) = (names(&args)?, args.delete_retention);
    let (oidc, groups) = (
        identity::oidc(&args.oidc, args.development_identities.is_some())?,
        args.oidc.oidc_roles.clone(),
    );
    let pace = Pace::new(args.rate.rate_limit, args.rate.rate_burst);
    let Platform {
        pods,
        namespaces,
        bundle_sink,
        trust_target,
        bootstrap_target,
        certificate_source,
    } = platform::detect(args, tasks, readiness).await?;
    bootstrap(&bootstrap_target, &repository).await?;
    let certificate = readiness.gate("a certificate to serve");
    let ServingCertificate { resolver, bundle } =
        certificates::start(certificate_source, names, certificate, tasks);
    spawn(tasks, "trust bundle", trust::publish(trust_target, bundle.clone()));

    let live = Live::default();
    spawn(tasks, "listener", replicas::listen(repository.clone(), live.clone()));
    let leader = LeaderElector::new(repository.clone());
    let publisher =
        Publisher::new(bundle_sink, repository.clone(), namespaces.clone(), live.clone());
    leader.lead("publisher", tasks, move |_| publisher.clone().run());
    let (audit, writer) = AuditLog::new(repository.clone());
    // It ends by itself when the last one who could send it an event is gone.
    tasks.spawn_vital("audit writer", writer.run());

    let secrets =
        Secrets::new(repository.clone(), store.clone(), audit.clone(), live.clone(), retention);
    let sweeping = secrets.clone();
    leader.lead("sweep", tasks, move |fence| secrets::enforce_retention(sweeping.clone(), fence));
    if let Some(every) = store.watch_interval() {
        let adopting = secrets.clone();
        leader.lead("adopt", tasks, move |fence| {
            secrets::import_store_changes(adopting.clone(), every, fence)
        });
    }

    let rekey = embedded.map(|embedded| Rekey::new(embedded, repository.clone(), audit.clone()));
    if let Some(changing) = rekey.clone() {
        leader.lead("rekey", tasks, move |fence| changing.clone().run(fence));
    }

    let AuditJobs { public_key, final_checkpoint } =
        audit_jobs::start(&outside, &data, &repository, &leader, &metrics, tasks)?;

    let app = App {
        checkpoint_public_key: public_key,
        secrets,
        tokens: Tokens::new(repository.clone()),
        access: Access::new(namespaces, repository.clone(), groups),
        streams: Streams::new(live, bundle),
        repository,
        audit,
        pods,
        oidc,
        metrics,
        tasks: tasks.clone(),
        store,
        rekey,
        strangers: api::Strangers::default(),
        pace,
        health: api::Health::default(),
    };
    // HTTP/1.1 alone: a stream is an upgrade, which HTTP/2 does not have.
    let tls = Arc::new(server_config(resolver, &[b"http/1.1"])?);
    let handler = runtime::tls::tower_handler(api::router(Arc::new(app)));
    let limits = Limits { max_connections: MAX_CONNECTIONS, ..Limits::default() };
    tasks.spawn_vital("api", runtime::tls::serve(public, tls, limits, handler, tasks.clone()));
    starting.ready();
    Ok(final_checkpoint)
}

/// Opens the operator's port.
fn observe(operator: TcpListener, tasks: &Tasks, readiness: &Readiness) -> Metrics {
    let mut registry = Registry::default();
    runtime::metrics::register_process(&mut registry, SystemTime::now());
    let metrics = Metrics::new(&mut registry);
    tasks.spawn_vital(
        "admin",
        runtime::admin::serve(operator, Arc::new(registry), readiness.clone(), tasks.clone()),
    );
    metrics
}

/// Starts a part that works for ever: until the drain.
fn spawn(tasks: &Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stopping = tasks.stopping();
    tasks.spawn_vital(name, async move {
        let _ = stopping.run_until_cancelled(work).await;
    });
}

/// The names of the Service, loopback, and what the operator adds.
fn names(args: &ServeArgs) -> Result<SubjectAltNames, SubjectAltNamesError> {
    let names = SubjectAltNames::of_service(&args.service, &args.namespace)?
        .and(SubjectAltNames::parse(["localhost", "127.0.0.1", "::1"])?);
    if args.certificate_names.is_empty() {
        Ok(names)
    } else {
        Ok(names.and(SubjectAltNames::parse(&args.certificate_names)?))
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}
