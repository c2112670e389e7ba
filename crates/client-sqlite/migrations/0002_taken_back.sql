-- Messages of mine that were sent, refused and then given up by their author. A refusal is no proof: the same frame may have come twice, or over an
-- earlier connection, and been taken. Should one of them show in the log it is deleted there. Kept until a difference that was begun later is read.
CREATE TABLE taken_back (
    conversation_no INTEGER NOT NULL,
    client_msg_id TEXT NOT NULL,
    -- Of the difference that was the last to begin before
    round INTEGER NOT NULL,
    PRIMARY KEY (conversation_no, client_msg_id)
) STRICT, WITHOUT ROWID;
