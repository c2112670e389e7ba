-- compatible: 1
-- Who is notified where, and what was sent there. No references: a new one would keep everybody from writing to the table it names.

CREATE TABLE devices (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    -- The sign-in that registered it.
    session_id uuid,
    -- The client's local store, where it said so.
    client_device uuid,
    -- 0 FCM, 1 APNs, 2 Expo, 3 Web Push.
    provider smallint NOT NULL,
    -- 0 iOS, 1 Android, 2 web.
    platform smallint NOT NULL,
    token text NOT NULL,
    -- SHA-256 of the provider and the token.
    token_hash bytea NOT NULL CONSTRAINT one_device_per_token UNIQUE CONSTRAINT token_hash_is_256_bits CHECK (length(token_hash) = 32),
    app_version text,
    user_agent text,
    shows_content boolean NOT NULL,
    created_at bigint NOT NULL,
    registered_at bigint NOT NULL,
    -- Of one that is switched off: since when, and why.
    failed_at bigint,
    failure text,
    -- How often in a row its provider refused what was sent.
    refusals bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 85);

CREATE INDEX devices_by_user ON devices (user_id, client_device);
CREATE INDEX devices_by_session ON devices (session_id) WHERE session_id IS NOT NULL;

-- How far a device has come in a conversation. No row is as one with zeros.
CREATE TABLE device_seats (
    conversation_id uuid NOT NULL,
    device_id uuid NOT NULL,
    -- What the device itself has told to have got; of one that does not say which it is, nothing.
    delivered_seq bigint NOT NULL,
    -- Up to here it was notified.
    pushed_seq bigint NOT NULL,
    -- Up to here its notifications were taken away again.
    withdrawn_seq bigint NOT NULL,
    PRIMARY KEY (conversation_id, device_id)
) WITH (fillfactor = 70);

-- With the conversation, so that whichever index is taken a seat is found by both.
CREATE INDEX device_seats_by_device ON device_seats (device_id, conversation_id);

CREATE TABLE push_attempts (
    conversation_id uuid NOT NULL,
    -- The newest message that it spoke of.
    seq bigint NOT NULL,
    -- Stays when the device is gone.
    device_id uuid NOT NULL,
    -- Counts from 1 for each message and device.
    attempt bigint NOT NULL,
    at bigint NOT NULL,
    -- 0 accepted, 1 withdrawn, 2 failed, 3 refused, 4 unregistered.
    outcome smallint NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (conversation_id, seq, device_id, attempt)
);

CREATE INDEX push_attempts_by_time ON push_attempts (at);

-- JSON: {"from": ..., "to": ..., "timeZone": ...}; none where notifications may come at any time.
ALTER TABLE users ADD COLUMN quiet_hours text;
