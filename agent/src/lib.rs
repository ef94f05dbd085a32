//! The agent: one per pod. It fetches the pod's secrets, keeps them as files, and tells the
//! application of new ones.
//!
//! ```text
//! source (edge)   the stream from switchyard: which generations this pod holds, with the values
//!   ↓
//! plan (pure)     the snapshot as files; whether they differ from what is held
//!   ↓
//! files (edge)    the memory volume: whole generations, swapped by one rename
//!   ↓
//! app (edge)      the application: a signal or a POST
//! ```
//!
//! [`cycle`] runs them; [`schedule`] says when to try again. An agent that has files keeps them
//! through any outage and never ends because a server is away.

pub mod app;
pub mod args;
pub mod cycle;
pub mod fault;
pub mod files;
pub mod harden;
pub mod last_words;
pub mod plan;
pub mod schedule;
pub mod source;
pub mod wait;
