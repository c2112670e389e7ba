#!/bin/bash
# Copies the primary where there is nothing yet, then becomes what its arguments say: a server that follows it.
set -euo pipefail

# Nobody else may read a password, and PostgreSQL insists on it.
umask 077
if [[ ! -s "$PGDATA/PG_VERSION" ]]; then
    # What is left of a copy that was broken off.
    find "$PGDATA" -mindepth 1 -delete
    PGPASSWORD="$REPLICATION_PASSWORD" pg_basebackup --pgdata="$PGDATA" --host=postgres --username=replication \
        --slot=replica --checkpoint=fast --wal-method=stream --write-recovery-conf
fi
chmod 0700 "$PGDATA"
exec "$@"
