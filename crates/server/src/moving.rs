//! `tertulia move`: a whole log from one home to another, so that no client notices.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tertulia_store::portable::{
    Destination, Event, MoveError, Options, PageMax, Plan, Purpose, Source, Standing, Summary, TABLES, plan, run,
};
use tertulia_store_postgres::portable::PostgresEnd;
use tertulia_store_sqlite::portable::SqliteEnd;

use crate::serve::lock;
use crate::settings::Settings;

/// Between two lines that say how far a table has come.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// One end, as the command names it.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// The folder of `tertulia.db`.
    Sqlite(PathBuf),
    Postgres(String),
}

impl std::str::FromStr for Place {
    type Err = MoveError;

    fn from_str(text: &str) -> Result<Self, MoveError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => {
                let path = Path::new(path.strip_prefix("//").unwrap_or(path));
                let is_file = path.file_name().is_some_and(|name| name == "tertulia.db");
                Ok(Self::Sqlite(if is_file { path.parent().unwrap_or(path) } else { path }.to_owned()))
            }
            // What it is instead may hold a password.
            _ => Err(MoveError::Refused("an end is sqlite:FOLDER or postgres://USER:PASSWORD@HOST/DATABASE".into())),
        }
    }
}

/// What to do, beside the ends.
pub struct Wish {
    pub from: Place,
    pub to: Place,
    pub dry_run: bool,
    pub start_over: bool,
}

/// The text for standard output; progress goes to standard error.
pub async fn command(settings: &Settings, wish: Wish, move_id: [u8; 16]) -> Result<String, MoveError> {
    if wish.from == wish.to {
        return Err(MoveError::Refused("both ends are the same".into()));
    }
    if wish.dry_run {
        return looked(&wish).await;
    }
    // Before anything is opened, so that no server starts on either folder meanwhile.
    if let Place::Sqlite(folder) = &wish.to {
        let cause = |error| MoveError::Refused(format!("can't make {}: {error}", folder.display()));
        tertulia_store_sqlite::files::make_folder(folder).map_err(cause)?;
    }
    let _locks = [locked(&wish.from)?, locked(&wish.to)?];
    let mut source: Box<dyn Source> = match &wish.from {
        Place::Sqlite(folder) => Box::new(SqliteEnd::source(folder, Purpose::Move)?),
        Place::Postgres(url) => Box::new(PostgresEnd::source(url, Purpose::Move).await?),
    };
    let mut destination: Box<dyn Destination> = match &wish.to {
        Place::Sqlite(folder) => Box::new(SqliteEnd::destination(folder)?),
        Place::Postgres(url) => Box::new(PostgresEnd::destination(url, settings.database_partitions).await?),
    };
    let options = Options { move_id, page: PageMax::DEFAULT, starts_over: wish.start_over };
    let mut teller = Teller::default();
    let summary = run(&mut *source, &mut *destination, options, &mut |event| {
        teller.tell(&event);
        Ok(())
    })
    .await?;
    Ok(told(&summary, &source.place(), &destination.place()))
}

async fn looked(wish: &Wish) -> Result<String, MoveError> {
    let _locks = [free(&wish.from)?, free(&wish.to)?];
    let mut source: Box<dyn Source> = match &wish.from {
        Place::Sqlite(folder) => Box::new(SqliteEnd::source(folder, Purpose::Look)?),
        Place::Postgres(url) => Box::new(PostgresEnd::source(url, Purpose::Look).await?),
    };
    let standing: Standing = match &wish.to {
        Place::Sqlite(folder) => SqliteEnd::look(folder)?,
        Place::Postgres(url) => PostgresEnd::look(url).await?,
    };
    Ok(planned(&plan(&mut *source, standing).await?))
}

/// A folder is one server's or one move's.
fn locked(place: &Place) -> Result<Option<File>, MoveError> {
    let Place::Sqlite(folder) = place else { return Ok(None) };
    // A source that is not there is refused when it is opened, and not made here.
    if !folder.exists() {
        return Ok(None);
    }
    lock(folder).map(Some).map_err(|error| MoveError::Refused(format!("{error:#}")))
}

