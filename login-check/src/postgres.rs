//! PostgreSQL.

mod certificate;
mod refusal;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use contract::login_check::{LoginCheckAnswer, Refusal, Sessions, SessionsSince, Unreachable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use crate::attempt::{Attempt, Link, first};
use crate::driven::{Driver, driven};
use crate::failure::Failure;
use crate::target::{Endpoint, Target};
use crate::times::Times;
use crate::tls::fingerprint_of_file;

/// What checks call themselves, so that they are not counted as sessions of the application.
const APPLICATION_NAME: &str = "enclii-check";

/// Asks for TLS: the length, and 1234.5679 in place of the protocol's version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// How long a server has to take up its configuration.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is asked whether it has.
const RELOAD_POLL: Duration = Duration::from_millis(20);

/// Sessions of this user from this address, those that started in the last `{}` seconds and the
/// others, and the address.
const SESSIONS: &str = "
    SELECT count(other.pid) FILTER (WHERE other.backend_start >= at.moment),
           count(other.pid) FILTER (WHERE other.backend_start < at.moment),
           host(own.client_addr)
    FROM (SELECT clock_timestamp() - make_interval(secs => {}) AS moment) AS at
    CROSS JOIN pg_stat_activity AS own
    LEFT JOIN pg_stat_activity AS other
        ON other.usesysid = own.usesysid AND other.client_addr = own.client_addr
        AND other.pid <> own.pid AND other.application_name <> 'enclii-check'
        AND other.backend_type = 'client backend'
    WHERE own.pid = pg_backend_pid()
    GROUP BY own.client_addr";

/// A session that is logged in.
struct PostgresSession<'t> {
    client: Client,
    driver: Driver,
    link: Link,
    endpoint: &'t Endpoint,
    deadline: Instant,
}

/// Logs in, makes a trivial query and counts sessions.
pub(crate) async fn login(
    target: &Target,
    since: Option<&SessionsSince>,
    times: Times,
) -> Result<LoginCheckAnswer, Failure> {
    let mut session = PostgresSession::open(target, times.deadline).await?;
    let mut answer = session.link.answer("logged in", session.endpoint);
    if let Some(since) = since {
        match session.sessions(since, times.started).await {
            Some(sessions) => answer.sessions = Some(sessions),
            None => answer.detail.push_str("; it does not tell which sessions there are"),
        }
    }
    Ok(answer)
}

/// Has the server read its configuration again, and waits until it has. Its answer to that does not
/// tell whether it took its certificate: it keeps the old one if the new one is broken.
pub(crate) async fn reload(target: &Target, times: Times) -> Result<LoginCheckAnswer, Failure> {
    let mut session = PostgresSession::open(target, times.deadline).await?;
    // Each session reads the configuration for itself. Where it cannot, the time stays.
    let loaded = "SELECT pg_conf_load_time()";
    let before = session.row(loaded).await?;
    if session.row("SELECT pg_reload_conf()").await?.first().and_then(Option::as_deref) != Some("t")
    {
        let detail = format!("{}: it did not signal itself", session.endpoint);
        return Err(Failure::refused(Refusal::Configuration, detail));
    }
    let end = times.deadline.min(Instant::now() + RELOAD_TIMEOUT);
    while Instant::now() < end {
        sleep(RELOAD_POLL).await;
        if session.row(loaded).await? != before {
            return session.reloaded().await;
        }
    }
    // Only a superuser may look at what is wrong.
    let wrong = session.row("SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL").await;
    let wrong = wrong.ok().and_then(|row| row.into_iter().next().flatten());
    let errors = wrong.map(|count| format!(": {count} settings with an error"));
    let detail = format!(
        "{}: it did not take up its configuration{}",
        session.endpoint,
        errors.unwrap_or_default()
    );
    Err(Failure::refused(Refusal::Configuration, detail))
}

impl<'t> PostgresSession<'t> {
    async fn open(target: &'t Target, deadline: Instant) -> Result<Self, Failure> {
        let ((client, driver, link), endpoint) = first(target, deadline, open).await?;
        Ok(PostgresSession { client, driver, link, endpoint, deadline })
    }

    /// The first row of a query's result.
    async fn row(&mut self, query: &str) -> Result<Vec<Option<String>>, Failure> {
        let work = first_row(&self.client, query);
        match timeout_at(self.deadline, driven(&mut self.driver, work)).await {
            Ok(row) => row.map_err(|error| refusal::failure(self.endpoint, &error)),
            Err(_) => {
                let detail = format!("query {}: no answer in time", self.endpoint);
                Err(Failure::unreachable(Unreachable::Timeout, detail))
            }
        }
    }

