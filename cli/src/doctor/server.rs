//! Checks of switchyard, from its address to the token and the store. Each check needs the previous
//! one, so the first failure is the one to fix.

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
use crate::client::{Client, ProbeResponse};
use crate::common_args::ConnectionArgs;
use crate::credentials;
use crate::output::Output;

/// For a DNS lookup or a connection.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(5);

/// With more, certificates or tokens may seem expired or not yet valid.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// A token that expires sooner than this is reported with the time that is left.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(1);

pub(super) async fn checks(connection: &ConnectionArgs, output: &Output) -> Vec<Check> {
    let mut checks = Vec::new();
    let reached = check_connection(connection, output, &mut checks).await;
    checks.push(check_credential_file(connection));
    match reached {
        true => checks.push(check_token(connection, output).await),
        false => checks.push(Check::skipped("token", "switchyard was not reached")),
    }
    checks
}

/// Checks everything from the address to a response. Returns whether there was a response.
async fn check_connection(
    connection: &ConnectionArgs,
    output: &Output,
    checks: &mut Vec<Check>,
) -> bool {
    let Some((host, port)) = check_address(&connection.addr, checks) else { return false };
    let found =
        match timeout(NETWORK_TIMEOUT, lookup_host((host.trim_matches(['[', ']']), port))).await {
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
                    format!("{host}: no answer within {NETWORK_TIMEOUT:?}"),
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
    let mut reason = "the name has no address".to_owned();
    let mut connected = None;
    for address in found {
        match timeout(NETWORK_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => connected = Some(address),
            Ok(Err(error)) => reason = format!("{address}: {error}"),
            Err(_) => reason = format!("{address}: no answer within {NETWORK_TIMEOUT:?}"),
        }
        if connected.is_some() {
            break;
        }
    }
    let Some(address) = connected else {
        let way_out = "is switchyard running there? In a cluster: \
                       kubectl -n enclii-system port-forward svc/switchyard 8443:443";
        checks.push(Check::failed("connection", reason, way_out));
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
            checks.push(check_clock(&probe, Timestamp::now()));
            checks.push(check_store(&probe));
            true
        }
        Err(error) => {
            let way_out = "--cacert (ENCLII_CACERT) must name the CA that signed switchyard's \
                           certificate, and the certificate must name the host of the address";
            checks.push(Check::failed("tls", error.to_string(), way_out));
            false
        }
    }
}

fn check_address(text: &str, checks: &mut Vec<Check>) -> Option<(String, u16)> {
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
            checks.push(Check::failed(
                "address",
                format!("{text} is not an https address"),
                way_out,
            ));
            None
        }
    }
}

