//! The ID token that a CI system gives to a job: in a file, in a variable, or by GitHub's endpoint.
//!
//! Its audience is the job's to say. Switchyard is not asked for it: whoever answers in its place
//! could name that of another service, and use the token there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::Redacted;
use contract::credential::Credential;
use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;
use runtime::bearer;
use runtime::http_client::{HttpClientBuilder, is_https_or_loopback};
use serde::Deserialize;
use url::Url;

use crate::client::USER_AGENT;
use crate::connect_failure::classify;
use crate::error::Error;

/// Where GitHub Actions says how a job gets its ID token.
const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Set in every job of GitHub Actions.
const GITHUB: &str = "GITHUB_ACTIONS";

/// The variable that `id_tokens:` of GitLab CI is to name, unless a flag names another one.
const DEFAULT_VARIABLE: &str = "ENCLII_ID_TOKEN";

/// From a request to the end of its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The pauses between attempts.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// What the command line says of a job's ID token.
#[derive(Clone, Debug, Default)]
pub(super) struct JobTokenOptions {
    pub(super) audience: Option<String>,
    pub(super) file: Option<PathBuf>,
    pub(super) variable: Option<String>,
}

/// Where the ID token is.
#[derive(Debug, PartialEq, Eq)]
enum TokenSource {
    File(PathBuf),
    Variable(String, Redacted),
    Github { url: String, token: Redacted, audience: String },
}

#[derive(Deserialize)]
struct GithubResponse {
    value: Credential,
}

/// The ID token of the job that this process is part of. `ca` is of GitHub Enterprise Server.
pub(super) async fn id_token(
    options: JobTokenOptions,
    ca: Option<&Path>,
) -> Result<Credential, Error> {
    match detect(options, |name| std::env::var_os(name))? {
        TokenSource::File(path) => {
            let read = std::fs::read(&path)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            credential(&Redacted::new(read), &path.display().to_string())
        }
        TokenSource::Variable(name, token) => credential(&token, &name),
        TokenSource::Github { url, token, audience } => github(&url, &token, &audience, ca).await,
    }
}

fn detect(
    options: JobTokenOptions,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<TokenSource, Error> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let secret = |value: OsString| Redacted::new(value.into_encoded_bytes());
    let JobTokenOptions { audience, file, variable: named } = options;
    if let Some(path) = file {
        return Ok(TokenSource::File(path));
    }
    if let Some(name) = named {
        let token = variable(&name).ok_or_else(|| {
            Error::Usage(format!(
                "the variable {name} of --id-token-env is not set: name it under id_tokens: in \
                 the job"
            ))
        })?;
        return Ok(TokenSource::Variable(name, secret(token)));
    }
    if let Some(token) = variable(DEFAULT_VARIABLE) {
        return Ok(TokenSource::Variable(DEFAULT_VARIABLE.to_owned(), secret(token)));
    }
    match (variable(REQUEST_URL), variable(REQUEST_TOKEN)) {
        (Some(url), Some(token)) => {
            let audience = audience.ok_or_else(|| {
                Error::Usage(
                    "name the audience that switchyard expects with --audience or ENCLII_AUDIENCE: \
                     that of the issuer in --workload-issuers"
                        .to_owned(),
                )
            })?;
            let url = url.to_string_lossy().into_owned();
            Ok(TokenSource::Github { url, token: secret(token), audience })
        }
        _ if variable(GITHUB).is_some() => Err(Error::Usage(
            "GitHub gives this job no ID token: add 'permissions: {id-token: write}' to the job"
                .to_owned(),
        )),
        _ => Err(Error::Usage(format!(
            "there is no ID token of a job: in GitLab CI, name {DEFAULT_VARIABLE} under \
             id_tokens: in the job; elsewhere, give --id-token-file or --id-token-env"
        ))),
    }
}

fn credential(token: &Redacted, of: &str) -> Result<Credential, Error> {
    Credential::try_from(Redacted::from(token.expose().trim_ascii()))
        .map_err(|_| Error::Usage(format!("{of} holds no ID token")))
}

