//! Whether two ends are the same: each is read by itself, and hashed a conversation at a time.

use std::collections::VecDeque;

use sha2::{Digest as _, Sha256};

use super::run::{Event, Watch};
use super::{End, MoveError, PageMax, Row, TABLES, Table, Value, encode};

/// Differences that are named; the others are counted.
const NAMED_MAX: usize = 20;

/// What a comparison has read, at each end the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Of each of [`TABLES`].
    pub rows: Vec<u64>,
    pub conversations: u64,
    /// SHA-256 over the hashes of all conversations and of all other tables: the same wherever the log lives.
    pub content: [u8; 32],
}

/// One table of one end, row after row.
struct Stream {
    table: &'static Table,
    max: PageMax,
    waiting: VecDeque<Row>,
    after: Option<Row>,
    is_over: bool,
}

impl Stream {
    fn new(table: &'static Table, max: PageMax) -> Self {
        Self { table, max, waiting: VecDeque::new(), after: None, is_over: false }
    }

    async fn peek(&mut self, end: &mut dyn End) -> Result<Option<&Row>, MoveError> {
        if self.waiting.is_empty() && !self.is_over {
            let page = end.page(self.table, self.after.as_deref(), self.max).await?;
            self.after = page.last().map(|row| row[..self.table.key].to_vec());
            self.is_over = page.is_empty();
            self.waiting = page.into();
        }
        Ok(self.waiting.front())
    }

    async fn next(&mut self, end: &mut dyn End) -> Result<Option<Row>, MoveError> {
        self.peek(end).await?;
        Ok(self.waiting.pop_front())
    }
}

/// Everything of one conversation: its row, members, messages and reactions.
#[derive(Clone, PartialEq, Eq)]
struct Talk {
    id: Value,
    hash: [u8; 32],
    /// Of each table of conversations.
    rows: Vec<u64>,
}

/// The conversations of one end, in order of their ids. Rows of a conversation that is not there make one all the same.
struct Talks(Vec<Stream>);

impl Talks {
    fn new(max: PageMax) -> Self {
        Self(TABLES.iter().filter(|table| table.is_of_conversation).map(|table| Stream::new(table, max)).collect())
    }

    async fn next(&mut self, end: &mut dyn End) -> Result<Option<Talk>, MoveError> {
        let mut least: Option<[u8; 16]> = None;
        for stream in &mut self.0 {
            if let Some(Value::Id(id)) = stream.peek(end).await?.and_then(|row| row.first()) {
                least = Some(least.map_or(*id, |least| least.min(*id)));
            }
        }
        let Some(id) = least.map(Value::Id) else { return Ok(None) };
        let (mut hash, mut rows) = (Sha256::new(), Vec::new());
        for stream in &mut self.0 {
            hash.update(stream.table.name);
            let mut count = 0;
            while stream.peek(end).await?.and_then(|row| row.first()) == Some(&id) {
                if let Some(row) = stream.next(end).await? {
                    hash.update(encode(&row));
                    count += 1;
                }
            }
            rows.push(count);
        }
        Ok(Some(Talk { id, hash: hash.finalize().into(), rows }))
    }
}

/// SHA-256 and number of a table's rows.
pub(super) async fn digest(
    end: &mut dyn End,
    table: &'static Table,
    max: PageMax,
) -> Result<([u8; 32], u64), MoveError> {
    let (mut stream, mut hash, mut rows) = (Stream::new(table, max), Sha256::new(), 0);
    hash.update(table.name);
    while let Some(row) = stream.next(end).await? {
        hash.update(encode(&row));
        rows += 1;
    }
    Ok((hash.finalize().into(), rows))
}

