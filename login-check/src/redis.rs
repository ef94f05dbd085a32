//! Redis and Valkey.

mod clients;
mod refusal;

use std::collections::BTreeMap;

use contract::login_check::{
    ConnectionMark, LoginCheckAnswer, Refusal, Sessions, SessionsSince, Unreachable,
};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError, cmd};
use tokio::time::{Instant, timeout_at};

use self::clients::{clients, own_sessions, run_id};
use crate::attempt::{Attempt, Link, first};
use crate::driven::{Driver, driven};
use crate::failure::Failure;
use crate::target::{Endpoint, Target};
use crate::times::Times;

/// What checks call themselves, so that they are not counted as sessions of the application.
const CLIENT_NAME: &str = "enclii-check";

/// A session that is logged in.
struct RedisSession<'t> {
    connection: MultiplexedConnection,
    driver: Driver,
    link: Link,
    endpoint: &'t Endpoint,
    deadline: Instant,
}

/// Logs in, pings and counts sessions.
pub(crate) async fn login(
    target: &Target,
    since: Option<&SessionsSince>,
    times: Times,
) -> Result<LoginCheckAnswer, Failure> {
    let mut session = RedisSession::open(target, times.deadline).await?;
    let mut answer = session.link.answer("logged in", session.endpoint);
    answer.mark = session.mark().await;
    if let Some(since) = since {
        match session.sessions(since, answer.mark.as_ref()).await {
            Some(sessions) => answer.sessions = Some(sessions),
            None => answer.detail.push_str("; it does not tell which sessions there are"),
        }
    }
    Ok(answer)
}

/// Has the server read the files of its certificate again. Setting a path to what it is already
/// does that, and cuts no session.
pub(crate) async fn set_tls_files(
    target: &Target,
    times: Times,
) -> Result<LoginCheckAnswer, Failure> {
    let mut session = RedisSession::open(target, times.deadline).await?;
    let endpoint = session.endpoint;
    let get = || {
        let mut command = cmd("CONFIG");
        command.arg("GET").arg("tls-*-file");
        command
    };
    let result: Result<BTreeMap<String, String>, RedisError> = session.query(&get()).await?;
    let paths = result.map_err(|error| refusal::failure(endpoint, &error))?;
    let set = |names: &[&str]| {
        let mut command = cmd("CONFIG");
        command.arg("SET");
        for name in names {
            if let Some(path) = paths.get(*name).filter(|path| !path.is_empty()) {
                command.arg(name).arg(path);
            }
        }
        command
    };
    if paths.get("tls-cert-file").is_none_or(String::is_empty) {
        let detail = format!("{endpoint}: it has no tls-cert-file");
        return Err(Failure::refused(Refusal::Configuration, detail));
    }
    // All in one command: a key alone would not match the certificate that is there.
    let all = set(&["tls-cert-file", "tls-key-file", "tls-ca-cert-file"]);
    let mut result: Result<(), RedisError> = session.query(&all).await?;
    // Before Redis 7 it takes one of them, and reads all files then.
    if result.as_ref().is_err_and(refusal::is_of_many_settings) {
        result = session.query(&set(&["tls-cert-file"])).await?;
    }
    result.map_err(|error| refusal::of_config_set(endpoint, &error))?;
    Ok(session.link.answer("certificate read again", endpoint))
}

impl<'t> RedisSession<'t> {
    async fn open(target: &'t Target, deadline: Instant) -> Result<Self, Failure> {
        let ((connection, driver, link), endpoint) = first(target, deadline, open).await?;
        Ok(RedisSession { connection, driver, link, endpoint, deadline })
    }

    /// The answer to a command, if it comes in time.
    async fn query<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
    ) -> Result<Result<T, RedisError>, Failure> {
        let work = command.query_async(&mut self.connection);
        timeout_at(self.deadline, driven(&mut self.driver, work)).await.map_err(|_| {
            let detail = format!("query {}: no answer in time", self.endpoint);
            Failure::unreachable(Unreachable::Timeout, detail)
        })
    }

    /// The answer to a command that the user may lack the right to.
    async fn try_query<T: FromRedisValue>(&mut self, command: &Cmd) -> Option<T> {
        self.query(command).await.ok()?.ok()
    }

    /// Which connection of which server this is.
    async fn mark(&mut self) -> Option<ConnectionMark> {
        let connection = self.try_query(cmd("CLIENT").arg("ID")).await?;
        let about: String = self.try_query(cmd("INFO").arg("server")).await?;
        Some(ConnectionMark { server: run_id(&about)?.to_owned(), connection })
    }

    async fn sessions(
        &mut self,
        since: &SessionsSince,
        own: Option<&ConnectionMark>,
    ) -> Option<Sessions> {
        let own = own?;
        let mark = since.mark.as_ref().filter(|mark| mark.server == own.server)?;
        let _: Option<()> = self.try_query(cmd("CLIENT").arg("SETNAME").arg(CLIENT_NAME)).await;
        let list: String = self.try_query(cmd("CLIENT").arg("LIST")).await?;
        own_sessions(&clients(&list), own.connection, mark.connection, self.link.local)
    }
}

/// One attempt: connects, logs in and pings.
async fn open(attempt: Attempt<'_>) -> Result<(MultiplexedConnection, Driver, Link), Failure> {
    let (stream, local) = attempt.connect().await?;
    // Redis has no way to ask for TLS: a port has it or not.
    let opened = attempt.secure(stream, local, attempt.wants_tls()).await?;
    let Attempt { target, endpoint, .. } = attempt;
    let failed = |error: &RedisError| refusal::failure(endpoint, error);
    // The library logs in by texts; the command takes the bytes, and its errors say more.
    let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    // The attempt has a deadline of its own.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(&settings, opened.stream, config)
            .await
            .map_err(|error| failed(&error))?;
    let mut driver = Driver::new(driver);
    let mut commands = Vec::new();
    if !target.password.is_empty() || !target.user.is_empty() {
        let mut command = cmd("AUTH");
        if !target.user.is_empty() {
            command.arg(&target.user);
        }
        command.arg(target.password.expose());
        commands.push(command);
    }
    if let Some(database) = target.database.as_deref().filter(|database| *database != "0") {
        let mut command = cmd("SELECT");
        command.arg(database);
        commands.push(command);
    }
    for command in commands {
        let work = command.query_async::<()>(&mut connection);
        driven(&mut driver, work).await.map_err(|error| failed(&error))?;
    }
    let ping = cmd("PING");
    match driven(&mut driver, ping.query_async::<String>(&mut connection)).await {
        Err(error) if !refusal::is_of_rights(&error) => Err(failed(&error)),
        // A user who may not even ping is one who has logged in.
        _ => Ok((connection, driver, opened.link)),
    }
}
