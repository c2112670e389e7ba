-- What workers need to claim jobs; a row of before is a ready one of normal priority.

-- 0 high, 1 normal, 2 low.
ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
-- Of a running job: whose it is, and when it is anybody's again.
ALTER TABLE jobs ADD COLUMN worker BLOB;
ALTER TABLE jobs ADD COLUMN lease_until INTEGER;
-- Of all attempts, those that were handed back and do not count.
ALTER TABLE jobs ADD COLUMN spared INTEGER NOT NULL DEFAULT 0;
-- JSON: [{"at": ..., "reason": ...}], the latest failures.
ALTER TABLE jobs ADD COLUMN reasons TEXT NOT NULL DEFAULT '[]';
ALTER TABLE jobs ADD COLUMN dead_at INTEGER;

-- Nothing asked by time alone.
DROP INDEX jobs_by_time;
-- Each state by what is asked of it: the next of a kind, leases that ended, the oldest dead letters.
CREATE INDEX jobs_ready ON jobs (kind, priority, run_at) WHERE state = 0;
CREATE INDEX jobs_running ON jobs (kind, lease_until) WHERE state = 1;
CREATE INDEX jobs_dead ON jobs (dead_at) WHERE state = 2;
