//! The report as a person reads it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::budget::{Budget, Measurement, Metric};
use crate::results::Results;

const HEAD: [&str; 6] = ["name", "value", "budget", "", "peer", "ratio"];
const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "31";
const FAINT: &str = "2";

/// A cell: its text and how it looks on a terminal.
type Cell = (String, &'static str);

/// The table, with origins of budgets, notes and failures below it.
#[must_use]
pub fn render(results: &Results, colour: bool) -> String {
    let mut rows = vec![HEAD.map(|word| (word.to_owned(), BOLD))];
    let mut rationales = BTreeSet::new();
    for name in Metric::ALL {
        match results.measurements.iter().find(|entry| entry.metric == name) {
            Some(entry) => {
                rows.push(row(entry));
                rationales.extend(
                    name.definition()
                        .rationale
                        .map(|rationale| (rationale, name.definition().name)),
                );
            }
            None => rows.push(unmeasured(name)),
        }
    }
    let mut text = lines(&rows, colour);
    let mut below = |word: &str, line: &str| {
        let _ = writeln!(text, "\n{word}: {line}");
    };
    for rationale in rationales.iter().map(|(rationale, _)| *rationale).collect::<BTreeSet<_>>() {
        let words: Vec<_> =
            rationales.iter().filter(|it| it.0 == rationale).map(|(_, word)| *word).collect();
        below("budget", &format!("{}: {rationale}", words.join(", ")));
    }
    for note in &results.notes {
        below("note", note);
    }
    for failure in &results.failures {
        below("failed", failure);
    }
    text
}

fn row(entry: &Measurement) -> [Cell; 6] {
    let amount = |value: f64| format!("{} {}", number(value), entry.unit);
    let budget = match entry.budget {
        Budget::AtMost(limit) => format!("≤ {}", amount(limit)),
        Budget::AtLeast(limit) => format!("≥ {}", amount(limit)),
    };
    let met = if entry.meets_budget() { ("met", GREEN) } else { ("not met", RED) };
    let peer = entry
        .peer
        .as_ref()
        .map_or_else(|| "–".to_owned(), |peer| format!("{} ({})", amount(peer.value), peer.name));
    let ratio =
        entry.improvement().map_or_else(|| "–".to_owned(), |ratio| format!("{} ×", number(ratio)));
    [
        (entry.metric.definition().name.to_owned(), ""),
        (amount(entry.value), BOLD),
        (budget, ""),
        (met.0.to_owned(), met.1),
        (peer, ""),
        (ratio, ""),
    ]
}

fn unmeasured(name: Metric) -> [Cell; 6] {
    let blank = || (String::new(), "");
    [
        (name.definition().name.to_owned(), ""),
        ("not measured".to_owned(), FAINT),
        blank(),
        blank(),
        blank(),
        blank(),
    ]
}

/// Three significant digits, or all digits of the whole part.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (whole, rest) =
        text.split_once('.').map_or((text, ""), |(whole, _)| (whole, &text[whole.len()..]));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn lines(rows: &[[Cell; 6]], colour: bool) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].0.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, ((cell, look), width)) in row.iter().zip(&widths).enumerate() {
            let room = width - cell.chars().count();
            // Numbers are right-aligned.
            let (before, after) = if (1..=2).contains(&column) && cell != "not measured" {
                (room, 0)
            } else {
                (0, room)
            };
            let cell = if colour && !look.is_empty() {
                format!("\x1b[{look}m{cell}\x1b[0m")
            } else {
                cell.clone()
            };
            let _ = write!(line, "{}{cell}{}  ", " ".repeat(before), " ".repeat(after));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits_or_the_whole_part() {
        for (value, text) in [
            (0.0, "0"),
            (3.456, "3.46"),
            (4.0, "4"),
            (12.34, "12.3"),
            (361.05, "361"),
            (24250.0, "24,250"),
            (1_234_567.8, "1,234,568"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_table() {
        let mut results = Results::default();
        results.take(
            "agent",
            Ok(vec![
                Metric::AgentRss
                    .measurement(3.0)
                    .with_baseline(Some(("Vault Agent 1.21.1", 144.0))),
            ]),
        );
        results.take("webhook", Ok(vec![Metric::WebhookRpsAt16.measurement(20_000.0)]));
        results.take("pods", Err(anyhow::anyhow!("no cluster")));
        let text = render(&results, false);
        let line = |word: &str| {
            text.lines()
                .find(|line| line.starts_with(word))
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            line("agent_rss"),
            "agent_rss 3 MiB ≤ 4 MiB met 144 MiB (Vault Agent 1.21.1) 48 ×"
        );
        assert_eq!(line("webhook_rps_16"), "webhook_rps_16 20,000 1/s ≥ 24,250 1/s not met – –");
        assert_eq!(line("pod_start_added "), "pod_start_added not measured");
        assert_eq!(line("failed"), "failed: pods: no cluster");
        assert!(
            text.contains("budget: webhook_rps_16: 5 times")
                && !text.contains("budget: pod_start_added")
        );
        assert!(
            !text.contains('\x1b') && render(&results, true).contains("\x1b[31mnot met\x1b[0m")
        );
    }
}
