-- Which way messages took, for a while. Numbered as they come, so the oldest have the lowest numbers: they are counted and removed from there.

CREATE TABLE traces (
    no INTEGER PRIMARY KEY,
    -- The wire's: what is kept here goes with no other table. 16 zeros: of none.
    conversation_id BLOB NOT NULL,
    -- 0 the way of a message, 1 receipts, 2 a gap.
    kind INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    -- One run of one server.
    server_id BLOB NOT NULL,
    -- Counts what the server wrote.
    part INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- JSON: ids and times.
    data TEXT NOT NULL,
    CONSTRAINT one_row_per_part UNIQUE (conversation_id, kind, seq, server_id, part)
) STRICT;
