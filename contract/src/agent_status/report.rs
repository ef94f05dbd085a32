//! The status of an agent in lines that people read: the command line shows them in colour, the
//! agent itself without.

use super::age::age;
use super::{
    AgentProblem, AgentStatus, BundleStatus, CheckRun, RefusedGeneration, ReloadStatus,
    RequestStatus, SourceStatus,
};
use crate::stream::{BundleGeneration, CheckOutcome, CheckResult, CheckStage, ReloadOutcome};

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is marked with.
    pub mark: Option<LineMark>,
    /// Its text.
    pub text: String,
}

/// How a line is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineMark {
    /// As it should be.
    Good,
    /// Wrong.
    Bad,
    /// Nobody knows.
    Unknown,
}

/// What is wrong: what the agent says, or else what its status shows.
#[must_use]
pub fn problems(status: &AgentStatus) -> Vec<AgentProblem> {
    if !status.problems.is_empty() {
        return status.problems.clone();
    }
    let problem = |problem: String, what_to_do: &str| AgentProblem {
        problem,
        what_to_do: what_to_do.to_owned(),
    };
    let SourceStatus { kind, connected, .. } = &status.source;
    let mut found = Vec::new();
    for RefusedGeneration { generation, reason, .. } in &status.refused {
        found.push(problem(
            format!("{} failed a check: {reason}", named(generation)),
            "write a secret that works; the pod gets the next generation at once",
        ));
    }
    for BundleStatus { bundle, .. } in status.bundles.iter().filter(|it| it.generation.is_none()) {
        found.push(problem(
            format!("nothing of bundle {bundle} has arrived"),
            "the agent's log says why: kubectl logs POD -c enclii-agent",
        ));
    }
    let failed = ReloadOutcome::Failed.as_str();
    if let Some(reload) = status.reload.as_ref().filter(|it| it.outcome == failed) {
        let detail = reload.detail.as_deref().unwrap_or("it was not reached");
        found.push(problem(
            format!("the application was not told of the new files: {detail}"),
            "look at the pod's annotation enclii.io/reload and at the application's log",
        ));
    }
    if !connected {
        found.push(problem(
            format!("there is no connection to {kind}, so no new secret arrives"),
            "enclii doctor checks the way to it; the files stay as they are",
        ));
    }
    found
}

/// The whole report.
#[must_use]
pub fn lines(pod: &str, status: &AgentStatus) -> Vec<Line> {
    let wrong = problems(status);
    let mut lines = vec![match wrong.len() {
        0 => marked(LineMark::Good, format!("pod {pod}: nothing is wrong")),
        1 => marked(LineMark::Bad, format!("pod {pod}: one thing is wrong")),
        count => marked(LineMark::Bad, format!("pod {pod}: {count} things are wrong")),
    }];
    for AgentProblem { problem, what_to_do } in wrong {
        lines.push(marked(LineMark::Bad, problem));
        lines.push(plain(format!("    {what_to_do}")));
    }
    lines.push(plain(String::new()));
    lines.push(source(status));
    lines.extend(status.bundles.iter().map(|it| bundle(it, status.now)));
    lines.push(status.reload.as_ref().map_or_else(
        || plain("reload: the application was not told of anything yet".to_owned()),
        |it| reload(it, status.now),
    ));
    if status.checks.is_empty() {
        lines.push(plain("checks: none ran yet".to_owned()));
    }
    lines.extend(status.checks.iter().flat_map(|run| checks(run, status.now)));
    for RefusedGeneration { generation, reason, at } in &status.refused {
        let text = format!("refused: {}{}: {reason}", named(generation), ago(*at, status.now));
        lines.push(marked(LineMark::Bad, text));
    }
    lines.extend(status.requests.as_ref().map(|it| requests(it, status.now)));
    lines
}

fn requests(it: &RequestStatus, now: u64) -> Line {
    let RequestStatus { metric, at, seconds, requests, errors, p95_milliseconds, detail } = it;
    let when = ago(Some(*at), now);
    if let Some(detail) = detail {
        return marked(LineMark::Unknown, format!("requests not counted{when}: {detail}"));
    }
    let p95 = p95_milliseconds.map(|it| format!(", 95 of 100 within {it} ms"));
    let metric = metric.as_deref().map(|it| format!(", by {it}"));
    plain(format!(
        "requests: {requests} in {seconds} s, {errors} failed{}{};{when}",
        p95.unwrap_or_default(),
        metric.unwrap_or_default()
    ))
}

