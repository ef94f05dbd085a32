//! Completes the OpenAPI document with what many operations share: errors, headers, and constraints
//! that utoipa cannot express.

use serde_json::{Map, Value, json};

/// Completes the document that the annotations produce.
pub(super) fn complete(document: &mut Value) {
    bound_maps(document);
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, item) in paths {
        let Some(item) = item.as_object_mut() else { continue };
        for (method, operation) in item {
            describe_headers(operation);
            add_errors(path, method, operation);
        }
    }
}

/// A write or a rotation of several secrets names 1 to 1000 of them.
fn bound_maps(document: &mut Value) {
    for schema in ["WriteRequest", "RotateManyRequest"] {
        if let Some(secrets) = document
            .pointer_mut(&format!("/components/schemas/{schema}/properties/secrets"))
            .and_then(Value::as_object_mut)
        {
            secrets.insert("minProperties".to_owned(), json!(1));
            secrets.insert("maxProperties".to_owned(), json!(contract::layout::MAX_BUNDLE_SECRETS));
        }
    }
}

/// Optional headers are strings with a pattern and never null.
fn describe_headers(operation: &mut Value) {
    let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else {
        return;
    };
    for parameter in parameters {
        let tags = r#"^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$"#;
        let (schema, example) = match parameter["name"].as_str() {
            Some("If-Match") => {
                (json!({"type": "string", "pattern": tags, "maxLength": 1000}), "\"3\"")
            }
            Some("If-None-Match") => {
                (json!({"type": "string", "pattern": tags, "maxLength": 1000}), "*")
            }
            Some("Idempotency-Key") => (
                json!({"type": "string", "minLength": 16, "maxLength": 200, "pattern": "^[!-~]+$"}),
                "0b6f6f6e-6f0c-4f0a-8f8e-2f3b8a1c9d10",
            ),
            _ => continue,
        };
        parameter["schema"] = schema;
        parameter["example"] = json!(example);
    }
}

/// Adds the errors that an operation of this shape can return.
fn add_errors(path: &str, method: &str, operation: &mut Value) {
    let is_open = operation["security"] == json!([{}]);
    let has = |operation: &Value, name: &str| {
        operation["parameters"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["name"] == name))
    };
    let takes_body = operation["requestBody"].is_object();
    let (conditional, idempotent) = (has(operation, "If-Match"), has(operation, "Idempotency-Key"));
    let takes_query = operation["parameters"]
        .as_array()
        .is_some_and(|all| all.iter().any(|it| it["in"] == "query"));
    let is_secret = path.starts_with("/v1/secrets/");
    // Its body has a precondition for each secret.
    let rotates_many = path == "/v1/rotate/{scope}";
    let changes = method != "get" && !["/v1/access/check", "/v1/read/{scope}"].contains(&path);
    let errors = [
        (!is_open || takes_body || takes_query, "400", "The request is malformed"),
        (!is_open || takes_body, "401", "Authentication is required"),
        (!is_open, "403", "Not allowed"),
        (
            path.contains('{')
                || [
                    "/v1/access/check",
                    "/v1/access/reads",
                    "/v1/login",
                    "/v1/login/workload",
                    "/v1/pods",
                    "/v1/admin/rekey",
                ]
                .contains(&path),
            "404",
            "Not found",
        ),
        (
            (changes && !is_open) || has(operation, "unused_since"),
            "409",
            "The state of the resource does not allow it, or somebody else changed it first",
        ),
        (path.contains("{name}") && is_secret, "410", "The value was destroyed"),
        (conditional || rotates_many, "412", "A precondition is not met"),
        (takes_body, "413", "Too large"),
        (takes_body, "415", "The body is not JSON"),
        (idempotent, "422", "The idempotency key was used for another request"),
        (!is_open, "429", "Too many requests; Retry-After says how long to wait"),
        (true, "500", "Internal server error"),
        (true, "503", "Temporarily unavailable; Retry-After says when to try again"),
    ];
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (applies, status, description) in errors {
        if applies && !responses.contains_key(status) {
            responses.insert(status.to_owned(), error(status, description));
        }
    }
    for response in responses.values_mut() {
        header(response, "trace-id", "The id of this request in the audit log");
    }
}

fn error(status: &str, description: &str) -> Value {
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    let mut response = json!({"description": description,
        "content": {"application/problem+json": {"schema": schema}}});
    match status {
        "401" => header(&mut response, "WWW-Authenticate", "Always `Bearer`"),
        "429" | "503" => header(&mut response, "Retry-After", "Seconds to wait"),
        _ => {}
    }
    response
}

fn header(response: &mut Value, name: &str, description: &str) {
    let Some(response) = response.as_object_mut() else { return };
    let headers = response.entry("headers").or_insert_with(|| Value::Object(Map::new()));
    headers[name] = json!({"description": description, "schema": {"type": "string"}});
}
