//! Login in a browser on this machine: the authorization code flow with PKCE, redirected to a
//! loopback port (RFC 8252, RFC 7636).

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

use super::provider::{IdentityProvider, OAuthError, unexpected};
use crate::error::Error;
use crate::output::Output;

/// For the person to log in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(300);

/// For the browser to send a request or to take the response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest request head that is read.
const MAX_HEAD_BYTES: usize = 16 << 10;

const CALLBACK_PATH: &str = "/callback";

/// Random values that bind the redirect to this login.
struct LoginSecrets {
    /// Returned with the redirect. Nobody else who sends a browser here knows it (RFC 6749, 10.12).
    state: String,
    /// Returned in the ID token.
    nonce: String,
    /// Sent with the code, which is useless without it (RFC 7636).
    verifier: String,
}

/// Lets the person log in. Returns the ID token and the nonce that it must hold.
pub(super) async fn id_token(
    provider: &IdentityProvider,
    port: u16,
    open: bool,
    output: &Output,
) -> Result<(Credential, String), Error> {
    let failed = |error: std::io::Error| {
        Error::System(format!("listen on loopback for the browser: {error}"))
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let redirect = format!(
        "http://127.0.0.1:{}{CALLBACK_PATH}",
        listener.local_addr().map_err(failed)?.port()
    );
    let secrets = LoginSecrets { state: random()?, nonce: random()?, verifier: random()? };
    let url = authorization_url(provider, &redirect, &secrets);
    output.note(&format!("log in at {url}"));
    if open {
        open_browser(&url);
    }
    let redirected =
        timeout(LOGIN_TIMEOUT, wait_for_code(&listener, provider, &secrets.state)).await;
    let code = redirected.map_err(|_| {
        Error::Usage(format!("nobody logged in within {} minutes", LOGIN_TIMEOUT.as_secs() / 60))
    })??;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect.as_str()),
        ("code_verifier", secrets.verifier.as_str()),
    ];
    let token = provider.exchange(&fields).await?;
    let token = token.map_err(|error| {
        unexpected(&provider.issuer, &format!("the code was refused: {}", error.printable()))
    })?;
    Ok((token, secrets.nonce))
}

fn authorization_url(provider: &IdentityProvider, redirect: &str, secrets: &LoginSecrets) -> Url {
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

/// Answers the browser's requests until one of them is the provider's redirect.
async fn wait_for_code(
    listener: &TcpListener,
    provider: &IdentityProvider,
    state: &str,
) -> Result<String, Error> {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(Some(target)) = timeout(REQUEST_TIMEOUT, read_target(&mut stream)).await else {
            continue;
        };
        let outcome = parse_redirect(&target, &provider.issuer, state);
        let (status, text) = match &outcome {
            Some(Ok(_)) => ("200 OK", "You are logged in. You can close this window."),
            Some(Err(_)) => ("400 Bad Request", "The login failed. The terminal shows the reason."),
            // A request for an icon, or a forged redirect.
            None => ("404 Not Found", "Not found."),
        };
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        let _ = timeout(REQUEST_TIMEOUT, async {
            stream.write_all(response.as_bytes()).await?;
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

/// Reads the head of a GET request. Returns its target.
async fn read_target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.ok()?;
        if read == 0 || head.len() + read > MAX_HEAD_BYTES {
            return None;
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let line = std::str::from_utf8(&head).ok()?.lines().next()?;
    let target = line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    Some(target.to_owned())
}

/// The code of a redirect, or the reason why it has none. `None`: not a redirect of this login.
fn parse_redirect(target: &str, issuer: &str, state: &str) -> Option<Result<String, String>> {
    let url = Url::parse("http://127.0.0.1").ok()?.join(target).ok()?;
    if url.path() != CALLBACK_PATH {
        return None;
    }
    let field = |name: &str| {
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if field("state").as_deref() != Some(state) {
        return None;
    }
    // A response of another provider is refused (RFC 9207).
    if field("iss").is_some_and(|it| it != issuer) {
        return Some(Err("the response is from another issuer".to_owned()));
    }
    if let Some(error) = field("error") {
        return Some(Err(OAuthError {
            error,
            error_description: field("error_description").unwrap_or_default(),
        }
        .printable()));
    }
    Some(
        field("code")
            .filter(|it| !it.is_empty())
            .ok_or_else(|| "the response has no code".to_owned()),
    )
}

/// Opens the URL in the person's browser, if there is one. The URL is printed as well.
fn open_browser(url: &Url) {
    for program in ["xdg-open", "open"] {
        let mut command = Command::new(program);
        command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.spawn().is_ok() {
            return;
        }
    }
}

/// 256 random bits in URL-safe base64.
fn random() -> Result<String, Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::System("generate random values for the login".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // Appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        let (one, two) = (random().unwrap(), random().unwrap());
        assert!(one != two && one.len() == 43);
    }

    #[test]
    fn only_a_redirect_of_this_login_is_accepted() {
        let parse = |target| parse_redirect(target, "https://login.example.com", "s");
        assert_eq!(parse("/callback?code=c&state=s"), Some(Ok("c".to_owned())));
        assert_eq!(
            parse("/callback?state=s&code=a%2Fb&iss=https%3A%2F%2Flogin.example.com"),
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
            assert_eq!(parse(target), None, "{target}");
        }
        assert!(matches!(
            parse("/callback?code=c&state=s&iss=https%3A%2F%2Fevil.example"),
            Some(Err(_))
        ));
        assert_eq!(
            parse("/callback?error=access_denied&state=s"),
            Some(Err("access_denied".to_owned()))
        );
        assert!(matches!(parse("/callback?state=s&code="), Some(Err(_))));
    }
}