/// The same without making the file.
fn free(place: &Place) -> Result<Option<File>, MoveError> {
    match place {
        Place::Sqlite(folder) if folder.join("serve.lock").exists() => locked(place),
        _ => Ok(None),
    }
}

fn counted(rows: &[u64]) -> String {
    TABLES.iter().zip(rows).map(|(table, rows)| format!("{:<14}{rows:>12}\n", table.name)).collect()
}

fn planned(plan: &Plan) -> String {
    let next = if plan.resumes { "an unfinished move would go on where it stood" } else { "the destination is empty" };
    format!(
        "{}about {} MiB at the source; {next}\nnothing was changed",
        counted(&plan.rows),
        plan.bytes.div_ceil(1 << 20)
    )
}

fn told(summary: &Summary, from: &str, to: &str) -> String {
    let content: String = summary.comparison.content.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}moved {from} to {to}: {} conversations read at both ends, and the same (content {content})\n\
         the epoch is kept, positions go on above {}; what is searched is indexed behind the first start\n\
         {from} must not be served any more, and a server refuses to start on it: keep it until you are content, then remove it",
        counted(&summary.comparison.rows),
        summary.comparison.conversations,
        summary.end
    )
}

#[expect(clippy::disallowed_methods, reason = "how fast it goes is for people; nothing depends on it")]
fn instant() -> Instant {
    Instant::now()
}

/// Says on standard error what happens, and of long tables once a second how far they are.
struct Teller {
    what: &'static str,
    began: Instant,
    told: Instant,
}

impl Default for Teller {
    fn default() -> Self {
        Self { what: "", began: instant(), told: instant() }
    }
}

impl Teller {
    fn tell(&mut self, event: &Event) {
        match event {
            Event::Begun => say("the move begins"),
            Event::Resumed => say("an unfinished move goes on"),
            Event::StartedOver { has_changed: true } => {
                say("the source has changed since the unfinished move began: it starts over");
            }
            Event::StartedOver { has_changed: false } => say("the unfinished move starts over"),
            Event::Copied { table, rows, is_done } => self.count("moving", table, *rows, *is_done),
            Event::Comparing { what, rows } => self.count("comparing", what, *rows, false),
            Event::Departed => say("both ends are the same; the source is marked as moved"),
            Event::Completed => say("the destination is complete"),
        }
    }

    fn count(&mut self, doing: &str, what: &'static str, rows: u64, is_done: bool) {
        if is_done && rows == 0 {
            return;
        }
        let now = instant();
        if self.what != what || rows == 0 {
            (self.what, self.began, self.told) = (what, now, now);
            return say(&format!("{doing} {what}"));
        }
        if is_done || now.duration_since(self.told) >= TELL_EVERY {
            self.told = now;
            let ms = now.duration_since(self.began).as_millis().max(1);
            say(&format!("{doing} {what}: {rows} rows, {} rows/s", u128::from(rows) * 1000 / ms));
        }
    }
}

#[expect(clippy::print_stderr, reason = "what a command is doing, beside what it was asked for")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_folder_or_a_url() {
        let sqlite = |path: &str| Ok(Place::Sqlite(PathBuf::from(path)));
        assert!("sqlite:data".parse::<Place>() == sqlite("data"));
        assert!("sqlite:///var/lib/tertulia/tertulia.db".parse::<Place>() == sqlite("/var/lib/tertulia"));
        assert!(
            "postgres://me:secret@host/chat".parse::<Place>()
                == Ok(Place::Postgres("postgres://me:secret@host/chat".into()))
        );
        for wrong in ["data", "sqlite:", "mysql://me:secret@host/chat"] {
            let error = wrong.parse::<Place>().err().unwrap().to_string();
            assert!(error.contains("postgres://") && !error.contains("secret"), "{error}");
        }
    }
}