fn source(status: &AgentStatus) -> Line {
    let SourceStatus { kind, address, connected, since, detail } = &status.source;
    let state = if *connected { "connected" } else { "not connected" };
    let since = since.map(|at| format!(" for {}", age(status.now.saturating_sub(at))));
    let detail = detail.as_ref().map(|it| format!(": {it}"));
    let text = format!(
        "source: {kind} at {address}, {state}{}{}; agent {}",
        since.unwrap_or_default(),
        detail.unwrap_or_default(),
        status.agent
    );
    marked(if *connected { LineMark::Good } else { LineMark::Bad }, text)
}

fn bundle(it: &BundleStatus, now: u64) -> Line {
    let BundleStatus { bundle, generation, since, secrets, .. } = it;
    let Some(generation) = generation else {
        return marked(LineMark::Bad, format!("bundle {bundle}: nothing yet"));
    };
    let since = since.map(|at| format!(", for {}", age(now.saturating_sub(at))));
    let secrets = secrets.map(|count| match count {
        1 => ", 1 secret".to_owned(),
        count => format!(", {count} secrets"),
    });
    let (since, secrets) = (since.unwrap_or_default(), secrets.unwrap_or_default());
    marked(LineMark::Good, format!("bundle {bundle}: generation {generation}{since}{secrets}"))
}

fn reload(it: &ReloadStatus, now: u64) -> Line {
    let ReloadStatus { outcome, at, milliseconds, detail } = it;
    let took = milliseconds.map(|it| format!(", in {it} ms")).unwrap_or_default();
    let detail = detail.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
    let failed = outcome == ReloadOutcome::Failed.as_str();
    let mark = if failed { LineMark::Bad } else { LineMark::Good };
    marked(mark, format!("reload: {outcome}{}{took}{detail}", ago(Some(*at), now)))
}

fn checks(run: &CheckRun, now: u64) -> Vec<Line> {
    let CheckRun { stage, at, generations, results } = run;
    let when = match stage {
        CheckStage::Before => "before the files changed",
        CheckStage::After => "after the reload",
        CheckStage::Restored => "after the generation before was restored",
        CheckStage::Unknown => "at a stage that this enclii does not know",
    };
    let names: Vec<String> = generations.iter().map(named).collect();
    let of = if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) };
    let head = plain(format!("checks {when}{of}{}:", ago(Some(*at), now)));
    std::iter::once(head).chain(results.iter().map(check)).collect()
}

fn check(it: &CheckResult) -> Line {
    let CheckResult { check, outcome, in_use, detail } = it;
    let (mark, word) = match outcome {
        CheckOutcome::Passed => (LineMark::Good, "passed"),
        CheckOutcome::Failed => (LineMark::Bad, "failed"),
        CheckOutcome::Skipped => (LineMark::Unknown, "could not be looked at"),
        CheckOutcome::Unknown => {
            (LineMark::Unknown, "ended in a way that this enclii does not know")
        }
    };
    let in_use = match in_use {
        Some(true) => "; the application uses it",
        Some(false) => "; the application does not use it yet",
        None => "",
    };
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    marked(mark, format!("{check} {word}{detail}{in_use}"))
}

fn named(it: &BundleGeneration) -> String {
    format!("{} generation {}", it.bundle, it.generation)
}

fn ago(at: Option<u64>, now: u64) -> String {
    at.map(|at| format!(" {} ago", age(now.saturating_sub(at)))).unwrap_or_default()
}

fn marked(mark: LineMark, text: String) -> Line {
    Line { mark: Some(mark), text }
}

