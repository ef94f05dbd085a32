//! Common Event Format: `CEF:0|vendor|product|version|class|name|severity|key=value …`.
//!
//! The header escapes `\` and `|`, extension values `\` and `=`, and both escape line endings. CEF
//! has no escape for other control characters, and a collector must never act on one, so they
//! become U+FFFD.

use std::net::IpAddr;

use super::VERSION;
use crate::Record;

pub(super) fn line(record: &Record) -> String {
    let mut line = String::with_capacity(512);
    let action = escape_header(&record.action);
    line.push_str(&format!(
        "CEF:0|Enclii|Secrets|{VERSION}|{action}|{action} {}|{}|",
        escape_header(&record.resource_type),
        severity(record)
    ));
    let pod = record.pod.as_ref();
    let pod_of = |part: fn(&crate::Pod) -> &String| pod.map(part);
    let address = record.address.as_deref().map(|text| (text, text.parse::<IpAddr>()));
    let (sequence, at) = (record.sequence.to_string(), record.at.as_millisecond().to_string());
    let version = record.version.map(|version| version.to_string());
    let hash = record.hash.to_string();
    let pod_name = pod.map(|pod| format!("{}/{}", pod.namespace, pod.name));
    let fields = [
        ("externalId", Some(sequence.as_str())),
        ("rt", Some(&at)),
        ("act", Some(&record.action)),
        ("outcome", Some(&record.outcome)),
        ("suser", Some(&record.actor_id)),
        ("spriv", Some(&record.actor_type)),
        (
            "src",
            address
                .as_ref()
                .and_then(|(text, ip)| matches!(ip, Ok(IpAddr::V4(_))).then_some(*text)),
        ),
        (
            "c6a2",
            address
                .as_ref()
                .and_then(|(text, ip)| matches!(ip, Ok(IpAddr::V6(_))).then_some(*text)),
        ),
        ("shost", address.as_ref().and_then(|(text, ip)| ip.is_err().then_some(*text))),
        ("requestClientApplication", record.user_agent.as_deref()),
        ("reason", record.details.as_deref()),
        ("cs1", record.scope.as_deref()),
        ("cs2", Some(&record.resource_id)),
        ("cs3", record.trace_id.as_deref()),
        ("cs4", Some(&hash)),
        ("cs5", pod_name.as_deref()),
        ("cs6", pod_of(|pod| &pod.uid).map(String::as_str)),
        ("cn1", version.as_deref()),
        ("cat", Some(&record.resource_type)),
    ];
    let labels = [
        ("c6a2", "source IPv6 address"),
        ("cs1", "scope"),
        ("cs2", "resource"),
        ("cs3", "trace id"),
        ("cs4", "record hash"),
        ("cs5", "pod"),
        ("cs6", "pod UID"),
        ("cn1", "version"),
    ];
    let mut first = true;
    for (key, text) in fields {
        let Some(text) = text else { continue };
        if !first {
            line.push(' ');
        }
        first = false;
        line.push_str(&format!("{key}={}", escape_value(text)));
        if let Some((_, label)) = labels.iter().find(|(it, _)| *it == key) {
            line.push_str(&format!(" {key}Label={label}"));
        }
    }
    line
}

/// 0 to 10. Refusals rank highest, because someone should look at them.
fn severity(record: &Record) -> u8 {
    match (record.outcome.as_str(), record.action.as_str()) {
        (_, "tampered") => 9,
        ("denied", _) => 6,
        ("failed", _) => 5,
        (_, "destroy" | "grant" | "revoke" | "rekey" | "restore" | "accept") => 4,
        _ => 2,
    }
}

fn escape_header(text: &str) -> String {
    escape(text, |c| matches!(c, '|'))
}

fn escape_value(text: &str) -> String {
    escape(text, |c| matches!(c, '='))
}

fn escape(text: &str, special: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c if special(c) => escaped.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    /// Parses the seven header parts and the fields, as a collector does.
    fn read(line: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut head = vec![String::new()];
        let mut chars = line.chars();
        while head.len() < 8 {
            match chars.next().unwrap() {
                '\\' => head.last_mut().unwrap().push(unescape(chars.next().unwrap())),
                '|' => head.push(String::new()),
                c => head.last_mut().unwrap().push(c),
            }
        }
        head.pop();
        // A key is the word before each unescaped `=`.
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut text = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\\' => text.push(unescape(chars.next().unwrap())),
                '=' => {
                    let (before, key) = text
                        .rsplit_once(' ')
                        .map_or(("", text.as_str()), |(before, key)| (before, key));
                    if let Some((_, last)) = fields.last_mut() {
                        *last = before.to_owned();
                    }
                    fields.push((key.to_owned(), String::new()));
                    text.clear();
                }
                c => text.push(c),
            }
        }
        fields.last_mut().unwrap().1 = text;
        (head, fields)
    }

    fn unescape(c: char) -> char {
        match c {
            'n' => '\n',
            'r' => '\r',
            c => c,
        }
    }

    fn is_replaced(c: char) -> bool {
        let is_line_ending = matches!(c, '\n' | '\r');
        (c.is_control() && !is_line_ending) || matches!(c, '\u{2028}' | '\u{2029}')
    }

    proptest! {
        #[test]
        fn untrusted_text_never_becomes_a_field(record in fixture::anything()) {
            let shown = |text: &str| -> String {
                text.chars().map(|c| if is_replaced(c) { '\u{fffd}' } else { c }).collect()
            };
            let (head, fields) = read(&line(&record));
            let value = |key: &str| -> Vec<String> {
                let found = fields.iter().filter(|(it, _)| it == key);
                found.map(|(_, value)| value.clone()).collect()
            };
            prop_assert_eq!(head.len(), 7);
            prop_assert_eq!(&head[4], &shown(&record.action));
            prop_assert_eq!(value("externalId"), vec![record.sequence.to_string()]);
            prop_assert_eq!(value("suser"), vec![shown(&record.actor_id)]);
            prop_assert_eq!(value("cs2"), vec![shown(&record.resource_id)]);
            prop_assert_eq!(value("reason"),
                record.details.iter().map(|text| shown(text)).collect::<Vec<_>>());
            prop_assert_eq!(value("cs4"), vec![record.hash.to_string()]);
        }
    }
}
