//! A notification was tapped: its message has to be here.

use std::pin::pin;

use futures_util::future::{Either, select};
use tertulia_engine::{Command, ConnectionState};
use tertulia_proto::{ConversationId, ErrorCode, MessageId};

use crate::board::Topic;
use crate::client::Client;
use crate::core::Input;
use crate::error::{CommandError, RestError, SyncError};
use crate::model::Message;
use crate::platform::wait_ms;

/// Messages fetched below and above one that lies in a hole.
const AROUND: i64 = 25;

impl Client {
    /// Waits until a message that a notification spoke of is on this device: asks for what is new at once, and where the message lies in a hole, for
    /// what is around it. Connects where that was not asked for before, also on a device that has never connected, as when the tap has started the app; and
    /// stays so, because somebody is about to look. What is here already comes without a network.
    ///
    /// ```no_run
    /// # use tertulia_client::*;
    /// # async fn tapped(client: Client, conversation: ConversationId, message: MessageId) -> Result<(), SyncError> {
    /// let message = client.sync_until(conversation, message, 10_000).await?;
    /// println!("{}: {}", message.sender_name, message.body);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sync_until(
        &self,
        conversation: ConversationId,
        message: MessageId,
        deadline_ms: u64,
    ) -> Result<Message, SyncError> {
        let arriving = pin!(self.arrival(conversation, message));
        match select(arriving, pin!(wait_ms(deadline_ms))).await {
            Either::Left((arrived, _)) => arrived,
            Either::Right(_) => Err(SyncError::NotInTime),
        }
    }

    async fn arrival(&self, conversation: ConversationId, message: MessageId) -> Result<Message, SyncError> {
        if let Some(held) = self.message(conversation, message)? {
            return Ok(held);
        }
        // Before anything is asked, so that no answer is missed.
        let arrivals = self.shared().flag(Topic::Timeline(conversation));
        let connection = self.connection();
        match connection.get()? {
            ConnectionState::Connected { .. } => self.shared().step(Input::Command(Command::SyncNow))?,
            _ => self.connect()?,
        }
        let asking = pin!(self.find(conversation, message));
        let held = pin!(async {
            loop {
                if let Some(held) = self.message(conversation, message)? {
                    return Ok(held);
                }
                arrivals.raised().await.map_err(|_| CommandError::Closed)?;
            }
        });
        match select(held, asking).await {
            Either::Left((held, _)) => held,
            Either::Right((Err(error), _)) => Err(error),
            Either::Right((Ok(()), held)) => held.await,
        }
    }

    /// Once the difference is here the message is too, or lies in a hole: the server says where.
    async fn find(&self, conversation: ConversationId, message: MessageId) -> Result<(), SyncError> {
        let settled = |state: &ConnectionState| {
            matches!(
                state,
                ConnectionState::Connected { caught_up: true }
                    | ConnectionState::SignedOut
                    | ConnectionState::WrongAccount
            )
        };
        match self.connection().until(settled).await? {
            ConnectionState::SignedOut if !self.rest().tokens().can_be_asked() => return Err(SyncError::SignedOut),
            ConnectionState::WrongAccount => return Err(SyncError::WrongAccount),
            _ => {}
        }
        match self.rest().message(conversation, message).await {
            Ok(found) => {
                let below = found.seq.saturating_add(AROUND);
                // The difference may have brought it by now; then there is nothing to fill.
                Ok(self.shared().step(Input::Command(Command::Fill { conversation, below }))?)
            }
            Err(RestError::SignedOut) => Err(SyncError::SignedOut),
            Err(error) if error.code().is_some_and(|code| matches!(code, ErrorCode::NotFound | ErrorCode::Gone)) => {
                Err(SyncError::NoSuchMessage)
            }
            // The connection itself goes on trying.
            Err(_) => Ok(()),
        }
    }
}
