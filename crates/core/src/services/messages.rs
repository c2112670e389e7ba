//! Sending, editing, deleting, reacting, reading, history and search.

use tertulia_proto::event::{MessageAck, ReactionUpdated, ReceiptUpdated};
use tertulia_proto::request::{DeleteMessage, EditMessage, ReactToMessage, Receipt, SendMessage};
use tertulia_proto::{ApiError, ConversationId, DeviceId, ErrorCode, History, Message, MessageId, Seq};
use tertulia_store::{AppendMessage, Effect, HistoryRange, Write};

use super::{Done, Services, page_size, unexpected, waited};
use crate::auth::{Identity, Scope};
use crate::write::{store_failed, write_failed};

/// The message in the log, and whether this request put it there.
pub type MessageAckDone = Done<(MessageAck, bool)>;

/// Characters of a search text at least: what a trigram has.
const SEARCH_MIN_CHARS: usize = 3;

/// Where a page of history was asked for: one place at most.
pub fn history_range(
    before_seq: Option<Seq>,
    after_seq: Option<Seq>,
    after: Option<MessageId>,
) -> Result<HistoryRange, ApiError> {
    match (before_seq, after_seq, after) {
        (None, None, None) => Ok(HistoryRange::Latest),
        (Some(seq), None, None) => Ok(HistoryRange::Before(seq)),
        (None, Some(seq), None) => Ok(HistoryRange::After(seq)),
        (None, None, Some(message)) => Ok(HistoryRange::AfterMessage(message)),
        _ => Err(ApiError::invalid("beforeSeq, afterSeq, after: one of them at most")),
    }
}

fn ack(message: &Message) -> MessageAck {
    MessageAck {
        client_msg_id: message.client_msg_id.clone(),
        message_id: message.message_id,
        seq: message.seq,
        rev: message.rev,
        created_at: message.created_at,
    }
}

impl Services {
    /// Checks and submits; the acknowledgement comes after the commit.
    pub fn submit_message(&self, actor: &Identity, request: SendMessage, done: MessageAckDone) {
        self.append(actor, request, |message, fresh| (ack(message), fresh), done);
    }

    /// The message whole, and whether it is new.
    pub async fn send_message(&self, actor: &Identity, request: SendMessage) -> Result<(Message, bool), ApiError> {
        waited(|done| self.append(actor, request, |message, fresh| (message.clone(), fresh), done)).await
    }

