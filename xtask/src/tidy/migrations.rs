//! Migrations of PostgreSQL run while servers write: none may keep them from it, and the version before has to run on what they make.

use super::{Found, line_of};

const FOLDER: &str = "crates/store-postgres/migrations/";

/// Up to here nobody had a log yet that could be large.
const RELEASED_EMPTY: u32 = 3;

/// What grows with every message and every member.
const LARGE: &[&str] =
    &["messages", "message_keys", "members", "conversations", "reactions", "users", "jobs", "message_texts"];

/// Above a statement that is right all the same.
const EXEMPT: &str = "-- tidy: locks, because ";

pub fn findings(file: &str, source: &str) -> Found {
    let Some(name) = file.strip_prefix(FOLDER).filter(|name| name.ends_with(".sql")) else { return Vec::new() };
    let Some(number) = name.split('_').next().and_then(|number| number.parse::<u32>().ok()) else {
        return vec![(1, "a migration's name begins with its number".to_owned())];
    };
    let mut found = Vec::new();
    let compatible =
        source.lines().next().and_then(|line| line.strip_prefix("-- compatible: ")?.trim().parse::<u32>().ok());
    if compatible.is_none_or(|lowest| lowest > number) {
        found.push((1, "say in the first line with which versions it is compatible: `-- compatible: N`".to_owned()));
    }
    if number <= RELEASED_EMPTY {
        return found;
    }
    for (line, text) in statements(source) {
        if text.contains(EXEMPT) {
            continue;
        }
        let code = words(&text);
        let takes_away = ["DROP COLUMN", "DROP TABLE", "RENAME"].iter().any(|what| code.contains(what));
        if takes_away && compatible.is_some_and(|lowest| lowest <= 1) {
            found.push((
                line,
                "takes away what older versions use: name the first that does not in `-- compatible:`".to_owned(),
            ));
        }
        found
            .extend(lock(&code, &words(source)).map(|what| (line, format!("{what}; or say why above: `{EXEMPT}...`"))));
    }
    found
}

/// Each with the line where it begins, its comments included. A semicolon ends a statement where it ends a line.
fn statements(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    for part in source.split_inclusive(";\n") {
        let code = part.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"));
        if let Some(code) = code {
            found.push((line_of(source, at + part.find(code).unwrap_or(0)), part.to_owned()));
        }
        at += part.len();
    }
    found
}

