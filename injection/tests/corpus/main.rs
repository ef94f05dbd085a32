//! How many of the labelled literals of README.md the rules get right.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(clippy::print_stdout, reason = "the figures are worth more than that they suffice")]
#![expect(clippy::disallowed_methods, reason = "what a scan costs is what is tested")]

mod cost;
mod literal;

use std::collections::BTreeMap;

use injection::{Confidence, Pod, ScanLimits, findings};
use literal::Literal;

/// The share of credentials that are found, and of findings that are credentials.
const RECALL: f64 = 0.95;
const PRECISION: f64 = 0.97;

#[derive(Default)]
struct Score {
    credentials: usize,
    found: usize,
    false_alarms: usize,
    mistakes: Vec<String>,
    wrongly_certain: Vec<String>,
}

impl Score {
    fn of(text: &str) -> Self {
        let mut score = Self::default();
        for literal in literal::all(text) {
            score.add(&literal);
        }
        score
    }

    fn add(&mut self, literal: &Literal) {
        let json = literal.pod();
        let pod = Pod::parse(&json).unwrap();
        let found = findings(&pod, ScanLimits::ADMISSION);
        let rule = found.list.first().map(|finding| finding.rule);
        self.credentials += usize::from(literal.is_credential);
        match (literal.is_credential, rule) {
            (true, Some(_)) => self.found += 1,
            (true, None) => self.mistakes.push(format!("missed: {literal}")),
            (false, Some(rule)) => {
                self.false_alarms += 1;
                self.mistakes.push(format!("false alarm of {}: {literal}", rule.id));
                if rule.confidence == Confidence::Certain {
                    self.wrongly_certain.push(format!("{}: {literal}", rule.id));
                }
            }
            (false, None) => {}
        }
    }

    fn recall(&self) -> f64 {
        self.found as f64 / self.credentials as f64
    }

    fn precision(&self) -> f64 {
        self.found as f64 / (self.found + self.false_alarms) as f64
    }

    fn check(&self, part: &str) {
        let summary = format!(
            "{part}: recall {:.1} % of {}, precision {:.1} % of {}\n{}",
            self.recall() * 100.0,
            self.credentials,
            self.precision() * 100.0,
            self.found + self.false_alarms,
            self.mistakes.join("\n"),
        );
        assert!(self.recall() >= RECALL && self.precision() >= PRECISION, "{summary}");
        assert!(self.wrongly_certain.is_empty(), "{part}: {:#?}", self.wrongly_certain);
        println!("{summary}");
    }
}

#[test]
fn the_rules_are_right_about_what_they_were_tuned_on() {
    Score::of(include_str!("tuning.txt")).check("tuning");
}

#[test]
fn the_rules_are_right_about_what_they_were_not_tuned_on() {
    Score::of(include_str!("held-out.txt")).check("held out");
}

/// What the corpus says is worth as much as it is large and varied.
#[test]
fn the_corpus_is_large_and_has_no_line_twice() {
    let texts = [include_str!("tuning.txt"), include_str!("held-out.txt")];
    let mut lines = BTreeMap::new();
    for line in texts.iter().flat_map(|text| text.lines()).filter(|it| literal::is_literal(it)) {
        *lines.entry(line).or_insert(0) += 1;
    }
    let twice: Vec<_> = lines.iter().filter(|(_, count)| **count > 1).collect();
    // What a line of one part says must not be learned from the other.
    assert!(twice.len() < 40, "{twice:#?}");
    assert!(lines.len() > 1000, "{}", lines.len());
}
