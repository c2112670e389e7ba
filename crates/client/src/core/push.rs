//! The registration for notifications, as it is kept in the store: what the app wants, what the server is to be told next, and how that went.

use tertulia_client_sqlite::{Durability, Push, Rows};
use tertulia_engine::{ConnectionState, Engine, Now, Registration, RegistrationStep, StoreFailure, Stored};
use tertulia_proto::device::RegisterDevice;

use super::Core;
use crate::push::PushState;

/// Tokens that wait to be unregistered; of more the oldest goes, and its provider will say some day that it is no longer valid.
const LEAVING_MAX: usize = 8;

/// What is remembered of registering in this life of the app.
#[derive(Debug, Default)]
pub struct Registrar {
    /// With which token of the person the server was told last. A registration ends with its sign-in, so each life and each token renews it.
    renewed_with: Option<u64>,
    /// With which it was refused, and why.
    refused: Option<(u64, String)>,
}

/// What the server is to be told next.
#[derive(Clone, PartialEq, Eq)]
pub enum Task {
    Register(RegisterDevice),
    /// By its token.
    Unregister(String),
}

/// Without the token: whoever has it can notify the device.
impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Register(_)) { "Register" } else { "Unregister" })
    }
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Done,
    /// Not now.
    Failed,
    /// Not ever, as it is.
    Refused(String),
}

impl Core {
    pub fn push_state(&self) -> Stored<PushState> {
        let push = self.store.push()?;
        Ok(match (&push.wish, &self.registrar.refused) {
            (None, _) => PushState::Off,
            (Some(_), Some((_, reason))) => PushState::Refused { reason: reason.clone() },
            (Some(_), None) if push.is_known && self.store.registration()? == Registration::Stands => {
                PushState::Registered
            }
            (Some(_), None) => PushState::Waiting,
        })
    }

    /// Lasting when it returns. The same wish again is tried again, should it have been refused.
    pub fn want_push(&mut self, now: Now, wish: Option<RegisterDevice>) -> Stored<()> {
        self.registrar.refused = None;
        self.change_push(now, Durability::Power, |engine, rows| {
            let before = rows.push()?;
            let push = wanted(before.clone(), wish);
            if push == before {
                return Ok(());
            }
            if push.wish.is_none() {
                engine.handle_registration(rows, now, RegistrationStep::Ended)?;
            }
            rows.put_push(&push)
        })
    }

    /// `sign_in`: which token of the person it would be told with. Nothing is told while a connection is being made: whose data these are shows with it,
    /// and what its first difference brings counts as held, not as news.
    pub fn push_task(&self, sign_in: u64) -> Stored<Option<Task>> {
        let is_no_time = matches!(
            self.engine.connection(),
            ConnectionState::WrongAccount
                | ConnectionState::Offline
                | ConnectionState::Connecting
                | ConnectionState::Connected { caught_up: false }
        );
        if is_no_time {
            return Ok(None);
        }
        let push = self.store.push()?;
        if let Some(token) = push.leaving.first() {
            return Ok(Some(Task::Unregister(token.clone())));
        }
        let Some(wish) = push.wish else { return Ok(None) };
        let is_refused = self.registrar.refused.as_ref().is_some_and(|(with, _)| *with == sign_in);
        let is_done = push.is_known
            && self.registrar.renewed_with == Some(sign_in)
            && self.store.registration()? == Registration::Stands;
        let device_id = self.device;
        Ok((!is_refused && !is_done).then_some(Task::Register(RegisterDevice { device_id, ..wish })))
    }

    /// It is about to be told.
    pub fn push_begins(&mut self, now: Now, task: &Task) -> Stored<()> {
        if matches!(task, Task::Unregister(_)) {
            return Ok(());
        }
        self.registrar.refused = None;
        self.change_push(now, Durability::Process, |engine, rows| {
            engine.handle_registration(rows, now, RegistrationStep::Asked)
        })
    }

    /// What the app wants may be something else by now.
    pub fn push_told(&mut self, now: Now, task: &Task, sign_in: u64, told: &Told) -> Stored<()> {
        let device_id = self.device;
        let is_wished = self.change_push(now, Durability::Process, |engine, rows| {
            let mut push = rows.push()?;
            let asked = push.wish.clone().map(|wish| Task::Register(RegisterDevice { device_id, ..wish }));
            match (task, told) {
                (Task::Unregister(_), Told::Failed) => return Ok(false),
                (Task::Unregister(token), Told::Done | Told::Refused(_)) => push.leaving.retain(|left| left != token),
                (Task::Register(_), Told::Done) => {
                    engine.handle_registration(rows, now, RegistrationStep::Stands)?;
                    push.is_known = asked.as_ref() == Some(task);
                }
                (Task::Register(_), Told::Failed | Told::Refused(_)) => {
                    engine.handle_registration(rows, now, RegistrationStep::Failed)?;
                }
            }
            rows.put_push(&push)?;
            Ok(asked.as_ref() == Some(task))
        })?;
        match told {
            Told::Done if is_wished => self.registrar.renewed_with = Some(sign_in),
            Told::Refused(reason) if is_wished => self.registrar.refused = Some((sign_in, reason.clone())),
            _ => {}
        }
        Ok(())
    }

    fn change_push<T>(
        &mut self,
        now: Now,
        durability: Durability,
        work: impl FnOnce(&mut Engine, &mut Rows<'_>) -> Stored<T>,
    ) -> Stored<T> {
        let done: Result<T, StoreFailure> = self.transact(durability, work);
        if done.is_err() {
            self.engine.handle_store_failure(now);
            self.drain(now);
        }
        done
    }
}

/// The same device under another token of a provider takes the place of the earlier one at the server; one of another provider would stay beside it.
fn wanted(push: Push, wish: Option<RegisterDevice>) -> Push {
    let mut leaving = push.leaving;
    let is_same = push.wish == wish;
    if let Some(old) = push.wish
        && wish.as_ref().is_none_or(|new| new.provider != old.provider)
    {
        leaving.push(old.token);
    }
    if let Some(new) = &wish {
        leaving.retain(|token| *token != new.token);
    }
    let surplus = leaving.len().saturating_sub(LEAVING_MAX);
    leaving.drain(..surplus);
    Push { wish, is_known: push.is_known && is_same, leaving }
}
