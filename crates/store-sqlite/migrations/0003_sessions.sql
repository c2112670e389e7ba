-- What a person sees of their sign-ins.
ALTER TABLE sessions ADD COLUMN user_agent TEXT;
ALTER TABLE sessions ADD COLUMN last_seen_at INTEGER;

CREATE INDEX sessions_by_user ON sessions (user_no, created_at);
