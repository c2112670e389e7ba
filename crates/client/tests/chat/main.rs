//! Real clients, their files, and the real server.

mod delivery;
mod harness;
