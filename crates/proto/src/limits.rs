//! Every limit by name. The server's configuration sets them, `connected` tells them, and errors quote them.

use serde::{Deserialize, Serialize};

/// Unit and default of each are in its line; the name ends in the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// UTF-8 bytes of a message's body. 4096.
    pub body_max_bytes: usize,
    /// Characters of a group's title. 200.
    pub title_max_chars: usize,
    /// Characters of a person's name. 200.
    pub name_max_chars: usize,
    /// Bytes of an avatar's address. 2048.
    pub avatar_url_max_bytes: usize,
    /// Bytes of a password. 1024; the least is 8 characters.
    pub password_max_bytes: usize,
    /// People in a group. 1000.
    pub group_members_max: usize,
    /// Conversations a person may open in 10 minutes. 200.
    pub conversations_opened_per_10min: u32,
    /// Reactions on one message, all people together. 1000.
    pub reactions_per_message_max: usize,
    /// People one may have blocked. 10000.
    pub blocks_per_user_max: usize,
    /// Bytes of a request's body over HTTP. 65536.
    pub request_max_bytes: usize,
    /// Bytes of a frame over a socket. 65536.
    pub frame_max_bytes: usize,
    /// Conversations of a page of the list. 100.
    pub list_page_max: usize,
    /// Messages of a page of history. 200.
    pub history_page_max: usize,
    /// Messages of a conversation in a difference. 100.
    pub sync_messages_max: usize,
    /// Conversations of a page of the difference. 100.
    pub sync_page_max: usize,
    /// Conversations of which one may say, asking for the difference, what one holds. 500: at most 51 KB of a frame.
    pub sync_have_max: usize,
    /// Hits of a search. 100.
    pub search_page_max: usize,
    /// Bytes of a search text. 256; the least is 3 characters.
    pub search_query_max_bytes: usize,
    /// Sends per person in 10 seconds. 30.
    pub sends_per_10s: u32,
    /// Sends per conversation in a minute. 120.
    pub sends_per_conversation_per_minute: u32,
    /// Edits, deletions, reactions, receipts and other changes per person in 10 seconds. 300.
    pub changes_per_10s: u32,
    /// Searches, of messages or people, per person in a minute. 120.
    pub searches_per_minute: u32,
    /// Differences and lists of people watched per person in 10 seconds. 300.
    pub lookups_per_10s: u32,
    /// Attempts to sign in or register with one e-mail in a minute. 20.
    pub sign_ins_per_minute: u32,
    /// Attempts to sign in or register from one address in a minute; many people may share one. 200.
    pub sign_ins_per_address_per_minute: u32,
    /// Frames a connection may send in 10 seconds before it is closed with 4429. 2000.
    pub frames_per_10s: u32,
    /// Connections of one person at once. 100.
    pub connections_per_user_max: usize,
    /// Connections of this server at once. 100000.
    pub connections_max: usize,
    /// Requests of one connection under way at once; reading stops above. 256.
    pub in_flight_max: usize,
    /// Bytes of Socket.IO events of one connection that wait to be handled; above it the connection is closed with 4429. 67108864.
    pub inbox_max_bytes: usize,
    /// Frames that wait for a slow reader before it is disconnected with 4408. 4096.
    pub lane_max_frames: usize,
    /// Bytes that wait for a slow reader before it is disconnected with 4408. 2097152.
    pub lane_max_bytes: usize,
    /// People one connection may watch. 1000.
    pub watched_max: usize,
    /// Milliseconds after which a typing sign expires by itself. 6000.
    pub typing_expiry_ms: u64,
    /// Devices of one person that are registered for notifications; beyond it those go that were registered longest ago. 50.
    pub devices_per_user_max: usize,
    /// Bytes of a device's token. 4096.
    pub device_token_max_bytes: usize,
    /// Test notifications per person in a minute. 10.
    pub push_tests_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max_bytes: 4096,
            title_max_chars: 200,
            name_max_chars: 200,
            avatar_url_max_bytes: 2048,
            password_max_bytes: 1024,
            group_members_max: 1000,
            conversations_opened_per_10min: 200,
            reactions_per_message_max: 1000,
            blocks_per_user_max: 10_000,
            request_max_bytes: 64 * 1024,
            frame_max_bytes: 64 * 1024,
            list_page_max: 100,
            history_page_max: 200,
            sync_messages_max: 100,
            sync_page_max: 100,
            sync_have_max: 500,
            search_page_max: 100,
            search_query_max_bytes: 256,
            sends_per_10s: 30,
            sends_per_conversation_per_minute: 120,
            changes_per_10s: 300,
            searches_per_minute: 120,
            lookups_per_10s: 300,
            sign_ins_per_minute: 20,
            sign_ins_per_address_per_minute: 200,
            frames_per_10s: 2000,
            connections_per_user_max: 100,
            connections_max: 100_000,
            in_flight_max: 256,
            inbox_max_bytes: 64 * 1024 * 1024,
            lane_max_frames: 4096,
            lane_max_bytes: 2 * 1024 * 1024,
            watched_max: 1000,
            typing_expiry_ms: 6000,
            devices_per_user_max: 50,
            device_token_max_bytes: 4096,
            push_tests_per_minute: 10,
        }
    }
}