/// Asks GitHub for the job's ID token.
async fn github(
    url: &str,
    token: &Redacted,
    audience: &str,
    ca: Option<&Path>,
) -> Result<Credential, Error> {
    let url = request_url(url, audience)?;
    let failed = |reason: String| Error::Provider { issuer: "GitHub Actions".to_owned(), reason };
    let authorization = bearer::header_value(token.expose())
        .map_err(|_| Error::Usage(format!("{REQUEST_TOKEN} holds no token")))?;
    // The URL is checked by `request_url`.
    let http = HttpClientBuilder::new(USER_AGENT)
        .ca_file(ca)?
        .environment_proxy()
        .allow_http(true)
        .timeout(REQUEST_TIMEOUT)
        .build()?;
    let mut pauses = PAUSES.iter();
    loop {
        let request = http.get(url.clone()).header(AUTHORIZATION, authorization.clone());
        let error = match request.send().await {
            Ok(response) if response.status() == StatusCode::OK => {
                let body = response.bytes().await.map_err(|it| failed(classify(&it).reason))?;
                let body = Redacted::new(body.into());
                // The parser's message is not repeated: the body holds the token.
                let parsed: Result<GithubResponse, _> = serde_json::from_slice(body.expose());
                return parsed
                    .map(|it| it.value)
                    .map_err(|_| failed("its response holds no ID token".to_owned()));
            }
            Ok(response) if !is_temporary(response.status()) => {
                return Err(failed(format!("its answer is {}", response.status())));
            }
            Ok(response) => failed(format!("its answer is {}", response.status())),
            Err(error) => failed(classify(&error).reason),
        };
        let Some(pause) = pauses.next() else { return Err(error) };
        tokio::time::sleep(*pause).await;
    }
}

fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// The URL has a query already.
fn request_url(url: &str, audience: &str) -> Result<Url, Error> {
    let parsed: Option<Url> = url.parse().ok().filter(is_https_or_loopback);
    let mut url = parsed.ok_or_else(|| {
        let shown: String = url.chars().take(200).collect();
        Error::Usage(format!(
            "{REQUEST_URL} is {shown:?} and must start with https://, since a token travels over it"
        ))
    })?;
    url.query_pairs_mut().append_pair("audience", audience);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(options: JobTokenOptions, variables: &[(&str, &str)]) -> Result<TokenSource, String> {
        detect(options, |name| {
            let value = variables.iter().find(|(other, _)| *other == name);
            value.map(|(_, value)| OsString::from(value))
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn the_token_is_where_the_job_says_or_where_its_system_puts_it() {
        let audience = || JobTokenOptions {
            audience: Some("https://switchyard".into()),
            ..JobTokenOptions::default()
        };
        let named = |name: &str| JobTokenOptions { variable: Some(name.into()), ..audience() };
        let file = JobTokenOptions { file: Some("/token".into()), ..audience() };
        let github = [(REQUEST_URL, "https://x/t?a=1"), (REQUEST_TOKEN, "r"), (GITHUB, "true")];
        let all = [github.as_slice(), &[(DEFAULT_VARIABLE, "a.b.c"), ("MINE", "d.e.f")]].concat();
        let variable = |name: &str, text: &str| {
            TokenSource::Variable(name.into(), Redacted::from(text.to_owned()))
        };
        assert_eq!(found(file, &all), Ok(TokenSource::File("/token".into())));
        assert_eq!(found(named("MINE"), &all), Ok(variable("MINE", "d.e.f")));
        assert_eq!(found(audience(), &all), Ok(variable(DEFAULT_VARIABLE, "a.b.c")));
        assert_eq!(
            found(audience(), &github),
            Ok(TokenSource::Github {
                url: "https://x/t?a=1".into(),
                token: Redacted::from("r".to_owned()),
                audience: "https://switchyard".into(),
            })
        );
        for (options, variables, word) in [
            (named("OTHER"), all.as_slice(), "OTHER"),
            (named("MINE"), &[("MINE", "")], "MINE"),
            (JobTokenOptions::default(), &github, "--audience"),
            (audience(), &github[2..], "id-token: write"),
            (audience(), &github[1..], "id-token: write"),
            (audience(), &[], "id_tokens:"),
        ] {
            let error = found(options, variables).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    #[test]
    fn the_audience_is_added_to_the_query_of_a_safe_address() {
        let url = request_url("https://x.example/idtoken/1?api-version=2.0", "https://a/b c&d");
        assert_eq!(
            url.unwrap().as_str(),
            "https://x.example/idtoken/1?api-version=2.0&audience=https%3A%2F%2Fa%2Fb+c%26d"
        );
        for url in ["http://x.example/", "", "file:///etc/passwd"] {
            assert!(request_url(url, "a").unwrap_err().to_string().contains("https://"), "{url}");
        }
    }

    #[test]
    fn only_a_token_is_sent() {
        let read = |text: &str| credential(&Redacted::from(text.to_owned()), "FILE");
        assert_eq!(read(" a.b.c\n").unwrap(), "a.b.c".parse().unwrap());
        for text in ["", "\n", "a b"] {
            assert_eq!(read(text).unwrap_err().to_string(), "FILE holds no ID token", "{text:?}");
        }
    }
}
