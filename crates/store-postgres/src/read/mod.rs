//! One lookup: what somebody may see, in one snapshot. The number of statements does not depend on what is found.

pub(crate) mod accounts;
pub(crate) mod conversations;
pub(crate) mod difference;
pub(crate) mod history;
pub(crate) mod jobs;
pub(crate) mod push;
pub(crate) mod search;
pub(crate) mod traces;
pub(crate) mod warrant;
pub(crate) mod webhooks;
