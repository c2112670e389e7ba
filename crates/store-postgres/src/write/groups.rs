//! Opening conversations, and what is theirs: the title; hiding and muting, which only their owner sees.

use tertulia_proto::webhook::EventKind;
use tertulia_proto::{
    ApiError, Conversation, ConversationId, ConversationKind, HistoryVisibility, Role, Timestamp, UserId,
};
use tertulia_store::webhooks::Event;
use tertulia_store::{Action, Effect, Facts, Write};
use uuid::Uuid;

use super::{Batch, ConversationRow, Place, Step};
use crate::error::Sql;
use crate::read::conversations;
use crate::rows::{bad_value, conversation_at};

/// A conversation to be made.
struct New<'a> {
    id: ConversationId,
    title: Option<&'a str>,
    dm: Option<(UserId, UserId)>,
    history_visibility: HistoryVisibility,
    member_count: usize,
    now: Timestamp,
}

impl Batch<'_> {
    pub(super) async fn change_conversation(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::OpenDm { id, actor, peer, now } => self.open_dm(*id, *actor, *peer, *now).await,
            Write::CreateGroup { id, actor, title, members, history_visibility, now } => {
                let new = New {
                    id: *id,
                    title: Some(title),
                    dm: None,
                    history_visibility: *history_visibility,
                    member_count: 0,
                    now: *now,
                };
                self.create_group(new, *actor, members).await
            }
            Write::SetTitle { conversation, actor, title, now } => {
                self.set_title(*conversation, *actor, title, *now).await
            }
            Write::Hide { conversation, actor } => {
                let (row, place) = self.personal(*conversation, *actor).await?;
                let hide = "UPDATE members SET hidden_seq = $3, pos = $4, personal_pos = $4 WHERE conversation_id = $1 AND user_id = $2";
                let pos = self.pos_of(row.id);
                self.session.execute(hide, &[&row.id.uuid(), &place.user.uuid(), &row.last_seq, &pos]).await?;
                self.personal_effect(&row, *actor).await
            }
            Write::SetMuted { conversation, actor, until } => {
                let (row, place) = self.personal(*conversation, *actor).await?;
                let mute = "UPDATE members SET muted_until = $3, pos = $4, personal_pos = $4 WHERE conversation_id = $1 AND user_id = $2";
                let (until, pos) = (until.map(Timestamp::ms), self.pos_of(row.id));
                self.session.execute(mute, &[&row.id.uuid(), &place.user.uuid(), &until, &pos]).await?;
                self.personal_effect(&row, *actor).await
            }
            _ => Ok(Effect::Done),
        }
    }

    /// The pair in the order of the table.
    pub(super) async fn dm_of(&self, one: UserId, other: UserId) -> Sql<Option<ConversationId>> {
        let (low, high) = (one.min(other), one.max(other));
        let select = "SELECT conversation_id FROM dms WHERE low = $1 AND high = $2";
        let row = self.session.opt(select, &[&low.uuid(), &high.uuid()]).await?;
        row.map(|row| conversation_at(&row, 0)).transpose()
    }

    async fn open_dm(&mut self, id: ConversationId, actor: UserId, peer: UserId, now: Timestamp) -> Step<Effect> {
        self.lock_people(&[actor, peer]).await?;
        if let Some(id) = self.dm_of(actor, peer).await? {
            // Opening a DM that one had hidden brings it back.
            self.lock(&[id]).await?;
            let show = "UPDATE members SET hidden_seq = NULL, pos = $3, personal_pos = $3
                 WHERE conversation_id = $1 AND user_id = $2 AND hidden_seq IS NOT NULL";
            self.session.execute(show, &[&id.uuid(), &actor.uuid(), &self.pos_of(id)]).await?;
            let views = vec![(actor, self.view(actor, id).await?)];
            return Ok(Effect::ConversationOpened { views, fresh: false });
        }
        let mut facts = Facts::new(ConversationKind::Dm, Some(Role::Member));
        facts.target = Some(self.target(actor, peer, None).await?);
        facts.is_author = actor == peer;
        self.rules.decide(Action::OpenDm, &facts)?;
        let dm = (actor.min(peer), actor.max(peer));
        // Where another server has opened it meanwhile, this fails, and the next try finds it.
        let insert = "INSERT INTO dms (low, high, conversation_id) VALUES ($1, $2, $3)";
        self.session.execute(insert, &[&dm.0.uuid(), &dm.1.uuid(), &id.uuid()]).await?;
        let history_visibility = HistoryVisibility::All;
        self.insert_conversation(New { id, title: None, dm: Some(dm), history_visibility, member_count: 2, now })
            .await?;
        self.insert_members(id, &[(actor, Role::Member), (peer, Role::Member)], now).await?;
        let views = vec![(actor, self.view(actor, id).await?), (peer, self.view(peer, id).await?)];
        Ok(Effect::ConversationOpened { views, fresh: true })
    }

    async fn create_group(&mut self, new: New<'_>, actor: UserId, members: &[UserId]) -> Step<Effect> {
        let mut people = vec![actor];
        for member in members {
            if !people.contains(member) {
                people.push(*member);
            }
        }
        self.lock_people(&people).await?;
        for target in self.strangers(actor, &people[1..]).await? {
            let mut facts = Facts::new(ConversationKind::Group, Some(Role::Owner));
            facts.target = Some(target);
            self.rules.decide(Action::CreateGroupWith, &facts)?;
        }
        let (id, now) = (new.id, new.now);
        self.insert_conversation(New { member_count: people.len(), ..new }).await?;
        let role = |user: UserId| if user == actor { Role::Owner } else { Role::Member };
        let rows: Vec<(UserId, Role)> = people.iter().map(|user| (*user, role(*user))).collect();
        self.insert_members(id, &rows, now).await?;
        // In a group that has just begun all members see the same but for their role; the rows of its members are shared.
        let owners = self.view(actor, id).await?;
        let mut members = owners.clone();
        members.my_role = Role::Member;
        let others = people.iter().filter(|user| **user != actor).map(|user| (*user, members.clone()));
        let views = std::iter::once((actor, owners)).chain(others).collect();
        Ok(Effect::ConversationOpened { views, fresh: true })
    }

    async fn insert_conversation(&mut self, new: New<'_>) -> Step<()> {
        self.has_written = true;
        let shows_all = new.history_visibility == HistoryVisibility::All;
        let insert =
            "INSERT INTO conversations (id, kind, title, created_at, history_visibility, dm_low, dm_high, member_count, activity_at, rev, pos)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, 1, $9)";
        let (low, high): (Option<Uuid>, Option<Uuid>) =
            (new.dm.map(|(low, _)| low.uuid()), new.dm.map(|(_, high)| high.uuid()));
        let count = i64::try_from(new.member_count).unwrap_or(i64::MAX);
        self.session
            .execute(
                insert,
                &[
                    &new.id.uuid(),
                    &i16::from(new.dm.is_none()),
                    &new.title.map(str::to_owned),
                    &new.now.ms(),
                    &i16::from(shows_all),
                    &low,
                    &high,
                    &count,
                    &self.pos,
                ],
            )
            .await?;
        self.tell(Event::of_conversation(EventKind::ConversationCreated, new.id, 1, new.now));
        self.lock(&[new.id]).await
    }

    async fn set_title(
        &mut self,
        conversation: ConversationId,
        actor: UserId,
        title: &str,
        now: Timestamp,
    ) -> Step<Effect> {
        let row = self.conversation(conversation)?;
        let place = self.place(row.id, actor).await?;
        self.rules.decide(Action::Rename, &self.facts(&row, &place).await?)?;
        let changed = row.title.as_deref() != Some(title);
        let mut rev = row.rev;
        if changed {
            rev = self.bump(row.id).await?;
            let update = "UPDATE conversations SET title = $2 WHERE id = $1";
            self.session.execute(update, &[&row.id.uuid(), &title]).await?;
            self.tell(Event::of_conversation(EventKind::ConversationUpdated, row.id, rev, now));
            if let Some(row) = self.conversations.get_mut(&row.id) {
                row.title = Some(title.to_owned());
            }
        }
        Ok(Effect::TitleChanged { conversation, rev, title: title.to_owned(), changed })
    }

    async fn personal(&mut self, conversation: ConversationId, actor: UserId) -> Step<(ConversationRow, Place)> {
        let row = self.conversation(conversation)?;
        let place = self.place(row.id, actor).await?;
        self.rules.decide(Action::SetPersonal, &self.facts(&row, &place).await?)?;
        // No `rev`: the others see nothing of it. The position alone carries it to one's other devices.
        self.has_written = true;
        Ok((row, place))
    }

    async fn personal_effect(&self, row: &ConversationRow, actor: UserId) -> Step<Effect> {
        Ok(Effect::PersonalChanged { user: actor, view: Box::new(self.view(actor, row.id).await?) })
    }

    async fn view(&self, user: UserId, id: ConversationId) -> Step<Conversation> {
        let view = conversations::conversation(self.session, user, id).await?;
        view.ok_or_else(|| match user {
            _ if self.conversation(id).is_ok() => bad_value("a member without a view").into(),
            _ => ApiError::not_found("conversation").into(),
        })
    }
}
