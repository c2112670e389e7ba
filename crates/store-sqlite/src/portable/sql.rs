//! The tables by ids: what a page is selected by, and what a row is inserted by. `CROSS JOIN` is SQLite's way to say in which order.

use crate::rows::{Sql, bad_value};

/// Rows above a key, in order of the key: first the key's columns, then how many at most.
pub fn page(table: &str) -> Sql<&'static str> {
    PAGES.iter().find(|(name, _)| *name == table).map(|(_, text)| *text).ok_or_else(|| bad_value("an unknown table"))
}

/// All columns of a row in their order. Writes no row where one is missing that it refers to.
pub fn insert(table: &str) -> Sql<&'static str> {
    INSERTS.iter().find(|(name, _)| *name == table).map(|(_, text)| *text).ok_or_else(|| bad_value("an unknown table"))
}

const PAGES: &[(&str, &str)] = &[
    (
        "users",
        "SELECT id, email, name, avatar_url, password_hash, created_at, last_seen_at, quiet_hours FROM users WHERE id > ?1 ORDER BY id LIMIT ?2",
    ),
    (
        "identities",
        "SELECT i.issuer, i.subject, u.id FROM identities i CROSS JOIN users u ON u.no = i.user_no
         WHERE (i.issuer, i.subject) > (?1, ?2) ORDER BY i.issuer, i.subject LIMIT ?3",
    ),
    (
        "sessions",
        "SELECT s.id, u.id, s.created_at, s.expires_at, s.ended_at, s.user_agent, s.last_seen_at
         FROM sessions s CROSS JOIN users u ON u.no = s.user_no WHERE s.id > ?1 ORDER BY s.id LIMIT ?2",
    ),
    (
        "api_keys",
        "SELECT id, hash, name, scopes, created_at, revoked_at, user_id FROM api_keys WHERE id > ?1 ORDER BY id LIMIT ?2",
    ),
    (
        "blocks",
        "SELECT u.id, o.id FROM users u CROSS JOIN blocks b ON b.user_no = u.no CROSS JOIN users o ON o.no = b.blocked_no
         WHERE u.id >= ?1 AND (u.id > ?1 OR o.id > ?2) ORDER BY u.id, o.id LIMIT ?3",
    ),
    (
        "devices",
        "SELECT d.id, u.id, d.session_id, d.client_device, d.provider, d.platform, d.token, d.token_hash, d.app_version, d.user_agent,
            d.shows_content, d.created_at, d.registered_at, d.failed_at, d.failure, d.refusals
         FROM devices d CROSS JOIN users u ON u.no = d.user_no WHERE d.id > ?1 ORDER BY d.id LIMIT ?2",
    ),
    (
        "jobs",
        "SELECT id, kind, unique_key, payload, state, attempt, run_at, created_at, priority, worker, lease_until, spared, reasons, dead_at
         FROM jobs WHERE id > ?1 ORDER BY id LIMIT ?2",
    ),
    (
        "conversations",
        "SELECT c.id, c.kind, c.title, c.created_at, c.history_visibility, min(l.id, h.id), max(l.id, h.id), c.member_count, c.last_seq,
            c.last_message_at, c.activity_at, c.rev, c.pos
         FROM conversations c LEFT JOIN users l ON l.no = c.dm_low LEFT JOIN users h ON h.no = c.dm_high
         WHERE c.id > ?1 ORDER BY c.id LIMIT ?2",
    ),
    (
        "members",
        "SELECT c.id, u.id, m.role, m.joined_at, m.joined_pos, m.visible_after_seq, m.delivered_seq, m.read_seq, m.rev, m.pos, m.personal_pos,
            m.removed_at, m.hidden_seq, m.muted_until
         FROM conversations c CROSS JOIN members m ON m.conversation_no = c.no CROSS JOIN users u ON u.no = m.user_no
         WHERE c.id >= ?1 AND (c.id > ?1 OR u.id > ?2) ORDER BY c.id, u.id LIMIT ?3",
    ),
    (
        "messages",
        "SELECT c.id, x.key & 0xffffffff, x.id, s.id, x.client_msg_id, x.body, x.reply_to, x.created_at, x.edited_at, x.deleted_at, x.rev, x.pos,
            x.born_pos, x.amended
         FROM conversations c
         CROSS JOIN messages x ON x.key > (c.no << 32) + CASE WHEN c.id = ?1 THEN ?2 ELSE 0 END AND x.key < (c.no + 1) << 32
         CROSS JOIN users s ON s.no = x.sender_no
         WHERE c.id >= ?1 ORDER BY c.id, x.key LIMIT ?3",
    ),
    (
        "reactions",
        "SELECT c.id, r.message_key & 0xffffffff, r.emoji, u.id, r.rev
         FROM conversations c
         CROSS JOIN reactions r ON r.message_key >= (c.no << 32) + CASE WHEN c.id = ?1 THEN ?2 ELSE 0 END AND r.message_key < (c.no + 1) << 32
         CROSS JOIN users u ON u.no = r.user_no
         WHERE c.id >= ?1 AND (c.id > ?1 OR (r.message_key & 0xffffffff, r.emoji, u.id) > (?2, ?3, ?4))
         ORDER BY c.id, r.message_key, r.emoji, u.id LIMIT ?5",
    ),
    (
        "device_seats",
        "SELECT c.id, d.id, s.delivered_seq, s.pushed_seq, s.withdrawn_seq
         FROM conversations c CROSS JOIN device_seats s ON s.conversation_no = c.no CROSS JOIN devices d ON d.no = s.device_no
         WHERE c.id >= ?1 AND (c.id > ?1 OR d.id > ?2) ORDER BY c.id, d.id LIMIT ?3",
    ),
    (
        "push_attempts",
        "SELECT c.id, a.seq, a.device_id, a.attempt, a.at, a.outcome, a.detail
         FROM conversations c
         CROSS JOIN push_attempts a ON a.conversation_no = c.no AND a.seq >= CASE WHEN c.id = ?1 THEN ?2 ELSE 0 END
         WHERE c.id >= ?1 AND (c.id > ?1 OR (a.seq, a.device_id, a.attempt) > (?2, ?3, ?4))
         ORDER BY c.id, a.seq, a.device_id, a.attempt LIMIT ?5",
    ),
    (
        "webhook_endpoints",
        "SELECT id, url, kinds, secret, old_secret, created_at, off_at, off_reason, listens, enabled_count, failures, failing_since, retry_from,
            retry_at, forgotten, taken, last_taken_at, failed, last_failed_at, last_failure FROM webhook_endpoints WHERE id > ?1 ORDER BY id LIMIT ?2",
    ),
    (
        "webhook_events",
        "SELECT stream_id, number, kind, seq, user_id, at, epoch FROM webhook_events WHERE (stream_id, number) > (?1, ?2) ORDER BY stream_id, number LIMIT ?3",
    ),
    (
        "webhook_cursors",
        "SELECT endpoint_id, stream_id, taken_number, moved_at, trying_number, holder, lease_until, failures, failing_since, retry_from,
            retry_at, enabled_count, parked_at, parked_reason
         FROM webhook_cursors WHERE (endpoint_id, stream_id) > (?1, ?2) ORDER BY endpoint_id, stream_id LIMIT ?3",
    ),
    (
        "webhook_attempts",
        "SELECT stream_id, last_number, endpoint_id, attempt, first_number, at, outcome, status FROM webhook_attempts
         WHERE (stream_id, last_number, endpoint_id, attempt) > (?1, ?2, ?3, ?4) ORDER BY stream_id, last_number, endpoint_id, attempt LIMIT ?5",
    ),
    (
        "message_keys",
        "SELECT u.id, k.client_msg_id, c.id, k.message_key & 0xffffffff
         FROM users u
         CROSS JOIN message_keys k ON k.sender_no = u.no AND k.client_msg_id > CASE WHEN u.id = ?1 THEN ?2 ELSE '' END
         CROSS JOIN conversations c ON c.no = k.message_key >> 32
         WHERE u.id >= ?1 ORDER BY u.id, k.client_msg_id LIMIT ?3",
    ),
];

