//! Sends push notifications: to FCM, APNs, Expo, and by Web Push, which is UnifiedPush too. docs/adr/0011 says what was chosen.
//!
//! [`plan`] decides on facts that somebody else has read. This crate must not know: how they are read, whether they may be seen, jobs, ambient time ([`Clock`]). It logs nothing: an [`Answer`] says all
//! that there is to say, and never a token, a key or content.
//!
//! The way through: [`notification`] what is told; [`provider`] what a provider can do; [`http`] one request; [`fcm`], [`apns`], [`expo`], [`webpush`] the
//! four; [`guard`] which addresses that others named may be asked.

pub mod notification;
pub mod plan;
pub mod provider;

pub use notification::{Notification, NotificationKind, Target};
pub use plan::{Plan, Policy, may_need, plan};
pub use provider::{Answer, Clock, ConfigError, Provider};
