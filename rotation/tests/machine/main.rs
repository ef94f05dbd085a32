//! The machine beside a world that does what it asks for: a target that counts what was done to it,
//! pods that hold what they are told, and leaders that die.

mod chaos;
mod kills;
mod scenarios;
mod world;
