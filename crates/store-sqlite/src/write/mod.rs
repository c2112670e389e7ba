//! One commit: many writes, one transaction, one commit position.
//!
//! Appends are what a chat does all day, so their conversations' heads are kept in memory for the length of the batch and written once at its
//! end; whatever else is in the batch first has them written and then works on the rows.

mod accounts;
mod append;
pub(crate) mod endpoints;
mod groups;
pub(crate) mod jobs;
mod membership;
mod messages;
pub(crate) mod push;
pub(crate) mod traces;
mod webhooks;

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};
use tertulia_proto::{ApiError, ConversationId, ConversationKind, Role, UserId};
use tertulia_store::{Effect, Facts, Rules, StoreError, Target, Write, WriteError, WriteResult};

use crate::error::unavailable;
use crate::rows::{Sql, kind_of, role_of};
use crate::writer::Chore;

/// What may go wrong inside a batch: a refusal ends one write, a failure the whole batch.
pub(crate) enum Stop {
    Refused(ApiError),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

pub(crate) type Step<T> = Result<T, Stop>;

pub(crate) struct Batch<'a> {
    pub connection: &'a Connection,
    pub rules: &'a dyn Rules,
    /// The position this commit will have.
    pub pos: i64,
    heads: append::Heads,
    /// Conversations whose bodies the search index has to look at.
    pub touched: BTreeSet<i64>,
    visible_change: bool,
    listeners: webhooks::Listeners,
}

/// A conversation's row, as of now in this transaction.
#[derive(Clone)]
pub(crate) struct ConversationRow {
    pub no: i64,
    pub id: ConversationId,
    pub kind: ConversationKind,
    pub title: Option<String>,
    pub shows_all: bool,
    pub last_seq: i64,
    pub rev: i64,
    pub dm: Option<(i64, i64)>,
    pub member_count: i64,
}

/// Somebody's place in a conversation.
#[derive(Clone)]
pub(crate) struct Place {
    pub user_no: i64,
    pub role: Option<Role>,
    pub visible_after_seq: i64,
}

/// What came of a commit.
pub(crate) struct Outcome {
    pub results: Vec<WriteResult>,
    pub touched: BTreeSet<i64>,
    pub chores: Vec<Result<(), StoreError>>,
}

/// Applies the writes in order, then the chores, and commits all. On a failure nothing has happened; a chore that fails alone takes nothing with it.
pub(crate) fn commit(
    connection: &Connection,
    rules: &dyn Rules,
    writes: &[Write],
    chores: &mut [Box<dyn Chore>],
) -> Result<Outcome, StoreError> {
    connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut s| s.execute([])).map_err(unavailable)?;
    let done = Batch::begin(connection, rules).and_then(|mut batch| {
        let results = writes.iter().map(|write| batch.apply(write)).collect::<Sql<Vec<_>>>()?;
        batch.finish()?;
        let chores = chores.iter_mut().map(|chore| apart(connection, &mut **chore)).collect::<Sql<Vec<_>>>()?;
        Ok(Outcome { results, touched: batch.touched, chores })
    });
    let done = done.and_then(|done| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(done)
    });
    done.map_err(|error| {
        // After some failures (a full disk) SQLite has rolled back by itself.
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        unavailable(error)
    })
}

/// Inside a savepoint. An error where the whole transaction is gone with it (a full disk).
fn apart(connection: &Connection, chore: &mut dyn Chore) -> Sql<Result<(), StoreError>> {
    connection.prepare_cached("SAVEPOINT chore")?.execute([])?;
    let done = chore.run(connection);
    if done.is_err() {
        if connection.is_autocommit() {
            return done.map(Ok);
        }
        connection.prepare_cached("ROLLBACK TO chore")?.execute([])?;
    }
    connection.prepare_cached("RELEASE chore")?.execute([])?;
    Ok(done.map_err(unavailable))
}

impl<'a> Batch<'a> {
    fn begin(connection: &'a Connection, rules: &'a dyn Rules) -> Sql<Self> {
        // Read anew each time: another process may have written in between.
        let position: i64 =
            connection.prepare_cached("SELECT position FROM log_state")?.query_row([], |row| row.get(0))?;
        Ok(Self {
            connection,
            rules,
            pos: position + 1,
            heads: append::Heads::default(),
            touched: BTreeSet::new(),
            visible_change: false,
            listeners: webhooks::Listeners::default(),
        })
    }

