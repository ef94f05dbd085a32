//! `enclii login`, `logout` and `whoami`.
//!
//! The identity provider issues an ID token to the person who logs in there, in a browser on this
//! machine (`browser`) or on another one (`device`); a CI system issues one to its job (`job`).
//! Switchyard exchanges it for a session, which is stored in a file. The provider's own tokens are
//! not stored.
//!
//! The OAuth flows are ours: the crate oauth2 would bring chrono, rand and sha2 beside jiff and
//! aws-lc-rs, and it keeps codes and tokens in strings that are not wiped.

mod browser;
mod device;
mod job;
mod provider;

use contract::api::{LoginRequest, Principal, PrincipalKind, WorkloadLoginRequest};

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::credentials::{self, StoredSession};
use crate::error::Error;
use crate::output::{Output, seconds};
use job::JobTokenOptions;
use provider::IdentityProvider;

/// Log in with your identity provider. Later commands use the session.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii login
  enclii login --device                    on a machine without a browser
  enclii login --ci --audience https://secrets.example.com       in a job of GitHub Actions
  enclii login --ci                                              in a job of GitLab CI")]
pub(crate) struct LoginArgs {
    /// Log in on another machine, by typing a code there.
    #[arg(long)]
    pub(crate) device: bool,
    /// Print the address without opening a browser.
    #[arg(long, conflicts_with = "device")]
    pub(crate) no_browser: bool,
    /// The loopback port that the browser is redirected to, for providers that require a registered
    /// port; without it, any free port.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true,
        conflicts_with = "device"
    )]
    pub(crate) port: u16,
    /// Log in as a job of a CI system, with the ID token that the system gives to the job.
    #[arg(long, conflicts_with_all = ["device", "no_browser", "port"])]
    pub(crate) ci: bool,
    /// In GitHub Actions: the audience to ask GitHub for, as switchyard's --workload-issuers has
    /// it.
    #[arg(long, env = "ENCLII_AUDIENCE", value_name = "NAME")]
    pub(crate) audience: Option<String>,
    /// The file with the ID token of the job.
    #[arg(long, value_name = "FILE", requires = "ci", value_hint = clap::ValueHint::FilePath)]
    pub(crate) id_token_file: Option<std::path::PathBuf>,
    /// The variable with the ID token of the job, as GitLab's `id_tokens:` names it; without it,
    /// ENCLII_ID_TOKEN.
    #[arg(long, value_name = "VARIABLE", requires = "ci", conflicts_with = "id_token_file")]
    pub(crate) id_token_env: Option<String>,
    /// The file with the CA that signed the identity provider's certificate (PEM); without it, the
    /// system's CAs are trusted.
    #[arg(long, env = "ENCLII_OIDC_CACERT", value_name = "FILE")]
    pub(crate) oidc_cacert: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// End the session, on this machine and at switchyard.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii logout")]
pub(crate) struct LogoutArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Show who you are to switchyard and which roles you have.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enclii whoami\n  enclii whoami --output json")]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

pub(crate) async fn run(args: LoginArgs, output: &Output) -> Result<(), Error> {
    let LoginArgs {
        device,
        no_browser,
        port,
        ci,
        audience,
        id_token_file,
        id_token_env,
        oidc_cacert,
        connection,
    } = args;
    let client = Client::anonymous(&connection, output)?;
    let session = if ci {
        let options = JobTokenOptions { audience, file: id_token_file, variable: id_token_env };
        let id_token = job::id_token(options, oidc_cacert.as_deref()).await?;
        client.login_job(&WorkloadLoginRequest { id_token }).await?
    } else {
        let settings = client.login_settings().await?;
        let provider = IdentityProvider::discover(&settings, oidc_cacert.as_deref()).await?;
        let request = if device {
            LoginRequest { id_token: device::id_token(&provider, output).await?, nonce: None }
        } else {
            let (id_token, nonce) = browser::id_token(&provider, port, !no_browser, output).await?;
            LoginRequest { id_token, nonce: Some(nonce) }
        };
        client.login(&request).await?
    };
    let expires_at = session.expires_at;
    let principal = session.principal;
    let path = credentials::store(
        &connection.addr,
        StoredSession { token: session.token, expires_at, name: principal.name.clone() },
    )?;
    output.success(&format!(
        "logged in as {} until {}; the session is stored in {}",
        principal.name,
        seconds(expires_at),
        path.display()
    ));
    if principal.roles.is_empty() {
        output.note("you have no role; you can do only what grants allow");
    }
    Ok(())
}

pub(crate) async fn logout(args: LogoutArgs, output: &Output) -> Result<(), Error> {
    let LogoutArgs { connection } = args;
    let Some(session) = credentials::find(&connection.addr)? else {
        output.note(&format!("nobody is logged in at {}", connection.addr));
        return Ok(());
    };
    // Log out with the session's token, even if the environment names another token.
    let as_session = ConnectionArgs {
        token: Some(session.token.redacted().clone()),
        token_file: None,
        ..connection.clone()
    };
    let ended = Client::new(&as_session, output)?.logout().await;
    credentials::remove(&connection.addr)?;
    match ended {
        // The session has expired already.
        Err(Error::Unauthenticated(_)) => {}
        ended => ended?,
    }
    output.success(&format!("{} is logged out", session.name));
    Ok(())
}

pub(crate) async fn whoami(args: WhoamiArgs, output: &Output) -> Result<(), Error> {
    let WhoamiArgs { connection, output: format } = args;
    let principal = Client::new(&connection, output)?.whoami().await?;
    if format == OutputFormat::Json {
        return output.json(&principal);
    }
    let Principal { kind, name, groups, roles, expires_at } = principal;
    output.line(&format!("{kind} {name}"));
    if kind == PrincipalKind::User {
        output.line(&format!(
            "groups:  {}",
            if groups.is_empty() { "none".to_owned() } else { groups.join(", ") }
        ));
    }
    for role in &roles {
        output.line(&match &role.scope {
            Some(scope) => format!("role:    {} in {scope}", role.role),
            None => format!("role:    {} everywhere", role.role),
        });
    }
    if roles.is_empty() {
        output.line("role:    none");
    }
    output.line(
        &expires_at
            .map_or_else(|| "expires: never".to_owned(), |at| format!("expires: {}", seconds(at))),
    );
    Ok(())
}
