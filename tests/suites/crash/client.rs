//! A client that records its calls and their answers.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::linearizable::{Action, Answer, Call, Condition};
use e2e::switchyard::Switchyard;
use reqwest::Method;
use reqwest::blocking::Client as Http;
use serde_json::{Value, json};

/// A call about one secret, and its identity in the audit log.
#[derive(Clone, Debug)]
pub(crate) struct RecordedCall {
    /// The secret.
    pub(crate) name: String,
    /// The call.
    pub(crate) call: Call,
    /// The response's trace id, if there was a response.
    pub(crate) trace: Option<String>,
    /// The generation that a write made.
    pub(crate) generation: Option<u64>,
}

/// How a request ended.
enum RequestOutcome {
    /// A response with this status and body.
    Response { status: u16, trace: Option<String>, body: Value },
    /// No complete response: the call may or may not have happened.
    Lost,
    /// The connection failed, so the request was not sent.
    NotSent,
}

pub(crate) struct Client {
    http: Http,
    address: String,
    token: String,
    scope: String,
    clock: Instant,
}

impl Client {
    pub(crate) fn new(switchyard: &Switchyard, scope: &str, clock: Instant) -> Self {
        let (http, token) = (switchyard.client().unwrap(), switchyard.token().unwrap());
        Self {
            http,
            address: switchyard.url("/v1/secrets/"),
            token,
            scope: scope.to_owned(),
            clock,
        }
    }

    /// Performs an action on one secret. `None` if it certainly did not happen.
    pub(crate) fn act(&self, name: &str, action: Action) -> Option<RecordedCall> {
        let (method, path, body) = request(name, &action);
        let from = self.now();
        let ended = self.send(method, &path, &body);
        self.seen(name, action, from, &ended)
    }

    /// Writes one value to two secrets in one request, with a condition on the first.
    pub(crate) fn write_pair(
        &self,
        names: [&str; 2],
        value: u64,
        condition: Condition,
    ) -> Vec<RecordedCall> {
        let [one, two] = names;
        let (first, second) = (new_value(value, condition), new_value(value, Condition::Any));
        let body = json!({"secrets": {one: first, two: second}});
        let from = self.now();
        let ended = self.send(Method::POST, "", &body);
        let first = self.seen(one, Action::Write { value, condition }, from, &ended);
        let second =
            self.seen(two, Action::Write { value, condition: Condition::Any }, from, &ended);
        // A refusal is the first secret's: the second has no condition.
        first.into_iter().chain(second.filter(|seen| seen.call.answer != Answer::Refused)).collect()
    }

    fn seen(
        &self,
        name: &str,
        action: Action,
        from: u64,
        ended: &RequestOutcome,
    ) -> Option<RecordedCall> {
        let until = self.now();
        let (answer, trace, generation) = match ended {
            RequestOutcome::NotSent => return None,
            RequestOutcome::Lost => (Answer::Unknown, None, None),
            RequestOutcome::Response { status, trace, body } => {
                let answer = answer(&self.scope, name, &action, *status, body)?;
                let generation = body["bundles"][0]["generation"]
                    .as_u64()
                    .filter(|_| matches!(answer, Answer::Done(_)));
                let known = answer != Answer::Unknown;
                (answer, trace.clone().filter(|_| known), generation)
            }
        };
        Some(RecordedCall {
            name: name.to_owned(),
            call: Call { from, until, action, answer },
            trace,
            generation,
        })
    }

    fn send(&self, method: Method, path: &str, body: &Value) -> RequestOutcome {
        let request = self
            .http
            .request(method, format!("{}{}/{path}", self.address, self.scope))
            .bearer_auth(&self.token);
        let request = if body.is_null() {
            request
        } else {
            request.header("content-type", "application/json").body(body.to_string())
        };
        match request.send() {
            Err(error) if error.is_connect() => RequestOutcome::NotSent,
            Err(_) => RequestOutcome::Lost,
            Ok(answer) => {
                let (status, trace) = (
                    answer.status().as_u16(),
                    answer
                        .headers()
                        .get("trace-id")
                        .and_then(|id| id.to_str().ok())
                        .map(str::to_owned),
                );
                match answer.bytes().ok().and_then(|body| serde_json::from_slice(&body).ok()) {
                    Some(body) => RequestOutcome::Response { status, trace, body },
                    None => RequestOutcome::Lost,
                }
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap()
    }
}

/// The request of an action.
fn request(name: &str, action: &Action) -> (Method, String, Value) {
    match action {
        Action::Read => (Method::GET, name.to_owned(), Value::Null),
        Action::ReadVersion(version) => {
            (Method::GET, format!("{name}?version={version}"), Value::Null)
        }
        Action::Write { value, condition: Condition::Present } => {
            (Method::POST, format!("{name}/rotate"), json!({"value": encoded(*value)}))
        }
        Action::Write { value, condition } => {
            (Method::POST, String::new(), json!({"secrets": {name: new_value(*value, *condition)}}))
        }
        Action::Rollback(version) => {
            (Method::POST, format!("{name}/rollback"), json!({"version": version}))
        }
        Action::Delete(_) => (Method::DELETE, name.to_owned(), Value::Null),
        Action::Undelete => (Method::POST, format!("{name}/undelete"), json!({})),
    }
}

fn new_value(value: u64, condition: Condition) -> Value {
    let mut new = json!({"value": encoded(value)});
    match condition {
        Condition::Any | Condition::Present => {}
        Condition::Absent => new["if_version"] = json!(0),
        Condition::Version(version) => new["if_version"] = json!(version),
    }
    new
}

fn encoded(value: u64) -> String {
    STANDARD.encode(value.to_string())
}

/// The answer in a response. `None` if the response says that nothing happened.
fn answer(scope: &str, name: &str, action: &Action, status: u16, body: &Value) -> Option<Answer> {
    let context = || format!("{action:?} of {scope}/{name}: {status} {body}");
    let version = |at: &Value| at.as_u64().unwrap_or_else(|| panic!("{}", context()));
    Some(match (status, action) {
        (200, Action::Read | Action::ReadVersion(_)) => {
            let text = STANDARD.decode(body["value"].as_str().unwrap()).unwrap();
            let value = String::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("half a value: {name}"));
            Answer::Value { version: version(&body["version"]), value }
        }
        (200, Action::Delete(_)) => Answer::Done(0),
        (200, _) => Answer::Done(version(&body["versions"][name])),
        (404, _) => Answer::Missing,
        (409, Action::Undelete) if body["type"] == "/problems/not-deleted" => Answer::Refused,
        // A conflict with another client, or the rate limit: nothing happened.
        (409 | 429, _) => return None,
        // The secret did not exist when it was to be rotated.
        (412, Action::Write { condition: Condition::Present, .. }) => Answer::Missing,
        (412, _) => Answer::Refused,
        (500.., Action::Read | Action::ReadVersion(_)) => return None,
        (500.., _) => Answer::Unknown,
        _ => panic!("{}", context()),
    })
}