    fn apply(&mut self, write: &Write) -> Sql<WriteResult> {
        let step = match write {
            Write::AppendMessage(append) => self.append_message(append),
            other => self.write_heads().map_err(Stop::Failed).and_then(|()| self.apply_other(other)),
        };
        match step {
            Ok(effect) => Ok(Ok(effect)),
            Err(Stop::Refused(refusal)) => Ok(Err(WriteError::Refused(refusal))),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn apply_other(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::AppendMessage(append) => self.append_message(append),
            Write::EditMessage { .. } | Write::DeleteMessage { .. } | Write::SetReaction { .. } => {
                self.change_message(write)
            }
            Write::AdvanceWatermarks { .. } => self.advance_watermarks(write),
            Write::OpenDm { .. }
            | Write::CreateGroup { .. }
            | Write::SetTitle { .. }
            | Write::Hide { .. }
            | Write::SetMuted { .. } => self.change_conversation(write),
            Write::AddMember { .. } | Write::RemoveMember { .. } | Write::SetRole { .. } => self.change_members(write),
            _ => self.change_accounts(write),
        }
    }

    fn finish(&mut self) -> Sql<()> {
        self.write_heads()?;
        self.queue_lines()?;
        if self.visible_change {
            self.connection.prepare_cached("UPDATE log_state SET position = ?1")?.execute([self.pos])?;
        }
        Ok(())
    }

    /// Something that people can see changes in this commit.
    pub(crate) fn mark_visible(&mut self) {
        self.visible_change = true;
    }

    pub(crate) fn conversation(&self, id: ConversationId) -> Step<ConversationRow> {
        self.connection
            .prepare_cached(
                "SELECT no, kind, title, history_visibility, last_seq, rev, dm_low, dm_high, member_count FROM conversations WHERE id = ?1",
            )?
            .query_row([id.as_bytes().as_slice()], |row| {
                let dm_low: Option<i64> = row.get(6)?;
                let dm_high: Option<i64> = row.get(7)?;
                Ok(ConversationRow {
                    no: row.get(0)?,
                    id,
                    kind: kind_of(row.get(1)?),
                    title: row.get(2)?,
                    shows_all: row.get::<_, i64>(3)? == 1,
                    last_seq: row.get(4)?,
                    rev: row.get(5)?,
                    dm: dm_low.zip(dm_high),
                    member_count: row.get(8)?,
                })
            })
            .optional()?
            .ok_or_else(|| ApiError::not_found("conversation").into())
    }

    pub(crate) fn user_no(&self, user: UserId) -> Step<i64> {
        crate::rows::user_no(self.connection, user)?.ok_or_else(|| ApiError::not_found("user").into())
    }

    pub(crate) fn place(&self, conversation_no: i64, user: UserId) -> Step<Place> {
        let user_no = self.user_no(user)?;
        let found = self
            .connection
            .prepare_cached("SELECT role, visible_after_seq FROM members WHERE conversation_no = ?1 AND user_no = ?2 AND removed_at IS NULL")?
            .query_row((conversation_no, user_no), |row| Ok((role_of(row.get(0)?)?, row.get(1)?)))
            .optional()?;
        Ok(match found {
            Some((role, visible_after_seq)) => Place { user_no, role: Some(role), visible_after_seq },
            None => Place { user_no, role: None, visible_after_seq: i64::MAX },
        })
    }

    /// The facts of a conversation and who asks; in a DM with the other person as target.
    pub(crate) fn facts(&self, conversation: &ConversationRow, actor: &Place) -> Sql<Facts> {
        let mut facts = Facts::new(conversation.kind, actor.role);
        facts.member_count = conversation.member_count;
        if let Some((low, high)) = conversation.dm {
            let other = if low == actor.user_no { high } else { low };
            facts.target = Some(self.target(actor.user_no, other, Some(Role::Member))?);
        }
        Ok(facts)
    }

    /// The same with the owners counted and the target looked up.
    pub(crate) fn group_facts(&self, conversation: &ConversationRow, actor: &Place, target: &Place) -> Sql<Facts> {
        let mut facts = self.facts(conversation, actor)?;
        facts.target = Some(self.target(actor.user_no, target.user_no, target.role)?);
        facts.owner_count = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM members WHERE conversation_no = ?1 AND role = 2 AND removed_at IS NULL",
            )?
            .query_row([conversation.no], |row| row.get(0))?;
        Ok(facts)
    }

    pub(crate) fn target(&self, actor_no: i64, target_no: i64, role: Option<Role>) -> Sql<Target> {
        let mut blocked = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM blocks WHERE user_no = ?1 AND blocked_no = ?2)")?;
        Ok(Target {
            role,
            has_blocked_actor: blocked.query_row((target_no, actor_no), |row| row.get(0))?,
            is_blocked_by_actor: blocked.query_row((actor_no, target_no), |row| row.get(0))?,
        })
    }

    /// Counts one change of the conversation: the new `rev`, under this commit's position.
    pub(crate) fn bump(&mut self, conversation_no: i64) -> Sql<i64> {
        self.mark_visible();
        self.connection
            .prepare_cached("UPDATE conversations SET rev = rev + 1, pos = ?2 WHERE no = ?1 RETURNING rev")?
            .query_row((conversation_no, self.pos), |row| row.get(0))
    }
}
