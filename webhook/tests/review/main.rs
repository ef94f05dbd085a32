//! AdmissionReviews as bytes, from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod plaintext;
mod properties;
mod reviews;
mod support;