const INSERTS: &[(&str, &str)] = &[
    (
        "users",
        "INSERT INTO users (id, email, name, avatar_url, password_hash, created_at, last_seen_at, quiet_hours) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    ),
    (
        "identities",
        "INSERT INTO identities (issuer, subject, user_no) SELECT ?1, ?2, no FROM users WHERE id = ?3",
    ),
    (
        "sessions",
        "INSERT INTO sessions (id, user_no, created_at, expires_at, ended_at, user_agent, last_seen_at)
         SELECT ?1, no, ?3, ?4, ?5, ?6, ?7 FROM users WHERE id = ?2",
    ),
    (
        "api_keys",
        "INSERT INTO api_keys (id, hash, name, scopes, created_at, revoked_at, user_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    ),
    (
        "blocks",
        "INSERT INTO blocks (user_no, blocked_no) SELECT u.no, o.no FROM users u, users o WHERE u.id = ?1 AND o.id = ?2",
    ),
    (
        "devices",
        "INSERT INTO devices (id, user_no, session_id, client_device, provider, platform, token, token_hash, app_version, user_agent, shows_content,
            created_at, registered_at, failed_at, failure, refusals)
         SELECT ?1, no, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16 FROM users WHERE id = ?2",
    ),
    (
        "jobs",
        "INSERT INTO jobs (id, kind, unique_key, payload, state, attempt, run_at, created_at, priority, worker, lease_until, spared, reasons, dead_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    ),
    (
        "conversations",
        "INSERT INTO conversations (id, kind, title, created_at, history_visibility, dm_low, dm_high, member_count, last_seq, last_message_at, activity_at,
            rev, pos)
         SELECT ?1, ?2, ?3, ?4, ?5, min(l, h), max(l, h), ?8, ?9, ?10, ?11, ?12, ?13
         FROM (SELECT (SELECT no FROM users WHERE id = ?6) AS l, (SELECT no FROM users WHERE id = ?7) AS h)",
    ),
    (
        "members",
        "INSERT INTO members (conversation_no, user_no, role, joined_at, joined_pos, visible_after_seq, delivered_seq, read_seq, rev, pos, personal_pos,
            removed_at, hidden_seq, muted_until)
         SELECT c.no, u.no, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 FROM conversations c, users u WHERE c.id = ?1 AND u.id = ?2",
    ),
    (
        "messages",
        "INSERT INTO messages (key, id, sender_no, client_msg_id, body, reply_to, created_at, edited_at, deleted_at, rev, pos, born_pos, amended)
         SELECT (c.no << 32) | ?2, ?3, s.no, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 FROM conversations c, users s WHERE c.id = ?1 AND s.id = ?4",
    ),
    (
        "reactions",
        "INSERT INTO reactions (message_key, emoji, user_no, rev)
         SELECT (c.no << 32) | ?2, ?3, u.no, ?5 FROM conversations c, users u WHERE c.id = ?1 AND u.id = ?4",
    ),
    (
        "device_seats",
        "INSERT INTO device_seats (conversation_no, device_no, delivered_seq, pushed_seq, withdrawn_seq)
         SELECT c.no, d.no, ?3, ?4, ?5 FROM conversations c, devices d WHERE c.id = ?1 AND d.id = ?2",
    ),
    (
        "push_attempts",
        "INSERT INTO push_attempts (conversation_no, seq, device_id, attempt, at, outcome, detail)
         SELECT no, ?2, ?3, ?4, ?5, ?6, ?7 FROM conversations WHERE id = ?1",
    ),
    (
        "webhook_endpoints",
        "INSERT INTO webhook_endpoints (id, url, kinds, secret, old_secret, created_at, off_at, off_reason, listens, enabled_count, failures,
            failing_since, retry_from, retry_at, forgotten, taken, last_taken_at, failed, last_failed_at, last_failure)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    ),
    (
        "webhook_events",
        "INSERT INTO webhook_events (stream_id, number, kind, seq, user_id, at, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    ),
    (
        "webhook_cursors",
        "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at, trying_number, holder, lease_until, failures,
            failing_since, retry_from, retry_at, enabled_count, parked_at, parked_reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    ),
    (
        "webhook_attempts",
        "INSERT INTO webhook_attempts (stream_id, last_number, endpoint_id, attempt, first_number, at, outcome, status)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    ),
    (
        "message_keys",
        "INSERT INTO message_keys (sender_no, client_msg_id, message_key)
         SELECT u.no, ?2, (c.no << 32) | ?4 FROM users u, conversations c WHERE u.id = ?1 AND c.id = ?3",
    ),
];
