//! What should be so: an account of the log kept beside the store, in maps, by other means than any home has.

use std::collections::BTreeMap;

use tertulia_proto::{ErrorCode, HistoryVisibility, Rev, Seq};

use crate::*;

#[derive(Default)]
pub struct Ledger {
    pub talks: Vec<Talk>,
    /// What each `(sender, client_msg_id)` came to: the place of the talk, and the seq.
    pub sent: BTreeMap<(UserId, String), (usize, Seq)>,
}

pub struct Talk {
    pub id: ConversationId,
    pub pair: Option<[UserId; 2]>,
    pub shows_all: bool,
    pub title: String,
    pub rev: Rev,
    pub said: Vec<Said>,
    pub seats: BTreeMap<UserId, Seat>,
}

pub struct Said {
    pub id: MessageId,
    pub sender: UserId,
    pub body: String,
    pub is_deleted: bool,
    pub reactions: Vec<(String, UserId)>,
}

pub struct Seat {
    pub visible_after: Seq,
    pub delivered: Seq,
    pub read: Seq,
    pub role: Role,
    pub is_hidden: bool,
}

/// What a write should come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Refused(ErrorCode),
    Message {
        seq: Seq,
        rev: Rev,
        changed: bool,
    },
    Change {
        rev: Rev,
        changed: bool,
    },
    /// No more is known of it than that it succeeds.
    Done,
}

impl Talk {
    pub fn last_seq(&self) -> Seq {
        self.said.len() as Seq
    }

    pub fn unread(&self, person: UserId) -> i64 {
        let Some(seat) = self.seats.get(&person) else { return 0 };
        (1..).zip(&self.said).filter(|(seq, said)| *seq > seat.read && !said.is_deleted).count() as i64
    }

    fn bump(&mut self, is_change: bool) -> Outcome {
        self.rev += Rev::from(is_change);
        Outcome::Change { rev: self.rev, changed: is_change }
    }

    /// The place of a message that the person may see.
    fn place(&self, actor: UserId, message: MessageId) -> Result<usize, Outcome> {
        let unseen = Outcome::Refused(ErrorCode::NotFound);
        let seat = self.seats.get(&actor).ok_or(unseen)?;
        let place = self.said.iter().position(|said| said.id == message).ok_or(unseen)?;
        if place as Seq + 1 > seat.visible_after { Ok(place) } else { Err(unseen) }
    }

    fn seat(&mut self, person: UserId) {
        let end = self.last_seq();
        let visible_after = if self.shows_all { 0 } else { end };
        self.seats
            .insert(person, Seat { visible_after, delivered: end, read: end, role: Role::Member, is_hidden: false });
    }
}

impl Ledger {
    /// Books the write, and says what it should come to.
    pub fn book(&mut self, write: &Write) -> Outcome {
        self.decide(write).unwrap_or_else(|refusal| refusal)
    }

    fn talk(&mut self, id: ConversationId, actor: UserId) -> Result<&mut Talk, Outcome> {
        let talk = self.talks.iter_mut().find(|talk| talk.id == id);
        talk.filter(|talk| talk.seats.contains_key(&actor)).ok_or(Outcome::Refused(ErrorCode::NotFound))
    }

    fn decide(&mut self, write: &Write) -> Result<Outcome, Outcome> {
        match write {
            Write::AppendMessage(message) => self.append(message),
            Write::EditMessage { conversation, message, actor, body, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                let place = talk.place(*actor, *message)?;
                if talk.said[place].is_deleted {
                    return Err(Outcome::Refused(ErrorCode::Gone));
                }
                let is_change = talk.said[place].body != *body;
                talk.said[place].body.clone_from(body);
                Ok(talk.amend(place, is_change))
            }
            Write::DeleteMessage { conversation, message, actor, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                let place = talk.place(*actor, *message)?;
                let said = &mut talk.said[place];
                let is_change = !said.is_deleted;
                (said.body, said.is_deleted, said.reactions) = (String::new(), true, Vec::new());
                Ok(talk.amend(place, is_change))
            }
            Write::SetReaction { conversation, message, actor, emoji, present, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                let place = talk.place(*actor, *message)?;
                if talk.said[place].is_deleted && *present {
                    return Err(Outcome::Refused(ErrorCode::Gone));
                }
                let reactions = &mut talk.said[place].reactions;
                let mine = (emoji.as_str().to_owned(), *actor);
                let is_change = reactions.contains(&mine) != *present;
                if is_change && *present {
                    reactions.push(mine)
                } else if is_change {
                    reactions.retain(|one| *one != mine)
                }
                Ok(talk.bump(is_change))
            }
            Write::AdvanceWatermarks { conversation, actor, delivered, read, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                let end = talk.last_seq();
                let seat = talk.seats.get_mut(actor).expect("the talk was found by this seat");
                let before = (seat.delivered, seat.read);
                seat.read = seat.read.max(read.unwrap_or(0).min(end));
                seat.delivered = seat.delivered.max(delivered.unwrap_or(0).min(end)).max(seat.read);
                let is_change = before != (seat.delivered, seat.read);
                Ok(talk.bump(is_change))
            }
            Write::SetTitle { conversation, actor, title, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                let is_change = talk.title != *title;
                talk.title.clone_from(title);
                Ok(talk.bump(is_change))
            }
            Write::Hide { conversation, actor } => {
                self.talk(*conversation, *actor)?.seats.entry(*actor).and_modify(|seat| seat.is_hidden = true);
                Ok(Outcome::Done)
            }
            Write::SetMuted { conversation, actor, .. } => self.talk(*conversation, *actor).map(|_| Outcome::Done),
            Write::UpdateProfile { user, .. } => {
                for talk in self.talks.iter_mut().filter(|talk| talk.seats.contains_key(user)) {
                    talk.bump(true);
                }
                Ok(Outcome::Done)
            }
            other => self.decide_membership(other),
        }
    }

