//! What must be true in the end of what was done to messages, and of watermarks.

use std::collections::BTreeMap;

use crate::Violation;
use crate::asked::{Asked, Wish};
use crate::ends::{Last, Lasts};
use crate::entry::Message;
use crate::seen::Sights;

/// What one client has, against what all have asked for.
struct Judge<'a> {
    conversation: &'a str,
    last: &'a Last<'a>,
    lasts: &'a Lasts<'a>,
    asked: &'a Asked,
}

pub fn check(
    conversation: &str,
    last: &Last<'_>,
    lasts: &Lasts<'_>,
    asked: &Asked,
    sights: &Sights,
) -> Result<(), Violation> {
    let judge = Judge { conversation, last, lasts, asked };
    for message in last.messages {
        judge.deletion(message, sights)?;
        if !message.deleted {
            judge.body(message)?;
        }
    }
    judge.reactions()?;
    judge.watermarks(sights)
}

impl Judge<'_> {
    /// All that this client asked for has been done: it has nothing left to send, and nothing was refused but what concerned deleted messages.
    fn is_sure(&self, client: &str) -> bool {
        let unsure = (self.conversation.to_owned(), client.to_owned());
        self.lasts.contains_key(client) && !self.asked.unsure.contains(&unsure)
    }

    fn broken(&self, what: String, proof: impl IntoIterator<Item = usize>) -> Violation {
        Violation::new(what, proof.into_iter().chain([self.last.entry]))
    }

    fn deletion(&self, message: &Message, sights: &Sights) -> Result<(), Violation> {
        let Some(sent) = self.asked.sent.get(&message.key).filter(|_| !message.deleted) else { return Ok(()) };
        let Some(wish) = sent.deletes.iter().find(|wish| self.is_sure(&wish.client)) else { return Ok(()) };
        let proof = [wish.entry].into_iter().chain(sights.deleted.get(&message.key).copied());
        Err(self.broken(format!("{} was deleted, and {} has it still", message.key, self.last.client), proof))
    }

    fn body(&self, message: &Message) -> Result<(), Violation> {
        let key = &message.key;
        let Some(sent) = self.asked.sent.get(key) else { return Ok(()) };
        if sent.edits.is_empty() && message.edited {
            return Err(self.broken(format!("{key} is marked as edited, and nobody edited it"), [sent.entry]));
        }
        let newest = newest(&sent.edits);
        let is_known = !newest.is_empty() && newest.keys().all(|client| self.is_sure(client));
        if is_known && !newest.values().any(|wish| wish.wanted == message.body) {
            let what = format!("{}: {key} is not as it was edited last", self.last.client);
            return Err(self.broken(what, newest.values().map(|wish| wish.entry)));
        }
        Ok(())
    }

    fn reactions(&self) -> Result<(), Violation> {
        let live: BTreeMap<_, _> = self
            .last
            .messages
            .iter()
            .filter(|message| !message.deleted)
            .map(|message| (&message.key, message))
            .collect();
        for ((key, emoji, user), wishes) in &self.asked.reactions {
            let (Some(message), newest) = (live.get(key), newest(wishes)) else { continue };
            let (1, Some((client, wish))) = (newest.len(), newest.first_key_value()) else { continue };
            let is_there = message.reactions.get(emoji).is_some_and(|users| users.contains(user));
            if self.is_sure(client) && is_there != wish.wanted {
                let what = format!("{}: {emoji} of {user} to {key} is not as it was asked last", self.last.client);
                return Err(self.broken(what, [wish.entry]));
            }
        }
        Ok(())
    }

    fn watermarks(&self, sights: &Sights) -> Result<(), Violation> {
        let length = i64::try_from(self.last.messages.len()).unwrap_or(i64::MAX);
        for (user, (delivered, read)) in self.last.watermarks {
            if *delivered.max(read) > length {
                return Err(self.broken(format!("{user} has got or read more than the {length} there are"), []));
            }
            let wished = self.asked.read.iter().filter(|((at, who, _), _)| at == self.conversation && who == user);
            let own =
                self.last.messages.iter().filter(|message| message.key.sender == *user).map(|message| message.seq);
            if *read > own.chain(wished.map(|(_, (seq, _))| *seq)).max().unwrap_or(0) {
                return Err(self.broken(format!("{user} has read up to {read}, which nobody said"), []));
            }
        }
        let now = |user: &str| self.last.watermarks.get(user).copied().unwrap_or_default();
        for ((at, user, client), (seq, entry)) in &self.asked.read {
            if at == self.conversation && self.is_sure(client) && now(user).1 < *seq {
                let what = format!("{user} read up to {seq}, and {} says {}", self.last.client, now(user).1);
                return Err(self.broken(what, [*entry]));
            }
        }
        for ((at, user), marks) in &sights.watermarks {
            let (delivered, read) = now(user);
            for (what, highest, now) in [("delivered", marks.delivered, delivered), ("read", marks.read, read)] {
                if at == self.conversation && now < highest.0 {
                    let what =
                        format!("{}: what {user} has {what} goes back from {} to {now}", self.last.client, highest.0);
                    return Err(self.broken(what, [highest.1]));
                }
            }
        }
        Ok(())
    }
}

/// What each client asked for last.
fn newest<T>(wishes: &[Wish<T>]) -> BTreeMap<&str, &Wish<T>> {
    wishes.iter().map(|wish| (wish.client.as_str(), wish)).collect()
}
