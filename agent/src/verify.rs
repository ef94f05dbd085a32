//! Whether the application uses what its files hold.
//!
//! A generation is looked at twice. Before its files are written, what needs no application: the
//! new credential logs in, the certificate has its private key. After the application was told:
//! what the pod's annotation names, or else the readiness probe of its spec. A check is repeated
//! until it is true or its time is up.

mod certificate;
mod finding;
mod http;
pub mod login;
mod login_attempt;
mod prepared;
mod tls;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use contract::layout::LOGIN_CHECK_PROGRAM;
use contract::login_check::ConnectionMark;
use contract::stream::{BundleGeneration, CheckOutcome, CheckResult};
use contract::{AgentConfig, Check, FileName, Readiness, Redacted};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::plan::FileContents;
use finding::{CheckFailure, FailureKind, Seen};
use prepared::{PreparedCheck, before, prepare};

/// How long to wait before a check is repeated.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// The time for the readiness probe to answer before a generation is written, and again after. It
/// is no check of the pod's own choice, so it may not hold up a rotation for long.
const READINESS_TIMEOUT: Duration = Duration::from_secs(1);

/// The name of the readiness probe among the checks.
const READINESS: &str = "readiness probe";

/// The name of the reload among the checks.
const RELOAD: &str = "reload";

/// The checks of a pod.
#[derive(Clone, Debug)]
pub struct Verifier {
    checks: Vec<Check>,
    /// Only where the pod names no check.
    readiness: Option<Readiness>,
    /// The program that tries logins.
    login_program: PathBuf,
}

/// What was seen before a generation is written.
#[derive(Debug)]
pub struct BeforeWrite {
    /// The outcomes of the checks that could be made.
    pub results: Vec<CheckResult>,
    /// Whether the readiness probe may be asked afterwards. One that fails already proves nothing.
    was_ready: bool,
    /// The newest connection of each server that numbers them, by the check.
    marks: BTreeMap<String, ConnectionMark>,
}

/// The checks of one generation, with what they need of its files.
#[derive(Debug, Default)]
pub struct GenerationChecks {
    prepared: Vec<PreparedCheck>,
    readiness: Option<Readiness>,
}

impl Verifier {
    /// The checks that the configuration names.
    #[must_use]
    pub fn new(config: &AgentConfig) -> Self {
        let readiness = config.readiness.clone().filter(|_| config.verify.is_empty());
        let login_program = LOGIN_CHECK_PROGRAM.into();
        Self { checks: config.verify.clone(), readiness, login_program }
    }

    /// Another program that tries logins, for tests.
    #[must_use]
    pub fn with_login_program(self, login_program: PathBuf) -> Self {
        Self { login_program, ..self }
    }

    /// Whether there is anything to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.readiness.is_none()
    }

    /// Looks at what can be seen before `desired` replaces `current`: only at secrets that change,
    /// since the others are in use.
    pub fn before_write(
        &self,
        desired: &FileContents,
        current: Option<&FileContents>,
    ) -> impl Future<Output = BeforeWrite> + Send + use<> {
        let checks = before(&self.checks, desired, current, &self.login_program);
        let readiness = self.readiness.clone();
        async move {
            let found = join_all(checks.into_iter().map(|check| async move {
                let found = timeout(check.timeout(), check.attempt(None)).await;
                let found = found.unwrap_or_else(|_| Err(check.late().into()));
                let mark = found.as_ref().ok().and_then(|seen: &Seen| seen.mark.clone());
                let result = check.result_before(found);
                (mark.map(|mark| (result.check.clone(), mark)), result)
            }));
            let ready = async {
                match &readiness {
                    Some(probe) => timeout(READINESS_TIMEOUT, http::probe(probe))
                        .await
                        .is_ok_and(|found| found.is_ok()),
                    None => false,
                }
            };
            let (found, was_ready) = tokio::join!(found, ready);
            let (marks, results): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            BeforeWrite { results, was_ready, marks: marks.into_iter().flatten().collect() }
        }
    }

    /// The checks of the generation that `files` hold, after one that held `previous`. `before` is
    /// what was seen before it was written; without it, the readiness probe is not asked.
    #[must_use]
    pub fn of_generation(
        &self,
        (files, previous): (&FileContents, Option<&FileContents>),
        held: &[BundleGeneration],
        before: Option<&BeforeWrite>,
    ) -> GenerationChecks {
        let was_ready = before.is_some_and(|before| before.was_ready);
        let marks = before.map(|before| before.marks.clone()).unwrap_or_default();
        GenerationChecks {
            prepared: prepare(&self.checks, (files, previous), held, (&self.login_program, &marks)),
            readiness: self.readiness.clone().filter(|_| was_ready),
        }
    }
}