    fn decide_membership(&mut self, write: &Write) -> Result<Outcome, Outcome> {
        match write {
            Write::OpenDm { id, actor, peer, .. } => {
                let is_pair =
                    |talk: &&mut Talk| talk.pair == Some([*actor, *peer]) || talk.pair == Some([*peer, *actor]);
                if let Some(talk) = self.talks.iter_mut().find(is_pair) {
                    talk.seats.entry(*actor).and_modify(|seat| seat.is_hidden = false);
                    return Ok(Outcome::Change { rev: talk.rev, changed: false });
                }
                Ok(self.begin(*id, Some([*actor, *peer]), false, &[*actor, *peer]))
            }
            Write::CreateGroup { id, actor, members, history_visibility, .. } => {
                let mut people = members.clone();
                people.push(*actor);
                let outcome = self.begin(*id, None, *history_visibility == HistoryVisibility::All, &people);
                self.talk(*id, *actor)?.seats.entry(*actor).and_modify(|seat| seat.role = Role::Owner);
                Ok(outcome)
            }
            Write::AddMember { conversation, actor, target, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                let is_change = !talk.seats.contains_key(target);
                if is_change {
                    talk.seat(*target);
                }
                Ok(talk.bump(is_change))
            }
            Write::RemoveMember { conversation, actor, target, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                talk.seats.remove(target).ok_or(Outcome::Refused(ErrorCode::NotFound))?;
                Ok(talk.bump(true))
            }
            Write::SetRole { conversation, actor, target, role, .. } => {
                let talk = self.talk(*conversation, *actor)?;
                let seat = talk.seats.get_mut(target).ok_or(Outcome::Refused(ErrorCode::NotFound))?;
                let is_change = std::mem::replace(&mut seat.role, *role) != *role;
                Ok(talk.bump(is_change))
            }
            other => panic!("the ledger has no page for {other:?}"),
        }
    }

    fn append(&mut self, message: &AppendMessage) -> Result<Outcome, Outcome> {
        let key = (message.sender, message.client_msg_id.to_string());
        if let Some((place, seq)) = self.sent.get(&key) {
            return Ok(Outcome::Message { seq: *seq, rev: self.talks[*place].rev, changed: false });
        }
        let talk = self.talk(message.conversation, message.sender)?;
        if message.reply_to.is_some_and(|to| talk.place(message.sender, to).is_err()) {
            return Err(Outcome::Refused(ErrorCode::Invalid));
        }
        let said = Said {
            id: message.id,
            sender: message.sender,
            body: message.body.clone(),
            is_deleted: false,
            reactions: Vec::new(),
        };
        talk.said.push(said);
        talk.rev += 1;
        let (seq, rev, id) = (talk.last_seq(), talk.rev, talk.id);
        for (person, seat) in &mut talk.seats {
            seat.is_hidden = false;
            if *person == message.sender {
                (seat.delivered, seat.read) = (seq, seq);
            }
        }
        let place = self.talks.iter().position(|talk| talk.id == id).expect("the talk is there");
        self.sent.insert(key, (place, seq));
        Ok(Outcome::Message { seq, rev, changed: true })
    }

    fn begin(&mut self, id: ConversationId, pair: Option<[UserId; 2]>, shows_all: bool, people: &[UserId]) -> Outcome {
        let title = "The group".to_owned();
        let mut talk = Talk { id, pair, shows_all, title, rev: 1, said: Vec::new(), seats: BTreeMap::new() };
        for person in people {
            talk.seat(*person);
        }
        self.talks.push(talk);
        Outcome::Change { rev: 1, changed: true }
    }
}

impl Talk {
    fn amend(&mut self, place: usize, is_change: bool) -> Outcome {
        self.rev += Rev::from(is_change);
        Outcome::Message { seq: place as Seq + 1, rev: self.rev, changed: is_change }
    }
}
