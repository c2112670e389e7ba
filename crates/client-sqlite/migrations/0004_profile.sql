-- Whose data these are, as the server last said it.

CREATE TABLE profile (
    one INTEGER PRIMARY KEY CONSTRAINT there_is_at_most_one CHECK (one = 1),
    -- The user, as JSON
    profile TEXT NOT NULL
) STRICT;
