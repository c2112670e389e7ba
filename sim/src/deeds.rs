//! What people do: mostly with their devices, some of it (groups, blocks) with a call of the server.

use anyhow::Result;
use tertulia_client_sqlite::{Durability, Keep, views::ShownMessage};
use tertulia_engine::{Command, CommandError, LocalStore as _, MessageRef, Op};
use tertulia_proto::model::Role;
use tertulia_proto::request::{ConversationPatch, NewGroupBody, PersonBody, ProfilePatch};
use tertulia_proto::{ClientMsgId, ConversationId, HistoryVisibility, Timestamp, UserId};

use crate::plan::Deed;
use crate::record::{Composed, Fate};
use crate::server::now_or_never;
use crate::world::World;

const EMOJI: [&str; 3] = ["👍", "❤️", "🎉"];

/// A DM of the first two, and groups.
pub fn open_conversations(world: &mut World) -> Result<()> {
    let Some(life) = &world.server.life else { return Ok(()) };
    let (alice, bob) = (world.people[0].clone(), world.people[1].user);
    let _ = now_or_never(life.services.open_dm(&alice, &PersonBody { email: None, user_id: Some(bob) }))?;
    for _ in 0..world.plan.groups {
        new_group(world)?;
    }
    Ok(())
}

fn new_group(world: &mut World) -> Result<()> {
    let all: Vec<UserId> = world.people.iter().map(|person| person.user).collect();
    let owner = world.random.below(all.len());
    let members: Vec<UserId> = all.into_iter().filter(|_| !world.random.one_in(3)).collect();
    let history_visibility = if world.random.one_in(2) { HistoryVisibility::All } else { HistoryVisibility::Joined };
    let Some(life) = &world.server.life else { return Ok(()) };
    let body = NewGroupBody {
        title: "Tertulia".to_owned(),
        member_emails: Vec::new(),
        member_ids: members,
        history_visibility,
    };
    // Refused where nobody else is in it, or the disk is full.
    let _ = now_or_never(life.services.create_group(&world.people[owner], body))?;
    Ok(())
}

pub fn something(world: &mut World) -> Result<()> {
    let total: usize = world.plan.liked.iter().map(|(_, weight)| weight).sum();
    let mut draw = world.random.below(total);
    let mut deed = Deed::Send;
    for (liked, weight) in &world.plan.liked {
        deed = *liked;
        match draw.checked_sub(*weight) {
            Some(rest) => draw = rest,
            None => break,
        }
    }
    let number = world.random.below(world.devices.len());
    world.say(|| format!("device {number}: {deed:?}"));
    match deed {
        Deed::NewGroup => new_group(world),
        Deed::AddMember
        | Deed::RemoveMember
        | Deed::Leave
        | Deed::Rename
        | Deed::SetRole
        | Deed::Hide
        | Deed::Block
        | Deed::Profile => with_server(world, number, deed),
        Deed::Offline | Deed::Online => {
            set_network(world, number, deed == Deed::Online);
            Ok(())
        }
        Deed::Quit => {
            world.devices[number].engine = None;
            world.after_call(number);
            Ok(())
        }
        deed => {
            at_device(world, number, deed)?;
            world.checked_after_call(number)
        }
    }
}

pub fn set_network(world: &mut World, number: usize, up: bool) {
    world.devices[number].network = up;
    let now = world.devices[number].now(world.now);
    if let Some(engine) = &mut world.devices[number].engine {
        engine.handle_network(now, up);
        world.after_call(number);
    }
}

fn at_device(world: &mut World, number: usize, deed: Deed) -> Result<()> {
    let here = world.devices[number].conversations();
    let Some(id) = world.random.pick(&here).copied() else { return Ok(()) };
    match deed {
        Deed::Send => send(world, number, id, None),
        Deed::Burst => (0..3 + world.random.below(8)).try_for_each(|_| send(world, number, id, None)),
        Deed::Prune => {
            let newest = i64::try_from(world.random.below(6))?;
            let keep = Keep { age_ms: -1_000_000_000, bytes: i64::MAX, newest };
            world.devices[number].store.prune(keep, 1_900_000_000_000)?;
            Ok(())
        }
        Deed::Retry | Deed::Discard => decide_parked(world, number, deed == Deed::Retry),
        Deed::Read => {
            let held = world.devices[number].store.conversation(id)?;
            let last = held.map_or(0, |held| held.conversation.last_seq);
            let back = i64::try_from(world.random.below(4))?;
            command(world, number, Command::MarkRead { conversation: id, seq: (last - back).max(0) })
        }
        Deed::Mute => {
            let until = world.random.one_in(2).then(|| Timestamp::from_ms(1_900_000_000_000));
            command(world, number, Command::Mute { conversation: id, until })
        }
        Deed::Draft => command(world, number, Command::SetDraft { conversation: id, text: "so far".to_owned() }),
        Deed::Type => {
            let typing = !world.random.one_in(3);
            command(world, number, Command::SetTyping { conversation: id, typing })
        }
        Deed::Scroll => {
            let below = 1 + i64::try_from(world.random.below(60))?;
            command(world, number, Command::Fill { conversation: id, below })
        }
        _ => to_message(world, number, id, deed),
    }
}

