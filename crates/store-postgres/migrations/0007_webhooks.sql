-- compatible: 1
-- Other programs that are told what happens. No references: a new one would keep everybody from writing to the table it names.

-- Whom a key acts for; none where each call says so.
ALTER TABLE api_keys ADD COLUMN user_id uuid;

CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    url text NOT NULL,
    -- A bit for each kind of event that is wanted.
    kinds bigint NOT NULL,
    secret bytea NOT NULL CONSTRAINT secret_is_256_bits CHECK (length(secret) = 32),
    -- The one before, which signs as well until the rotation ends.
    old_secret bytea,
    created_at bigint NOT NULL,
    -- Of one that is switched off: since when, and why.
    off_at bigint,
    off_reason text,
    -- Whether events are kept for it: while it is on, and after that for as long as events are kept.
    listens boolean NOT NULL DEFAULT true,
    -- How often it was switched on: failures of before count no more.
    enabled_count bigint NOT NULL DEFAULT 0,
    -- In a row, since then; nothing is sent before `retry_at`, which was set at `retry_from`.
    failures bigint NOT NULL DEFAULT 0,
    failing_since bigint,
    retry_from bigint,
    retry_at bigint,
    -- Events that were forgotten before it took them.
    forgotten bigint NOT NULL DEFAULT 0,
    -- Events that it has taken.
    taken bigint NOT NULL DEFAULT 0,
    last_taken_at bigint,
    -- Requests that failed.
    failed bigint NOT NULL DEFAULT 0,
    last_failed_at bigint,
    last_failure text
) WITH (fillfactor = 50);

-- Asked with every change.
CREATE INDEX webhook_endpoints_listening ON webhook_endpoints (listens) WHERE listens;

-- That something happened. What it says is read when it is sent.
CREATE TABLE webhook_events (
    -- A conversation, or a person.
    stream_id uuid NOT NULL,
    -- The conversation's rev; a person's numbers grow with gaps.
    number bigint NOT NULL,
    -- 0 message.created, 1 message.updated, 2 message.deleted, 3 reaction.updated, 4 conversation.created, 5 conversation.updated,
    -- 6 conversation.member_added, 7 conversation.member_removed, 8 conversation.role_changed, 9 user.created, 10 user.updated.
    kind smallint NOT NULL,
    seq bigint,
    -- The member.
    user_id uuid,
    at bigint NOT NULL,
    -- The first 4 bytes of the log's epoch of then: after a restore the same numbers are other events.
    epoch bytea NOT NULL,
    PRIMARY KEY (stream_id, number)
);

CREATE INDEX webhook_events_by_time ON webhook_events (at, stream_id, number);

-- How far an endpoint has been told of a stream. Where there is no row, it is owed what happened since it was added.
CREATE TABLE webhook_cursors (
    endpoint_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    -- The last event that it took.
    taken_number bigint NOT NULL,
    moved_at bigint NOT NULL,
    -- The last one of the request that has not been taken yet: it is made again as it was.
    trying_number bigint,
    -- Whose request is under way, and until when it may be, whosever it was.
    holder bytea,
    lease_until bigint,
    failures bigint NOT NULL DEFAULT 0,
    failing_since bigint,
    retry_from bigint,
    retry_at bigint,
    -- The endpoint's of when it failed or was parked.
    enabled_count bigint NOT NULL DEFAULT 0,
    -- Of one that is passed over, while the endpoint takes all others.
    parked_at bigint,
    parked_reason text,
    PRIMARY KEY (endpoint_id, stream_id)
) WITH (fillfactor = 70);

CREATE INDEX webhook_cursors_by_time ON webhook_cursors (moved_at);

CREATE INDEX webhook_cursors_parked ON webhook_cursors (endpoint_id, enabled_count, parked_at) WHERE parked_at IS NOT NULL;

-- What endpoints answered. Of requests alone: neither where they went nor what they said.
CREATE TABLE webhook_attempts (
    stream_id uuid NOT NULL,
    -- The last event of the request.
    last_number bigint NOT NULL,
    -- Stays when the endpoint is gone.
    endpoint_id uuid NOT NULL,
    -- Counts from 1 for each endpoint and last event.
    attempt bigint NOT NULL,
    first_number bigint NOT NULL,
    at bigint NOT NULL,
    -- 0 taken, 1 failed, 2 gone.
    outcome smallint NOT NULL,
    -- HTTP's; none where no answer came.
    status bigint,
    PRIMARY KEY (stream_id, last_number, endpoint_id, attempt)
);

CREATE INDEX webhook_attempts_by_time ON webhook_attempts (at);
