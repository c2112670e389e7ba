-- A message that waits to be sent is written while somebody looks at the screen, and each page that it touches is written twice and flushed. So it is in
-- no index that is of no use to it: those of the log begin with its place there, and search reads the few that wait.

CREATE TABLE messages_anew (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_no INTEGER NOT NULL,
    seq INTEGER,
    message_id BLOB,
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
    CONSTRAINT a_name_is_used_once UNIQUE (client_msg_id, sender_id)
) STRICT;

INSERT INTO messages_anew SELECT key, conversation_no, seq, message_id, rev, sender_id, sender_name, sender_avatar, client_msg_id, body, created_at,
    reply_to, reply_to_mine, edited_at, deleted_at, reactions FROM messages ORDER BY key;
-- The newest may have been deleted; its key is not used again.
DELETE FROM sqlite_sequence WHERE name = 'messages_anew';
INSERT INTO sqlite_sequence (name, seq) SELECT 'messages_anew', seq FROM sqlite_sequence WHERE name = 'messages';
DROP TABLE messages;
ALTER TABLE messages_anew RENAME TO messages;

CREATE UNIQUE INDEX the_log_has_each_message_once ON messages (message_id) WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX the_log_has_one_message_in_each_place ON messages (conversation_no, seq) WHERE seq IS NOT NULL;
CREATE INDEX messages_pending ON messages (conversation_no, key) WHERE seq IS NULL;
CREATE INDEX messages_deleted ON messages (conversation_no, seq) WHERE deleted_at IS NOT NULL;

-- Of the log alone, and without the lengths, by which nothing is ranked.
DROP TABLE found;
CREATE VIRTUAL TABLE found USING fts5 (body, content = 'messages', content_rowid = 'key', tokenize = 'trigram', columnsize = 0);
INSERT INTO found (rowid, body) SELECT key, body FROM messages WHERE seq IS NOT NULL AND body <> '' ORDER BY key;

CREATE TRIGGER messages_found_insert AFTER INSERT ON messages WHEN new.seq IS NOT NULL AND new.body <> '' BEGIN
    INSERT INTO found (rowid, body) VALUES (new.key, new.body);
END;
CREATE TRIGGER messages_found_delete AFTER DELETE ON messages WHEN old.seq IS NOT NULL AND old.body <> '' BEGIN
    INSERT INTO found (found, rowid, body) VALUES ('delete', old.key, old.body);
END;
-- One trigger for both steps: of two nobody says which comes first, and words that stay would leave the index.
CREATE TRIGGER messages_found_change AFTER UPDATE OF body, seq ON messages
    WHEN old.body <> new.body OR (old.seq IS NULL) <> (new.seq IS NULL) BEGIN
    INSERT INTO found (found, rowid, body) SELECT 'delete', old.key, old.body WHERE old.seq IS NOT NULL AND old.body <> '';
    INSERT INTO found (rowid, body) SELECT new.key, new.body WHERE new.seq IS NOT NULL AND new.body <> '';
END;
