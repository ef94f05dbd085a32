//! Syslog messages (RFC 5424) and octet-counted framing for streams (RFC 5425, RFC 6587).

use super::Format;
use crate::Record;

/// Facility 13, "log audit" (RFC 5424, table 1).
const FACILITY: u8 = 13;

/// Formats a record as one syslog message. `host` is the name of the sending replica.
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
    let (host, id) = (header_field(host, 255), header_field(&record.action, 32));
    format!("<{priority}>1 {at} {host} switchyard - {id} - {}", format.line(record))
}

/// Prefixes a message with its length in octets.
#[must_use]
pub fn frame(message: &str) -> Vec<u8> {
    [message.len().to_string().as_bytes(), b" ", message.as_bytes()].concat()
}

/// A header field: visible ASCII, never empty, at most `max` characters.
fn header_field(text: &str, max: usize) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(max).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    proptest! {
        #[test]
        fn frames_can_be_split_again(
            records in prop::collection::vec(fixture::anything(), 1..5),
            host: String,
        ) {
            let to_message = |record| message(record, Format::Jsonl, &host);
            let messages: Vec<_> = records.iter().map(to_message).collect();
            let stream: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
            let mut rest = stream.as_slice();
            for message in &messages {
                let space = rest.iter().position(|byte| *byte == b' ').unwrap();
                let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                prop_assert_eq!(&rest[space + 1..][..length], message.as_bytes());
                rest = &rest[space + 1 + length..];
                // The header has seven fields for any record.
                let fields: Vec<_> = message.splitn(8, ' ').collect();
                prop_assert!(fields[0].starts_with("<1") && fields[0].ends_with(">1"));
                prop_assert_eq!((fields[3], fields[4], fields[6]), ("switchyard", "-", "-"));
                prop_assert!(fields[7].starts_with('{'), "{}", message);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