fn command(world: &mut World, number: usize, command: Command) -> Result<()> {
    run(world, number, command).map(drop)
}

/// Whether the command was taken; `None`: the app is not there, or died of it.
fn run(world: &mut World, number: usize, command: Command) -> Result<Option<Result<(), CommandError>>> {
    let mishap = world.mishap();
    let now = world.now;
    let done = world.devices[number].command(now, mishap, command);
    world.say(|| format!("device {number} answers {done:?}"));
    if let Some(Err(error)) = &done {
        crate::world::failed_by_itself::<(), CommandError>(mishap, Some(Err(error.clone())))?;
    }
    world.after_call(number);
    Ok(done)
}

pub fn send(world: &mut World, number: usize, id: ConversationId, reply_to: Option<MessageRef>) -> Result<()> {
    let serial = world.devices[number].next_name;
    world.devices[number].next_name += 1;
    let name: ClientMsgId = format!("d{number}-{serial}").parse()?;
    let sender = world.user_of(number);
    let body = format!("{name} says something");
    let sent = Command::Send { conversation: id, name: name.clone(), body: body.clone(), reply_to };
    let done = run(world, number, sent)?;
    // An app that died of it: whether the message was written is in its store.
    let written = match done {
        Some(done) => done.is_ok(),
        None => is_here(world, number, id, &name)?,
    };
    if written {
        let stay = world.devices[number].store.conversation(id)?.map(|shown| shown.conversation.joined_at);
        let stay = stay.unwrap_or_default();
        world.record.edit(number, name.clone(), body, None, stay);
        let composed = Composed { sender, device: number, conversation: id, stay, fate: Fate::Wanted };
        world.record.compose(name, composed);
    }
    Ok(())
}

fn is_here(world: &mut World, number: usize, id: ConversationId, name: &ClientMsgId) -> Result<bool> {
    let timeline = world.devices[number].store.timeline(id, None, 1_000_000)?;
    Ok(timeline.messages.iter().any(|shown| shown.message.client_msg_id == *name))
}

fn to_message(world: &mut World, number: usize, id: ConversationId, deed: Deed) -> Result<()> {
    let me = world.user_of(number);
    let timeline = world.devices[number].store.timeline(id, None, 40)?;
    let mine = |shown: &&ShownMessage| shown.message.sender_id == me && shown.message.deleted_at.is_none();
    let candidates: Vec<&ShownMessage> = match deed {
        Deed::EditLast => timeline.messages.iter().rfind(mine).into_iter().collect(),
        Deed::EditAny | Deed::Delete => timeline.messages.iter().filter(mine).collect(),
        _ => timeline.messages.iter().collect(),
    };
    let Some(chosen) = world.random.pick(&candidates).map(|shown| shown.message.clone()) else { return Ok(()) };
    let message = match chosen.message_id {
        Some(message_id) if !world.random.one_in(3) || chosen.sender_id != me => MessageRef::Log(message_id),
        _ => MessageRef::Mine(chosen.client_msg_id.clone()),
    };
    match deed {
        Deed::Reply => send(world, number, id, Some(message)),
        Deed::EditLast | Deed::EditAny => edit(world, number, id, message, &chosen.client_msg_id),
        Deed::Delete => {
            let done = run(world, number, Command::Delete { conversation: id, message: message.clone() })?;
            let taken = match done {
                Some(done) => done.is_ok(),
                // What is in the log is only gone when that is on its way; that the row is not there may be the power cut's doing.
                None => {
                    let is_unsent = chosen.message_id.is_none();
                    waits(world, number, &message)? || is_unsent && !is_here(world, number, id, &chosen.client_msg_id)?
                }
            };
            if taken {
                world.record.set_fate(&chosen.client_msg_id, Fate::Unwanted);
            }
            Ok(())
        }
        _ => {
            let emoji = world.random.pick(&EMOJI).copied().unwrap_or("👍").parse()?;
            let remove = world.random.one_in(3);
            command(world, number, Command::React { conversation: id, message, emoji, remove })
        }
    }
}

