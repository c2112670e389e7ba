//! Sends push notifications: to FCM, APNs, Expo, and by Web Push, which is UnifiedPush too. docs/adr/0011 says what was chosen.
//!
//! [`plan`] decides on facts that somebody else has read. This crate must not know: how they are read, whether they may be seen, jobs, ambient time
//! ([`Clock`]). It logs nothing: an [`Answer`] says all that there is to say, and never a token, a key or content.
//!
//! The way through: [`notification`] what is told; [`provider`] what a provider can do; `http` one request; [`fcm`], [`apns`], [`expo`], [`webpush`] the
//! four, and `apple` what two of them share; [`guard`] which addresses that others named may be asked.

pub mod apns;
mod apple;
pub mod expo;
pub mod fcm;
pub mod guard;
mod http;
pub mod notification;
pub mod plan;
pub mod provider;
pub mod webpush;

pub use apns::{Apns, ApnsConfig};
pub use expo::{Expo, ExpoConfig};
pub use fcm::{Fcm, FcmConfig};
pub use http::Network;
pub use notification::{Notification, NotificationKind, Target};
pub use plan::{Plan, Policy, may_need, plan};
pub use provider::{Answer, Clock, ConfigError, Provider};
pub use webpush::{VapidKeys, WebPush, WebPushConfig, generate_vapid_keys};
