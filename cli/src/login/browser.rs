//! A login in a browser on this machine: the authorization code flow with PKCE, whose redirect
//! comes back to a port on loopback (RFC 8252, RFC 7636).

use std::process::{Command, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::credential::Credential;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use url::Url;

use super::provider::{OAuthError, Provider, unexpected};
use crate::error::Error;
use crate::output::Output;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a browser may take for one request, and how long that may be.
const REQUEST: Duration = Duration::from_secs(10);
const LONGEST: usize = 16 << 10;

const PATH: &str = "/callback";

/// What binds the browser's answer to this login.
struct Secrets {
    /// Comes back with the redirect: who else sends a browser here does not know it.
    state: String,
    /// Comes back within the ID token.
    nonce: String,
    /// Goes with the code: whoever else gets hold of the code has no use for it.
    verifier: String,
}

/// Has the person log in. The ID token, and the nonce that must be in it.
pub(super) async fn id_token(
    provider: &Provider,
    port: u16,
    open: bool,
    output: &Output,
) -> Result<(Credential, String), Error> {
    let failed = |error: std::io::Error| {
        Error::Start(format!("listen on loopback for the browser: {error}"))
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let redirect =
        format!("http://127.0.0.1:{}{PATH}", listener.local_addr().map_err(failed)?.port());
    let secrets = Secrets { state: random()?, nonce: random()?, verifier: random()? };
    let url = address(provider, &redirect, &secrets);
    output.note(&format!("log in at {url}"));
    if open {
        browse(&url);
    }
    let came = timeout(PATIENCE, wait(&listener, provider, &secrets.state)).await;
    let code = came.map_err(|_| {
        Error::Usage(format!("nobody logged in within {} minutes", PATIENCE.as_secs() / 60))
    })??;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect.as_str()),
        ("code_verifier", secrets.verifier.as_str()),
    ];
    let token = provider.exchange(&fields).await?;
    let token = token.map_err(|error| {
        unexpected(&provider.issuer, &format!("it does not take the code: {}", error.words()))
    })?;
    Ok((token, secrets.nonce))
}

fn address(provider: &Provider, redirect: &str, secrets: &Secrets) -> Url {
    let mut url = provider.authorization_endpoint.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", redirect)
        .append_pair("scope", &provider.scopes)
        .append_pair("state", &secrets.state)
        .append_pair("nonce", &secrets.nonce)
        .append_pair("code_challenge", &challenge(&secrets.verifier))
        .append_pair("code_challenge_method", "S256");
    url
}

/// The browser's requests, until one of them is the provider's redirect.
async fn wait(listener: &TcpListener, provider: &Provider, state: &str) -> Result<String, Error> {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(Some(target)) = timeout(REQUEST, target(&mut stream)).await else { continue };
        let outcome = read(&target, &provider.issuer, state);
        let (status, text) = match &outcome {
            Some(Ok(_)) => ("200 OK", "You are logged in. You can close this window."),
            Some(Err(_)) => ("400 Bad Request", "The login failed. The terminal says why."),
            // A request for an icon, or somebody else's guess.
            None => ("404 Not Found", "There is nothing here."),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        let _ = timeout(REQUEST, async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
        match outcome {
            Some(Ok(code)) => return Ok(code),
            Some(Err(reason)) => {
                return Err(unexpected(&provider.issuer, &format!("the login failed: {reason}")));
            }
            None => {}
        }
    }
}

/// The target of a GET request, read to the end of its head.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.ok()?;
        if read == 0 || head.len() + read > LONGEST {
            return None;
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let line = std::str::from_utf8(&head).ok()?.lines().next()?;
    let target = line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    Some(target.to_owned())
}

/// The code of a redirect, or why there is none; `None` for whatever is no redirect of this login.
fn read(target: &str, issuer: &str, state: &str) -> Option<Result<String, String>> {
    let url = Url::parse("http://127.0.0.1").ok()?.join(target).ok()?;
    if url.path() != PATH {
        return None;
    }
    let field = |name: &str| {
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if field("state").as_deref() != Some(state) {
        return None;
    }
    // Another provider's answer is no answer to this question (RFC 9207).
    if field("iss").is_some_and(|it| it != issuer) {
        return Some(Err("the answer is of another issuer".to_owned()));
    }
    if let Some(error) = field("error") {
        return Some(Err(OAuthError {
            error,
            error_description: field("error_description").unwrap_or_default(),
        }
        .words()));
    }
    Some(
        field("code")
            .filter(|it| !it.is_empty())
            .ok_or_else(|| "there is no code in the answer".to_owned()),
    )
}

/// Opens the address in the person's browser, where there is one. The address is on the screen,
/// too.
fn browse(url: &Url) {
    for program in ["xdg-open", "open"] {
        let mut command = Command::new(program);
        command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.spawn().is_ok() {
            return;
        }
    }
}

/// 256 random bits in letters that need no escape.
fn random() -> Result<String, Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Start("draw random numbers for the login".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_rfc_7636() {
        // Appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        let (one, two) = (random().unwrap(), random().unwrap());
        assert!(one != two && one.len() == 43);
    }

    #[test]
    fn a_redirect_of_this_login_and_no_other() {
        let read = |target| read(target, "https://login.example.com", "s");
        assert_eq!(read("/callback?code=c&state=s"), Some(Ok("c".to_owned())));
        assert_eq!(
            read("/callback?state=s&code=a%2Fb&iss=https%3A%2F%2Flogin.example.com"),
            Some(Ok("a/b".to_owned()))
        );
        for target in [
            "/callback?code=c",
            "/callback?code=c&state=other",
            "/callback",
            "/favicon.ico?state=s&code=c",
            "/callback/?state=s&code=c",
            "//x/callback?state=t",
        ] {
            assert_eq!(read(target), None, "{target}");
        }
        assert!(matches!(
            read("/callback?code=c&state=s&iss=https%3A%2F%2Fevil.example"),
            Some(Err(_))
        ));
        assert_eq!(
            read("/callback?error=access_denied&state=s"),
            Some(Err("access_denied".to_owned()))
        );
        assert!(matches!(read("/callback?state=s&code="), Some(Err(_))));
    }
}
