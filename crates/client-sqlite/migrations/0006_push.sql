-- Where this device wants to be notified, and what the server is still to be told of it, as JSON. There is no row before the first wish.
CREATE TABLE push (
    one INTEGER PRIMARY KEY CONSTRAINT there_is_at_most_one CHECK (one = 1),
    push TEXT NOT NULL
) STRICT;

-- 0: this device is not registered, 1: it has been asked for, 2: the server has it
ALTER TABLE sync_state ADD COLUMN registration INTEGER NOT NULL DEFAULT 0;

-- Up to where this very device has told what it has; NULL where it is not registered
ALTER TABLE conversations ADD COLUMN told_delivered_seq INTEGER;

DROP INDEX conversations_wanting;
CREATE INDEX conversations_wanting ON conversations (no)
    WHERE want_read > read_seq OR last_seq > delivered_seq OR wants_mute = 1 OR (last_seq > told_delivered_seq AND last_seq > read_seq);
