//! `enclii login`, `logout` and `whoami`.
//!
//! The identity provider gives an ID token to the person who logs in there, in a browser on this
//! machine (`browser`) or on any other (`device`); switchyard gives a session for it, which is kept
//! in a file. The provider's own tokens are kept nowhere.

mod browser;
mod device;
mod provider;

use contract::api::{LoginRequest, Principal, PrincipalKind};

use crate::client::Client;
use crate::common::{Connection, Format};
use crate::credentials::{self, Kept};
use crate::error::Error;
use crate::output::Output;
use provider::Provider;

/// Log in with your identity provider. The session is kept for the commands that follow.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii login
  enclii login --device                    on a machine without a browser")]
pub(crate) struct Args {
    /// Log in on another machine: type a code there.
    #[arg(long)]
    pub(crate) device: bool,
    /// Print the address and open no browser.
    #[arg(long, conflicts_with = "device")]
    pub(crate) no_browser: bool,
    /// The port on loopback that the browser comes back to, for providers that want it registered;
    /// any free one without it.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true,
        conflicts_with = "device"
    )]
    pub(crate) port: u16,
    /// The file with the CA that signed the identity provider's certificate (PEM); without it the
    /// system's CAs count.
    #[arg(long, env = "ENCLII_OIDC_CACERT", value_name = "FILE")]
    pub(crate) oidc_cacert: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// End the session, here and at switchyard.
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Who you are to switchyard, and which roles you have.
#[derive(Debug, clap::Args)]
pub(crate) struct Whoami {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { device, no_browser, port, oidc_cacert, connection } = args;
    let client = Client::anonymous(&connection, output)?;
    let how = client.login_how().await?;
    let provider = Provider::discover(&how, oidc_cacert.as_deref()).await?;
    let request = if device {
        LoginRequest { id_token: device::id_token(&provider, output).await?, nonce: None }
    } else {
        let (id_token, nonce) = browser::id_token(&provider, port, !no_browser, output).await?;
        LoginRequest { id_token, nonce: Some(nonce) }
    };
    let session = client.login(&request).await?;
    let unexpected = |_| Error::Answer {
        address: connection.addr.clone(),
        reason: "the session's end is no time".to_owned(),
    };
    let expires_at = session.expires_at.parse().map_err(unexpected)?;
    let principal = session.principal;
    let path = credentials::keep(
        &connection.addr,
        Kept { token: session.token, expires_at, name: principal.name.clone() },
    )?;
    output.done(&format!(
        "logged in as {} until {expires_at}; the session is in {}",
        principal.name,
        path.display()
    ));
    if principal.roles.is_empty() {
        output.note("you have no role here; what you may do is what grants allow");
    }
    Ok(())
}

pub(crate) async fn logout(args: Logout, output: &Output) -> Result<(), Error> {
    let Logout { connection } = args;
    let Some(kept) = credentials::find(&connection.addr)? else {
        output.note(&format!("nobody is logged in at {}", connection.addr));
        return Ok(());
    };
    // What the environment names is a token and no session, and stays.
    let session = Connection {
        token: Some(kept.token.redacted().clone()),
        token_file: None,
        ..connection.clone()
    };
    let ended = Client::new(&session, output)?.logout().await;
    credentials::forget(&connection.addr)?;
    match ended {
        // It ended already.
        Err(Error::Refused(problem)) if problem.status == 401 => {}
        ended => ended?,
    }
    output.done(&format!("{} is logged out", kept.name));
    Ok(())
}

pub(crate) async fn whoami(args: Whoami, output: &Output) -> Result<(), Error> {
    let Whoami { connection, output: format } = args;
    let principal = Client::new(&connection, output)?.whoami().await?;
    if format == Format::Json {
        return output.json(&principal);
    }
    let Principal { kind, name, groups, roles, expires_at } = principal;
    output.line(&format!("{kind} {name}"));
    if kind == PrincipalKind::User {
        output.line(&format!(
            "groups: {}",
            if groups.is_empty() { "none".to_owned() } else { groups.join(", ") }
        ));
    }
    for role in &roles {
        output.line(&match &role.scope {
            Some(scope) => format!("role:   {} in {scope}", role.role),
            None => format!("role:   {} everywhere", role.role),
        });
    }
    if roles.is_empty() {
        output.line("role:   none");
    }
    output
        .line(&expires_at.map_or_else(|| "ends:   never".to_owned(), |at| format!("ends:   {at}")));
    Ok(())
}
