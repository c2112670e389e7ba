-- Numbers (`no`) are for this file alone: short keys for what the wire knows by UUID. They are never used twice.

CREATE TABLE log_state (
    id INTEGER PRIMARY KEY CONSTRAINT there_is_one_row CHECK (id = 1),
    -- Another log after a restore: the same positions mean other things.
    epoch BLOB NOT NULL CONSTRAINT epoch_is_a_uuid CHECK (length(epoch) = 16),
    -- The commit position: grows by one with every commit that people can see.
    position INTEGER NOT NULL,
    -- Written at every start, here and beside the file; where the two differ, this file has been put back from somewhere.
    incarnation BLOB NOT NULL,
    token_secret BLOB NOT NULL CONSTRAINT token_secret_is_256_bits CHECK (length(token_secret) = 32)
) STRICT;

CREATE TABLE users (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    -- Lower case.
    email TEXT UNIQUE,
    name TEXT NOT NULL,
    avatar_url TEXT,
    -- A PHC string; none for people who sign in elsewhere.
    password_hash TEXT,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER
) STRICT;

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_no INTEGER NOT NULL REFERENCES users (no),
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    user_no INTEGER NOT NULL REFERENCES users (no),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_keys (
    id BLOB PRIMARY KEY,
    -- SHA-256 of the key.
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- Comma separated.
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
    user_no INTEGER NOT NULL REFERENCES users (no),
    blocked_no INTEGER NOT NULL REFERENCES users (no),
    PRIMARY KEY (user_no, blocked_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    -- 0 DM, 1 group.
    kind INTEGER NOT NULL CONSTRAINT kind_is_known CHECK (kind IN (0, 1)),
    title TEXT,
    created_at INTEGER NOT NULL,
    -- 0 joined, 1 all.
    history_visibility INTEGER NOT NULL,
    -- The pair of a DM, lower number first.
    dm_low INTEGER,
    dm_high INTEGER,
    member_count INTEGER NOT NULL,
    last_seq INTEGER NOT NULL DEFAULT 0,
    last_message_at INTEGER,
    activity_at INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    CONSTRAINT a_dm_has_its_pair CHECK ((kind = 0) = (dm_low IS NOT NULL AND dm_high IS NOT NULL)),
    CONSTRAINT one_dm_per_pair UNIQUE (dm_low, dm_high)
) STRICT;

CREATE TABLE members (
    conversation_no INTEGER NOT NULL REFERENCES conversations (no),
    user_no INTEGER NOT NULL REFERENCES users (no),
    -- 0 member, 1 admin, 2 owner.
    role INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    joined_pos INTEGER NOT NULL,
    -- Messages up to here are not for this member.
    visible_after_seq INTEGER NOT NULL,
    delivered_seq INTEGER NOT NULL,
    read_seq INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    -- The row stays as a tombstone, so that the difference can tell of the removal.
    removed_at INTEGER,
    -- Hidden while nothing came after this seq.
    hidden_seq INTEGER,
    muted_until INTEGER,
    PRIMARY KEY (conversation_no, user_no)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user_no, conversation_no);

CREATE TABLE messages (
    -- Conversation number << 32 | seq: a conversation's messages lie together, in order, under the shortest key SQLite has.
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    sender_no INTEGER NOT NULL REFERENCES users (no),
    client_msg_id TEXT NOT NULL,
    body TEXT NOT NULL,
    reply_to BLOB,
    created_at INTEGER NOT NULL,
    edited_at INTEGER,
    deleted_at INTEGER,
    rev INTEGER NOT NULL,
    -- Commit position of the last change, and of the first.
    pos INTEGER NOT NULL,
    born_pos INTEGER NOT NULL,
    -- 1 once edited, deleted or reacted to.
    amended INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The difference looks for older messages that changed; new ones it finds from the end of the conversation.
CREATE INDEX messages_amended ON messages (key >> 32, pos) WHERE amended = 1;

-- Unread counts leave the deleted ones out.
CREATE INDEX messages_deleted ON messages (key) WHERE deleted_at IS NOT NULL;

-- Exactly once, for ever: a row stays whatever becomes of its message.
CREATE TABLE message_keys (
    sender_no INTEGER NOT NULL,
    client_msg_id TEXT NOT NULL,
    message_key INTEGER NOT NULL,
    PRIMARY KEY (sender_no, client_msg_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE reactions (
    message_key INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    user_no INTEGER NOT NULL,
    -- The conversation's rev when it came: first come, first shown, whatever the clock said.
    rev INTEGER NOT NULL,
    PRIMARY KEY (message_key, emoji, user_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    -- One ready job per kind and key.
    unique_key BLOB,
    payload TEXT NOT NULL,
    -- 0 ready, 1 running, 2 dead.
    state INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    run_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX one_ready_job_per_key ON jobs (kind, unique_key) WHERE state = 0;
CREATE INDEX jobs_by_time ON jobs (state, run_at);
