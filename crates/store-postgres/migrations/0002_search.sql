-- compatible: 1
-- Search for any substring. The conversation is part of the index, so that a search looks into those of one person and no further.

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- What a body is searched by: lower case, and Latin letters without their accents. Independent of the database's own locale.
CREATE FUNCTION searchable(body text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN octet_length(body) = length(body) THEN lower(body COLLATE "C")
    ELSE normalize(regexp_replace(normalize(lower(body COLLATE "und-x-icu"), NFD), '([a-z])[\u0300-\u036f]+', '\1', 'g'), NFC) COLLATE "C" END;

-- New entries wait in a list that housekeeping works off, so that sending does not pay for the index.
CREATE INDEX messages_searchable ON messages USING gin (conversation_id, searchable(body) gin_trgm_ops)
WITH (fastupdate = on, gin_pending_list_limit = 16384);
