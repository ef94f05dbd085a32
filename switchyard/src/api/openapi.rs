//! The OpenAPI document: the annotations of the handlers, completed with what all operations share.

mod responses;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use contract::Problem;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{
    access, admin, audit, bundles, grants, health, login, metadata, pods, read_many, rotate_many,
    scopes, search, secret_list, secrets, tokens, versions, workload_login,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Enclii Secrets",
        version = "1",
        description = "Secrets by scope and name, their versions, access control and the audit \
            log. A value is standard base64 in a field called `value`, and nowhere else. Every \
            error is a problem document (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        secret_list::list, secrets::write, secrets::read, secrets::delete,
        metadata::read, metadata::change, scopes::list, search::search,
        read_many::read, rotate_many::rotate,
        versions::list, versions::rotate, versions::rollback, versions::undelete, versions::destroy,
        bundles::list, bundles::read, bundles::values,
        pods::list, pods::read,
        grants::list, grants::add, grants::remove,
        tokens::list, tokens::create, tokens::revoke,
        access::check::check, access::readers::list, access::reads::list,
        login::read, login::login, workload_login::login, login::logout, login::whoami,
        audit::list, audit::checkpoints, audit::export,
        admin::status, admin::start, health::read, read,
    ),
    components(schemas(Problem)),
    tags(
        (name = "secrets", description = "Lists, writes, reads and deletes secrets"),
        (name = "versions", description = "The versions of one secret"),
        (name = "bundles", description = "The secrets that the pods of a service hold"),
        (name = "pods", description = "What pods hold, and how their applications took it"),
        (name = "grants", description = "Access beyond the default rules"),
        (name = "access", description = "Who may do what, and by which rule"),
        (name = "tokens", description = "Tokens of programs and sessions of people"),
        (name = "login", description = "Login, logout and the caller's identity"),
        (name = "audit", description = "The audit log"),
        (name = "server", description = "The server"),
    ),
    security(("bearer" = [])),
    modifiers(&BearerSecurity)
)]
struct AnnotatedApi;

struct BearerSecurity;

impl Modify for BearerSecurity {
    fn modify(&self, document: &mut Document) {
        let scheme = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token or the token of a session: `Authorization: Bearer enclii_…`",
            ))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The whole document.
fn document() -> Value {
    // It consists of strings and numbers, so it always serializes.
    let mut document = serde_json::to_value(AnnotatedApi::openapi()).unwrap_or_default();
    responses::complete(&mut document);
    document
}

/// Read this document
///
/// The content of `docs/openapi.json`.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "readDocument",
    tag = "server", security(()),
    responses((status = 200, description = "The document", body = Value)))]
pub(super) async fn read() -> Response {
    static BODY: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));
    ([(CONTENT_TYPE, "application/json")], BODY.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_golden_file_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let text = format!("{:#}\n", document());
        if std::env::var_os("ENCLII_RENEW").is_some() {
            std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == text, "docs/openapi.json is out of date; run 'make openapi'");
    }

    #[test]
    fn the_document_lists_exactly_the_routes() {
        // The agents' stream is a separate protocol.
        let routes: BTreeSet<String> = crate::api::routes()
            .into_iter()
            .map(|(path, _)| path.to_owned())
            .filter(|path| path != contract::stream::PATH)
            .collect();
        let document = document();
        let documented: BTreeSet<String> =
            document["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(routes, documented);
    }

    #[test]
    fn every_operation_documents_its_errors() {
        let document = document();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let it = format!("{method} {path}");
                assert!(
                    names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{it}"
                );
                assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{it}");
                assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{it}");
                let responses = operation["responses"].as_object().unwrap();
                let is_open = operation["security"] == serde_json::json!([{}]);
                for status in if is_open {
                    &["500", "503"][..]
                } else {
                    &["400", "401", "403", "429", "500", "503"]
                } {
                    assert!(responses.contains_key(*status), "{it}: {status}");
                }
                for (status, response) in responses {
                    assert!(
                        response["description"].as_str().is_some_and(|text| !text.is_empty()),
                        "{it}: {status}"
                    );
                    let is_problem = response["content"]["application/problem+json"].is_object();
                    assert_eq!(is_problem, status.starts_with(['4', '5']), "{it}: {status}");
                }
                for name in
                    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                {
                    let named =
                        |parameter: &Value| parameter["in"] == "path" && parameter["name"] == name;
                    assert!(
                        operation["parameters"].as_array().unwrap().iter().any(named),
                        "{it}: {name}"
                    );
                }
            }
        }
    }
}
