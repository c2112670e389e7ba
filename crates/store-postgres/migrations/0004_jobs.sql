-- compatible: 1
-- without transaction
-- What workers need to claim jobs; a row of before is a ready one of normal priority.

-- 0 high, 1 normal, 2 low.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS priority smallint NOT NULL DEFAULT 1;
-- Of a running job: whose it is, and when it is anybody's again.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS worker bytea;
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS lease_until bigint;
-- Of all attempts, those that were handed back and do not count.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS spared int NOT NULL DEFAULT 0;
-- JSON: [{"at": ..., "reason": ...}], the latest failures.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS reasons text COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS dead_at bigint;

-- Each job leaves some dead rows behind within seconds, whatever the table's size.
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- Each state by what is asked of it: the next of a kind, leases that ended, the oldest dead letters.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_ready ON jobs (kind, priority, run_at) WHERE state = 0;
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_running ON jobs (kind, lease_until) WHERE state = 1;
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_dead ON jobs (dead_at) WHERE state = 2;
-- Nothing asked by time alone.
DROP INDEX CONCURRENTLY IF EXISTS jobs_by_time;