impl BeforeWrite {
    /// What is known before the previous generation comes back, after these checks of the one that
    /// replaced it: where the readiness probe was among them, it had passed before.
    #[must_use]
    pub fn of_restore(results: &[CheckResult]) -> Self {
        let was_ready = results.iter().any(|result| result.check == READINESS);
        Self { results: Vec::new(), was_ready, marks: BTreeMap::new() }
    }

    /// Whether a check says that the generation does not work.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        has_failed(&self.results)
    }
}

impl GenerationChecks {
    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prepared.is_empty() && self.readiness.is_none()
    }

    /// Repeats each check until it is true or its time is up. `swapped_at` is when the files were
    /// written.
    pub async fn run(self, swapped_at: Instant) -> Vec<CheckResult> {
        let checks = join_all(self.prepared.iter().map(|check| until_true(check, swapped_at)));
        let readiness = async {
            match &self.readiness {
                Some(probe) => Some(until_ready(probe).await),
                None => None,
            }
        };
        let (mut results, readiness) = tokio::join!(checks, readiness);
        results.extend(readiness);
        results
    }
}

/// The file with the private key of the first certificate in `pem`.
pub(crate) fn private_key_of(pem: &Redacted, files: &FileContents) -> Option<FileName> {
    certificate::private_key_of(pem, files)
}

/// What is certainly wrong with the first certificate in `pem` and its private key.
pub(crate) fn pair_fault(pem: &Redacted, files: &FileContents) -> Option<&'static str> {
    certificate::pair_fault(pem, files)
}

/// The result of a reload of an application that looks at its new files meanwhile: as good as a
/// check. `in_use` is whether it uses them; an error is what it has against them.
#[must_use]
pub(crate) fn reload_result(said: Result<(String, Option<bool>), String>) -> CheckResult {
    let (outcome, detail, in_use) = match said {
        Ok((detail, in_use)) => (CheckOutcome::Passed, detail, in_use),
        Err(detail) => (CheckOutcome::Failed, detail, None),
    };
    CheckResult { check: RELOAD.to_owned(), outcome, in_use, detail }
}

/// Whether a check has failed.
#[must_use]
pub fn has_failed(results: &[CheckResult]) -> bool {
    results.iter().any(|result| result.outcome == CheckOutcome::Failed)
}

/// The checks that failed, and what they have seen.
#[must_use]
pub fn failures(results: &[CheckResult]) -> String {
    let failed = results.iter().filter(|result| result.outcome == CheckOutcome::Failed);
    failed.map(|it| format!("{}: {}", it.check, it.detail)).collect::<Vec<_>>().join("; ")
}

async fn until_true(check: &PreparedCheck, swapped_at: Instant) -> CheckResult {
    let end = Instant::now() + check.timeout();
    let mut last = None;
    loop {
        match timeout_at(end, check.attempt(Some(swapped_at))).await {
            Ok(Ok(seen)) => return check.passed(seen),
            Ok(Err(CheckFailure { detail, kind })) => match kind {
                FailureKind::CannotTell => return check.skipped(detail),
                FailureKind::NotYet if Instant::now() + RETRY_INTERVAL < end => last = Some(detail),
                FailureKind::NotYet | FailureKind::Wrong => return check.failed(detail),
            },
            Err(_) => return check.failed(last.unwrap_or_else(|| check.late())),
        }
        sleep(RETRY_INTERVAL).await;
    }
}

async fn until_ready(probe: &Readiness) -> CheckResult {
    let end = Instant::now() + contract::check::DEFAULT_TIMEOUT;
    let result = |outcome, detail| CheckResult {
        check: READINESS.to_owned(),
        outcome,
        in_use: None,
        detail,
    };
    loop {
        let found = timeout(READINESS_TIMEOUT, http::probe(probe)).await;
        let detail = match found {
            Ok(Ok(seen)) => return result(CheckOutcome::Passed, seen),
            Ok(Err(detail)) => detail,
            Err(_) => format!("no answer within {READINESS_TIMEOUT:?}"),
        };
        if Instant::now() + RETRY_INTERVAL >= end {
            return result(CheckOutcome::Failed, detail);
        }
        sleep(RETRY_INTERVAL).await;
    }
}