    fn append<T: 'static>(&self, actor: &Identity, request: SendMessage, map: fn(&Message, bool) -> T, done: Done<T>) {
        let now = self.now();
        let conversation = request.conversation_id;
        let checked = actor
            .require(Scope::ChatWrite)
            .and_then(|()| self.check_body(&request.body))
            .and_then(|()| self.rates.count_send(actor.user, conversation, now));
        let counted = match checked {
            Ok(counted) => counted,
            Err(refusal) => return done(Err(refusal)),
        };
        let write = Write::AppendMessage(Box::new(AppendMessage {
            id: MessageId::from_uuid(self.powers.new_uuid()),
            conversation,
            sender: actor.user,
            client_msg_id: request.client_msg_id,
            body: request.body,
            reply_to: request.reply_to,
            after: request.after_client_msg_id,
            notify_at: self.notifying.looked_at(now),
            now,
        }));
        self.store.submit(
            write,
            Box::new(move |result| match result {
                Ok(Effect::MessageAppended { message, fresh }) => {
                    counted.settle(*fresh);
                    done(Ok(map(message, *fresh)));
                }
                Ok(other) => done(Err(unexpected(other))),
                Err(error) => {
                    counted.settle(false);
                    done(Err(write_failed(error.clone())));
                }
            }),
        );
    }

    /// Not blank and within the limit. U+0000 is refused because PostgreSQL has no text with it.
    fn check_body(&self, body: &str) -> Result<(), ApiError> {
        if body.len() > self.limits.body_max_bytes {
            return Err(ApiError::too_large("body", self.limits.body_max_bytes, "bytes of UTF-8"));
        }
        if body.trim().is_empty() {
            return Err(ApiError::invalid("body: must not be blank"));
        }
        if body.contains('\0') {
            return Err(ApiError::invalid("body: must not hold U+0000"));
        }
        Ok(())
    }

    /// Whether the actor may change something, and not too often.
    pub(super) fn count_change(&self, actor: &Identity) -> Result<(), ApiError> {
        actor.require(Scope::ChatWrite)?;
        self.rates.changes.take(actor.user, self.now())
    }

    pub fn submit_edit(&self, actor: &Identity, request: EditMessage, done: Done<Message>) {
        let checked = self.count_change(actor).and_then(|()| self.check_body(&request.body));
        if let Err(refusal) = checked {
            return done(Err(refusal));
        }
        let EditMessage { conversation_id, message_id, body } = request;
        let write = Write::EditMessage {
            conversation: conversation_id,
            message: message_id,
            actor: actor.user,
            body,
            now: self.now(),
        };
        self.submit(
            write,
            |effect| match effect {
                Effect::MessageEdited { message, .. } => Some(message.clone()),
                _ => None,
            },
            done,
        );
    }

    pub async fn edit_message(&self, actor: &Identity, request: EditMessage) -> Result<Message, ApiError> {
        waited(|done| self.submit_edit(actor, request, done)).await
    }

    pub fn submit_delete(&self, actor: &Identity, request: DeleteMessage, done: Done<Message>) {
        if let Err(refusal) = self.count_change(actor) {
            return done(Err(refusal));
        }
        let write = Write::DeleteMessage {
            conversation: request.conversation_id,
            message: request.message_id,
            actor: actor.user,
            now: self.now(),
        };
        self.submit(
            write,
            |effect| match effect {
                Effect::MessageDeleted { message, .. } => Some(message.clone()),
                _ => None,
            },
            done,
        );
    }

    pub async fn delete_message(&self, actor: &Identity, request: DeleteMessage) -> Result<Message, ApiError> {
        waited(|done| self.submit_delete(actor, request, done)).await
    }

    pub fn submit_reaction(&self, actor: &Identity, request: ReactToMessage, done: Done<ReactionUpdated>) {
        if let Err(refusal) = self.count_change(actor) {
            return done(Err(refusal));
        }
        let write = Write::SetReaction {
            conversation: request.conversation_id,
            message: request.message_id,
            actor: actor.user,
            emoji: request.emoji,
            present: !request.remove,
            per_message_max: self.limits.reactions_per_message_max,
        };
        self.submit(
            write,
            |effect| match effect {
                Effect::ReactionsChanged { conversation, message, seq, rev, reactions, .. } => Some(ReactionUpdated {
                    conversation_id: *conversation,
                    message_id: *message,
                    seq: *seq,
                    rev: *rev,
                    reactions: reactions.clone(),
                }),
                _ => None,
            },
            done,
        );
    }

    pub async fn react(&self, actor: &Identity, request: ReactToMessage) -> Result<ReactionUpdated, ApiError> {
        waited(|done| self.submit_reaction(actor, request, done)).await
    }

    /// `device`: the local store that tells of it, where the connection says which.
    pub fn submit_receipt(
        &self,
        actor: &Identity,
        device: Option<DeviceId>,
        request: &Receipt,
        done: Done<ReceiptUpdated>,
    ) {
        let negative = |seq: Option<i64>| seq.is_some_and(|seq| seq < 0);
        let checked = self.count_change(actor).and_then(|()| match request {
            Receipt { delivered_seq: None, read_seq: None, .. } => {
                Err(ApiError::invalid("deliveredSeq, readSeq: one of them is needed"))
            }
            r if negative(r.delivered_seq) || negative(r.read_seq) => {
                Err(ApiError::invalid("deliveredSeq, readSeq: must not be negative"))
            }
            _ => Ok(()),
        });
        if let Err(refusal) = checked {
            return done(Err(refusal));
        }
        let write = Write::AdvanceWatermarks {
            conversation: request.conversation_id,
            actor: actor.user,
            delivered: request.delivered_seq,
            read: request.read_seq,
            device,
            now: self.now(),
        };
        self.submit(
            write,
            |effect| match effect {
                Effect::WatermarksAdvanced { conversation, user, delivered_seq, read_seq, rev, .. } => {
                    Some(ReceiptUpdated {
                        conversation_id: *conversation,
                        user_id: *user,
                        delivered_seq: *delivered_seq,
                        read_seq: *read_seq,
                        rev: *rev,
                    })
                }
                _ => None,
            },
            done,
        );
    }

    pub async fn advance_watermarks(&self, actor: &Identity, request: Receipt) -> Result<ReceiptUpdated, ApiError> {
        waited(|done| self.submit_receipt(actor, None, &request, done)).await
    }

    pub async fn message(
        &self,
        actor: &Identity,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<Message, ApiError> {
        actor.require(Scope::ChatRead)?;
        let found = self.store.message(actor.user, conversation, message).await.map_err(|e| store_failed(&e))?;
        found.ok_or_else(|| ApiError::not_found("message"))
    }

    pub async fn history(
        &self,
        actor: &Identity,
        conversation: ConversationId,
        range: HistoryRange,
        limit: Option<i64>,
    ) -> Result<History, ApiError> {
        actor.require(Scope::ChatRead)?;
        let limit = page_size(limit, 50, self.limits.history_page_max)?;
        if let HistoryRange::AfterMessage(id) = range {
            // A message one can't see is an answer of its own, not an empty page.
            self.message(actor, conversation, id).await?;
        }
        let page = self.store.history(actor.user, conversation, range, limit).await.map_err(|e| store_failed(&e))?;
        let page = page.ok_or_else(|| ApiError::not_found("conversation"))?;
        Ok(History { messages: page.messages, has_more: page.has_more })
    }

    pub async fn search(
        &self,
        actor: &Identity,
        text: &str,
        within: Option<ConversationId>,
        limit: Option<i64>,
    ) -> Result<Vec<Message>, ApiError> {
        actor.require(Scope::ChatRead)?;
        if text.len() > self.limits.search_query_max_bytes {
            return Err(ApiError::too_large("q", self.limits.search_query_max_bytes, "bytes of UTF-8"));
        }
        if text.contains('\0') || text.chars().count() < SEARCH_MIN_CHARS {
            return Err(ApiError::new(ErrorCode::Invalid, format!("q: at least {SEARCH_MIN_CHARS} characters")));
        }
        let limit = page_size(limit, 20, self.limits.search_page_max)?;
        self.rates.searches.take_with(self.shared(), actor.user, self.now()).await?;
        if let Some(conversation) = within {
            self.member_of(actor, conversation).await?;
        }
        self.store.search(actor.user, text.to_owned(), within, limit).await.map_err(|e| store_failed(&e))
    }

    /// A conversation's messages after one, for `sync:request`.
    pub async fn messages_after(
        &self,
        actor: &Identity,
        conversation: ConversationId,
        after: Option<MessageId>,
    ) -> Result<History, ApiError> {
        let range = after.map_or(HistoryRange::After(0), HistoryRange::AfterMessage);
        let limit = i64::try_from(self.limits.sync_messages_max).unwrap_or(i64::MAX);
        self.history(actor, conversation, range, Some(limit)).await
    }
}
