-- Who is notified where, and what was sent there.

-- JSON: {"from": ..., "to": ..., "timeZone": ...}; none where notifications may come at any time.
ALTER TABLE users ADD COLUMN quiet_hours TEXT;

CREATE TABLE devices (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    user_no INTEGER NOT NULL REFERENCES users (no),
    -- The sign-in that registered it. No reference: sign-ins that expired are removed, and the device goes with the next clean-up.
    session_id BLOB,
    -- The client's local store, where it said so.
    client_device BLOB,
    -- 0 FCM, 1 APNs, 2 Expo, 3 Web Push.
    provider INTEGER NOT NULL,
    -- 0 iOS, 1 Android, 2 web.
    platform INTEGER NOT NULL,
    token TEXT NOT NULL,
    -- SHA-256 of the provider and the token.
    token_hash BLOB NOT NULL CONSTRAINT one_device_per_token UNIQUE CONSTRAINT token_hash_is_256_bits CHECK (length(token_hash) = 32),
    app_version TEXT,
    user_agent TEXT,
    shows_content INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    -- Of one that is switched off: since when, and why.
    failed_at INTEGER,
    failure TEXT,
    -- How often in a row its provider refused what was sent.
    refusals INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX devices_by_user ON devices (user_no, client_device);
CREATE INDEX devices_by_session ON devices (session_id) WHERE session_id IS NOT NULL;

-- How far a device has come in a conversation. No row is as one with zeros.
CREATE TABLE device_seats (
    conversation_no INTEGER NOT NULL REFERENCES conversations (no),
    device_no INTEGER NOT NULL REFERENCES devices (no),
    -- What the device itself has told to have got; of one that does not say which it is, nothing.
    delivered_seq INTEGER NOT NULL,
    -- Up to here it was notified.
    pushed_seq INTEGER NOT NULL,
    -- Up to here its notifications were taken away again.
    withdrawn_seq INTEGER NOT NULL,
    PRIMARY KEY (conversation_no, device_no)
) STRICT, WITHOUT ROWID;

CREATE INDEX device_seats_by_device ON device_seats (device_no);

CREATE TABLE push_attempts (
    conversation_no INTEGER NOT NULL REFERENCES conversations (no),
    -- The newest message that it spoke of.
    seq INTEGER NOT NULL,
    -- Stays when the device is gone.
    device_id BLOB NOT NULL,
    -- Counts from 1 for each message and device.
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- 0 accepted, 1 withdrawn, 2 failed, 3 refused, 4 unregistered.
    outcome INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (conversation_no, seq, device_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX push_attempts_by_time ON push_attempts (at);