/// Reads both ends whole.
pub(super) async fn compare(
    source: &mut dyn End,
    destination: &mut dyn End,
    max: PageMax,
    watch: &mut Watch<'_>,
) -> Result<Comparison, MoveError> {
    let (mut differences, mut content) = (Vec::new(), Sha256::new());
    let mut rows = vec![0; TABLES.len()];
    for (at, table) in TABLES.iter().enumerate().filter(|(_, table)| !table.is_of_conversation) {
        watch(Event::Comparing { what: table.name, rows: 0 })?;
        let (one, other) = (digest(source, table, max).await?, digest(destination, table, max).await?);
        if one != other {
            differences.push(first_difference(source, destination, table, max).await?);
        }
        rows[at] = one.1;
        content.update(one.0);
    }
    let (mut one, mut other) = (Talks::new(max), Talks::new(max));
    let (mut ours, mut theirs) = (one.next(source).await?, other.next(destination).await?);
    let (mut conversations, mut read) = (0, 0);
    while ours.is_some() || theirs.is_some() {
        if ours != theirs {
            differences.push(difference(ours.as_ref(), theirs.as_ref()));
        }
        // Where one is missing at one end, the other end waits for it.
        let id = |talk: &Option<Talk>| talk.as_ref().map(|talk| encode(std::slice::from_ref(&talk.id)));
        let (left, right) = (id(&ours), id(&theirs));
        if right.is_none() || left.is_some() && left <= right {
            if let Some(talk) = &ours {
                content.update(talk.hash);
                count(&mut rows, &talk.rows);
                conversations += 1;
                read += talk.rows.iter().sum::<u64>();
                watch(Event::Comparing { what: "conversations", rows: read })?;
            }
            ours = one.next(source).await?;
        }
        if left.is_none() || right.is_some() && right <= left {
            theirs = other.next(destination).await?;
        }
    }
    counted(source, destination, &rows, &mut differences).await?;
    if !differences.is_empty() {
        let more = differences.len().saturating_sub(NAMED_MAX);
        differences.truncate(NAMED_MAX);
        if more > 0 {
            differences.push(format!("and {more} more"));
        }
        return Err(MoveError::Different(differences));
    }
    Ok(Comparison { rows, conversations, content: content.finalize().into() })
}

fn count(rows: &mut [u64], of_talk: &[u64]) {
    let tables = TABLES.iter().enumerate().filter(|(_, table)| table.is_of_conversation);
    for ((at, _), more) in tables.zip(of_talk) {
        rows[at] += more;
    }
}

/// What was read has to be what the homes themselves count: a row that no page shows is not compared.
async fn counted(
    source: &mut dyn End,
    destination: &mut dyn End,
    read: &[u64],
    differences: &mut Vec<String>,
) -> Result<(), MoveError> {
    for (table, read) in TABLES.iter().zip(read) {
        let (one, other) = (source.count(table).await?, destination.count(table).await?);
        if (one, other) != (*read, *read) {
            differences
                .push(format!("{}: {one} rows at the source, {other} at the destination, {read} read", table.name));
        }
    }
    Ok(())
}

fn difference(ours: Option<&Talk>, theirs: Option<&Talk>) -> String {
    let rows = |talk: &Talk| {
        let tables = TABLES.iter().filter(|table| table.is_of_conversation).zip(&talk.rows);
        tables.map(|(table, rows)| format!("{rows} {}", table.name)).collect::<Vec<_>>().join(", ")
    };
    let order = |talk: Option<&Talk>| talk.map(|talk| encode(std::slice::from_ref(&talk.id)));
    match (ours, theirs) {
        (Some(one), Some(other)) if one.id == other.id => {
            format!("conversation {} differs: {} at the source, {} at the destination", one.id, rows(one), rows(other))
        }
        (Some(one), _) if theirs.is_none() || order(ours) < order(theirs) => {
            format!("conversation {} is missing at the destination: {}", one.id, rows(one))
        }
        (_, Some(other)) => format!("conversation {} is at the destination alone: {}", other.id, rows(other)),
        _ => String::new(),
    }
}

/// Which row of a table it is, by its key; of what may be secret nothing else.
async fn first_difference(
    source: &mut dyn End,
    destination: &mut dyn End,
    table: &'static Table,
    max: PageMax,
) -> Result<String, MoveError> {
    let (mut one, mut other) = (Stream::new(table, max), Stream::new(table, max));
    loop {
        let (ours, theirs) = (one.next(source).await?, other.next(destination).await?);
        if ours == theirs && ours.is_some() {
            continue;
        }
        let key = |row: Option<Row>| {
            let row = row.unwrap_or_default();
            row.iter().take(table.key).map(Value::to_string).collect::<Vec<_>>().join(" ")
        };
        return Ok(format!(
            "{}: the first difference is at \"{}\" (source) and \"{}\" (destination)",
            table.name,
            key(ours),
            key(theirs)
        ));
    }
}