fn edit(world: &mut World, number: usize, id: ConversationId, message: MessageRef, name: &ClientMsgId) -> Result<()> {
    let body = format!("{name} says it better, {}", world.record.edits.len());
    let before = row_text(world, number, id, &message)?;
    let stay = world.devices[number].store.conversation(id)?.map(|shown| shown.conversation.joined_at);
    let done = run(world, number, Command::Edit { conversation: id, message: message.clone(), body: body.clone() })?;
    let taken = match done {
        Some(done) => done.is_ok(),
        // The app died of it; what it had committed is in its store.
        None => {
            let op = Op::Edit { body: body.clone() };
            world.devices[number].store.outbox(100_000)?.iter().any(|entry| entry.op == op)
                || row_text(world, number, id, &message)?.as_ref() == Some(&body)
        }
    };
    if taken {
        world.record.edit(number, name.clone(), body, before, stay.unwrap_or_default());
    }
    Ok(())
}

/// Of the row as the device holds it, without what waits to be done to it.
fn row_text(world: &mut World, number: usize, id: ConversationId, message: &MessageRef) -> Result<Option<String>> {
    let row = world.devices[number].store.transaction(Durability::Process, |rows| rows.message(id, message))?;
    Ok(row.map(|row| row.body))
}

/// A deletion of this message is in the outbox.
fn waits(world: &mut World, number: usize, message: &MessageRef) -> Result<bool> {
    let waiting = world.devices[number].store.outbox(100_000)?;
    Ok(waiting.iter().any(|entry| entry.op == Op::Delete && entry.target == *message))
}

fn decide_parked(world: &mut World, number: usize, retry: bool) -> Result<()> {
    let waiting = world.devices[number].store.outbox(100_000)?;
    let Some(parked) = waiting.into_iter().find(|entry| entry.parked.is_some()) else { return Ok(()) };
    if retry {
        return command(world, number, Command::Retry { entry: parked.id });
    }
    discard(world, number, &parked)
}

/// Gives up what is parked.
pub fn discard(world: &mut World, number: usize, parked: &tertulia_engine::OutboxEntry) -> Result<()> {
    let done = run(world, number, Command::Discard { entry: parked.id })?;
    let still = world.devices[number].store.outbox(100_000)?.iter().any(|entry| entry.id == parked.id);
    let taken = done.map_or(!still, |done| done.is_ok());
    if let (true, Op::Edit { body }) = (taken, &parked.op) {
        world.record.give_up_edit(body);
    }
    if let (true, Op::Send, MessageRef::Mine(name)) = (taken, &parked.op, &parked.target) {
        // It was refused. Where a copy of it was still on its way, it may be in the log all the same.
        world.record.set_fate(name, Fate::Excused);
    }
    Ok(())
}

/// Calls over REST: made while there is a server, forgotten where not.
fn with_server(world: &mut World, number: usize, deed: Deed) -> Result<()> {
    let here = world.devices[number].conversations();
    let Some(id) = world.random.pick(&here).copied() else { return Ok(()) };
    let me = world.people[world.devices[number].person].clone();
    let others: Vec<UserId> = world.people.iter().map(|person| person.user).collect();
    let Some(other) = world.random.pick(&others).copied() else { return Ok(()) };
    let coin = world.random.one_in(2);
    let serial = world.random.below(1000);
    let Some(life) = &world.server.life else { return Ok(()) };
    let services = &life.services;
    let person = PersonBody { email: None, user_id: Some(other) };
    // What the rules refuse is refused; that is tested elsewhere.
    let refused = match deed {
        Deed::AddMember => now_or_never(services.add_member(&me, id, &person))?.is_err(),
        Deed::RemoveMember => now_or_never(services.remove_member(&me, id, other, None))?.is_err(),
        Deed::Leave => {
            now_or_never(services.remove_member(&me, id, me.user, Some(other).filter(|o| *o != me.user)))?.is_err()
        }
        Deed::Rename => {
            let patch = ConversationPatch { title: Some(format!("Tertulia {serial}")), muted_until: None };
            now_or_never(services.patch_conversation(&me, id, patch))?.is_err()
        }
        Deed::SetRole => {
            let role = if coin { Role::Admin } else { Role::Member };
            now_or_never(services.set_role(&me, id, other, role))?.is_err()
        }
        Deed::Hide => now_or_never(services.hide(&me, id))?.is_err(),
        Deed::Block => other == me.user || now_or_never(services.set_blocked(&me, other, coin))?.is_err(),
        _ => {
            let patch = ProfilePatch { name: Some(format!("Somebody {serial}")), avatar_url: None };
            now_or_never(services.update_profile(&me, patch))?.is_err()
        }
    };
    world.say(|| format!("device {number}: {deed:?} {}", if refused { "is refused" } else { "is done" }));
    Ok(())
}
