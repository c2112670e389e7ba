//! What there is to move: the tables of a log as both homes mean them, whatever their keys are inside.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A UUID.
    Id,
    Int,
    Flag,
    Text,
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    /// So many columns at the beginning are the key, by which rows are in order: ids and text byte by byte.
    pub key: usize,
    pub columns: &'static [Column],
    /// Its first column says whose conversation a row is.
    pub is_of_conversation: bool,
}

impl Table {
    pub fn key_columns(&self) -> &'static [Column] {
        self.columns.split_at(self.key).0
    }
}

const fn id(name: &'static str) -> Column {
    Column { name, kind: Kind::Id }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn flag(name: &'static str) -> Column {
    Column { name, kind: Kind::Flag }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

const fn table(name: &'static str, key: usize, columns: &'static [Column]) -> Table {
    Table { name, key, columns, is_of_conversation: false }
}

const fn of_conversation(name: &'static str, key: usize, columns: &'static [Column]) -> Table {
    Table { name, key, columns, is_of_conversation: true }
}

/// In an order in which each row finds those it refers to. What is not here is known to be elsewhere: a log's state is its [`super::Identity`], a DM's
/// pair is in its conversation, and what is searched is made from the messages by the home itself.
pub const TABLES: &[Table] = &[
    table(
        "users",
        1,
        &[
            id("id"),
            text("email"),
            text("name"),
            text("avatar_url"),
            text("password_hash"),
            int("created_at"),
            int("last_seen_at"),
            text("quiet_hours"),
        ],
    ),
    table("identities", 2, &[text("issuer"), text("subject"), id("user_id")]),
    table(
        "sessions",
        1,
        &[
            id("id"),
            id("user_id"),
            int("created_at"),
            int("expires_at"),
            int("ended_at"),
            text("user_agent"),
            int("last_seen_at"),
        ],
    ),
    table(
        "api_keys",
        1,
        &[id("id"), bytes("hash"), text("name"), text("scopes"), int("created_at"), int("revoked_at"), id("user_id")],
    ),
    table("blocks", 2, &[id("user_id"), id("blocked_id")]),
    table(
        "devices",
        1,
        &[
            id("id"),
            id("user_id"),
            id("session_id"),
            id("client_device"),
            int("provider"),
            int("platform"),
            text("token"),
            bytes("token_hash"),
            text("app_version"),
            text("user_agent"),
            flag("shows_content"),
            int("created_at"),
            int("registered_at"),
            int("failed_at"),
            text("failure"),
            int("refusals"),
        ],
    ),
    table(
        "jobs",
        1,
        &[
            int("id"),
            text("kind"),
            bytes("unique_key"),
            text("payload"),
            int("state"),
            int("attempt"),
            int("run_at"),
            int("created_at"),
            int("priority"),
            bytes("worker"),
            int("lease_until"),
            int("spared"),
            text("reasons"),
            int("dead_at"),
        ],
    ),
    of_conversation(
        "conversations",
        1,
        &[
            id("id"),
            int("kind"),
            text("title"),
            int("created_at"),
            int("history_visibility"),
            // The pair of a DM, lower id first.
            id("dm_low"),
            id("dm_high"),
            int("member_count"),
            int("last_seq"),
            int("last_message_at"),
            int("activity_at"),
            int("rev"),
            int("pos"),
        ],
    ),
    of_conversation(
        "members",
        2,
        &[
            id("conversation_id"),
            id("user_id"),
            int("role"),
            int("joined_at"),
            int("joined_pos"),
            int("visible_after_seq"),
            int("delivered_seq"),
            int("read_seq"),
            int("rev"),
            int("pos"),
            int("personal_pos"),
            int("removed_at"),
            int("hidden_seq"),
            int("muted_until"),
        ],
    ),
    of_conversation(
        "messages",
        2,
        &[
            id("conversation_id"),
            int("seq"),
            id("id"),
            id("sender_id"),
            text("client_msg_id"),
            text("body"),
            id("reply_to"),
            int("created_at"),
            int("edited_at"),
            int("deleted_at"),
            int("rev"),
            int("pos"),
            int("born_pos"),
            flag("amended"),
        ],
    ),
    of_conversation("reactions", 4, &[id("conversation_id"), int("seq"), text("emoji"), id("user_id"), int("rev")]),
    of_conversation(
        "device_seats",
        2,
        &[id("conversation_id"), id("device_id"), int("delivered_seq"), int("pushed_seq"), int("withdrawn_seq")],
    ),
    of_conversation(
        "push_attempts",
        4,
        &[
            id("conversation_id"),
            int("seq"),
            id("device_id"),
            int("attempt"),
            int("at"),
            int("outcome"),
            text("detail"),
        ],
    ),
    table(
        "webhook_endpoints",
        1,
        &[
            id("id"),
            text("url"),
            int("kinds"),
            bytes("secret"),
            bytes("old_secret"),
            int("created_at"),
            int("off_at"),
            text("off_reason"),
            flag("listens"),
            int("enabled_count"),
            int("failures"),
            int("failing_since"),
            int("retry_from"),
            int("retry_at"),
            int("forgotten"),
            int("taken"),
            int("last_taken_at"),
            int("failed"),
            int("last_failed_at"),
            text("last_failure"),
        ],
    ),
    table(
        "webhook_events",
        2,
        &[id("stream_id"), int("number"), int("kind"), int("seq"), id("user_id"), int("at"), bytes("epoch")],
    ),
    table(
        "webhook_cursors",
        2,
        &[
            id("endpoint_id"),
            id("stream_id"),
            int("taken_number"),
            int("moved_at"),
            int("trying_number"),
            bytes("holder"),
            int("lease_until"),
            int("failures"),
            int("failing_since"),
            int("retry_from"),
            int("retry_at"),
            int("enabled_count"),
            int("parked_at"),
            text("parked_reason"),
        ],
    ),
    table(
        "webhook_attempts",
        4,
        &[
            id("stream_id"),
            int("last_number"),
            id("endpoint_id"),
            int("attempt"),
            int("first_number"),
            int("at"),
            int("outcome"),
            int("status"),
        ],
    ),
    table("message_keys", 2, &[id("sender_id"), text("client_msg_id"), id("conversation_id"), int("seq")]),
];
