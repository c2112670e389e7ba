-- Which way messages took, for a while. Numbered as they come, so the oldest have the lowest numbers: they are counted and removed from there.

CREATE TABLE traces (
    no INTEGER PRIMARY KEY,
    -- The wire's: what is kept here goes with no other table. 16 zeros: of none.
    conversation_id BLOB NOT NULL,
    -- 0 the way of a message, 1 receipts, 2 a gap.
    kind INTEGER NOT NULL,
    -- Of a gap: when it ended.
    seq INTEGER NOT NULL,
    -- Of a way: the wire's; after a restore another message may have the place.
    message_id BLOB,
    -- Where it tells of the commit.
    client_msg_id TEXT,
    -- One run of one server.
    server_id BLOB NOT NULL,
    -- Counts what the server wrote.
    part INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- JSON: ids and times.
    data TEXT NOT NULL,
    CONSTRAINT one_row_per_part UNIQUE (conversation_id, kind, seq, server_id, part)
) STRICT;

-- A name is looked for among these first.
CREATE INDEX traces_by_name ON traces (client_msg_id) WHERE client_msg_id IS NOT NULL;
