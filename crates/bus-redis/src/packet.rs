//! What travels: one JSON object per publication.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tertulia_proto::{DeviceId, ServerId, UserId};
use tertulia_realtime::News;
use uuid::Uuid;

/// Bytes of news in one publication, about.
pub const BYTES_MAX: usize = 256 * 1024;

/// News, or a sign of life.
#[derive(Serialize, Deserialize)]
pub struct Packet<'a> {
    pub from: ServerId,
    /// Counts the publications with news of this server from 1. A sign of life bears the number of the last one.
    pub n: u64,
    /// The server goes; nothing more comes from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bye: bool,
    /// Who is at the server has been written anew: what was read of it before may be wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// The epoch of the log that the news are of. Without it they are of whatever log the reader has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Uuid>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub news: Vec<&'a RawValue>,
}

/// From one server to one other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "k")]
pub enum Letter {
    /// The device is connected to me now; this was its connection to you.
    Retire { from: ServerId, id: u64, user: UserId, device: DeviceId, connection: u64 },
    /// Nothing more will be done for the connection that letter `id` was about.
    Retired { id: u64 },
}

/// Encoded news, cut into publications of a bearable size; of each its lines.
pub fn cut(news: &[News]) -> Vec<Vec<Box<RawValue>>> {
    let mut packets = Vec::new();
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for one in news {
        let Ok(line) = RawValue::from_string(one.encode()) else { continue };
        if bytes + line.get().len() > BYTES_MAX && !lines.is_empty() {
            packets.push(std::mem::take(&mut lines));
            bytes = 0;
        }
        bytes += line.get().len();
        lines.push(line);
    }
    if !lines.is_empty() {
        packets.push(lines);
    }
    packets
}

/// As it is published.
pub fn encode(from: ServerId, n: u64, log: Option<Uuid>, lines: &[Box<RawValue>]) -> String {
    text(&Packet { from, n, bye: false, anew: false, log, news: lines.iter().map(|line| &**line).collect() })
}

/// A sign of life.
pub fn sign(from: ServerId, n: u64, anew: bool) -> String {
    text(&Packet { from, n, bye: false, anew, log: None, news: Vec::new() })
}

/// The last publication of a server.
pub fn goodbye(from: ServerId, n: u64) -> String {
    text(&Packet { from, n, bye: true, anew: false, log: None, news: Vec::new() })
}

fn text(packet: &Packet<'_>) -> String {
    serde_json::to_string(packet).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_proto::SessionId;

    #[test]
    fn much_news_is_cut_and_all_of_it_comes() {
        let news: Vec<News> = (0..10_000_u32)
            .map(|n| News::SessionEnded { session: SessionId::from_bytes([(n % 250) as u8; 16]) })
            .collect();
        let packets = cut(&news);
        assert!(packets.len() > 1);
        let from = ServerId::from_bytes([1; 16]);
        let mut count = 0;
        for (n, lines) in packets.iter().enumerate() {
            let text = encode(from, n as u64, None, lines);
            assert!(text.len() < BYTES_MAX + 40_000, "{}", text.len());
            let packet: Packet<'_> = serde_json::from_str(&text).unwrap();
            count += packet.news.iter().filter(|line| News::decode(line.get()).is_some()).count();
        }
        assert_eq!(count, news.len());
        assert!(cut(&[]).is_empty());
    }
}
