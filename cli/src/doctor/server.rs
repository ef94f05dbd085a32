//! The way to switchyard, from the address to the token, and the store behind it. Each step needs
//! the one before, so that the first that fails is the one to mend.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use contract::Problem;
use contract::api::Principal;
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::check::Check;
use crate::client::{Client, Probe};
use crate::common::Connection;
use crate::credentials;
use crate::output::Output;

const PATIENCE: Duration = Duration::from_secs(5);

/// More than this and certificates or tokens may seem not yet valid, or no longer.
const MOST_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// A token that ends sooner is worth a word.
const SOON: SignedDuration = SignedDuration::from_hours(1);

pub(super) async fn checks(connection: &Connection, output: &Output) -> Vec<Check> {
    let mut checks = Vec::new();
    let reached = way(connection, output, &mut checks).await;
    checks.push(credential_file(connection));
    match reached {
        true => checks.push(token(connection, output).await),
        false => checks.push(Check::skipped("token", "switchyard was not reached")),
    }
    checks
}

/// From the address to an answer. Whether there was one.
async fn way(connection: &Connection, output: &Output, checks: &mut Vec<Check>) -> bool {
    let Some((host, port)) = address(&connection.addr, checks) else { return false };
    let found = match timeout(PATIENCE, lookup_host((host.trim_matches(['[', ']']), port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            checks.push(Check::failed(
                "name",
                format!("{host}: {error}"),
                "check --addr (ENCLII_ADDR) and this machine's DNS",
            ));
            return false;
        }
        Err(_) => {
            checks.push(Check::failed(
                "name",
                format!("{host}: no answer within {PATIENCE:?}"),
                "check this machine's DNS",
            ));
            return false;
        }
    };
    checks.push(Check::ok(
        "name",
        format!(
            "{host} is {}",
            found.iter().map(|it| it.ip().to_string()).collect::<Vec<_>>().join(", ")
        ),
    ));
    let mut last = "there is no address to try".to_owned();
    let mut connected = None;
    for address in found {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => connected = Some(address),
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer within {PATIENCE:?}"),
        }
        if connected.is_some() {
            break;
        }
    }
    let Some(address) = connected else {
        let way_out = "is switchyard running there? In a cluster: kubectl -n enclii-system port-forward svc/switchyard 8443:443";
        checks.push(Check::failed("connection", last, way_out));
        return false;
    };
    checks.push(Check::ok("connection", format!("{address} is open")));
    let client = match Client::anonymous(connection, output) {
        Ok(client) => client,
        Err(error) => {
            checks.push(Check::failed(
                "tls",
                error.to_string(),
                "--cacert (ENCLII_CACERT) must name a file of PEM certificates",
            ));
            return false;
        }
    };
    match client.probe("/v1/health").await {
        Ok(probe) => {
            let trusted = connection
                .cacert
                .as_ref()
                .map_or_else(|| "this machine's CAs".to_owned(), |path| path.display().to_string());
            checks.push(Check::ok("tls", format!("the certificate is trusted by {trusted}")));
            checks.push(clock(&probe, Timestamp::now()));
            checks.push(store(&probe));
            true
        }
        Err(error) => {
            let way_out = "--cacert (ENCLII_CACERT) must name the CA that signed switchyard's certificate, and the address a name in it";
            checks.push(Check::failed("tls", error.to_string(), way_out));
            false
        }
    }
}

fn address(text: &str, checks: &mut Vec<Check>) -> Option<(String, u16)> {
    let way_out = "write --addr (ENCLII_ADDR) as https://HOST:PORT";
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            checks.push(Check::failed("address", format!("{text}: {error}"), way_out));
            return None;
        }
    };
    match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        ("https", Some(host), Some(port)) => {
            checks.push(Check::ok("address", text));
            Some((host.to_owned(), port))
        }
        _ => {
            checks.push(Check::failed("address", format!("{text}: is no https address"), way_out));
            None
        }
    }
}

fn clock(probe: &Probe, now: Timestamp) -> Check {
    let Some(there) = probe.date.as_deref().and_then(|it| jiff::fmt::rfc2822::parse(it).ok())
    else {
        return Check::skipped("clock", "the answer has no date");
    };
    let skew = now.duration_since(there.timestamp());
    if skew.abs() <= MOST_SKEW {
        Check::ok("clock", format!("within {} s of switchyard's", MOST_SKEW.as_secs()))
    } else {
        let which = if skew.is_positive() { "ahead of" } else { "behind" };
        let detail = format!("{} s {which} switchyard's", skew.abs().as_secs());
        Check::failed(
            "clock",
            detail,
            "set this machine's clock, or switchyard's: certificates and tokens depend on it",
        )
    }
}

fn store(probe: &Probe) -> Check {
    let problem = serde_json::from_slice::<Problem>(&probe.body).map(|it| it.to_string());
    match probe.status {
        StatusCode::OK => Check::ok("store", "secrets can be read and written"),
        StatusCode::NOT_FOUND => Check::failed(
            "store",
            "there is no /v1/health at this address",
            "does --addr (ENCLII_ADDR) name switchyard?",
        ),
        status => {
            let detail = problem.unwrap_or_else(|_| status.to_string());
            Check::failed(
                "store",
                detail,
                "switchyard's log says more; its readiness is at /readyz of its admin port",
            )
        }
    }
}

