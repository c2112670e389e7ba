#!/bin/bash
# Run once by the image of PostgreSQL, on the empty database of the primary.
set -euo pipefail

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set server_password="$TERTULIA_DB_PASSWORD" --set replication_password="$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE tertulia LOGIN PASSWORD :'server_password';
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication_password';
CREATE DATABASE tertulia OWNER tertulia;
SELECT pg_create_physical_replication_slot('replica', true);
-- Of effect from the next start, which follows: what is committed here would wait for a replica that can't be there yet.
ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (replica)';
SQL

echo 'host replication replication all scram-sha-256' >> "$PGDATA/pg_hba.conf"
