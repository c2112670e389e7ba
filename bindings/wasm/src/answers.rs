//! What a call does: each is one of the client's.

use serde::Serialize;
use tertulia_client::proto::device::{NotificationSettingsPatch, RegisterDevice, UnregisterDevice};
use tertulia_client::proto::{Platform, PushProvider};
use tertulia_client::{Client, Emoji, Limits, MessageId, Rest, Seq, Timeline, Timestamp, TokenAnswer};

use crate::calls::Call;
use crate::failure::Failure;
use crate::model;
use crate::notify;
use crate::worker::{Open, written};

/// How long a message that is not on this device may take to come.
const JUMP_MS: u64 = 15_000;

/// JSON.
pub type Answer = Result<String, Failure>;

type Done = Result<(), Failure>;

/// `again`: what is done already is no error.
pub async fn answer(open: &Open, call: Call, again: bool) -> Answer {
    match here(open, call, again) {
        Ok(answer) => answer,
        Err(call) => there(open, *call).await,
    }
}

/// What this device does alone; or the call, where it takes more.
fn here(open: &Open, call: Call, again: bool) -> Result<Answer, Box<Call>> {
    let client = &open.client;
    let done = match call {
        Call::Send { conversation, name, body, reply_to } => {
            client.send_as(conversation.0, name.0, body, reply_to.map(Into::into)).map_err(Failure::from)
        }
        Call::Edit { conversation, message, body } => client.edit(conversation.0, message, body).map_err(Failure::from),
        Call::Delete { conversation, message } => done_before(client.delete(conversation.0, message), again),
        Call::React { conversation, message, emoji, remove } => emoji
            .parse::<Emoji>()
            .map_err(Failure::invalid)
            .and_then(|emoji| Ok(client.react(conversation.0, message, emoji, remove)?)),
        Call::MarkRead { conversation, seq } => {
            client.mark_read(conversation.0, seq.unwrap_or(Seq::MAX)).map_err(Failure::from)
        }
        Call::Mute { conversation, until } => {
            client.mute(conversation.0, until.map(|ms| Timestamp::from_ms(ms.0))).map_err(Failure::from)
        }
        Call::SetDraft { conversation, text } => client.set_draft(conversation.0, text).map_err(Failure::from),
        Call::Retry { entry } => done_before(client.retry(entry), again),
        Call::Discard { entry } => done_before(client.discard(entry), again),
        Call::SetTyping { conversation, typing } => client.set_typing(conversation.0, typing).map_err(Failure::from),
        Call::Connect => client.connect().map_err(Failure::from),
        Call::Pause => client.pause().map_err(Failure::from),
        Call::SetNetwork { up } => client.set_network(up).map_err(Failure::from),
        Call::SetToken { token } => client.set_token(token).map_err(Failure::from),
        Call::LoadOlder { subscription } => open.subscriptions.with_timeline(&subscription, |line| line.load_more()),
        Call::LoadNewer { subscription } => open
            .subscriptions
            .with_timeline(&subscription, Timeline::load_newer)
            .and_then(|done| done.map_err(Failure::from)),
        Call::JumpToPlace { subscription, seq } => open
            .subscriptions
            .with_timeline(&subscription, |line| line.jump_to(seq))
            .and_then(|jumped| jumped.map_err(Failure::from)),
        Call::JumpToNewest { subscription } => {
            open.subscriptions.with_timeline(&subscription, Timeline::jump_to_newest)
        }
        Call::Message { conversation, message } => {
            return Ok(client
                .message(conversation.0, message)
                .map(|found| written(&found.map(model::Message::from)))
                .map_err(Failure::from));
        }
        Call::Search { text, conversation, limit } => return Ok(search(client, &text, conversation, limit)),
        Call::Limits => return Ok(limits(client)),
        Call::DeviceId => return Ok(device_id(client)),
        other => return Err(Box::new(other)),
    };
    Ok(done.map(|()| written(&())))
}

/// What needs the server.
async fn there(open: &Open, call: Call) -> Answer {
    let client = &open.client;
    let rest = client.rest();
    match call {
        Call::Login { email, password } => signed_in(open, rest.login(&email, &password).await?),
        Call::Register { email, password, name } => signed_in(open, rest.register(&email, &password, &name).await?),
        Call::Me => own(client, rest.me().await?),
        Call::UpdateMe { name, avatar_url } => own(client, rest.update_me(name, avatar_url).await?),
        Call::User { user } => told(model::User::from(rest.user(user.0).await?)),
        Call::SearchUsers { email } => {
            told(rest.search_users(&email).await?.into_iter().map(model::User::from).collect::<Vec<_>>())
        }
        Call::Block { user } => told(rest.block(user.0).await?),
        Call::Unblock { user } => told(rest.unblock(user.0).await?),
        Call::JumpTo { subscription, message } => jump(open, &subscription, message.0).await,
        Call::Blocked => told(rest.blocked().await?.into_iter().map(model::User::from).collect::<Vec<_>>()),
        Call::Sessions => told(rest.sessions().await?.into_iter().map(model::Session::from).collect::<Vec<_>>()),
        Call::EndSession { id } => told(rest.end_session_of(id.parse().map_err(Failure::invalid)?).await?),
        Call::LogOut => told(client.log_out().await?),
        Call::EndOwnSession => told(rest.end_session().await?),
        Call::SearchMessages { text, conversation, limit } => {
            let me = client.account()?;
            let found = rest.search_messages(&text, conversation.map(|id| id.0), limit).await?;
            let found = found.into_iter().enumerate();
            told(found.map(|(place, message)| model::Message::found(message, place, me)).collect::<Vec<_>>())
        }
        Call::PushOffer
        | Call::RegisterDevice { .. }
        | Call::UnregisterDevice { .. }
        | Call::Devices
        | Call::TestDevices
        | Call::NotificationSettings
        | Call::SetQuietHours { .. } => notify_call(client, call).await,
        group => group_call(rest, group).await,
    }
}

