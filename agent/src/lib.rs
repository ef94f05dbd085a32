//! The agent: one sidecar per pod. It fetches the pod's secrets, writes them as files, and tells
//! the application to reload when they change.
//!
//! ```text
//! source (edge)   switchyard's stream, or Vault: what this pod holds, with the values
//!   ↓
//! plan (pure)     turns the snapshot into files and compares them with the current ones
//!   ↓
//! files (edge)    the memory volume: whole generations, swapped by one rename
//!   ↓
//! app (edge)      the application: a signal or a POST
//!   ↓
//! verify (edge)   whether the application uses what the files hold; if not, the previous
//!                 generation comes back
//! ```
//!
//! [`exec`] is a program of its own: the parent of the application's command, whose environment it
//! sets from the files.
//!
//! `metrics` (edge) shows what happened, where a pod asks for it.
//!
//! [`supervisor`] runs these steps; [`schedule`] decides when to retry. An agent that has files
//! keeps them through any outage and never exits because a server is unreachable.

pub mod app;
pub mod args;
pub mod error;
pub mod exec;
pub mod files;
pub mod helper;
mod loopback;
mod metrics;
pub mod plan;
pub mod program;
pub mod refused;
pub mod render;
mod requests;
pub mod schedule;
pub mod source;
pub mod supervisor;
pub mod termination_message;
pub mod verify;
pub mod wait;
