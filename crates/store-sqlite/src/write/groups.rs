//! Opening conversations, and what is theirs: the title; hiding and muting, which only their owner sees.

use rusqlite::OptionalExtension;
use tertulia_proto::webhook::EventKind;
use tertulia_proto::{ApiError, ConversationId, ConversationKind, HistoryVisibility, Role, Timestamp, UserId};
use tertulia_store::webhooks::Event;
use tertulia_store::{Action, Effect, Facts, Write};

use super::{Batch, ConversationRow, Place, Step};
use crate::read::conversations;
use crate::rows::bad_value;

impl Batch<'_> {
    pub(super) fn change_conversation(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::OpenDm { id, actor, peer, now } => self.open_dm(*id, *actor, *peer, *now),
            Write::CreateGroup { id, actor, title, members, history_visibility, now } => {
                self.create_group(*id, *actor, title, members, *history_visibility, *now)
            }
            Write::SetTitle { conversation, actor, title, now } => self.set_title(*conversation, *actor, title, *now),
            Write::Hide { conversation, actor } => {
                let (row, place) = self.personal(*conversation, *actor)?;
                self.connection
                    .prepare_cached(
                        "UPDATE members SET hidden_seq = ?3, pos = ?4, personal_pos = ?4 WHERE conversation_no = ?1 AND user_no = ?2",
                    )?
                    .execute((row.no, place.user_no, row.last_seq, self.pos))?;
                self.personal_effect(&row, *actor)
            }
            Write::SetMuted { conversation, actor, until } => {
                let (row, place) = self.personal(*conversation, *actor)?;
                self.connection
                    .prepare_cached(
                        "UPDATE members SET muted_until = ?3, pos = ?4, personal_pos = ?4 WHERE conversation_no = ?1 AND user_no = ?2",
                    )?
                    .execute((row.no, place.user_no, until.map(Timestamp::ms), self.pos))?;
                self.personal_effect(&row, *actor)
            }
            _ => Ok(Effect::Done),
        }
    }

    fn open_dm(&mut self, id: ConversationId, actor: UserId, peer: UserId, now: Timestamp) -> Step<Effect> {
        let (actor_no, peer_no) = (self.user_no(actor)?, self.user_no(peer)?);
        let (low, high) = (actor_no.min(peer_no), actor_no.max(peer_no));
        let existing: Option<[u8; 16]> = self
            .connection
            .prepare_cached("SELECT id FROM conversations WHERE dm_low = ?1 AND dm_high = ?2")?
            .query_row((low, high), |row| row.get(0))
            .optional()?;
        if let Some(existing) = existing {
            // Opening a DM that one had hidden brings it back.
            let id = ConversationId::from_bytes(existing);
            let row = self.conversation(id)?;
            let shown = self
                .connection
                .prepare_cached(
                    "UPDATE members SET hidden_seq = NULL, pos = ?3, personal_pos = ?3
                     WHERE conversation_no = ?1 AND user_no = ?2 AND hidden_seq IS NOT NULL",
                )?
                .execute((row.no, actor_no, self.pos))?;
            if shown > 0 {
                self.mark_visible();
            }
            return Ok(Effect::ConversationOpened { views: vec![(actor, self.view(actor, id)?)], fresh: false });
        }
        let mut facts = Facts::new(ConversationKind::Dm, Some(Role::Member));
        facts.target = Some(self.target(actor_no, peer_no, None)?);
        facts.is_author = actor_no == peer_no;
        self.rules.decide(Action::OpenDm, &facts)?;
        let row = self.insert_conversation(id, None, Some((low, high)), HistoryVisibility::All, 2, now)?;
        for user_no in [actor_no, peer_no] {
            self.insert_member(&row, user_no, Role::Member, row.rev, now)?;
        }
        let views = vec![(actor, self.view(actor, id)?), (peer, self.view(peer, id)?)];
        Ok(Effect::ConversationOpened { views, fresh: true })
    }

    fn create_group(
        &mut self,
        id: ConversationId,
        actor: UserId,
        title: &str,
        members: &[UserId],
        history_visibility: HistoryVisibility,
        now: Timestamp,
    ) -> Step<Effect> {
        let actor_no = self.user_no(actor)?;
        let mut people = vec![(actor, actor_no)];
        for member in members {
            let no = self.user_no(*member)?;
            if people.iter().all(|(_, known)| *known != no) {
                let mut facts = Facts::new(ConversationKind::Group, Some(Role::Owner));
                facts.target = Some(self.target(actor_no, no, None)?);
                self.rules.decide(Action::CreateGroupWith, &facts)?;
                people.push((*member, no));
            }
        }
        let count = i64::try_from(people.len()).unwrap_or(i64::MAX);
        let row = self.insert_conversation(id, Some(title), None, history_visibility, count, now)?;
        for (user, no) in &people {
            let role = if *user == actor { Role::Owner } else { Role::Member };
            self.insert_member(&row, *no, role, row.rev, now)?;
        }
        // In a group that has just begun all members see the same but for their role; the rows of its members are shared.
        let owners = self.view(actor, id)?;
        let mut members = owners.clone();
        members.my_role = Role::Member;
        let others = people.iter().filter(|(user, _)| *user != actor).map(|(user, _)| (*user, members.clone()));
        let views = std::iter::once((actor, owners)).chain(others).collect();
        Ok(Effect::ConversationOpened { views, fresh: true })
    }

    fn insert_conversation(
        &mut self,
        id: ConversationId,
        title: Option<&str>,
        dm: Option<(i64, i64)>,
        history_visibility: HistoryVisibility,
        member_count: i64,
        now: Timestamp,
    ) -> Step<ConversationRow> {
        self.mark_visible();
        let shows_all = history_visibility == HistoryVisibility::All;
        self.connection
            .prepare_cached(
                "INSERT INTO conversations (id, kind, title, created_at, history_visibility, dm_low, dm_high, member_count, activity_at, rev, pos)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?4, 1, ?9)",
            )?
            .execute((
                id.as_bytes().as_slice(),
                i64::from(dm.is_none()),
                title,
                now.ms(),
                i64::from(shows_all),
                dm.map(|(low, _)| low),
                dm.map(|(_, high)| high),
                member_count,
                self.pos,
            ))?;
        self.tell(Event::of_conversation(EventKind::ConversationCreated, id, 1, now))?;
        self.conversation(id)
    }

    fn set_title(&mut self, conversation: ConversationId, actor: UserId, title: &str, now: Timestamp) -> Step<Effect> {
        let row = self.conversation(conversation)?;
        let place = self.place(row.no, actor)?;
        self.rules.decide(Action::Rename, &self.facts(&row, &place)?)?;
        let changed = row.title.as_deref() != Some(title);
        let mut rev = row.rev;
        if changed {
            rev = self.bump(row.no)?;
            self.connection
                .prepare_cached("UPDATE conversations SET title = ?2 WHERE no = ?1")?
                .execute((row.no, title))?;
            self.tell(Event::of_conversation(EventKind::ConversationUpdated, row.id, rev, now))?;
        }
        Ok(Effect::TitleChanged { conversation, rev, title: title.to_owned(), changed })
    }

    fn personal(&mut self, conversation: ConversationId, actor: UserId) -> Step<(ConversationRow, Place)> {
        let row = self.conversation(conversation)?;
        let place = self.place(row.no, actor)?;
        self.rules.decide(Action::SetPersonal, &self.facts(&row, &place)?)?;
        // No `rev`: the others see nothing of it. The position alone carries it to one's other devices.
        self.mark_visible();
        Ok((row, place))
    }

    fn personal_effect(&self, row: &ConversationRow, actor: UserId) -> Step<Effect> {
        Ok(Effect::PersonalChanged { user: actor, view: Box::new(self.view(actor, row.id)?) })
    }

    fn view(&self, user: UserId, id: ConversationId) -> Step<tertulia_proto::Conversation> {
        let view = conversations::conversation(self.connection, user, id)?;
        view.ok_or_else(|| match user {
            _ if self.conversation(id).is_ok() => bad_value("a member without a view").into(),
            _ => ApiError::not_found("conversation").into(),
        })
    }
}
