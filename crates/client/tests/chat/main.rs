//! Real clients, their files, and the real server.

mod account;
mod delivery;
mod flaky;
mod harness;
mod jumps;
mod late;
mod lists;
mod offline;
mod signs;