fn plain(text: String) -> Line {
    Line { mark: None, text }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(change: impl FnOnce(&mut Value)) -> AgentStatus {
        let mut status = json!({
            "agent": "1.2.3",
            "now": 1_000_000,
            "source": {"kind": "switchyard", "address": "https://s", "connected": true,
                "since": 990_000},
            "bundles": [{"bundle": "api-prod", "generation": 6, "tag": "0a", "since": 999_700,
                "secrets": 3}],
            "reload": {"outcome": "signalled", "at": 999_990, "milliseconds": 12,
                "detail": "SIGHUP to process 7"},
            "checks": [{"stage": "after", "at": 999_991,
                "generations": [{"bundle": "api-prod", "generation": 6}],
                "results": [{"check": "tls=8443", "outcome": "passed", "in_use": true,
                    "detail": "serves the file"}]}],
        });
        change(&mut status);
        AgentStatus::from_json(status.to_string().as_bytes()).unwrap()
    }

    fn text(status: &AgentStatus) -> String {
        let line = |it: Line| {
            let mark = match it.mark {
                None => "",
                Some(LineMark::Good) => "✓ ",
                Some(LineMark::Bad) => "✗ ",
                Some(LineMark::Unknown) => "– ",
            };
            format!("{mark}{}\n", it.text)
        };
        lines("api-1", status).into_iter().map(line).collect()
    }

    #[test]
    fn a_pod_that_is_well() {
        let status = status(|_| {});
        assert!(problems(&status).is_empty());
        assert_eq!(
            text(&status),
            "\
✓ pod api-1: nothing is wrong

✓ source: switchyard at https://s, connected for 2h; agent 1.2.3
✓ bundle api-prod: generation 6, for 5m, 3 secrets
✓ reload: signalled 10s ago, in 12 ms: SIGHUP to process 7
checks after the reload of api-prod generation 6 9s ago:
✓ tls=8443 passed: serves the file; the application uses it
"
        );
    }

    #[test]
    fn what_is_wrong_comes_first_with_what_to_do() {
        let status = status(|it| {
            it["refused"] = json!([{"bundle": "api-prod", "generation": 7,
                "reason": "tls=8443: old", "at": 999_000}]);
            it["problems"] = json!([{"problem": "generation 7 failed", "what_to_do": "mend it"}]);
            it["checks"][0]["results"][0]["outcome"] = json!("failed");
        });
        let text = text(&status);
        let start = "\
✗ pod api-1: one thing is wrong
✗ generation 7 failed
    mend it
";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("✗ tls=8443 failed: serves the file"), "{text}");
        assert!(text.ends_with("✗ refused: api-prod generation 7 16m ago: tls=8443: old\n"));
    }

    #[test]
    fn requests_are_one_line() {
        let counted = |requests: Value| text(&status(|it| it["requests"] = requests));
        let all = counted(json!({"metric": "http_requests_total", "at": 999_998, "seconds": 60,
            "requests": 1200, "errors": 3, "p95_milliseconds": 250}));
        let expected = "requests: 1200 in 60 s, 3 failed, 95 of 100 within 250 ms, by \
                        http_requests_total; 2s ago\n";
        assert!(all.ends_with(expected), "{all}");
        let none = counted(json!({"at": 999_998, "seconds": 0, "requests": 0, "errors": 0,
            "detail": "connect port 9"}));
        assert!(none.ends_with("– requests not counted 2s ago: connect port 9\n"), "{none}");
    }

    /// A change of the status, and what is wrong then.
    type ProblemCase = (fn(&mut Value), &'static str);

    #[test]
    fn what_a_status_shows_is_wrong_although_the_agent_does_not_say_so() {
        let cases: [ProblemCase; 4] = [
            (|it| it["source"]["connected"] = json!(false), "no connection to switchyard"),
            (|it| it["reload"]["outcome"] = json!("failed"), "was not told"),
            (|it| it["bundles"][0]["generation"] = json!(null), "nothing of bundle api-prod"),
            (
                |it| {
                    it["refused"] = json!([{"bundle": "api-prod", "generation": 7, "reason": "x"}]);
                },
                "api-prod generation 7 failed a check: x",
            ),
        ];
        for (change, expected) in cases {
            let found = problems(&status(change));
            assert_eq!(found.len(), 1, "{expected}: {found:?}");
            assert!(found[0].problem.contains(expected), "{expected}: {found:?}");
        }
    }
}