/// The file with the token is its owner's alone.
fn credential_file(connection: &Connection) -> Check {
    if connection.token.is_some() {
        return Check::skipped("credential file", "the token comes from ENCLII_TOKEN");
    }
    let Some(path) = connection.credential_path().or_else(credentials::file) else {
        return Check::skipped("credential file", "none is named, and nobody is logged in");
    };
    match std::fs::metadata(&path) {
        Ok(found) if found.mode() & 0o077 == 0 => {
            Check::ok("credential file", format!("{} is its owner's alone", path.display()))
        }
        Ok(found) => {
            let detail = format!(
                "{} has mode {:04o}: others may read it",
                path.display(),
                found.mode() & 0o7777
            );
            Check::failed(
                "credential file",
                detail,
                format!(
                    "chmod 600 {}; if others have read it, have the token revoked",
                    path.display()
                ),
            )
        }
        Err(error) => Check::failed(
            "credential file",
            format!("{}: {error}", path.display()),
            "name it with --token-file or ENCLII_TOKEN_FILE",
        ),
    }
}

async fn token(connection: &Connection, output: &Output) -> Check {
    let way_out = "`enclii login`, or have a token made with `enclii tokens create`, and name it with --token-file or ENCLII_TOKEN_FILE";
    let client = match Client::new(connection, output) {
        Ok(client) => client,
        Err(error) => return Check::failed("token", error.to_string(), way_out),
    };
    match client.get::<Principal>("/v1/whoami").await {
        Ok(principal) => valid(&principal, Timestamp::now()),
        Err(error) => Check::failed("token", error.to_string(), way_out),
    }
}

fn valid(principal: &Principal, now: Timestamp) -> Check {
    let role = |it: &contract::api::RoleIn| match &it.scope {
        Some(scope) => format!("{} in {scope}", it.role),
        None => it.role.to_string(),
    };
    let roles = principal.roles.iter().map(role).collect::<Vec<_>>().join(", ");
    let who = format!(
        "{} {}, {}",
        principal.kind,
        principal.name,
        if roles.is_empty() { "without a role" } else { &roles }
    );
    let left = principal
        .expires_at
        .as_deref()
        .and_then(|it| it.parse::<Timestamp>().ok())
        .map(|it| it.duration_since(now));
    match (left, &principal.expires_at) {
        (Some(left), Some(end)) if left <= SOON => {
            Check::ok("token", format!("{who}; it ends in {} min, at {end}", left.as_mins().max(0)))
        }
        (_, Some(end)) => Check::ok("token", format!("{who}; valid until {end}")),
        (_, None) => Check::ok("token", format!("{who}; it does not end")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    fn probe(status: StatusCode, date: Option<&str>, body: &str) -> Probe {
        Probe { status, date: date.map(str::to_owned), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("https://localhost:8443", Some(("localhost", 8443))),
            ("https://secrets.example.com/", Some(("secrets.example.com", 443))),
            ("https://[::1]:1", Some(("[::1]", 1))),
            ("http://localhost:8443", None),
            ("localhost:8443", None),
            ("", None),
        ] {
            let mut checks = Vec::new();
            assert_eq!(
                address(text, &mut checks).as_ref().map(|(host, port)| (host.as_str(), *port)),
                expected,
                "{text}"
            );
            assert_eq!(checks[0].state == State::Ok, expected.is_some());
        }
    }

    #[test]
    fn clocks() {
        let now = "2026-11-24T16:00:00Z".parse().unwrap();
        for (date, state) in [
            ("Tue, 24 Nov 2026 16:00:20 GMT", State::Ok),
            ("Tue, 24 Nov 2026 16:00:31 GMT", State::Failed),
            ("Tue, 24 Nov 2026 15:00:00 GMT", State::Failed),
            ("yesterday", State::Skipped),
        ] {
            assert_eq!(clock(&probe(StatusCode::OK, Some(date), ""), now).state, state, "{date}");
        }
        let behind = clock(&probe(StatusCode::OK, Some("Tue, 24 Nov 2026 17:00:00 GMT"), ""), now);
        assert_eq!(behind.detail, "3600 s behind switchyard's");
        assert_eq!(clock(&probe(StatusCode::OK, None, ""), now).state, State::Skipped);
    }

    #[test]
    fn stores() {
        assert_eq!(store(&probe(StatusCode::OK, None, "{}")).state, State::Ok);
        let sealed = store(&probe(
            StatusCode::SERVICE_UNAVAILABLE,
            None,
            r#"{"title":"Not available","status":503,"detail":"the store is away"}"#,
        ));
        assert_eq!(
            (sealed.state, sealed.detail.as_str()),
            (State::Failed, "Not available: the store is away")
        );
        assert_eq!(store(&probe(StatusCode::NOT_FOUND, None, "")).state, State::Failed);
    }
}
