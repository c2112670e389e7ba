-- compatible: 1
-- Ids are the wire's UUIDs, times are UTC milliseconds, and text is compared byte by byte (COLLATE "C"), as in SQLite.
--
-- No unique constraint leaves out the column by which its table is spread over partitions or, with Citus, over machines: `conversation_id`, or the
-- sender for the keys. What would need one (a pair's only DM) has a table of its own.

CREATE TABLE log_state (
    id smallint CONSTRAINT there_is_one_row PRIMARY KEY CHECK (id = 1),
    -- Another log after a restore: the same positions mean other things.
    epoch uuid NOT NULL,
    -- A position is this and the number of a transaction (`xid8`) together. Raised where transactions are numbered anew.
    position_offset bigint NOT NULL,
    -- Counts the changes of this row: who changes it names the one they have seen.
    generation bigint NOT NULL,
    -- The cluster that the log was on when this row was written: transactions of another one are numbered otherwise.
    system_identifier bigint NOT NULL,
    -- PostgreSQL's own number for a line of history: another one after each promotion and each recovery to a point in time.
    timeline bigint NOT NULL,
    token_secret bytea NOT NULL CONSTRAINT token_secret_is_256_bits CHECK (length(token_secret) = 32)
);

-- Which batch each server committed last: how it learns what became of a commit whose answer was lost, and that the log went back.
CREATE TABLE writers (
    writer_id uuid PRIMARY KEY,
    batch bigint NOT NULL,
    -- Of its latest transaction. What is seen of it is on the disk, so no number up to it is ever given out again, whatever crashes.
    pos bigint NOT NULL DEFAULT 0,
    -- By the database's clock, to remove those long gone.
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    -- Lower case.
    email text COLLATE "C" CONSTRAINT one_user_per_email UNIQUE,
    name text COLLATE "C" NOT NULL,
    avatar_url text,
    -- A PHC string; none for people who sign in elsewhere.
    password_hash text,
    created_at bigint NOT NULL,
    last_seen_at bigint
) WITH (fillfactor = 85);

CREATE TABLE identities (
    issuer text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ended_at bigint
);

CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    -- SHA-256 of the key.
    hash bytea NOT NULL CONSTRAINT one_key_per_hash UNIQUE,
    name text NOT NULL,
    -- Comma separated.
    scopes text NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint
);

CREATE TABLE blocks (
    user_id uuid NOT NULL REFERENCES users (id),
    blocked_id uuid NOT NULL REFERENCES users (id),
    PRIMARY KEY (user_id, blocked_id)
);

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    -- 0 DM, 1 group.
    kind smallint NOT NULL CONSTRAINT kind_is_known CHECK (kind IN (0, 1)),
    title text,
    created_at bigint NOT NULL,
    -- 0 joined, 1 all.
    history_visibility smallint NOT NULL,
    -- The pair of a DM, lower id first.
    dm_low uuid,
    dm_high uuid,
    member_count bigint NOT NULL,
    last_seq bigint NOT NULL DEFAULT 0,
    last_message_at bigint,
    activity_at bigint NOT NULL,
    rev bigint NOT NULL,
    -- Never falls: who writes raises their own position to it.
    pos bigint NOT NULL,
    CONSTRAINT a_dm_has_its_pair CHECK ((kind = 0) = (dm_low IS NOT NULL AND dm_high IS NOT NULL))
) WITH (fillfactor = 70);

CREATE TABLE dms (
    low uuid NOT NULL,
    high uuid NOT NULL,
    conversation_id uuid NOT NULL,
    CONSTRAINT one_dm_per_pair PRIMARY KEY (low, high)
);

CREATE TABLE members (
    conversation_id uuid NOT NULL REFERENCES conversations (id),
    user_id uuid NOT NULL REFERENCES users (id),
    -- 0 member, 1 admin, 2 owner.
    role smallint NOT NULL,
    joined_at bigint NOT NULL,
    joined_pos bigint NOT NULL,
    -- Messages up to here are not for this member.
    visible_after_seq bigint NOT NULL,
    delivered_seq bigint NOT NULL,
    read_seq bigint NOT NULL,
    rev bigint NOT NULL,
    pos bigint NOT NULL,
    -- Position of the last change that this member alone sees (hidden, muted, blocked): it moves no `rev`.
    personal_pos bigint NOT NULL DEFAULT 0,
    -- The row stays as a tombstone, so that the difference can tell of the removal.
    removed_at bigint,
    -- Hidden while nothing came after this seq.
    hidden_seq bigint,
    muted_until bigint,
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 70);

CREATE INDEX members_by_user ON members (user_id, conversation_id);

-- No references to other tables from here on: the store writes these rows in the same transaction as those they name, and a check for each row
-- would cost more than the row.
CREATE TABLE messages (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    sender_id uuid NOT NULL,
    client_msg_id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    reply_to uuid,
    created_at bigint NOT NULL,
    edited_at bigint,
    deleted_at bigint,
    rev bigint NOT NULL,
    -- Position of the last change, and of the first.
    pos bigint NOT NULL,
    born_pos bigint NOT NULL,
    -- True once edited, deleted or reacted to.
    amended boolean NOT NULL DEFAULT false,
    PRIMARY KEY (conversation_id, seq),
    CONSTRAINT one_message_per_id UNIQUE (conversation_id, id)
) PARTITION BY HASH (conversation_id);

-- Exactly once, for ever: a row stays whatever becomes of its message.
CREATE TABLE message_keys (
    sender_id uuid NOT NULL,
    client_msg_id text COLLATE "C" NOT NULL,
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT one_message_per_client_msg_id PRIMARY KEY (sender_id, client_msg_id)
) PARTITION BY HASH (sender_id);

DO $$
DECLARE
    partitions int := current_setting('tertulia.partitions');
BEGIN
    FOR i IN 0 .. partitions - 1 LOOP
        EXECUTE format('CREATE TABLE messages_%s PARTITION OF messages FOR VALUES WITH (MODULUS %s, REMAINDER %s)', i, partitions, i);
        EXECUTE format('CREATE TABLE message_keys_%s PARTITION OF message_keys FOR VALUES WITH (MODULUS %s, REMAINDER %s)', i, partitions, i);
    END LOOP;
END $$;

-- The difference looks for older messages that changed; new ones it finds from the end of the conversation.
CREATE INDEX messages_amended ON messages (conversation_id, pos) WHERE amended;

-- The same for who says by `rev` what they hold.
CREATE INDEX messages_amended_by_rev ON messages (conversation_id, rev) WHERE amended;

-- Unread counts leave the deleted ones out.
CREATE INDEX messages_deleted ON messages (conversation_id, seq) WHERE deleted_at IS NOT NULL;

CREATE TABLE reactions (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    emoji text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL,
    -- The conversation's rev when it came: first come, first shown, whatever the clock said.
    rev bigint NOT NULL,
    PRIMARY KEY (conversation_id, seq, emoji, user_id)
);

CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    -- One ready job per kind and key.
    unique_key bytea,
    payload text NOT NULL,
    -- 0 ready, 1 running, 2 dead.
    state smallint NOT NULL DEFAULT 0,
    attempt int NOT NULL DEFAULT 0,
    run_at bigint NOT NULL,
    created_at bigint NOT NULL
);

CREATE UNIQUE INDEX one_ready_job_per_key ON jobs (kind, unique_key) WHERE state = 0;
CREATE INDEX jobs_by_time ON jobs (state, run_at);
