//! Everything that is looked up. Each function runs inside one read transaction: one snapshot of the log.

pub(crate) mod accounts;
pub(crate) mod conversations;
pub(crate) mod difference;
pub(crate) mod history;
pub(crate) mod jobs;
pub(crate) mod push;
pub(crate) mod search;
pub(crate) mod traces;
pub(crate) mod webhooks;
