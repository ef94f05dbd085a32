//! Syslog (RFC 5424), and its frames on a stream: a length in octets before each message (RFC 5425,
//! RFC 6587).

use super::Format;
use crate::Record;

/// "Log audit".
const FACILITY: u8 = 13;

/// A record as one syslog message. `host` is the name of the replica that sends it.
#[must_use]
pub fn message(record: &Record, format: Format, host: &str) -> String {
    let severity = match record.outcome.as_str() {
        // Warning, notice, informational.
        "denied" => 4,
        "failed" => 5,
        _ => 6,
    };
    let priority = FACILITY * 8 + severity;
    let at = record.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let (host, id) = (name(host, 255), name(&record.action, 32));
    format!("<{priority}>1 {at} {host} switchyard - {id} - {}", format.line(record))
}

/// A message with its length before it.
#[must_use]
pub fn frame(message: &str) -> Vec<u8> {
    [message.len().to_string().as_bytes(), b" ", message.as_bytes()].concat()
}

/// A field of the head: visible ASCII, and never empty.
fn name(text: &str, longest: usize) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(longest).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    proptest! {
        #[test]
        fn frames_are_taken_apart_again(records in prop::collection::vec(fixture::anything(), 1..5), host: String) {
            let messages: Vec<_> = records.iter().map(|record| message(record, Format::Jsonl, &host)).collect();
            let stream: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
            let mut rest = stream.as_slice();
            for message in &messages {
                let space = rest.iter().position(|byte| *byte == b' ').unwrap();
                let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                prop_assert_eq!(&rest[space + 1..][..length], message.as_bytes());
                rest = &rest[space + 1 + length..];
                // The head has seven fields, whatever the record says.
                let fields: Vec<_> = message.splitn(8, ' ').collect();
                prop_assert!(fields[0].starts_with("<1") && fields[0].ends_with(">1"));
                prop_assert_eq!((fields[3], fields[4], fields[6]), ("switchyard", "-", "-"));
                prop_assert!(fields[7].starts_with('{'), "{}", message);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
