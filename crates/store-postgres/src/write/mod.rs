//! One transaction: many writes, under the locks of all conversations they are about.
//!
//! What concerns one conversation alone goes together ([`talk`]): the conversations are locked in one order, so that servers never wait for each other
//! in a circle; then appends and watermarks, which are what a chat does all day, are decided on facts that were read for all of them at once, and
//! written with a constant number of statements ([`hot`]). Everything else is done one by one under the same locks. What reaches further (people, who
//! blocks whom, new conversations) has a transaction of its own ([`alone`]). The order of locks is: the lineage in common, the writer's own row, people,
//! conversations, everything of a conversation, devices, jobs.

mod accounts;
mod append;
pub(crate) mod endpoints;
mod groups;
mod hot;
mod membership;
mod messages;
pub(crate) mod push;
pub(crate) mod rounds;
mod touch;
pub(crate) mod traces;
mod webhooks;

use std::collections::HashMap;
use std::time::Duration;

use tertulia_proto::{ApiError, ConversationId, ConversationKind, Role, UserId};
use tertulia_store::webhooks::Event;
use tertulia_store::{Effect, Facts, Rules, Target, Write, WriteError, WriteResult};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub(crate) use self::touch::touch;
use crate::error::{Fault, Sql};
use crate::lineage::SHARE_LINEAGE;
use crate::rows::{at, conversation_at, kind_of, role_of, user_at};
use crate::session::Session;

/// What may go wrong inside a transaction: a refusal ends one write, a failure the whole.
pub(crate) enum Stop {
    Refused(ApiError),
    Failed(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

pub(crate) type Step<T> = Result<T, Stop>;

/// A transaction that did not end well.
pub(crate) struct Failure {
    pub fault: Fault,
    /// Where the commit was under way already: what it came to, if it did.
    pub unsure: Option<Vec<WriteResult>>,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { fault, unsure: None }
    }
}

/// What a transaction came to.
pub(crate) struct Done {
    pub results: Vec<WriteResult>,
    /// Nothing was written, so nothing was committed.
    pub is_committed: bool,
}

/// Who commits, and which batch of theirs this is.
pub(crate) struct Stamp {
    pub writer: Uuid,
    pub batch: i64,
    /// The latest of their batches that is known to be committed.
    pub confirmed: i64,
    /// How long a lock is waited for.
    pub lock_ms: u32,
    /// `on`, or `remote_apply` where the database is set so.
    pub durability: &'static str,
}

impl Stamp {
    pub fn begin(&self) -> String {
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = {}; SET LOCAL statement_timeout = 10000;
             SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = 10000; {PLANS}",
            self.durability, self.lock_ms
        )
    }
}

/// Plans must not depend on statistics, which are missing when a log is young and old when it grows: everything has its index.
const PLANS: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// A timeout during a commit that waits for replicas would end the waiting and call it a success: there is none.
pub(crate) const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

/// The position that this transaction gives; whether the log's state is of the history that the server is on.
const STATE: &str = "SELECT position_offset + pg_current_xact_id()::text::bigint,
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint = timeline
     FROM log_state";

/// First of all, so that whoever finds this row unlocked knows that the transaction has ended. Nothing is marked where the row is behind what was
/// confirmed: a copy was put back behind a pooler, whose connections outlive that.
const MARK: &str = "UPDATE writers SET batch = $2, seen_at = now(),
        pos = (SELECT position_offset FROM log_state) + pg_current_xact_id()::text::bigint
     WHERE writer_id = $1 AND batch >= $3";

const LOCK_PEOPLE: &str = "SELECT id FROM users WHERE id = ANY($1) ORDER BY id FOR SHARE";

const LOCK_CONVERSATIONS: &str =
    "SELECT id, kind, title, history_visibility, last_seq, rev, pos, dm_low, dm_high, member_count
     FROM conversations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