fn check_clock(probe: &ProbeResponse, now: Timestamp) -> Check {
    let Some(there) = probe.date.as_deref().and_then(|it| jiff::fmt::rfc2822::parse(it).ok())
    else {
        return Check::skipped("clock", "the response has no date");
    };
    let skew = now.duration_since(there.timestamp());
    if skew.abs() <= MAX_CLOCK_SKEW {
        Check::ok("clock", format!("within {} s of switchyard's", MAX_CLOCK_SKEW.as_secs()))
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

fn check_store(probe: &ProbeResponse) -> Check {
    let problem = serde_json::from_slice::<Problem>(&probe.body).map(|it| it.to_string());
    match probe.status {
        StatusCode::OK => Check::ok("store", "secrets can be read and written"),
        StatusCode::NOT_FOUND => Check::failed(
            "store",
            "this address has no /v1/health",
            "does --addr (ENCLII_ADDR) name switchyard?",
        ),
        status => {
            let detail = problem.unwrap_or_else(|_| status.to_string());
            Check::failed("store", detail, "see switchyard's log, and /readyz on its admin port")
        }
    }
}

/// Only its owner may read the file with the token.
fn check_credential_file(connection: &ConnectionArgs) -> Check {
    if connection.token.is_some() {
        return Check::skipped("credential file", "the token comes from ENCLII_TOKEN");
    }
    let Some(path) = connection.credential_path().or_else(credentials::file) else {
        return Check::skipped("credential file", "no file is named, and nobody is logged in");
    };
    match std::fs::metadata(&path) {
        Ok(found) if found.mode() & 0o077 == 0 => {
            Check::ok("credential file", format!("only its owner can read {}", path.display()))
        }
        Ok(found) => {
            let detail = format!(
                "{} has mode {:04o}: other users can read it",
                path.display(),
                found.mode() & 0o7777
            );
            Check::failed(
                "credential file",
                detail,
                format!(
                    "chmod 600 {}; revoke the token if other users may have read it",
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

async fn check_token(connection: &ConnectionArgs, output: &Output) -> Check {
    let way_out = "run `enclii login`, or get a token made by `enclii tokens create` and name \
                   its file with --token-file or ENCLII_TOKEN_FILE";
    let client = match Client::new(connection, output) {
        Ok(client) => client,
        Err(error) => return Check::failed("token", error.to_string(), way_out),
    };
    match client.get::<Principal>("/v1/whoami").await {
        Ok(principal) => check_principal(&principal, Timestamp::now()),
        Err(error) => Check::failed("token", error.to_string(), way_out),
    }
}

fn check_principal(principal: &Principal, now: Timestamp) -> Check {
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
    let left = principal.expires_at.map(|it| it.duration_since(now));
    match (left, &principal.expires_at) {
        (Some(left), Some(end)) if left <= EXPIRES_SOON => Check::ok(
            "token",
            format!("{who}; it expires in {} min, at {end:.0}", left.as_mins().max(0)),
        ),
        (_, Some(end)) => Check::ok("token", format!("{who}; valid until {end:.0}")),
        (_, None) => Check::ok("token", format!("{who}; it does not expire")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckState;
    use super::*;

    fn probe(status: StatusCode, date: Option<&str>, body: &str) -> ProbeResponse {
        ProbeResponse { status, date: date.map(str::to_owned), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn addresses_are_checked() {
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
                check_address(text, &mut checks)
                    .as_ref()
                    .map(|(host, port)| (host.as_str(), *port)),
                expected,
                "{text}"
            );
            assert_eq!(checks[0].state == CheckState::Ok, expected.is_some());
        }
    }

    #[test]
    fn clock_skew_is_checked() {
        let now = "2026-11-24T16:00:00Z".parse().unwrap();
        for (date, state) in [
            ("Tue, 24 Nov 2026 16:00:20 GMT", CheckState::Ok),
            ("Tue, 24 Nov 2026 16:00:31 GMT", CheckState::Failed),
            ("Tue, 24 Nov 2026 15:00:00 GMT", CheckState::Failed),
            ("yesterday", CheckState::Skipped),
        ] {
            assert_eq!(
                check_clock(&probe(StatusCode::OK, Some(date), ""), now).state,
                state,
                "{date}"
            );
        }
        let behind =
            check_clock(&probe(StatusCode::OK, Some("Tue, 24 Nov 2026 17:00:00 GMT"), ""), now);
        assert_eq!(behind.detail, "3600 s behind switchyard's");
        assert_eq!(check_clock(&probe(StatusCode::OK, None, ""), now).state, CheckState::Skipped);
    }

    #[test]
    fn the_store_is_checked() {
        assert_eq!(check_store(&probe(StatusCode::OK, None, "{}")).state, CheckState::Ok);
        let sealed = check_store(&probe(
            StatusCode::SERVICE_UNAVAILABLE,
            None,
            r#"{"title":"Not available","status":503,"detail":"the store is away"}"#,
        ));
        assert_eq!(
            (sealed.state, sealed.detail.as_str()),
            (CheckState::Failed, "Not available: the store is away")
        );
        assert_eq!(check_store(&probe(StatusCode::NOT_FOUND, None, "")).state, CheckState::Failed);
    }
}
