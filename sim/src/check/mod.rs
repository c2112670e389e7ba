//! The promises, a file each. A checker answers what is wrong, as a sentence; nothing: all is well.

pub mod acknowledged;
pub mod bounded;
pub mod edits;
pub mod exactly_once;
pub mod fresh;
pub mod jobs;
pub mod local;
pub mod log;
pub mod notified;
pub mod order;
pub mod pushes;
pub mod told;
pub mod unread;
pub mod watermarks;
pub mod withdrawn;
