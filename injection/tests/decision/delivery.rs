//! How values are delivered: `enclii.io/deliver`.

use serde_json::json;

use crate::support::{annotate, one, refused};

#[test]
fn a_delivery_that_is_not_available_is_refused() {
    for deliver in ["env", "exec", "init", "files,DATABASE_URL=exec"] {
        let message = refused(&annotate(one(json!({})), &[("deliver", deliver)]));
        assert!(message.contains("is not available yet"), "{deliver}: {message}");
    }
}
