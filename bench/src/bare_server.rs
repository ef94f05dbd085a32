//! The limit of the webhook: a server of the same libraries that reads a review and answers with
//! bytes that it had before.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use e2e::port::free_port;
use e2e::process::Process;
use e2e::wait;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::args::BareServer;

/// As many as the webhook has.
const WORKERS: usize = 2;
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running bare server.
pub struct BareServerProcess {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Process,
}

impl BareServerProcess {
    /// Starts one with the certificate in that directory, which answers with `response`.
    ///
    /// # Errors
    /// If it does not listen.
    pub fn start(certificates: &Path, response: &[u8], directory: &Path) -> Result<Self> {
        let file = directory.join("bare-response");
        runtime::atomic_file::write(&file, response, 0o600)
            .context("write the bare server's response")?;
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe().context("find this program")?);
        command.arg("bare-server").args(["--port", &port.to_string()]);
        command.arg("--certificates").arg(certificates).arg("--response").arg(file);
        let mut process = Process::start("bare-server", &mut command, directory)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait::until("the bare server", START_TIMEOUT, || {
            process.check()?;
            Ok(std::net::TcpStream::connect(address).ok())
        })?;
        Ok(Self { address, _process: process })
    }
}

/// Serves until the process is killed.
///
/// # Errors
/// If it cannot listen.
pub fn serve(args: &BareServer) -> Result<()> {
    let response = std::fs::read(&args.response)
        .with_context(|| format!("read {}", args.response.display()))?;
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(&args.certificates)?));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("start the bare server")?;
    runtime.block_on(accept(args.port, acceptor, response.into()))
}

fn tls_config(certificates: &Path) -> Result<rustls::ServerConfig> {
    let file = |name: &str| -> PathBuf { certificates.join(name) };
    let chain: Vec<_> = CertificateDer::pem_file_iter(file("tls.crt"))
        .context("read certificate")?
        .collect::<Result<_, _>>()
        .context("parse certificate")?;
    let key = PrivateKeyDer::from_pem_file(file("tls.key")).context("read key")?;
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("use certificate")
}

async fn accept(port: u16, acceptor: TlsAcceptor, response: Bytes) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("listen")?;
    let connections = TaskTracker::new();
    loop {
        let (tcp, _) = listener.accept().await.context("accept")?;
        tcp.set_nodelay(true).context("accept")?;
        let (acceptor, response) = (acceptor.clone(), response.clone());
        // A connection that fails is the client's failure too, which ends the measurement.
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = service_fn(|request| answer(request, response.clone()));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    response: Bytes,
) -> Result<Response<Full<Bytes>>, anyhow::Error> {
    request.into_body().collect().await.context("read review")?;
    let reply = Response::builder().header(header::CONTENT_TYPE, "application/json");
    Ok(reply.body(Full::new(response))?)
}
