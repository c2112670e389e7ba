-- compatible: 1
-- Which way messages took, for a while. Numbered about as they come, so the oldest have the lowest numbers: they are counted and removed from there.

CREATE TABLE traces (
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- All zeros: of none.
    conversation_id uuid NOT NULL,
    -- 0 the way of a message, 1 receipts, 2 a gap.
    kind smallint NOT NULL,
    -- Of a gap: when it ended.
    seq bigint NOT NULL,
    -- Of a way: after a restore another message may have the place.
    message_id uuid,
    -- Where it tells of the commit.
    client_msg_id text COLLATE "C",
    -- One run of one server.
    server_id uuid NOT NULL,
    -- Counts what the server wrote.
    part bigint NOT NULL,
    at bigint NOT NULL,
    -- JSON: ids and times.
    data text COLLATE "C" NOT NULL,
    CONSTRAINT one_row_per_part UNIQUE (conversation_id, kind, seq, server_id, part)
);

-- Messages have no index by these alone: of those of the last days they are looked for here.
CREATE INDEX traces_by_message ON traces (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX traces_by_name ON traces (client_msg_id) WHERE client_msg_id IS NOT NULL;

-- Every row goes within days: what is left of them is cleared away in small portions.
ALTER TABLE traces SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
