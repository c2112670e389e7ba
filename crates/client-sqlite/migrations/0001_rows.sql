-- One account on one device. Times are UTC milliseconds; ids are their 16 bytes.

CREATE TABLE sync_state (
    one INTEGER PRIMARY KEY CONSTRAINT there_is_one_row CHECK (one = 1),
    account BLOB,
    cursor TEXT,
    epoch BLOB,
    round INTEGER NOT NULL,
    within INTEGER NOT NULL,
    resetting INTEGER NOT NULL
) STRICT;

INSERT INTO sync_state (one, round, within, resetting) VALUES (1, 0, 0, 0);

CREATE TABLE conversations (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    -- 0: dm, 1: group
    kind INTEGER NOT NULL,
    title TEXT,
    created_at INTEGER NOT NULL,
    last_message_at INTEGER,
    -- 0: member, 1: admin, 2: owner
    my_role INTEGER NOT NULL,
    muted_until INTEGER,
    hidden INTEGER NOT NULL,
    -- 0: what came after joining, 1: all
    history_visibility INTEGER NOT NULL,
    -- The other person of a DM, as JSON
    peer TEXT,
    member_count INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    delivered_seq INTEGER NOT NULL,
    read_seq INTEGER NOT NULL,
    want_read INTEGER NOT NULL,
    -- What I chose and the log does not say yet: whether there is such a thing, and what
    wants_mute INTEGER NOT NULL,
    want_muted INTEGER,
    deleted_in_holes INTEGER NOT NULL,
    touched INTEGER NOT NULL,
    doubted INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    draft TEXT NOT NULL
) STRICT;

CREATE INDEX conversations_touched ON conversations (touched) WHERE touched > 0;
CREATE INDEX conversations_wanting ON conversations (no)
    WHERE want_read > read_seq OR last_seq > delivered_seq OR wants_mute = 1;

CREATE TABLE members (
    conversation_no INTEGER NOT NULL,
    user_id BLOB NOT NULL,
    name TEXT NOT NULL,
    avatar_url TEXT,
    role INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    delivered_seq INTEGER NOT NULL,
    read_seq INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    PRIMARY KEY (conversation_no, user_id)
) STRICT, WITHOUT ROWID;

-- A row of the log, or (seq NULL) one that is to become it: the same row before and after.
CREATE TABLE messages (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_no INTEGER NOT NULL,
    seq INTEGER,
    message_id BLOB UNIQUE,
    rev INTEGER NOT NULL,
    sender_id BLOB NOT NULL,
    sender_name TEXT NOT NULL,
    sender_avatar TEXT,
    client_msg_id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    reply_to BLOB,
    reply_to_mine TEXT,
    edited_at INTEGER,
    deleted_at INTEGER,
    -- As JSON; '' where there is none
    reactions TEXT NOT NULL,
    CONSTRAINT a_name_is_used_once UNIQUE (client_msg_id, sender_id),
    CONSTRAINT the_log_has_one_message_in_each_place UNIQUE (conversation_no, seq)
) STRICT;

CREATE INDEX messages_pending ON messages (conversation_no, key) WHERE seq IS NULL;
CREATE INDEX messages_deleted ON messages (conversation_no, seq) WHERE deleted_at IS NOT NULL;

CREATE TABLE holes (
    conversation_no INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    PRIMARY KEY (conversation_no, from_seq),
    CONSTRAINT a_hole_has_an_extent CHECK (from_seq <= to_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_no INTEGER NOT NULL,
    target_message BLOB,
    target_mine TEXT,
    -- As JSON
    op TEXT NOT NULL,
    -- Why it waits for the person, as JSON; NULL: it goes by itself
    parked TEXT,
    transmitted INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT it_is_about_one_message CHECK ((target_message IS NULL) <> (target_mine IS NULL))
) STRICT;

CREATE INDEX outbox_in_order ON outbox (conversation_no, id);
-- What a screen has to know of; a message that waits to be sent shows it by itself.
CREATE INDEX outbox_to_show ON outbox (conversation_no, id) WHERE parked IS NOT NULL OR op <> '{"kind":"send"}';
CREATE INDEX outbox_of_message ON outbox (target_message) WHERE target_message IS NOT NULL;
CREATE INDEX outbox_of_mine ON outbox (target_mine) WHERE target_mine IS NOT NULL;

-- Any substring of three characters, any script.
CREATE VIRTUAL TABLE found USING fts5 (body, content = 'messages', content_rowid = 'key', tokenize = 'trigram');

CREATE TRIGGER messages_found_insert AFTER INSERT ON messages WHEN new.body <> '' BEGIN
    INSERT INTO found (rowid, body) VALUES (new.key, new.body);
END;
CREATE TRIGGER messages_found_delete AFTER DELETE ON messages WHEN old.body <> '' BEGIN
    INSERT INTO found (found, rowid, body) VALUES ('delete', old.key, old.body);
END;
CREATE TRIGGER messages_found_leave AFTER UPDATE OF body ON messages WHEN old.body <> new.body AND old.body <> '' BEGIN
    INSERT INTO found (found, rowid, body) VALUES ('delete', old.key, old.body);
END;
CREATE TRIGGER messages_found_enter AFTER UPDATE OF body ON messages WHEN old.body <> new.body AND new.body <> '' BEGIN
    INSERT INTO found (rowid, body) VALUES (new.key, new.body);
END;
