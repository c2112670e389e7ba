-- Whose connections these are: 16 random bytes, made anew with each account.
ALTER TABLE sync_state ADD COLUMN device BLOB;

-- Of an operation that was sent: when at the earliest (the server's time) and which text the message had then, as JSON.
ALTER TABLE outbox ADD COLUMN departure TEXT;
