//! Watermarks, and who comes, goes and may do what in a group.

use tertulia_proto::webhook::EventKind;
use tertulia_proto::{ApiError, ConversationId, Member, Role, Timestamp, UserId};
use tertulia_store::webhooks::Event;
use tertulia_store::{Action, Effect, Write};
use uuid::Uuid;

use super::hot::{Changes, Known, Told};
use super::{Batch, ConversationRow, Place, Step};
use crate::error::Sql;
use crate::read::conversations;
use crate::rows::{bad_value, role_number};

impl Batch<'_> {
    pub(super) fn advance_watermarks(&mut self, known: &mut Known, changes: &mut Changes, write: &Write) -> Step<Told> {
        let Write::AdvanceWatermarks { conversation, actor, delivered, read, device, now } = *write else {
            return Ok(Told::Now(Box::new(Effect::Done)));
        };
        let not_found = || ApiError::not_found("conversation");
        let pos = self.pos_of(conversation);
        let row = self.conversations.get_mut(&conversation).ok_or_else(not_found)?;
        let seat = known.seats.get_mut(&(conversation, actor)).ok_or_else(not_found)?;
        self.rules.decide(Action::AdvanceWatermarks, &seat.facts(row))?;
        if seat.role.is_none() {
            return Err(not_found().into());
        }
        // What was sent in this round has moved them already.
        let (was_delivered, was_read) = changes
            .seats
            .get(&(conversation, actor))
            .map_or((seat.delivered_seq, seat.read_seq), |(delivered, read, _)| (*delivered, *read));
        let read_seq = read.unwrap_or(0).min(row.last_seq).max(was_read);
        let delivered_seq = delivered.unwrap_or(0).min(row.last_seq).max(was_delivered).max(read_seq);
        let changed = (delivered_seq, read_seq) != (was_delivered, was_read);
        if let Some(device) = device {
            let seq = delivered.max(read).unwrap_or(0).min(row.last_seq);
            changes.devices.delivered(conversation, actor, device, seq);
        }
        if read_seq > was_read {
            changes.devices.read((conversation, actor), read_seq, device, now);
        }
        if changed {
            (row.rev, row.pos) = (row.rev + 1, pos);
            changes.heads.entry(conversation).or_default();
            changes.seats.insert((conversation, actor), (delivered_seq, read_seq, row.rev));
        }
        let rev = row.rev;
        Ok(Told::Now(Box::new(Effect::WatermarksAdvanced {
            conversation,
            user: actor,
            delivered_seq,
            read_seq,
            rev,
            changed,
        })))
    }

    pub(super) async fn change_members(&mut self, write: &Write) -> Step<Effect> {
        let (conversation, actor, target) = match write {
            Write::AddMember { conversation, actor, target, .. }
            | Write::RemoveMember { conversation, actor, target, .. }
            | Write::SetRole { conversation, actor, target, .. } => (*conversation, *actor, *target),
            _ => return Ok(Effect::Done),
        };
        let row = self.conversation(conversation)?;
        let place = self.place(row.id, actor).await?;
        if place.role.is_none() {
            // A stranger gets the same answer whoever the target is.
            self.rules.decide(Action::AddMember, &self.facts(&row, &place).await?)?;
        }
        let target_place = self.place(row.id, target).await?;
        let facts = self.group_facts(&row, &place, &target_place).await?;
        match write {
            Write::AddMember { now, .. } => {
                self.rules.decide(Action::AddMember, &facts)?;
                self.add_member(&row, &target_place, *now).await
            }
            Write::RemoveMember { successor, now, .. } => {
                let leaves = actor == target;
                let action =
                    if leaves { Action::Leave { names_successor: successor.is_some() } } else { Action::RemoveMember };
                self.rules.decide(action, &facts)?;
                if target_place.role.is_none() {
                    return Err(ApiError::not_found("member").into());
                }
                let successor = if leaves { *successor } else { None };
                self.remove_member(&row, &target_place, successor, *now).await
            }
            Write::SetRole { role, now, .. } => {
                self.rules.decide(Action::SetRole(*role), &facts)?;
                match target_place.role {
                    None => Err(ApiError::not_found("member").into()),
                    Some(old) => self.set_role(&row, &target_place, (old, *role), *now).await,
                }
            }
            _ => Ok(Effect::Done),
        }
    }

    async fn add_member(&mut self, row: &ConversationRow, place: &Place, now: Timestamp) -> Step<Effect> {
        let changed = place.role.is_none();
        let rev = if changed {
            let rev = self.bump(row.id).await?;
            self.count_members(row.id, 1).await?;
            self.insert_members(row.id, &[(place.user, Role::Member)], now).await?;
            self.tell(Event::of_member(EventKind::MemberAdded, row.id, rev, place.user, now));
            rev
        } else {
            row.rev
        };
        let member = conversations::member(self.session, row.id, place.user).await?;
        let view = conversations::conversation(self.session, place.user, row.id).await?;
        let view = Box::new(view.ok_or_else(|| bad_value("a member without a conversation"))?);
        Ok(Effect::MemberAdded { conversation: row.id, user: place.user, rev, member, view, changed })
    }

    async fn count_members(&mut self, conversation: ConversationId, more: i64) -> Sql<()> {
        if let Some(row) = self.conversations.get_mut(&conversation) {
            row.member_count += more;
        }
        let update = "UPDATE conversations SET member_count = member_count + $2 WHERE id = $1";
        self.session.execute(update, &[&conversation.uuid(), &more]).await?;
        Ok(())
    }

    /// The rows of people who are in from now on, at the conversation's present `rev`; tombstones are filled anew.
    pub(super) async fn insert_members(
        &mut self,
        conversation: ConversationId,
        people: &[(UserId, Role)],
        now: Timestamp,
    ) -> Step<()> {
        let row = self.conversation(conversation)?;
        let floor = if row.shows_all { 0 } else { row.last_seq };
        let insert =
            "INSERT INTO members (conversation_id, user_id, role, joined_at, joined_pos, visible_after_seq, delivered_seq, read_seq, rev, pos)
             SELECT $1, w.id, w.role, $4, $5, $6, $7, $7, $8, $5 FROM unnest($2::uuid[], $3::smallint[]) AS w (id, role) ORDER BY w.id
             ON CONFLICT (conversation_id, user_id) DO UPDATE SET role = excluded.role, joined_at = excluded.joined_at,
                joined_pos = excluded.joined_pos, visible_after_seq = excluded.visible_after_seq, delivered_seq = excluded.delivered_seq,
                read_seq = excluded.read_seq, rev = excluded.rev, pos = excluded.pos, removed_at = NULL, hidden_seq = NULL,
                muted_until = NULL";
        let (ids, roles): (Vec<Uuid>, Vec<i16>) =
            people.iter().map(|(user, role)| (user.uuid(), role_number(*role))).unzip();
        let pos = self.pos_of(conversation);
        self.session
            .execute(insert, &[&conversation.uuid(), &ids, &roles, &now.ms(), &pos, &floor, &row.last_seq, &row.rev])
            .await?;
        self.has_written = true;
        Ok(())
    }

    async fn remove_member(
        &mut self,
        row: &ConversationRow,
        place: &Place,
        successor: Option<UserId>,
        now: Timestamp,
    ) -> Step<Effect> {
        let heir = match successor {
            Some(successor) => {
                let heir = self.place(row.id, successor).await?;
                if heir.role.is_none() || heir.user == place.user {
                    return Err(ApiError::invalid("newOwner: not another member of this group").into());
                }
                Some(heir)
            }
            None => None,
        };
        let rev = self.bump(row.id).await?;
        self.count_members(row.id, -1).await?;
        let remove =
            "UPDATE members SET removed_at = $3, rev = $4, pos = $5 WHERE conversation_id = $1 AND user_id = $2";
        let pos = self.pos_of(row.id);
        self.session.execute(remove, &[&row.id.uuid(), &place.user.uuid(), &now.ms(), &rev, &pos]).await?;
        self.devices.left(row.id, place.user, now);
        self.tell(Event::of_member(EventKind::MemberRemoved, row.id, rev, place.user, now));
        let member = conversations::member(self.session, row.id, place.user).await?;
        let successor = match heir {
            Some(heir) => {
                let rev = self.bump(row.id).await?;
                self.tell(Event::of_member(EventKind::RoleChanged, row.id, rev, heir.user, now));
                Some(self.write_role(row.id, heir.user, Role::Owner, rev).await?)
            }
            None => None,
        };
        Ok(Effect::MemberRemoved { conversation: row.id, user: place.user, rev, member, successor })
    }

    async fn set_role(
        &mut self,
        row: &ConversationRow,
        place: &Place,
        (old, role): (Role, Role),
        now: Timestamp,
    ) -> Step<Effect> {
        if old == role {
            let member = conversations::member(self.session, row.id, place.user).await?;
            return Ok(Effect::RoleChanged { conversation: row.id, rev: row.rev, member, changed: false });
        }
        let rev = self.bump(row.id).await?;
        let member = self.write_role(row.id, place.user, role, rev).await?;
        self.tell(Event::of_member(EventKind::RoleChanged, row.id, rev, place.user, now));
        Ok(Effect::RoleChanged { conversation: row.id, rev, member, changed: true })
    }

    async fn write_role(&mut self, conversation: ConversationId, user: UserId, role: Role, rev: i64) -> Sql<Member> {
        let update = "UPDATE members SET role = $3, rev = $4, pos = $5 WHERE conversation_id = $1 AND user_id = $2";
        let pos = self.pos_of(conversation);
        self.session.execute(update, &[&conversation.uuid(), &user.uuid(), &role_number(role), &rev, &pos]).await?;
        conversations::member(self.session, conversation, user).await
    }
}