/// Without comments, in capitals, one space between words.
fn words(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = code.collect::<Vec<_>>().join(" ").to_uppercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What it does to a large table, where it may not.
fn lock(code: &str, whole: &str) -> Option<&'static str> {
    let table = |after: &str| {
        let rest = code.split_once(after)?.1.trim_start_matches("IF EXISTS ").trim_start_matches("ONLY ");
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        LARGE
            .iter()
            .find(|large| name == large.to_uppercase() || name.starts_with(&format!("{}_", large.to_uppercase())))
    };
    let is_index = code.starts_with("CREATE INDEX") || code.starts_with("CREATE UNIQUE INDEX");
    if is_index && table(" ON ").is_some() && !code.contains(" CONCURRENTLY ") && !code.contains(" ON ONLY ") {
        return Some("an index of a large table is made CONCURRENTLY, part by part (the parent's own ON ONLY)");
    }
    if (code.starts_with("UPDATE ") && table("UPDATE ").is_some())
        || (code.starts_with("DELETE FROM ") && table("DELETE FROM ").is_some())
    {
        return Some("rows of a large table are changed in pieces, by the program and not by a migration");
    }
    if ["VACUUM FULL", "CLUSTER ", "LOCK TABLE", "REINDEX TABLE"].iter().any(|what| code.starts_with(what)) {
        return Some("keeps everybody out of a table");
    }
    if !code.starts_with("ALTER TABLE ") || table("ALTER TABLE ").is_none() {
        return None;
    }
    if code.contains(" TYPE ")
        || code.contains(" SET LOGGED")
        || code.contains(" SET UNLOGGED")
        || code.contains(" SET TABLESPACE")
    {
        return Some("writes a large table anew");
    }
    let adds_column = code.contains("ADD COLUMN");
    let is_computed =
        code.split_once(" DEFAULT ").is_some_and(|(_, value)| value.contains('(')) || code.contains(" GENERATED ");
    if adds_column && (is_computed || code.contains("SERIAL")) {
        return Some("a default that is computed for each row writes a large table anew");
    }
    if code.contains("SET NOT NULL") && !whole.contains("VALIDATE CONSTRAINT") {
        return Some(
            "SET NOT NULL reads a large table under a lock: first a CHECK that is NOT VALID, then VALIDATE CONSTRAINT",
        );
    }
    if code.contains("ADD CONSTRAINT") && !code.contains("NOT VALID") && !code.contains("USING INDEX") {
        return Some("a constraint of a large table is added NOT VALID and validated later, or USING INDEX");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(statement: &str) -> Found {
        findings("crates/store-postgres/migrations/0009_more.sql", &format!("-- compatible: 1\n\n{statement}\n"))
    }

    #[test]
    fn what_locks_or_rewrites_a_large_table_is_found() {
        for statement in [
            "CREATE INDEX a ON messages (id);",
            "CREATE UNIQUE INDEX a ON members (user_id);",
            "create index if not exists a\n    on messages_3 (id);",
            "UPDATE members SET pos = 0;",
            "DELETE FROM messages WHERE deleted_at IS NOT NULL;",
            "LOCK TABLE users;",
            "ALTER TABLE messages ALTER COLUMN seq TYPE numeric;",
            "ALTER TABLE ONLY messages ADD COLUMN made_at timestamptz DEFAULT clock_timestamp();",
            "ALTER TABLE members ADD COLUMN no bigint GENERATED ALWAYS AS IDENTITY;",
            "ALTER TABLE members ALTER COLUMN muted_until SET NOT NULL;",
            "ALTER TABLE messages ADD CONSTRAINT positive CHECK (seq > 0);",
            "ALTER TABLE messages DROP COLUMN edited_at;",
            "ALTER TABLE messages RENAME COLUMN pos TO position;",
        ] {
            let found = found(statement);
            assert_eq!(found.len(), 1, "{statement}: {found:?}");
            assert_eq!(found[0].0, 3, "{statement}");
        }
    }

    #[test]
    fn what_does_neither_is_not() {
        for statement in [
            "CREATE INDEX CONCURRENTLY a ON messages_3 (id);",
            "CREATE INDEX a ON ONLY messages (id);",
            "CREATE INDEX a ON api_keys (name);",
            "ALTER TABLE members ADD COLUMN pinned_at bigint;",
            "ALTER TABLE members ADD COLUMN level smallint NOT NULL DEFAULT 0;",
            "ALTER TABLE messages ADD CONSTRAINT positive CHECK (seq > 0) NOT VALID;",
            "ALTER TABLE messages VALIDATE CONSTRAINT known;\nALTER TABLE messages ALTER COLUMN rev SET NOT NULL;",
            "-- tidy: locks, because the table is empty until this version.\nCREATE INDEX a ON jobs (kind);",
            "CREATE TABLE pins (id uuid PRIMARY KEY);",
        ] {
            assert_eq!(found(statement), [], "{statement}");
        }
    }

    #[test]
    fn a_migration_says_with_what_it_is_compatible() {
        let file = "crates/store-postgres/migrations/0009_more.sql";
        assert_eq!(findings(file, "SELECT 1;\n").len(), 1);
        assert_eq!(findings(file, "-- compatible: 10\nSELECT 1;\n").len(), 1);
        assert_eq!(findings(file, "-- compatible: 8\nALTER TABLE members DROP COLUMN old;\n"), []);
        assert_eq!(findings("crates/store-sqlite/migrations/0009_more.sql", "UPDATE members SET pos = 0;"), []);
    }
}
