//! What the webhook decides, from the outside: pods in, patched pods or messages out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod golden;
mod properties;
mod refusals;
mod reinvocation;
mod reviews;
mod rules;
mod support;