/// Those that nobody has locked.
const FREE: &str = "SELECT id FROM conversations WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED";

/// Which of these conversations somebody else has locked at this moment.
pub(crate) async fn held(session: &Session, conversations: &[ConversationId]) -> Sql<Vec<ConversationId>> {
    let ids: Vec<Uuid> = conversations.iter().map(ConversationId::uuid).collect();
    session.batch("BEGIN; SET LOCAL statement_timeout = 5000").await?;
    let free = session.rows(FREE, &[&ids]).await;
    session.batch("ROLLBACK").await?;
    let free = free?.iter().map(|row| conversation_at(row, 0)).collect::<Sql<Vec<_>>>()?;
    Ok(conversations.iter().copied().filter(|id| !free.contains(id)).collect())
}

/// Has every statement that is pipelined prepared, so that they leave in order.
pub(crate) async fn prepare(session: &Session) -> Sql<()> {
    for (text, types) in [
        (SHARE_LINEAGE, &[][..]),
        (STATE, &[]),
        (MARK, &[Type::UUID, Type::INT8, Type::INT8]),
        (LOCK_PEOPLE, &[Type::UUID_ARRAY]),
        (LOCK_CONVERSATIONS, &[Type::UUID_ARRAY]),
    ] {
        session.ready(text, types).await?;
    }
    touch::prepare(session).await?;
    push::prepare(session).await?;
    webhooks::prepare(session).await?;
    hot::prepare(session).await
}

pub(crate) struct Batch<'a> {
    pub session: &'a Session,
    pub rules: &'a dyn Rules,
    /// The position of this transaction; a conversation that is above it keeps its own.
    pub pos: i64,
    /// The conversations that are locked, as of now in this transaction.
    pub conversations: HashMap<ConversationId, ConversationRow>,
    /// Whether there is anything to commit.
    pub has_written: bool,
    /// What other programs may want to be told of, beside the messages of the last round.
    pub told: Vec<Event>,
    /// What it means for devices, beside the last round.
    pub devices: push::OfDevices,
}

/// A conversation's row.
#[derive(Debug, Clone)]
pub(crate) struct ConversationRow {
    pub id: ConversationId,
    pub kind: ConversationKind,
    pub title: Option<String>,
    pub shows_all: bool,
    pub last_seq: i64,
    pub rev: i64,
    pub pos: i64,
    pub dm: Option<(UserId, UserId)>,
    pub member_count: i64,
}

/// Somebody's place in a conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub user: UserId,
    pub role: Option<Role>,
    pub visible_after_seq: i64,
}

/// A transaction with everything done but its last changes and the commit.
pub(crate) struct Ready<'a> {
    batch: Batch<'a>,
    changes: hot::Changes,
    results: Vec<Option<WriteResult>>,
}

/// Applies writes that concern one conversation each, in an order that nobody can tell from theirs.
pub(crate) async fn talk<'a>(
    session: &'a Session,
    rules: &'a dyn Rules,
    stamp: &Stamp,
    writes: &[&Write],
) -> Sql<Ready<'a>> {
    let mut results: Vec<Option<WriteResult>> = writes.iter().map(|_| None).collect();
    let rounds = rounds::of(writes);
    let first: Vec<&Write> =
        rounds.first().map_or(Vec::new(), |round| round.hot.iter().map(|at| writes[*at]).collect());
    // Nothing that is asked about depends on what the locks bring, so all of it is under way at once; the database answers in order, each statement on
    // a snapshot of its own, and so what is read is what is so under the locks.
    let (batch, facts) =
        futures_util::join!(Batch::begin(session, rules, stamp, writes), hot::Known::load(session, &first));
    let (mut batch, mut facts) = (batch?, Some(facts?));
    for (count, round) in rounds.iter().enumerate() {
        if !round.hot.is_empty() {
            let hot: Vec<&Write> = round.hot.iter().map(|at| writes[*at]).collect();
            let known = match facts.take() {
                Some(known) if count == 0 => known,
                _ => hot::Known::load(session, &hot).await?,
            };
            let (told, changes) = batch.decide(known, &hot).await?;
            for (at, result) in round.hot.iter().zip(told) {
                results[*at] = Some(result);
            }
            if count + 1 == rounds.len() && round.then.is_empty() {
                return Ok(Ready { batch, changes, results });
            }
            batch.write(changes).await?;
        }
        for at in &round.then {
            results[*at] = Some(batch.apply(writes[*at]).await?);
        }
    }
    Ok(Ready { batch, changes: hot::Changes::default(), results })
}

