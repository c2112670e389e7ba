-- compatible: 1
-- Which way messages took, for a while.

CREATE TABLE traces (
    -- All zeros: of none.
    conversation_id uuid NOT NULL,
    -- 0 the way of a message, 1 receipts, 2 a gap.
    kind smallint NOT NULL,
    seq bigint NOT NULL,
    -- One run of one server.
    server_id uuid NOT NULL,
    -- Counts what the server wrote.
    part bigint NOT NULL,
    at bigint NOT NULL,
    -- JSON: ids and times.
    data text COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation_id, kind, seq, server_id, part)
);

CREATE INDEX traces_by_time ON traces (at);

-- Every row goes within days: what is left of them is cleared away in small portions.
ALTER TABLE traces SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
