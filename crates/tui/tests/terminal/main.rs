//! The commands against the real server, as scripts run them.

mod accounts;
mod harness;
mod scripts;
