//! What the webhook decides, from the outside: pods in, patched pods or messages out.

mod golden;
mod properties;
mod refusals;
mod reinvocation;
mod reviews;
mod rules;
mod support;
