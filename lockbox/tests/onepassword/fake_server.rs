//! The fake Connect server itself: it behaves as documented and reported of the real one.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::fake_connect::{ComponentHealth, Connect, VaultGrant};

struct TestClient {
    http: reqwest::Client,
    host: String,
}

impl TestClient {
    fn new(connect: &Connect) -> Self {
        runtime::provider::install().unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only(Vec::new())
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self { http, host: connect.host() }
    }

    async fn send(&self, request: RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["1Password-Connect-Version"], "1.7.3");
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request =
            self.http.request(method, format!("{}{path}", self.host)).bearer_auth(Connect::TOKEN);
        self.send(match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        })
        .await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    async fn vault(&self) -> String {
        self.get("/v1/vaults").await.1[0]["id"].as_str().unwrap().to_owned()
    }
}

fn error(status: u16, message: impl Into<String>) -> (u16, Value) {
    (status, json!({ "status": status, "message": message.into() }))
}

fn item(vault: &str, title: &str) -> Value {
    json!({
        "vault": {"id": vault}, "title": title, "category": "LOGIN", "tags": ["t"],
        "sections": [{"id": "s", "label": "S"}],
        "fields": [
            {"label": "a", "value": "1", "type": "CONCEALED"},
            {"label": "a", "value": "2", "section": {"id": "none"}},
        ],
    })
}

#[tokio::test]
async fn status_codes_shapes_and_versions() {
    let connect = Connect::start().await;
    let caller = TestClient::new(&connect);
    let vault = caller.vault().await;
    let items = format!("/v1/vaults/{vault}/items");
    let (status, made) = caller.call(Method::POST, &items, Some(&item(&vault, "T"))).await;
    // Not 201.
    assert_eq!(status, 200);
    let id = made["id"].as_str().unwrap();
    assert!(
        id.len() == 26 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
        "{id}"
    );
    assert_eq!((made["version"].as_u64(), made["fields"].as_array().unwrap().len()), (Some(1), 2));
    // It accepts two fields with one label, and a section that does not exist.
    assert_eq!(made["fields"][1]["section"]["id"], "none");
    let (_, listed) = caller.get(&items).await;
    assert!(
        listed[0].get("fields").is_none()
            && listed[0].get("sections").is_none()
            && listed[0]["title"] == "T"
    );
    let (status, replaced) =
        caller.call(Method::PUT, &format!("{items}/{id}"), Some(&item(&vault, "U"))).await;
    assert_eq!(
        (status, replaced["version"].as_u64(), replaced["createdAt"] == made["createdAt"]),
        (200, Some(2), true)
    );
    assert_eq!(caller.get(&format!("/v1/vaults/{vault}")).await.1["contentVersion"], 2);
    assert_eq!(
        caller.call(Method::DELETE, &format!("{items}/{id}"), None).await,
        (204, Value::String(String::new()))
    );
    assert_eq!(
        caller.get(&format!("{items}/{id}")).await,
        error(404, format!("item {id} not found"))
    );
    assert_eq!(
        caller.call(Method::DELETE, &format!("{items}/{id}"), None).await,
        error(404, format!("item {id} not found"))
    );
    let mut document = item(&vault, "T");
    for category in ["DOCUMENT", "NONSENSE"] {
        document["category"] = category.into();
        assert_eq!(
            caller.call(Method::POST, &items, Some(&document)).await,
            error(400, "Invalid item category")
        );
    }
    let mut homeless = item(&vault, "T");
    homeless.as_object_mut().unwrap().remove("vault");
    assert_eq!(caller.call(Method::POST, &items, Some(&homeless)).await.0, 400);
}

