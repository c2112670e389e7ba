//! The way to the other servers.

use std::future::Future;
use std::pin::Pin;

use tertulia_proto::{DeviceId, UserId};

use crate::connection::ConnectionId;
use crate::news::News;

/// Carries news between servers. It may lose: each server numbers what it hands on, so that the others notice.
pub trait Bus: Send + Sync + 'static {
    /// Hands news on to the other servers, in this order. Never blocks; when it can't keep up, it loses and says so by the numbers.
    fn publish(&self, news: Vec<News>);

    /// The device's newest connection is this one, here. Ends when the server that had the last one has done what it will ever do for it, or is gone, or can't be
    /// asked in time.
    fn claim_device(
        &self,
        user: UserId,
        device: DeviceId,
        connection: ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
