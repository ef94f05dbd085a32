//! From a request to its answer.

use std::time::Duration;

use contract::Redacted;
use contract::check::LoginServer;
use contract::login_check::{LoginAction, LoginCheckAnswer, LoginCheckRequest};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::times::Times;
use crate::{mysql, postgres, redis, target};

/// The longest time that a request may ask for.
const MAX_TIMEOUT: Duration = Duration::from_mins(2);

/// Does what a request asks for. The answer is there before the request's time is over.
pub async fn answer(
    request: &LoginCheckRequest,
    url: &Redacted,
    started: Instant,
) -> LoginCheckAnswer {
    let timeout = Duration::from_millis(request.timeout_milliseconds).min(MAX_TIMEOUT);
    let times = Times { started, deadline: started + timeout };
    act(&request.action, url, times).await.unwrap_or_else(LoginCheckAnswer::from)
}

async fn act(
    action: &LoginAction,
    url: &Redacted,
    times: Times,
) -> Result<LoginCheckAnswer, Failure> {
    let server = match action {
        LoginAction::Login { server, .. } => *server,
        LoginAction::PostgresReload => LoginServer::Postgres,
        LoginAction::RedisConfig => LoginServer::Redis,
    };
    let target = target::parse(server, url)?;
    match action {
        LoginAction::Login { server: LoginServer::Postgres, since } => {
            postgres::login(&target, since.as_ref(), times).await
        }
        LoginAction::Login { server: LoginServer::Mysql, since } => {
            mysql::login(&target, since.as_ref(), times).await
        }
        LoginAction::Login { server: LoginServer::Redis, since } => {
            redis::login(&target, since.as_ref(), times).await
        }
        LoginAction::PostgresReload => postgres::reload(&target, times).await,
        LoginAction::RedisConfig => redis::set_tls_files(&target, times).await,
    }
}