#[tokio::test]
async fn items_are_filtered_by_name_and_title() {
    let connect = Connect::start().await;
    let caller = TestClient::new(&connect);
    let vault = caller.vault().await;
    let items = format!("/v1/vaults/{vault}/items");
    for title in ["One", "Two"] {
        caller.call(Method::POST, &items, Some(&item(&vault, title))).await;
    }
    let titles = |answer: &Value| {
        answer
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let query = |filter: &str| {
        url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish()
    };
    for (filter, expected) in [
        ("title eq \"One\"", vec!["One"]),
        ("name eq \"two\"", vec!["Two"]),
        ("title eq \"No\"", vec![]),
        ("tag eq \"t\"", vec!["One", "Two"]),
    ] {
        let (status, found) = caller.get(&format!("{items}?{}", query(filter))).await;
        let mut found = titles(&found);
        found.sort();
        assert_eq!(
            (status, found),
            (200, expected.into_iter().map(str::to_owned).collect()),
            "{filter}"
        );
    }
    for filter in ["name eq \"Enclii\"", "title eq \"Enclii\""] {
        assert_eq!(
            caller.get(&format!("/v1/vaults?{}", query(filter))).await.1[0]["id"],
            vault,
            "{filter}"
        );
    }
    for broken in ["title eq \"a\" or title eq \"One\"", "title = \"One\"", "One"] {
        assert_eq!(caller.get(&format!("{items}?{}", query(broken))).await.0, 400, "{broken}");
    }
}

#[tokio::test]
async fn refusals_and_their_messages() {
    let connect = Connect::start().await;
    let caller = TestClient::new(&connect);
    let vault = caller.vault().await;
    let path = format!("{}/v1/vaults/{vault}/items", connect.host());
    assert_eq!(caller.send(caller.http.get(&path)).await, error(401, "Invalid bearer token"));
    assert_eq!(
        caller.send(caller.http.get(&path).bearer_auth("x")).await,
        error(401, "Invalid token signature")
    );
    let foreign = connect.state().add_vault("Foreign");
    let out_of_scope = error(403, format!("vault {foreign} is not in scope"));
    assert_eq!(caller.get(&format!("/v1/vaults/{foreign}")).await, out_of_scope);
    assert_eq!(caller.get(&format!("/v1/vaults/{foreign}/items")).await, out_of_scope);
    assert_eq!(caller.get("/v1/vaults").await.1.as_array().unwrap().len(), 1);
    connect
        .state()
        .add_token(Connect::TOKEN, vec![VaultGrant { vault: vault.clone(), write: false }]);
    assert_eq!(caller.get(&format!("/v1/vaults/{vault}/items")).await.0, 200);
    let refused = caller
        .call(Method::POST, &format!("/v1/vaults/{vault}/items"), Some(&item(&vault, "T")))
        .await;
    assert_eq!(refused, error(403, format!("vault {vault} is not in scope")));
    connect
        .state()
        .add_token(Connect::TOKEN, vec![VaultGrant { vault: "gone".to_owned(), write: true }]);
    assert_eq!(caller.get("/v1/vaults/gone").await, error(404, "vault gone not found"));
}

#[tokio::test]
async fn writes_become_visible_after_their_delay() {
    let connect = Connect::start().await;
    let caller = TestClient::new(&connect);
    let vault = caller.vault().await;
    let items = format!("/v1/vaults/{vault}/items");
    connect.state().delay = Duration::from_secs(3600);
    connect.state().delays.push(("Quick".to_owned(), Duration::ZERO));
    let (status, made) = caller.call(Method::POST, &items, Some(&item(&vault, "Slow"))).await;
    let slow = format!("{items}/{}", made["id"].as_str().unwrap());
    assert_eq!(status, 200);
    caller.call(Method::POST, &items, Some(&item(&vault, "Quick"))).await;
    assert_eq!(caller.get(&slow).await.0, 404);
    assert_eq!(caller.get(&items).await.1.as_array().unwrap().len(), 1);
    assert_eq!(caller.get(&format!("/v1/vaults/{vault}")).await.1["contentVersion"], 1);
    // A replacement and a deletion still show the old item.
    let quick = format!("{items}/{}", caller.get(&items).await.1[0]["id"].as_str().unwrap());
    assert_eq!(
        caller.call(Method::PUT, &quick, Some(&item(&vault, "Later"))).await.1["version"],
        2
    );
    assert_eq!(caller.get(&quick).await.1["title"], "Quick");
    assert_eq!(caller.call(Method::DELETE, &quick, None).await.0, 204);
    assert_eq!(caller.get(&quick).await.1["version"], 1);
}

#[tokio::test]
async fn failures_of_the_fake_server() {
    let mut connect = Connect::start().await;
    let caller = TestClient::new(&connect);
    assert_eq!(
        caller.send(caller.http.get(format!("{}/heartbeat", connect.host()))).await,
        (200, Value::String(".".to_owned()))
    );
    let health =
        |connect: &Connect| caller.send(caller.http.get(format!("{}/health", connect.host())));
    let status_of = |health: &Value, service: &str| {
        health["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["service"] == service)
            .map(|part| part["status"].clone())
    };
    // It answers 200 although it cannot work yet: no request with a token was made.
    let (status, told) = health(&connect).await;
    assert_eq!((status, status_of(&told, "1Password")), (200, Some(json!("UNINITIALIZED"))));
    let vault = caller.vault().await;
    assert_eq!(status_of(&health(&connect).await.1, "1Password"), Some(json!("ACTIVE")));
    connect.state().ill =
        vec![ComponentHealth { service: "sync", status: "TOKEN_NEEDED", message: "" }];
    let (status, told) = health(&connect).await;
    assert_eq!((status, status_of(&told, "sync")), (200, Some(json!("TOKEN_NEEDED"))));
    let path = format!("/v1/vaults/{vault}");
    connect.state().unsynced = 1;
    assert_eq!(caller.get(&path).await, error(500, "Something went wrong"));
    assert_eq!(caller.get(&path).await.0, 200);
    connect.state().spurious = 30;
    let mut refused = 0;
    for _ in 0..100 {
        match caller.get(&path).await {
            (200, _) => {}
            answer => {
                refused += 1;
                assert_eq!(
                    answer,
                    error(403, "Authorization: token does not have access to vault")
                );
            }
        }
    }
    assert!((10..60).contains(&refused), "{refused}");
    // A proxy answers instead, since the real answer was lost.
    connect.state().spurious = 0;
    connect.state().lost_posts = 1;
    let (status, text) =
        caller.call(Method::POST, &format!("{path}/items"), Some(&item(&vault, "T"))).await;
    assert_eq!((status, text.as_str()), (502, Some("<html>bad gateway</html>")));
    assert_eq!(connect.state().titled("T").len(), 1);
    connect.up().await;
    // Old connections are closed.
    let caller = TestClient::new(&connect);
    let (_, items) = caller.get(&format!("{path}/items")).await;
    assert_eq!(items[0]["title"], "T", "what was written outlives a restart");
}