/// Applies one write that reaches further than a conversation.
pub(crate) async fn alone<'a>(
    session: &'a Session,
    rules: &'a dyn Rules,
    stamp: &Stamp,
    write: &Write,
) -> Sql<Ready<'a>> {
    let mut batch = Batch::begin(session, rules, stamp, &[]).await?;
    let result = batch.apply(write).await?;
    batch.has_written |= result.is_ok();
    Ok(Ready { batch, changes: hot::Changes::default(), results: vec![Some(result)] })
}

impl Ready<'_> {
    /// Writes the last changes and commits, in one go: a commit after a statement that failed does nothing.
    pub async fn commit(self, deadline: Duration) -> Result<Done, Failure> {
        let Self { mut batch, mut changes, results } = self;
        changes.devices.join(std::mem::take(&mut batch.devices));
        let lost = || Err(WriteError::Store(tertulia_store::StoreError::Unavailable("no result".into())));
        let results: Vec<WriteResult> = results.into_iter().map(|result| result.unwrap_or_else(lost)).collect();
        let session = batch.session;
        let told = std::mem::take(&mut batch.told);
        if !batch.has_written && changes.is_empty() && told.is_empty() {
            session.batch("ROLLBACK").await?;
            return Ok(Done { results, is_committed: false });
        }
        let both = async {
            let (written, noted, committed) =
                futures_util::join!(batch.write(changes), webhooks::tell(session, &told), session.batch(COMMIT));
            written.and(noted).and(committed)
        };
        match tokio::time::timeout(deadline, both).await.unwrap_or(Err(Fault::Silent)) {
            Ok(()) => Ok(Done { results, is_committed: true }),
            Err(fault) => Err(Failure { fault, unsure: Some(results) }),
        }
    }
}

impl<'a> Batch<'a> {
    async fn begin(session: &'a Session, rules: &'a dyn Rules, stamp: &Stamp, writes: &[&Write]) -> Sql<Self> {
        let begin = stamp.begin();
        // Their names may not change while others are told of them.
        let mut people: Vec<Uuid> = writes
            .iter()
            .filter_map(|write| if let Write::AddMember { target, .. } = write { Some(target.uuid()) } else { None })
            .collect();
        people.sort_unstable();
        people.dedup();
        let mut conversations: Vec<Uuid> =
            writes.iter().filter_map(|write| rounds::place(write)).map(|(id, _)| id.uuid()).collect();
        conversations.sort_unstable();
        conversations.dedup();
        let lock_people =
            async { if people.is_empty() { Ok(Vec::new()) } else { session.rows(LOCK_PEOPLE, &[&people]).await } };
        let lock = async {
            if conversations.is_empty() {
                Ok(Vec::new())
            } else {
                session.rows(LOCK_CONVERSATIONS, &[&conversations]).await
            }
        };
        let (begun, shared, state, marked, people, locked) = futures_util::join!(
            session.batch(&begin),
            session.rows(SHARE_LINEAGE, &[]),
            session.one(STATE, &[]),
            async { session.execute(MARK, &[&stamp.writer, &stamp.batch, &stamp.confirmed]).await },
            lock_people,
            lock
        );
        begun?;
        shared?;
        let state = state?;
        if !at::<bool>(&state, 1)? || marked? == 0 {
            return Err(Fault::OtherHistory);
        }
        people?;
        let rows = locked?.iter().map(conversation_from).collect::<Sql<Vec<_>>>()?;
        let conversations = rows.into_iter().map(|row| (row.id, row)).collect();
        let (pos, devices) = (at(&state, 0)?, push::OfDevices::default());
        Ok(Self { session, rules, pos, conversations, has_written: false, told: Vec::new(), devices })
    }

