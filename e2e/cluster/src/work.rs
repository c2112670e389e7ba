//! Work for the workers: the clean-up is made due again and again, with dead letters to remove, so that workers are killed in the middle of it. In the end
//! all of it has to be done, and the queue as it should be.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tertulia_testkit::until;

use crate::place::{NAME, Place};

/// What the clean-up is to remove each time: steps enough that a kill may come between two of them.
const LETTERS: usize = 4000;

/// How long a worker has to see what is due: two looks at the queue.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

const RUNNING: &str = "SELECT count(*) FROM jobs WHERE kind = 'sweep' AND state = 1";

/// Nothing where it runs already.
const DUE: &str =
    "UPDATE jobs SET run_at = 0 WHERE kind = 'sweep' AND state = 0 AND EXISTS (SELECT 1 FROM jobs WHERE state = 2)";

/// Running, or dead: of what workers have begun, all that they have not ended well.
const UNDONE: &str = "SELECT count(*) FROM jobs WHERE state <> 0";

/// Notes every job that its worker has ended, with the attempts that it took.
const WATCH: &str = "CREATE SCHEMA chaos;
     CREATE TABLE chaos.ends (kind text NOT NULL, attempt bigint NOT NULL);
     CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO chaos.ends VALUES (OLD.kind, OLD.attempt - OLD.spared); RETURN NULL; END';
     CREATE TRIGGER ends AFTER DELETE ON jobs FOR EACH ROW WHEN (OLD.state = 1) EXECUTE FUNCTION chaos.note()";

/// Once, as soon as the log is there.
pub fn watch(place: &Place) -> Result<()> {
    ask(place, WATCH).map(drop)
}

/// The clean-up is due, and has something to do.
pub fn give(place: &Place) -> Result<()> {
    let letters = format!(
        "INSERT INTO jobs (kind, payload, state, attempt, run_at, created_at, dead_at)
            SELECT 'chaos', '', 2, 1, 0, 0, 1 FROM generate_series(1, {LETTERS});
         {DUE}"
    );
    ask(place, &letters).map(drop)
}

/// Gives work, and waits until a worker is at it, or was when it was killed.
pub async fn under_way(place: &Place) -> Result<()> {
    give(place)?;
    let seen = until("a worker works", || ask(place, RUNNING).is_ok_and(|count| count != "0"));
    // A job that failed waits for its next attempt.
    let _ = tokio::time::timeout(SEEN_WITHIN, seen).await;
    Ok(())
}

/// All is done, what killed workers had included, and nothing died. Then the workers are stopped, and hand back what they have.
pub async fn judge(place: &mut Place) -> Result<String> {
    give(place)?;
    // What came while a run was at its end is the next run's. A killed worker's jobs wait for the end of their lease.
    let looking = format!("{DUE}; {UNDONE}");
    let all_done = || ask(place, &looking).is_ok_and(|count| count == "0");
    until("every job that ran has ended", all_done).await.with_context(|| queue(place))?;
    place.stop_workers().await?;
    ensure!(ask(place, UNDONE)? == "0", "workers were stopped and did not hand back: {}", queue(place));
    let sweeps = ask(place, "SELECT count(*) FROM jobs WHERE kind = 'sweep'")?;
    ensure!(sweeps == "1", "the clean-up is queued {sweeps} times: {}", queue(place));
    let ended = ask(place, "SELECT count(*) || ' ended, ' || count(*) FILTER (WHERE attempt > 1) FROM chaos.ends")?;
    Ok(format!(
        "jobs: {ended} of them in a later attempt; none is with a worker that is gone, none is dead, the clean-up is queued once"
    ))
}

/// For people.
fn queue(place: &Place) -> String {
    let rows = "SELECT string_agg(concat_ws(' ', kind, CASE state WHEN 0 THEN 'ready' WHEN 1 THEN 'running' ELSE 'dead' END, count), ', ')
         FROM (SELECT kind, state, count(*) FROM jobs GROUP BY kind, state ORDER BY kind, state) q";
    ask(place, rows).unwrap_or_else(|error| format!("{error:#}"))
}

/// At the server that takes the writes. It may have to wait for a replica, and nobody else shall wait with it.
fn ask(place: &Place, statements: &str) -> Result<String> {
    tokio::task::block_in_place(|| place.primary().psql(NAME, statements))
}