async fn group_call(rest: &Rest, call: Call) -> Answer {
    match call {
        Call::OpenDm { who } => told(model::ConversationId(rest.open_dm(who).await?.id)),
        Call::CreateGroup { title, members, history_visibility } => {
            told(model::ConversationId(rest.create_group(&title, members, history_visibility).await?.id))
        }
        Call::Rename { conversation, title } => told(rest.rename(conversation.0, &title).await.map(drop)?),
        Call::Hide { conversation } => told(rest.hide(conversation.0).await?),
        Call::AddMember { conversation, who } => told(rest.add_member(conversation.0, who).await.map(drop)?),
        Call::SetRole { conversation, user, role } => {
            told(rest.set_role(conversation.0, user.0, role.into()).await.map(drop)?)
        }
        Call::RemoveMember { conversation, user, new_owner } => {
            told(rest.remove_member(conversation.0, user.0, new_owner.map(|heir| heir.0)).await?)
        }
        _ => Err(unknown()),
    }
}

async fn notify_call(client: &Client, call: Call) -> Answer {
    let rest = client.rest();
    match call {
        Call::PushOffer => told(notify::PushOffer::from(rest.push_offer().await?)),
        Call::RegisterDevice { token, app_version, shows_content } => {
            let device_id = client.device_id()?;
            let (platform, provider) = (Platform::Web, PushProvider::Webpush);
            let device = RegisterDevice { token, platform, provider, app_version, device_id, shows_content };
            told(notify::Device::from(rest.register_device(&device).await?))
        }
        Call::UnregisterDevice { token, id } => {
            let id = id.map(|id| id.parse().map_err(Failure::invalid)).transpose()?;
            told(rest.unregister_device(&UnregisterDevice { token, id }).await?)
        }
        Call::Devices => told(rest.devices().await?.into_iter().map(notify::Device::from).collect::<Vec<_>>()),
        Call::TestDevices => {
            told(rest.test_devices().await?.into_iter().map(notify::DeviceTest::from).collect::<Vec<_>>())
        }
        Call::NotificationSettings => told(notify::Settings::from(rest.notification_settings().await?)),
        Call::SetQuietHours { hours } => {
            let patch = NotificationSettingsPatch { do_not_disturb: Some(hours.map(Into::into)) };
            told(notify::Settings::from(rest.update_notification_settings(&patch).await?))
        }
        _ => Err(unknown()),
    }
}

/// Answers the place it is at.
async fn jump(open: &Open, subscription: &str, message: MessageId) -> Answer {
    let conversation = open.subscriptions.with_timeline(subscription, |line| line.conversation())?;
    let found = open.client.sync_until(conversation, message, JUMP_MS).await?;
    let seq = found.seq.ok_or_else(|| Failure::new("not_found", "message: not in the log"))?;
    open.subscriptions.with_timeline(subscription, |line| line.jump_to(seq))??;
    told(seq)
}

fn told<T: Serialize>(value: T) -> Answer {
    Ok(written(&value))
}

/// A call is in one of the four lists above.
fn unknown() -> Failure {
    Failure::invalid("call: unknown")
}

/// A repeated call finds nothing where the first one has done its work.
fn done_before(done: Result<(), tertulia_client::CommandError>, again: bool) -> Done {
    use tertulia_client::{CommandError, Refusal};
    match done {
        Err(CommandError::Refused(Refusal::NoSuchMessage | Refusal::NotParked)) if again => Ok(()),
        done => Ok(done?),
    }
}

fn search(client: &Client, text: &str, within: Option<model::ConversationId>, limit: usize) -> Answer {
    let found = client.search(text, within.map(|id| id.0), limit)?;
    told(found.into_iter().map(model::Message::from).collect::<Vec<_>>())
}

/// The server's, or what servers have by default as long as it has not said them.
fn limits(client: &Client) -> Answer {
    told(model::Limits::from(client.limits()?.unwrap_or_else(Limits::default)))
}

fn device_id(client: &Client) -> Answer {
    told(client.device_id()?.map(|id| id.to_string()))
}

fn own(client: &Client, me: tertulia_client::User) -> Answer {
    client.keep_profile(&me);
    told(model::User::from(me))
}

fn signed_in(open: &Open, answer: TokenAnswer) -> Answer {
    open.client.keep_profile(&answer.user);
    let token = (!open.by_cookie).then_some(answer.token);
    match &token {
        Some(token) => open.client.set_token(token.clone())?,
        None => open.client.connect()?,
    }
    told(model::SignedIn { user: answer.user.into(), token })
}
