//! Compares the audit log with what the clients recorded.

use std::collections::BTreeMap;

use audit::{Hash, Record, chain_hash};
use e2e::linearizable::{Action, Answer};
use e2e::switchyard::Switchyard;

use crate::client::RecordedCall;

const PAGE: usize = 1000;

/// The events that must be in the audit log: one for each call that read or changed a value.
#[derive(Default)]
pub(crate) struct ExpectedEvents(Vec<ExpectedEvent>);

struct ExpectedEvent {
    trace: String,
    action: &'static str,
    scope: String,
    name: String,
    version: Option<u64>,
}

impl ExpectedEvents {
    pub(crate) fn extend(&mut self, scope: &str, seen: &[RecordedCall]) {
        for RecordedCall { name, call, trace, .. } in seen {
            let version = match call.answer {
                Answer::Value { version, .. } | Answer::Done(version) => {
                    Some(version).filter(|version| *version > 0)
                }
                Answer::Missing | Answer::Refused | Answer::Unknown => continue,
            };
            let trace =
                trace.clone().unwrap_or_else(|| panic!("an answer without a trace id: {call:?}"));
            self.0.push(ExpectedEvent {
                trace,
                action: word(&call.action),
                scope: scope.to_owned(),
                name: name.clone(),
                version,
            });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The audit log's word for an action.
fn word(action: &Action) -> &'static str {
    use e2e::linearizable::Condition;
    match action {
        Action::Read | Action::ReadVersion(_) => "read",
        Action::Write { condition: Condition::Present, .. } => "rotate",
        Action::Write { .. } => "write",
        Action::Rollback(_) => "rollback",
        Action::Delete(_) => "delete",
        Action::Undelete => "undelete",
    }
}

/// Checks the chain and looks for every expected event. Returns the number of events.
pub(crate) fn check(switchyard: &Switchyard, expected: &ExpectedEvents) -> u64 {
    let mut events: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    let (mut last, mut head) = (0, Hash::GENESIS);
    loop {
        let (status, page) =
            switchyard.get(&format!("/v1/audit?limit={PAGE}&after={last}")).unwrap();
        assert_eq!(status, 200, "{page}");
        let page = page["events"].as_array().unwrap();
        for event in page {
            let event: Record = serde_json::from_value(event.clone()).unwrap();
            last += 1;
            assert_eq!(event.sequence, last, "a number is missing in the audit log");
            head = chain_hash(&head, &event);
            assert_eq!(event.hash, head, "the audit log's chain is broken at {last}");
            events.entry(event.trace_id.clone().unwrap_or_default()).or_default().push(event);
        }
        if page.is_empty() {
            break;
        }
    }
    for ExpectedEvent { trace, action, scope, name, version } in &expected.0 {
        let found = events.get(trace).into_iter().flatten().any(|event| {
            event.action == *action
                && event.resource_id == *name
                && event.scope.as_deref() == Some(scope)
                && event.version == *version
                && event.outcome == "allowed"
        });
        assert!(
            found,
            "the audit log lacks {action} of {scope}/{name} version {version:?} ({trace}), has \
                {:?}",
            events.get(trace)
        );
    }
    last
}
