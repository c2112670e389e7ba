-- Other programs that are told what happens.

-- Whom a key acts for; none where each call says so. No reference: as with what a device was registered by.
ALTER TABLE api_keys ADD COLUMN user_id BLOB;

CREATE TABLE webhook_endpoints (
    id BLOB PRIMARY KEY,
    url TEXT NOT NULL,
    -- A bit for each kind of event that is wanted.
    kinds INTEGER NOT NULL,
    secret BLOB NOT NULL CONSTRAINT secret_is_256_bits CHECK (length(secret) = 32),
    -- The one before, which signs as well until the rotation ends.
    old_secret BLOB,
    created_at INTEGER NOT NULL,
    -- Of one that is switched off: since when, and why.
    off_at INTEGER,
    off_reason TEXT,
    -- Whether events are kept for it: while it is on, and after that for as long as events are kept.
    listens INTEGER NOT NULL DEFAULT 1,
    -- How often it was switched on: failures of before count no more.
    enabled_count INTEGER NOT NULL DEFAULT 0,
    -- In a row, since then; nothing is sent before `retry_at`, which was set at `retry_from`.
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    retry_from INTEGER,
    retry_at INTEGER,
    -- Events that were forgotten before it took them.
    forgotten INTEGER NOT NULL DEFAULT 0,
    -- Events that it has taken.
    taken INTEGER NOT NULL DEFAULT 0,
    last_taken_at INTEGER,
    -- Requests that failed.
    failed INTEGER NOT NULL DEFAULT 0,
    last_failed_at INTEGER,
    last_failure TEXT
) STRICT, WITHOUT ROWID;

-- That something happened. What it says is read when it is sent.
CREATE TABLE webhook_events (
    -- A conversation, or a person.
    stream_id BLOB NOT NULL,
    -- The conversation's rev; a person's numbers grow with gaps.
    number INTEGER NOT NULL,
    -- 0 message.created, 1 message.updated, 2 message.deleted, 3 reaction.updated, 4 conversation.created, 5 conversation.updated,
    -- 6 conversation.member_added, 7 conversation.member_removed, 8 conversation.role_changed, 9 user.created, 10 user.updated.
    kind INTEGER NOT NULL,
    seq INTEGER,
    -- The member.
    user_id BLOB,
    at INTEGER NOT NULL,
    -- The first 4 bytes of the log's epoch of then: after a restore the same numbers are other events.
    epoch BLOB NOT NULL,
    PRIMARY KEY (stream_id, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_events_by_time ON webhook_events (at, stream_id, number);

-- How far an endpoint has been told of a stream. Where there is no row, it is owed what happened since it was added.
CREATE TABLE webhook_cursors (
    endpoint_id BLOB NOT NULL,
    stream_id BLOB NOT NULL,
    -- The last event that it took.
    taken_number INTEGER NOT NULL,
    moved_at INTEGER NOT NULL,
    -- The last one of the request that has not been taken yet: it is made again as it was.
    trying_number INTEGER,
    -- Whose request is under way, and until when it may be, whosever it was.
    holder BLOB,
    lease_until INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    retry_from INTEGER,
    retry_at INTEGER,
    -- The endpoint's of when it failed or was parked.
    enabled_count INTEGER NOT NULL DEFAULT 0,
    -- Of one that is passed over, while the endpoint takes all others.
    parked_at INTEGER,
    parked_reason TEXT,
    PRIMARY KEY (endpoint_id, stream_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_cursors_by_time ON webhook_cursors (moved_at);

CREATE INDEX webhook_cursors_parked ON webhook_cursors (endpoint_id, enabled_count, parked_at) WHERE parked_at IS NOT NULL;

-- What endpoints answered. Of requests alone: neither where they went nor what they said.
CREATE TABLE webhook_attempts (
    stream_id BLOB NOT NULL,
    -- The last event of the request.
    last_number INTEGER NOT NULL,
    -- Stays when the endpoint is gone.
    endpoint_id BLOB NOT NULL,
    -- Counts from 1 for each endpoint and last event.
    attempt INTEGER NOT NULL,
    first_number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- 0 taken, 1 failed, 2 gone.
    outcome INTEGER NOT NULL,
    -- HTTP's; none where no answer came.
    status INTEGER,
    PRIMARY KEY (stream_id, last_number, endpoint_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_attempts_by_time ON webhook_attempts (at);
