//! The application's own readiness probe, as the agent can run it.

use contract::{LoopbackUrl, Readiness};

use crate::app_container::AppContainer;
use crate::container_path::ContainerList;
use crate::pod::{Container, Handler, ProbePort};

/// The longest path of a probe that is looked at, in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// The probe of the container that is signalled, else of the first application container that gets
/// secrets and has one. `None` if it is one that the agent cannot run: a command, gRPC, a request
/// with headers or to another host.
pub(crate) fn resolve(
    containers: &[AppContainer<'_>],
    signalled: Option<&str>,
) -> Option<Readiness> {
    let is_signalled = |app: &&AppContainer<'_>| signalled == Some(&*app.container.name);
    let applications = containers
        .iter()
        .filter(|app| app.path.list == ContainerList::Containers && app.gets_secrets);
    let candidates = containers.iter().filter(is_signalled).chain(applications);
    let mut with_probe = candidates.filter_map(|app| {
        let probe = app.container.readiness_probe()?;
        Some((app.container, probe))
    });
    let (container, probe) = with_probe.next()?;
    of_probe(container, probe)
}

fn of_probe(container: &Container<'_>, probe: &Handler<'_>) -> Option<Readiness> {
    // Kubelet asks the pod's address, where one is not named; the agent asks the loopback.
    let is_empty = |host: Option<&str>| host.is_none_or(str::is_empty);
    if let Some(get) = probe.http_get() {
        let tls = match get.scheme.as_deref() {
            None | Some("" | "HTTP") => false,
            Some("HTTPS") => true,
            Some(_) => return None,
        };
        let port = port(container, get.port.as_ref()?)?;
        let path = path(get.path.as_deref().unwrap_or_default(), port)?;
        let is_plain = is_empty(get.host.as_deref()) && probe.headers().next().is_none();
        return is_plain.then_some(Readiness::Http { port, path, tls });
    }
    let connect = probe.tcp_socket()?;
    let port = port(container, connect.port.as_ref()?)?;
    is_empty(connect.host.as_deref()).then_some(Readiness::Tcp { port })
}

fn port(container: &Container<'_>, port: &ProbePort<'_>) -> Option<u16> {
    u16::try_from(container.port_number(port)?).ok().filter(|port| *port != 0)
}

/// The path as a request line may carry it. Kubelet reads it as a URL, so it may have a query, and
/// need not have the slash.
fn path(text: &str, port: u16) -> Option<String> {
    let (slash, is_path) = match text.strip_prefix('/') {
        Some(rest) => ("", !rest.starts_with('/')),
        // A colon ends a scheme.
        None => ("/", !text.contains(':')),
    };
    if text.len() > MAX_PATH_BYTES || !is_path {
        return None;
    }
    let url = format!("http://127.0.0.1:{port}{slash}{text}").parse::<LoopbackUrl>().ok()?;
    Some(url.path().to_owned())
}
