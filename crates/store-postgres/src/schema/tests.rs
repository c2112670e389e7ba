use tertulia_testkit::Postgres;
use tertulia_testkit::PostgresOptions;

use super::*;

struct Database {
    postgres: Postgres,
    target: Target,
}

impl Database {
    fn new() -> Self {
        let postgres = Postgres::start(PostgresOptions::default()).unwrap();
        postgres.create("log").unwrap();
        let target = Target::parse(&postgres.url("log")).unwrap();
        Self { postgres, target }
    }

    fn psql(&self, statements: &str) -> String {
        self.postgres.psql("log", statements).unwrap()
    }

    async fn migrated(&self, migrations: &[(i32, &str, &str)]) -> Result<(), OpenError> {
        up_to(&self.target, 2, migrations).await
    }
}

fn latest() -> i32 {
    MIGRATIONS.last().unwrap().0
}

#[tokio::test]
async fn the_version_before_comes_along_with_its_rows_and_goes_on_running() {
    let database = Database::new();
    let before = &MIGRATIONS[..2];
    database.migrated(before).await.unwrap();
    database.psql(
        "INSERT INTO users (id, name, created_at) VALUES ('00000000-0000-7000-8000-000000000001', 'Alice', 0);
         INSERT INTO sessions (id, user_id, created_at, expires_at)
         VALUES ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', 1, 2)",
    );
    for _ in 0..2 {
        database.migrated(MIGRATIONS).await.unwrap();
        assert_eq!(database.psql("SELECT created_at, user_agent IS NULL FROM sessions"), "1|t");
    }
    let numbers: Vec<String> = MIGRATIONS.iter().map(|(number, ..)| number.to_string()).collect();
    assert_eq!(
        database.psql("SELECT string_agg(number::text, ',' ORDER BY number) FROM tertulia_migrations"),
        numbers.join(",")
    );
    database.migrated(before).await.unwrap();
}

#[tokio::test]
async fn many_that_start_at_once_migrate_once() {
    let database = Database::new();
    let all = futures_util::future::join_all((0..6).map(|_| database.migrated(MIGRATIONS))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(database.psql("SELECT count(*) FROM tertulia_migrations"), MIGRATIONS.len().to_string());
    assert_eq!(
        database.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
        "0",
        "and nobody keeps the lock"
    );
}

#[tokio::test]
async fn a_newer_schema_is_run_on_where_it_says_so_and_nowhere_else() {
    let database = Database::new();
    let mut newer = MIGRATIONS.to_vec();
    let (known, one_more, two_more) = (latest(), latest() + 1, latest() + 2);
    let more = format!("-- compatible: {known}\n\nALTER TABLE api_keys ADD COLUMN note text;\n");
    newer.push((one_more, "more", &more));
    database.migrated(&newer).await.unwrap();
    database.migrated(MIGRATIONS).await.unwrap();
    let less = format!("-- compatible: {one_more}\n\nALTER TABLE api_keys DROP COLUMN name;\n");
    newer.push((two_more, "less", &less));
    database.migrated(&newer).await.unwrap();
    let refused = database.migrated(MIGRATIONS).await.unwrap_err();
    let OpenError::Newer { found, needs, known: of_this, .. } = refused else { panic!("{refused}") };
    assert_eq!((found, needs, of_this), (two_more, one_more, known));
}

#[tokio::test]
async fn a_migration_that_was_altered_after_its_release_is_refused() {
    let database = Database::new();
    database.migrated(MIGRATIONS).await.unwrap();
    let mut altered = MIGRATIONS.to_vec();
    altered[2].2 = "-- compatible: 1\nSELECT 1;\n";
    let refused = database.migrated(&altered).await.unwrap_err();
    assert!(matches!(refused, OpenError::Altered { number: 3, .. }), "{refused}");
}

#[tokio::test]
async fn one_that_fails_leaves_nothing_and_one_that_was_broken_off_is_finished() {
    let database = Database::new();
    let mut wrong = MIGRATIONS.to_vec();
    wrong.push((latest() + 1, "wrong", "-- compatible: 1\n\nCREATE TABLE half (id int);\nSELECT 1 / 0;\n"));
    database.migrated(&wrong).await.unwrap_err();
    let left = format!("t|{}", latest());
    assert_eq!(database.psql("SELECT to_regclass('half') IS NULL, max(number) FROM tertulia_migrations"), left);
    // An index that was being made without a transaction stays behind, useless.
    database.psql(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sessions_by_user'::regclass;
         DELETE FROM tertulia_migrations WHERE number = 3",
    );
    database.migrated(MIGRATIONS).await.unwrap();
    assert_eq!(database.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'sessions_by_user'::regclass"), "t");
}

#[tokio::test]
async fn who_may_not_add_extensions_is_told_what_to_do() {
    let database = Database::new();
    database.psql("CREATE ROLE plain LOGIN; GRANT ALL ON SCHEMA public TO plain");
    let target = Target::parse(&database.postgres.url("log").replace("postgres@", "plain@")).unwrap();
    let refused = up_to(&target, 2, MIGRATIONS).await.unwrap_err();
    assert!(matches!(refused, OpenError::Extension { .. }), "{refused}");
    assert!(refused.to_string().contains("CREATE EXTENSION pg_trgm"), "{refused}");
    database.psql("CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gin");
    up_to(&target, 2, MIGRATIONS).await.unwrap();
}

#[test]
fn statements_are_told_apart_by_the_ends_of_lines() {
    let text = "-- compatible: 1\n-- a; comment\nSELECT ';' || 1;\n\nSELECT\n    2;\n";
    assert_eq!(statements(text), ["SELECT ';' || 1", "SELECT\n    2"]);
    assert_eq!(header(text, "compatible: "), Some("1"));
    assert_eq!(header(text, "without transaction"), None);
}

#[test]
fn every_file_has_its_number_and_its_name() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let known: Vec<String> = MIGRATIONS.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql")).collect();
    assert_eq!(files, known);
}

#[tokio::test]
async fn a_database_that_can_t_keep_every_letter_is_refused() {
    let database = Database::new();
    database.psql("UPDATE pg_database SET encoding = pg_char_to_encoding('LATIN1') WHERE datname = 'log'");
    let refused = database.migrated(MIGRATIONS).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Encoding { found, .. } if found == "LATIN1"), "{refused}");
}
