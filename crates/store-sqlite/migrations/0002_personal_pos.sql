-- Commit position of the last change that this member alone sees (hidden, muted, blocked): it moves no `rev`. Of older rows it is not known; it is
-- not above the row's own.
ALTER TABLE members ADD COLUMN personal_pos INTEGER NOT NULL DEFAULT 0;

UPDATE members SET personal_pos = pos;

-- The difference for who says by `rev` what they hold.
CREATE INDEX messages_amended_by_rev ON messages (key >> 32, rev) WHERE amended = 1;