    async fn apply(&mut self, write: &Write) -> Sql<WriteResult> {
        match self.step(write).await {
            Ok(effect) => Ok(Ok(effect)),
            Err(Stop::Refused(refusal)) => Ok(Err(WriteError::Refused(refusal))),
            Err(Stop::Failed(fault)) => Err(fault),
        }
    }

    async fn step(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::EditMessage { .. } | Write::DeleteMessage { .. } | Write::SetReaction { .. } => {
                self.change_message(write).await
            }
            Write::OpenDm { .. }
            | Write::CreateGroup { .. }
            | Write::SetTitle { .. }
            | Write::Hide { .. }
            | Write::SetMuted { .. } => self.change_conversation(write).await,
            Write::AddMember { .. } | Write::RemoveMember { .. } | Write::SetRole { .. } => {
                self.change_members(write).await
            }
            _ => self.change_accounts(write).await,
        }
    }

    /// One that was locked with the transaction's beginning.
    pub(crate) fn conversation(&self, id: ConversationId) -> Step<ConversationRow> {
        self.conversations.get(&id).cloned().ok_or_else(|| ApiError::not_found("conversation").into())
    }

    /// Locks more of them, in order; those that are not there are left out.
    pub(crate) async fn lock(&mut self, ids: &[ConversationId]) -> Step<()> {
        let mut ids: Vec<Uuid> = ids.iter().map(ConversationId::uuid).collect();
        ids.sort_unstable();
        for row in &self.session.rows(LOCK_CONVERSATIONS, &[&ids]).await? {
            let row = conversation_from(row)?;
            self.conversations.insert(row.id, row);
        }
        Ok(())
    }

    /// Keeps the names of these people as they are until the end; refused where one is not there.
    pub(crate) async fn lock_people(&self, people: &[UserId]) -> Step<()> {
        let mut ids: Vec<Uuid> = people.iter().map(UserId::uuid).collect();
        ids.sort_unstable();
        ids.dedup();
        let there = self.session.rows(LOCK_PEOPLE, &[&ids]).await?;
        if there.len() < ids.len() { Err(ApiError::not_found("user").into()) } else { Ok(()) }
    }

    /// Refused where there is no such person.
    pub(crate) async fn place(&self, conversation: ConversationId, user: UserId) -> Step<Place> {
        let select = "SELECT m.role, m.visible_after_seq FROM users u
             LEFT JOIN members m ON m.conversation_id = $1 AND m.user_id = u.id AND m.removed_at IS NULL WHERE u.id = $2";
        let row = self.session.opt(select, &[&conversation.uuid(), &user.uuid()]).await?;
        let row = row.ok_or_else(|| ApiError::not_found("user"))?;
        let role = at::<Option<i16>>(&row, 0)?.map(role_of).transpose()?;
        let visible_after_seq = at::<Option<i64>>(&row, 1)?.unwrap_or(i64::MAX);
        Ok(Place { user, role, visible_after_seq })
    }

    /// The facts of a conversation and who asks; in a DM with the other person as target.
    pub(crate) async fn facts(&self, conversation: &ConversationRow, actor: &Place) -> Sql<Facts> {
        let mut facts = Facts::new(conversation.kind, actor.role);
        facts.member_count = conversation.member_count;
        if let Some((low, high)) = conversation.dm {
            let other = if low == actor.user { high } else { low };
            facts.target = Some(self.target(actor.user, other, Some(Role::Member)).await?);
        }
        Ok(facts)
    }

    /// The same with the owners counted and the target looked up.
    pub(crate) async fn group_facts(&self, row: &ConversationRow, actor: &Place, target: &Place) -> Sql<Facts> {
        let mut facts = self.facts(row, actor).await?;
        facts.target = Some(self.target(actor.user, target.user, target.role).await?);
        let count = "SELECT count(*) FROM members WHERE conversation_id = $1 AND role = 2 AND removed_at IS NULL";
        facts.owner_count = at(&self.session.one(count, &[&row.id.uuid()]).await?, 0)?;
        Ok(facts)
    }

    pub(crate) async fn target(&self, actor: UserId, target: UserId, role: Option<Role>) -> Sql<Target> {
        let blocked = "SELECT EXISTS (SELECT 1 FROM blocks WHERE user_id = $2 AND blocked_id = $1),
                EXISTS (SELECT 1 FROM blocks WHERE user_id = $1 AND blocked_id = $2)";
        let row = self.session.one(blocked, &[&actor.uuid(), &target.uuid()]).await?;
        Ok(Target { role, has_blocked_actor: at(&row, 0)?, is_blocked_by_actor: at(&row, 1)? })
    }

    /// People who share no conversation that matters here, in this order.
    pub(crate) async fn strangers(&self, actor: UserId, people: &[UserId]) -> Sql<Vec<Target>> {
        let blocked =
            "SELECT b.user_id IS NOT NULL, a.user_id IS NOT NULL FROM unnest($2::uuid[]) WITH ORDINALITY AS w (id, at)
             LEFT JOIN blocks b ON b.user_id = w.id AND b.blocked_id = $1
             LEFT JOIN blocks a ON a.user_id = $1 AND a.blocked_id = w.id ORDER BY w.at";
        let ids: Vec<Uuid> = people.iter().map(UserId::uuid).collect();
        let rows = self.session.rows(blocked, &[&actor.uuid(), &ids]).await?;
        rows.iter()
            .map(|row| Ok(Target { role: None, has_blocked_actor: at(row, 0)?, is_blocked_by_actor: at(row, 1)? }))
            .collect()
    }

    /// The position of a change of this conversation: never below that of an earlier one, whichever transaction got its number first.
    pub(crate) fn pos_of(&self, conversation: ConversationId) -> i64 {
        self.conversations.get(&conversation).map_or(self.pos, |row| row.pos.max(self.pos))
    }

    /// Counts one change of a locked conversation: its new `rev`. The position to write is [`Self::pos_of`] from then on.
    pub(crate) async fn bump(&mut self, conversation: ConversationId) -> Sql<i64> {
        self.has_written = true;
        let pos = self.pos_of(conversation);
        let Some(row) = self.conversations.get_mut(&conversation) else {
            return Err(Fault::Corrupt("a conversation that is not locked was to change".into()));
        };
        (row.rev, row.pos) = (row.rev + 1, pos);
        let update = "UPDATE conversations SET rev = $2, pos = $3 WHERE id = $1";
        self.session.execute(update, &[&conversation.uuid(), &row.rev, &row.pos]).await?;
        Ok(row.rev)
    }
}

fn conversation_from(row: &Row) -> Sql<ConversationRow> {
    let (dm_low, dm_high): (Option<Uuid>, Option<Uuid>) = (at(row, 7)?, at(row, 8)?);
    Ok(ConversationRow {
        id: conversation_at(row, 0)?,
        kind: kind_of(at(row, 1)?),
        title: at(row, 2)?,
        shows_all: at::<i16>(row, 3)? == 1,
        last_seq: at(row, 4)?,
        rev: at(row, 5)?,
        pos: at(row, 6)?,
        dm: if dm_low.is_some() && dm_high.is_some() { Some((user_at(row, 7)?, user_at(row, 8)?)) } else { None },
        member_count: at(row, 9)?,
    })
}
