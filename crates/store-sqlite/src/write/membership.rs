//! Watermarks, and who comes, goes and may do what in a group.

use tertulia_proto::webhook::EventKind;
use tertulia_proto::{ApiError, Role, Seq, Timestamp, UserId};
use tertulia_store::webhooks::Event;
use tertulia_store::{Action, Effect, Write};

use super::push::At;
use super::{Batch, ConversationRow, Place, Step};
use crate::read::conversations;
use crate::rows::{bad_value, role_number};

impl Batch<'_> {
    pub(super) fn advance_watermarks(&mut self, write: &Write) -> Step<Effect> {
        let Write::AdvanceWatermarks { conversation, actor, delivered, read, device, now } = *write else {
            return Ok(Effect::Done);
        };
        let row = self.conversation(conversation)?;
        let place = self.place(row.no, actor)?;
        self.rules.decide(Action::AdvanceWatermarks, &self.facts(&row, &place)?)?;
        let (was_delivered, was_read): (i64, i64) = self
            .connection
            .prepare_cached("SELECT delivered_seq, read_seq FROM members WHERE conversation_no = ?1 AND user_no = ?2")?
            .query_row((row.no, place.user_no), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let read_seq = read.unwrap_or(0).min(row.last_seq).max(was_read);
        let delivered_seq = delivered.unwrap_or(0).min(row.last_seq).max(was_delivered).max(read_seq);
        let changed = (delivered_seq, read_seq) != (was_delivered, was_read);
        let at = At { conversation, conversation_no: row.no, user_no: place.user_no };
        if let Some(device) = device {
            self.delivered_to(at, device, delivered.max(read).unwrap_or(0).min(row.last_seq))?;
        }
        let mut rev = row.rev;
        if read_seq > was_read {
            self.withdraw(at, read_seq, device, now)?;
        }
        if changed {
            rev = self.bump(row.no)?;
            self.connection
                .prepare_cached(
                    "UPDATE members SET delivered_seq = ?3, read_seq = ?4, rev = ?5, pos = ?6 WHERE conversation_no = ?1 AND user_no = ?2",
                )?
                .execute((row.no, place.user_no, delivered_seq, read_seq, rev, self.pos))?;
        }
        Ok(Effect::WatermarksAdvanced { conversation, user: actor, delivered_seq, read_seq, rev, changed })
    }

    pub(super) fn change_members(&mut self, write: &Write) -> Step<Effect> {
        let (conversation, actor, target) = match write {
            Write::AddMember { conversation, actor, target, .. }
            | Write::RemoveMember { conversation, actor, target, .. }
            | Write::SetRole { conversation, actor, target, .. } => (*conversation, *actor, *target),
            _ => return Ok(Effect::Done),
        };
        let row = self.conversation(conversation)?;
        let place = self.place(row.no, actor)?;
        if place.role.is_none() {
            // A stranger gets the same answer whoever the target is.
            self.rules.decide(Action::AddMember, &self.facts(&row, &place)?)?;
        }
        let target_place = self.place(row.no, target)?;
        let facts = self.group_facts(&row, &place, &target_place)?;
        match write {
            Write::AddMember { now, .. } => {
                self.rules.decide(Action::AddMember, &facts)?;
                self.add_member(&row, target, &target_place, *now)
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
                self.remove_member(&row, target, &target_place, successor, *now)
            }
            Write::SetRole { role, now, .. } => {
                self.rules.decide(Action::SetRole(*role), &facts)?;
                match target_place.role {
                    None => Err(ApiError::not_found("member").into()),
                    Some(old) => self.set_role(&row, (target, &target_place), (old, *role), *now),
                }
            }
            _ => Ok(Effect::Done),
        }
    }

    fn add_member(&mut self, row: &ConversationRow, target: UserId, place: &Place, now: Timestamp) -> Step<Effect> {
        let view = |batch: &Self| -> Step<_> {
            let view = conversations::conversation(batch.connection, target, row.id)?;
            Ok(Box::new(view.ok_or_else(|| bad_value("a member without a conversation"))?))
        };
        if place.role.is_some() {
            let member = conversations::member(self.connection, row.no, place.user_no)?;
            return Ok(Effect::MemberAdded {
                conversation: row.id,
                user: target,
                rev: row.rev,
                member,
                view: view(self)?,
                changed: false,
            });
        }
        let rev = self.bump(row.no)?;
        self.connection
            .prepare_cached("UPDATE conversations SET member_count = member_count + 1 WHERE no = ?1")?
            .execute([row.no])?;
        self.insert_member(row, place.user_no, Role::Member, rev, now)?;
        self.tell(Event::of_member(EventKind::MemberAdded, row.id, rev, target, now))?;
        let member = conversations::member(self.connection, row.no, place.user_no)?;
        Ok(Effect::MemberAdded { conversation: row.id, user: target, rev, member, view: view(self)?, changed: true })
    }

    /// The row of somebody who is in from now on; a tombstone is filled anew.
    pub(super) fn insert_member(
        &mut self,
        row: &ConversationRow,
        user_no: i64,
        role: Role,
        rev: i64,
        now: Timestamp,
    ) -> Step<()> {
        let floor = if row.shows_all { 0 } else { row.last_seq };
        self.connection
            .prepare_cached(
                "INSERT INTO members (conversation_no, user_no, role, joined_at, joined_pos, visible_after_seq, delivered_seq, read_seq, rev, pos)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?5)
                 ON CONFLICT (conversation_no, user_no) DO UPDATE SET role = excluded.role, joined_at = excluded.joined_at,
                    joined_pos = excluded.joined_pos, visible_after_seq = excluded.visible_after_seq, delivered_seq = excluded.delivered_seq,
                    read_seq = excluded.read_seq, rev = excluded.rev, pos = excluded.pos, removed_at = NULL, hidden_seq = NULL,
                    muted_until = NULL",
            )?
            .execute((row.no, user_no, role_number(role), now.ms(), self.pos, floor, row.last_seq, rev))?;
        self.mark_visible();
        Ok(())
    }

    fn remove_member(
        &mut self,
        row: &ConversationRow,
        target: UserId,
        place: &Place,
        successor: Option<UserId>,
        now: Timestamp,
    ) -> Step<Effect> {
        let heir = match successor {
            Some(successor) => {
                let heir = self.place(row.no, successor)?;
                if heir.role.is_none() || heir.user_no == place.user_no {
                    return Err(ApiError::invalid("newOwner: not another member of this group").into());
                }
                Some(heir)
            }
            None => None,
        };
        let rev = self.bump(row.no)?;
        self.connection
            .prepare_cached("UPDATE conversations SET member_count = member_count - 1 WHERE no = ?1")?
            .execute([row.no])?;
        self.connection
            .prepare_cached(
                "UPDATE members SET removed_at = ?3, rev = ?4, pos = ?5 WHERE conversation_no = ?1 AND user_no = ?2",
            )?
            .execute((row.no, place.user_no, now.ms(), rev, self.pos))?;
        let at = At { conversation: row.id, conversation_no: row.no, user_no: place.user_no };
        self.withdraw(at, Seq::MAX, None, now)?;
        self.tell(Event::of_member(EventKind::MemberRemoved, row.id, rev, target, now))?;
        let member = conversations::member(self.connection, row.no, place.user_no)?;
        let successor = match heir {
            Some(heir) => {
                let rev = self.bump(row.no)?;
                let member = self.write_role(row.no, heir.user_no, Role::Owner, rev)?;
                self.tell(Event::of_member(EventKind::RoleChanged, row.id, rev, member.user_id, now))?;
                Some(member)
            }
            None => None,
        };
        Ok(Effect::MemberRemoved { conversation: row.id, user: target, rev, member, successor })
    }

    fn set_role(
        &mut self,
        row: &ConversationRow,
        (target, place): (UserId, &Place),
        (old, role): (Role, Role),
        now: Timestamp,
    ) -> Step<Effect> {
        if old == role {
            let member = conversations::member(self.connection, row.no, place.user_no)?;
            return Ok(Effect::RoleChanged { conversation: row.id, rev: row.rev, member, changed: false });
        }
        let rev = self.bump(row.no)?;
        let member = self.write_role(row.no, place.user_no, role, rev)?;
        self.tell(Event::of_member(EventKind::RoleChanged, row.id, rev, target, now))?;
        Ok(Effect::RoleChanged { conversation: row.id, rev, member, changed: true })
    }

    fn write_role(&mut self, conversation_no: i64, user_no: i64, role: Role, rev: i64) -> Step<tertulia_proto::Member> {
        self.connection
            .prepare_cached(
                "UPDATE members SET role = ?3, rev = ?4, pos = ?5 WHERE conversation_no = ?1 AND user_no = ?2",
            )?
            .execute((conversation_no, user_no, role_number(role), rev, self.pos))?;
        Ok(conversations::member(self.connection, conversation_no, user_no)?)
    }
}
