//! The move: copy, compare, let go of the source, complete the destination. Every step can be the last one of this process; the next one goes on.

use sha2::{Digest as _, Sha256};

use super::compare::{Comparison, compare, digest};
use super::{Departure, Destination, MoveError, PageMax, Progress, Row, Source, Standing, TABLES, Table};

/// How a log is moved.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Unpredictable: names the move, at both ends.
    pub move_id: [u8; 16],
    pub page: PageMax,
    /// Throws away what an unfinished move has brought to the destination.
    pub starts_over: bool,
}

/// What happens on the way, for whoever watches. An error from there ends the move at that point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Begun,
    /// An unfinished move goes on.
    Resumed,
    /// An unfinished move begins anew; whether that is because the source has gone on.
    StartedOver {
        has_changed: bool,
    },
    /// `rows` of this table were brought by this process, the last of them durably or not.
    Copied {
        table: &'static str,
        rows: u64,
        is_done: bool,
    },
    Comparing {
        what: &'static str,
        rows: u64,
    },
    Departed,
    Completed,
}

pub type Watch<'a> = dyn FnMut(Event) -> Result<(), MoveError> + 'a;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub comparison: Comparison,
    /// The position up to which cursors were given.
    pub end: i64,
}

/// What a move would do, without doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Of each of [`TABLES`].
    pub rows: Vec<u64>,
    pub bytes: u64,
    /// Whether an unfinished move would go on.
    pub resumes: bool,
}

/// `standing` is the destination's; nothing is changed at either end.
pub async fn plan(source: &mut dyn Source, standing: Standing) -> Result<Plan, MoveError> {
    let departure = source.departure().await?;
    let resumes = match standing {
        Standing::Unfinished(progress) => {
            let identity = source.identity().await?;
            belongs(&progress, identity.epoch, departure.as_ref())?;
            true
        }
        Standing::Empty => {
            departed(departure.as_ref())?;
            false
        }
    };
    let mut rows = Vec::new();
    for table in TABLES {
        rows.push(source.count(table).await?);
    }
    Ok(Plan { rows, bytes: source.bytes().await?, resumes })
}

/// See the module. Both ends are held by the caller so that nobody else changes them.
pub async fn run(
    source: &mut dyn Source,
    destination: &mut dyn Destination,
    options: Options,
    watch: &mut Watch<'_>,
) -> Result<Summary, MoveError> {
    let identity = source.identity().await?;
    let departure = source.departure().await?;
    let fingerprint = fingerprint(source, options.page).await?;
    let fresh = Progress {
        move_id: options.move_id,
        epoch: identity.epoch,
        fingerprint,
        from: source.place(),
        table: 0,
        after: None,
    };
    let standing = destination.standing().await;
    // Of a move that is over both are so, and the source says what became of it.
    if matches!(standing, Err(MoveError::Refused(_))) {
        departed(departure.as_ref())?;
    }
    let (progress, event) = match standing? {
        Standing::Empty => {
            departed(departure.as_ref())?;
            (fresh, Event::Begun)
        }
        Standing::Unfinished(progress) => {
            belongs(&progress, identity.epoch, departure.as_ref())?;
            let has_changed = progress.fingerprint != fingerprint;
            if has_changed || options.starts_over {
                // A source that has departed knows this move's name.
                let move_id = departure.as_ref().map_or(options.move_id, |departure| departure.move_id);
                (Progress { move_id, ..fresh }, Event::StartedOver { has_changed })
            } else {
                (progress, Event::Resumed)
            }
        }
    };
    if event != Event::Resumed {
        destination.begin(&progress).await?;
    }
    watch(event)?;
    let progress = copy(source, destination, progress, options.page, watch).await?;
    let faults = destination.faults().await?;
    if !faults.is_empty() {
        return Err(MoveError::Different(faults));
    }
    let comparison = compare(source, destination, options.page, watch).await?;
    // Not the other way round: two logs of one epoch would be there for a moment.
    if departure.is_none() {
        source.depart(&Departure { move_id: progress.move_id, to: destination.place() }).await?;
    }
    watch(Event::Departed)?;
    destination.complete(&identity, progress.move_id).await?;
    watch(Event::Completed)?;
    Ok(Summary { comparison, end: identity.end })
}

fn departed(departure: Option<&Departure>) -> Result<(), MoveError> {
    match departure {
        Some(departure) => Err(MoveError::Refused(format!(
            "this log was moved to {} already: serve that one, or move it from there",
            departure.to
        ))),
        None => Ok(()),
    }
}

fn belongs(progress: &Progress, epoch: [u8; 16], departure: Option<&Departure>) -> Result<(), MoveError> {
    match departure {
        Some(departure) if departure.move_id == progress.move_id => Ok(()),
        Some(_) => departed(departure),
        None if progress.epoch != epoch => Err(MoveError::Refused(format!(
            "the destination holds an unfinished move of another log, from {}: finish that one, or give an empty destination",
            progress.from
        ))),
        None => Ok(()),
    }
}

/// What changes whenever the log does: its position does with all that people can see, and the rest is small enough to be read whole.
async fn fingerprint(source: &mut dyn Source, page: PageMax) -> Result<[u8; 32], MoveError> {
    let identity = source.identity().await?;
    let mut hash = Sha256::new();
    hash.update(identity.epoch);
    hash.update(identity.token_secret);
    hash.update(identity.end.to_be_bytes());
    for table in TABLES.iter().filter(|table| !table.is_of_conversation && table.name != "message_keys") {
        hash.update(digest(source, table, page).await?.0);
    }
    Ok(hash.finalize().into())
}

async fn copy(
    source: &mut dyn Source,
    destination: &mut dyn Destination,
    mut progress: Progress,
    max: PageMax,
    watch: &mut Watch<'_>,
) -> Result<Progress, MoveError> {
    while let Some(table) = TABLES.get(progress.table as usize) {
        let mut rows = 0;
        watch(Event::Copied { table: table.name, rows, is_done: false })?;
        let mut page = source.page(table, progress.after.as_deref(), max).await?;
        while !page.is_empty() {
            let after = key_of(table, &page);
            let next = Progress { after: after.clone(), ..progress.clone() };
            // The next page is read while this one is written.
            let (written, read) =
                both(destination.put(table, &page, &next), source.page(table, after.as_deref(), max)).await;
            written?;
            rows += u64::try_from(page.len()).unwrap_or(u64::MAX);
            (progress, page) = (next, read?);
            watch(Event::Copied { table: table.name, rows, is_done: false })?;
        }
        progress = Progress { table: progress.table + 1, after: None, ..progress };
        destination.put(table, &[], &progress).await?;
        watch(Event::Copied { table: table.name, rows, is_done: true })?;
    }
    Ok(progress)
}

fn key_of(table: &Table, page: &[Row]) -> Option<Row> {
    page.last().map(|row| row[..table.key].to_vec())
}

/// Both to their end, the first one begun first.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|context| {
        if first.is_none()
            && let std::task::Poll::Ready(done) = one.as_mut().poll(context)
        {
            first = Some(done);
        }
        if second.is_none()
            && let std::task::Poll::Ready(done) = other.as_mut().poll(context)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => std::task::Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                std::task::Poll::Pending
            }
        }
    })
    .await
}