    /// The answer after a reload, once the certificate is the one in its file.
    async fn reloaded(&mut self) -> Result<LoginCheckAnswer, Failure> {
        let mut answer = self.link.answer("configuration read again", self.endpoint);
        // That of this connection may be the one before.
        answer.certificate_sha256 = None;
        let query = "SELECT current_setting('ssl'), current_setting('ssl_cert_file')";
        let row = self.row(query).await?;
        let [Some(ssl), Some(path)] = row.as_slice() else { return Ok(answer) };
        let wanted = fingerprint_of_file(Path::new(path)).filter(|_| ssl == "on");
        let Some(wanted) = wanted else {
            answer.detail.push_str("; its certificate was not looked at");
            return Ok(answer);
        };
        let end = self.deadline.min(Instant::now() + RELOAD_TIMEOUT);
        certificate::until_served(self.endpoint, &wanted, end).await?;
        answer.detail.push_str("; it serves its certificate");
        answer.certificate_sha256 = Some(wanted);
        Ok(answer)
    }

    async fn sessions(&mut self, since: &SessionsSince, started: Instant) -> Option<Sessions> {
        let ago = Duration::from_millis(since.milliseconds_ago) + started.elapsed();
        let query = SESSIONS.replace("{}", &format!("{:.3}", ago.as_secs_f64()));
        let row = self.row(&query).await.ok()?;
        let [Some(new), Some(old), Some(address)] = row.as_slice() else { return None };
        let seen = address.parse::<IpAddr>().ok()?;
        Some(Sessions {
            new: new.parse().ok()?,
            old: old.parse().ok()?,
            is_shared: seen.to_canonical() != self.link.local,
        })
    }
}

/// One attempt: connects, logs in and makes a trivial query.
async fn open(attempt: Attempt<'_>) -> Result<(Client, Driver, Link), Failure> {
    let (mut stream, local) = attempt.connect().await?;
    let offers = attempt.wants_tls() && offers_tls(attempt.endpoint, &mut stream).await?;
    let opened = attempt.secure(stream, local, offers).await?;
    let failed = |error: &Error| refusal::failure(attempt.endpoint, error);
    let (client, connection) = config(attempt.target)
        .connect_raw(opened.stream, NoTls)
        .await
        .map_err(|error| failed(&error))?;
    let mut driver = Driver::new(connection);
    let query = match attempt.target.wants_primary {
        true => "SELECT pg_is_in_recovery()",
        false => "SELECT 1",
    };
    let row =
        driven(&mut driver, first_row(&client, query)).await.map_err(|error| failed(&error))?;
    if row.first().and_then(Option::as_deref) == Some("t") {
        let detail = format!("{}: a standby, and the URL wants the primary", attempt.endpoint);
        return Err(Failure::unreachable(Unreachable::NotReady, detail));
    }
    Ok((client, driver, opened.link))
}

/// Asks whether the server has TLS.
async fn offers_tls(endpoint: &Endpoint, stream: &mut TcpStream) -> Result<bool, Failure> {
    let mut reply = [0];
    let exchange = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_exact(&mut reply).await
    };
    let step = format!("ask {endpoint} for TLS");
    exchange.await.map_err(|error| Failure::broken(&step, &error))?;
    match reply {
        [b'S'] => Ok(true),
        [b'N'] => Ok(false),
        _ => {
            let detail = format!("{step}: it does not answer like PostgreSQL");
            Err(Failure::unreachable(Unreachable::Protocol, detail))
        }
    }
}

fn config(target: &Target) -> Config {
    let mut config = Config::new();
    config
        .user(&target.user)
        .password(target.password.expose())
        .application_name(APPLICATION_NAME)
        // TLS is on the stream already.
        .ssl_mode(SslMode::Disable);
    if let Some(database) = &target.database {
        config.dbname(database);
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    config
}

async fn first_row(client: &Client, query: &str) -> Result<Vec<Option<String>>, Error> {
    let messages = client.simple_query(query).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let fields = row.map(|row| (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
    Ok(fields.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_leave_checks_out() {
        assert!(SESSIONS.contains(&format!("<> '{APPLICATION_NAME}'")));
    }
}
