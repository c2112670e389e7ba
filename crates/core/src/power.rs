//! Time and chance come in from outside, so that the whole can be simulated.

use std::sync::Arc;

use tertulia_proto::Timestamp;
use uuid::Uuid;

/// The wall clock. It may jump: nothing that orders messages may depend on it.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// Unpredictable bytes.
pub trait Entropy: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);
}

#[derive(Clone)]
pub struct Powers {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl Powers {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then chance.
    pub fn new_uuid(&self) -> Uuid {
        let ms = u64::try_from(self.now().ms()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &self.bytes::<10>()).into_uuid()
    }
}
