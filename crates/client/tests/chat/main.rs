//! Real clients, their files, and the real server.

mod account;
mod background;
mod delivery;
mod flaky;
mod harness;
mod jumps;
mod late;
mod lists;
mod notified;
mod offline;
mod signs;
