//! Tries a login at PostgreSQL, MySQL or Redis, and tells what the server said.
//!
//! ```text
//! standard input   a request, and the URL of the secret
//!   ↓
//! target (pure)    the URL → where to go, as whom, and how TLS is checked
//!   ↓
//! attempt          one connection after the other, until a server answers
//!   ↓
//! postgres, mysql, redis
//!                  the protocol: login, trivial query, the application's sessions
//!   ↓
//! standard output  an answer, which has no part of the URL but host and port
//! ```
//!
//! The protocols' libraries are several times the agent's size, so they are a program of their own,
//! which runs only while the agent checks or has a server read its files again. No text of a
//! library or of a server gets into the answer: servers quote users and databases, which are parts
//! of the secret.

mod answer;
mod attempt;
mod driven;
mod failure;
mod mysql;
mod postgres;
mod redis;
mod stream;
mod target;
mod times;
mod tls;

pub use answer::answer;
