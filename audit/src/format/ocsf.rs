//! OCSF 1.8. API calls are API Activity (class 6003), logins are Authentication (class 3002).
//!
//! Fields without a place in the schema (the pod, the record's hash) are under `unmapped`.

use serde_json::{Map, Value, json};

use super::VERSION;
use crate::Record;

pub(super) fn event(record: &Record) -> Value {
    let activity = activity(&record.action, record.version);
    let (class_name, category_name) = if activity.class == AUTHENTICATION {
        ("Authentication", "Identity & Access Management")
    } else {
        ("API Activity", "Application Activity")
    };
    let mut event = json!({
        "class_uid": activity.class,
        "class_name": class_name,
        "category_uid": activity.class / 1000,
        "category_name": category_name,
        "activity_id": activity.id,
        "activity_name": activity.name.unwrap_or(record.action.as_str()),
        "type_uid": activity.class * 100 + activity.id,
        "time": record.at.as_millisecond(),
        "severity_id": if record.outcome == "allowed" { 1 } else { 3 },
        "status_id": if record.outcome == "allowed" { 1 } else { 2 },
        "status": record.outcome,
        "metadata": {
            "version": "1.8.0",
            "product": {"name": "Enclii Secrets", "vendor_name": "Enclii", "version": VERSION},
            "uid": record.sequence.to_string(),
            "sequence": record.sequence,
            "log_name": "audit",
        },
        "actor": {"user": user(record)},
        "src_endpoint": match &record.address {
            Some(address) => json!({"ip": address}),
            None => json!({"name": "switchyard"}),
        },
        "unmapped": unmapped(record),
    });
    let Value::Object(fields) = &mut event else { return event };
    if let Some(details) = &record.details {
        fields.insert("status_detail".to_owned(), json!(details));
    }
    if let Some(agent) = &record.user_agent {
        fields.insert("http_request".to_owned(), json!({"user_agent": agent}));
    }
    if let (Some(trace), Some(Value::Object(metadata))) =
        (&record.trace_id, fields.get_mut("metadata"))
    {
        metadata.insert("correlation_uid".to_owned(), json!(trace));
    }
    if activity.class == AUTHENTICATION {
        fields.insert("user".to_owned(), user(record));
        fields.insert("service".to_owned(), json!({"name": "switchyard"}));
    } else {
        let mut api = json!({"operation": record.action, "service": {"name": "switchyard"}});
        if let (Some(trace), Value::Object(api)) = (&record.trace_id, &mut api) {
            api.insert("request".to_owned(), json!({"uid": trace}));
        }
        fields.insert("api".to_owned(), api);
        fields.insert("resources".to_owned(), json!([resource(record)]));
    }
    event
}

const AUTHENTICATION: u32 = 3002;
const API_ACTIVITY: u32 = 6003;

struct Activity {
    class: u32,
    id: u32,
    /// The schema's name for the activity. Without one, the action is used.
    name: Option<&'static str>,
}

fn activity(action: &str, version: Option<u64>) -> Activity {
    let (class, id, name) = match action {
        "login" => (AUTHENTICATION, 1, Some("Logon")),
        "logout" => (AUTHENTICATION, 2, Some("Logoff")),
        "grant" => (API_ACTIVITY, 1, Some("Create")),
        "write" if version == Some(1) => (API_ACTIVITY, 1, Some("Create")),
        "read" | "list" | "export" => (API_ACTIVITY, 2, Some("Read")),
        "write" | "annotate" | "rotate" | "rollback" | "undelete" | "rekey" | "restore"
        | "accept" => (API_ACTIVITY, 3, Some("Update")),
        "delete" | "destroy" | "prune" | "revoke" => (API_ACTIVITY, 4, Some("Delete")),
        _ => (API_ACTIVITY, 99, None),
    };
    Activity { class, id, name }
}

fn user(record: &Record) -> Value {
    // type_id: 1 is a user, 3 a system account, 0 unknown.
    let kind = match record.actor_type.as_str() {
        "user" => 1,
        "anonymous" => 0,
        _ => 3,
    };
    let name = if record.actor_id.is_empty() { &record.actor_type } else { &record.actor_id };
    let mut user = json!({"name": name, "type": record.actor_type, "type_id": kind});
    if let (Some(pod), Value::Object(user)) = (&record.pod, &mut user) {
        user.insert("uid".to_owned(), json!(pod.uid));
    }
    user
}

fn resource(record: &Record) -> Value {
    let mut resource = Map::new();
    resource.insert("type".to_owned(), json!(record.resource_type));
    resource.insert("name".to_owned(), json!(record.resource_id));
    if let Some(scope) = &record.scope {
        resource.insert("namespace".to_owned(), json!(scope));
    }
    if let Some(version) = record.version {
        resource.insert("version".to_owned(), json!(version.to_string()));
    }
    resource.into()
}

fn unmapped(record: &Record) -> Value {
    json!({"record_hash": record.hash, "pod": record.pod})
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Action, fixture};

    #[test]
    fn every_action_has_a_class() {
        for action in Action::ALL {
            let activity = activity(action.as_str(), None);
            let expected = if matches!(action, Action::Login | Action::Logout) {
                AUTHENTICATION
            } else {
                API_ACTIVITY
            };
            assert_eq!(activity.class, expected);
            let named = !matches!(
                action,
                Action::Applied
                    | Action::Checked
                    | Action::Failed
                    | Action::Reverted
                    | Action::Denied
                    | Action::Tampered
            );
            assert_eq!((activity.id != 99, activity.name.is_some()), (named, named), "{action:?}");
        }
    }

    proptest! {
        #[test]
        fn required_fields_are_present(record in fixture::anything()) {
            let event = event(&record);
            for field in ["activity_id", "category_uid", "class_uid", "type_uid", "time",
                "severity_id", "metadata", "actor", "src_endpoint"] {
                prop_assert!(event.get(field).is_some(), "{}", field);
            }
            prop_assert_eq!(&event["metadata"]["sequence"], &json!(record.sequence));
            prop_assert_eq!(&event["unmapped"]["record_hash"], &json!(record.hash));
        }
    }
}
