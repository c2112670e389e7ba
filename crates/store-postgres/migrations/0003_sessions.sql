-- compatible: 1
-- without transaction
-- What a person sees of their sign-ins.

ALTER TABLE sessions ADD COLUMN IF NOT EXISTS user_agent text;
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS last_seen_at bigint;

CREATE INDEX CONCURRENTLY IF NOT EXISTS sessions_by_user ON sessions (user_id, created_at);
