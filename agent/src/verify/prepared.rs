//! One check with what it needs of a generation's files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use contract::check::{CheckKind, StartTls};
use contract::login_check::ConnectionMark;
use contract::stream::{BundleGeneration, CheckOutcome, CheckResult};
use contract::{Check, FileName, LoopbackUrl};
use tokio::time::Instant;

use super::certificate::{self, CertificateError, KeyState, ServerCertificate};
use super::finding::{CheckFailure, FailureKind, Seen, wrong};
use super::login_attempt::LoginAttempt;
use super::{http, tls};
use crate::error::error_chain;
use crate::plan::FileContents;

/// A check that can be made.
#[derive(Debug)]
pub(super) struct PreparedCheck {
    name: String,
    timeout: Duration,
    kind: PreparedKind,
}

#[derive(Debug)]
enum PreparedKind {
    /// The certificate and whether its key is there.
    Pair(Result<(FileName, KeyState), CertificateError>),
    /// The server on the port serves it.
    Served {
        port: u16,
        sni: Option<String>,
        starttls: Option<StartTls>,
        certificate: Result<ServerCertificate, CertificateError>,
    },
    Http {
        url: LoopbackUrl,
        field: Option<String>,
        generations: Vec<String>,
    },
    Login(LoginAttempt),
}

/// The checks that can be made before `desired` replaces `current`, of the secrets that change.
pub(super) fn before(
    checks: &[Check],
    desired: &FileContents,
    current: Option<&FileContents>,
    login_program: &Path,
) -> Vec<PreparedCheck> {
    let changes = |file: &FileName| match current {
        Some(current) => current.get(file) != desired.get(file),
        None => true,
    };
    let prepare = |check: &Check| {
        let kind = match &check.kind {
            CheckKind::Tls { certificate: named, .. } => {
                let found = certificate::find(desired, named.as_ref());
                let before = current.map(|current| certificate::find(current, named.as_ref()));
                // What is as wrong as before is not the fault of this generation.
                if before.as_ref() == Some(&found) {
                    return None;
                }
                PreparedKind::Pair(found.map(|it| {
                    let state = certificate::key_state(desired, &it);
                    (it.file, state)
                }))
            }
            CheckKind::Http { .. } => return None,
            CheckKind::Login { server, url } => {
                let file = FileName::from(url);
                if !changes(&file) {
                    return None;
                }
                PreparedKind::Login(LoginAttempt {
                    server: *server,
                    url: desired.get(&file).cloned(),
                    file,
                    program: login_program.to_owned(),
                    mark: None,
                })
            }
        };
        Some(PreparedCheck { name: check.to_string(), timeout: check.timeout(), kind })
    };
    checks.iter().filter_map(prepare).collect()
}

/// The checks of the generation that `files` hold, after one that held `previous`. A login with a
/// value that stays is not tried: a database that is away says nothing of the other secrets.
/// `marks` are the newest connections before the application was told, by the check.
pub(super) fn prepare(
    checks: &[Check],
    (files, previous): (&FileContents, Option<&FileContents>),
    held: &[BundleGeneration],
    (login_program, marks): (&Path, &BTreeMap<String, ConnectionMark>),
) -> Vec<PreparedCheck> {
    let prepare = |check: &Check| {
        let name = check.to_string();
        let kind = match check.kind.clone() {
            CheckKind::Tls { port, sni, certificate: named, starttls } => {
                let certificate = certificate::find(files, named.as_ref());
                PreparedKind::Served { port, sni, starttls, certificate }
            }
            CheckKind::Http { url, field } => {
                let generations = held.iter().map(|held| held.generation.to_string()).collect();
                PreparedKind::Http { url, field, generations }
            }
            CheckKind::Login { server, url } => {
                let file = FileName::from(&url);
                if previous.is_some_and(|previous| previous.get(&file) == files.get(&file)) {
                    return None;
                }
                PreparedKind::Login(LoginAttempt {
                    server,
                    url: files.get(&file).cloned(),
                    file,
                    program: login_program.to_owned(),
                    mark: marks.get(&name).cloned(),
                })
            }
        };
        Some(PreparedCheck { name, timeout: check.timeout(), kind })
    };
    checks.iter().filter_map(prepare).collect()
}

impl PreparedCheck {
    /// The time it has to become true.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Makes the check once. `swapped_at` is when the files were written, if they are.
    pub(super) async fn attempt(&self, swapped_at: Option<Instant>) -> Result<Seen, CheckFailure> {
        match &self.kind {
            PreparedKind::Pair(pair) => pair_state(pair),
            PreparedKind::Served { port, sni, starttls, certificate } => {
                let certificate = certificate.as_ref().map_err(|error| wrong(error.to_string()))?;
                let served = tls::served((*port, *starttls), sni.as_deref());
                let served = served.await.map_err(|error| error_chain(&error))?;
                let file = &certificate.file;
                match served == certificate.leaf {
                    true => {
                        let detail = format!("serves {file}");
                        Ok(Seen { detail, in_use: Some(true), mark: None })
                    }
                    false => {
                        Err(format!("port {port} serves another certificate than {file}").into())
                    }
                }
            }
            PreparedKind::Http { url, field, generations } => {
                Ok(http::get(url, field.as_deref(), generations).await.map(Seen::from)?)
            }
            PreparedKind::Login(attempt) => attempt.run(self.timeout, swapped_at).await,
        }
    }

    /// What to say where no attempt has ended in time.
    pub(super) fn late(&self) -> String {
        format!("no answer within {:?}", self.timeout)
    }

    /// The outcome of an attempt before the files are written.
    pub(super) fn result_before(&self, found: Result<Seen, CheckFailure>) -> CheckResult {
        match found {
            Ok(seen) => self.passed(seen),
            Err(CheckFailure { detail, kind: FailureKind::Wrong }) => self.failed(detail),
            Err(CheckFailure { detail, .. }) => self.skipped(detail),
        }
    }

    pub(super) fn skipped(&self, detail: String) -> CheckResult {
        self.result(CheckOutcome::Skipped, detail, None)
    }

    pub(super) fn passed(&self, seen: Seen) -> CheckResult {
        self.result(CheckOutcome::Passed, seen.detail, seen.in_use)
    }

    pub(super) fn failed(&self, detail: String) -> CheckResult {
        self.result(CheckOutcome::Failed, detail, None)
    }

    fn result(&self, outcome: CheckOutcome, detail: String, in_use: Option<bool>) -> CheckResult {
        CheckResult { check: self.name.clone(), outcome, in_use, detail }
    }
}

fn pair_state(pair: &Result<(FileName, KeyState), CertificateError>) -> Result<Seen, CheckFailure> {
    let seen = |detail: String| Ok(Seen::from(detail));
    match pair {
        Ok((file, KeyState::Present)) => seen(format!("{file} has its private key")),
        Ok((file, KeyState::Absent)) => seen(format!("{file} can be read")),
        Ok((file, KeyState::Mismatch)) => {
            Err(wrong(CertificateError::KeyMismatch(file.clone()).to_string()))
        }
        Err(error) => Err(wrong(error.to_string())),
    }
}
