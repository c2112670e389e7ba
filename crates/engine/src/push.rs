//! The registration of this device for notifications, as far as it concerns what is told: the caller registers, and says how it went.
//!
//! The server notifies a device of what this very device has not told to have got. What it holds when it registers counts as told, or each registration
//! would begin with a receipt for every conversation; of everything later it tells by itself, also where another device of the person was faster.

use crate::engine::{Engine, Now};
use crate::intents::Told;
use crate::store::{LocalStore, Registration, Stored, SyncState};

/// How a registration went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationStep {
    /// The server is about to be asked. Where the registration stands it is only renewed.
    Asked,
    /// The server has it.
    Stands,
    /// The server has not taken it, or nothing was heard of it.
    Failed,
    /// The person wants no notifications here.
    Ended,
}

impl Engine {
    pub fn handle_registration(&mut self, store: &mut dyn LocalStore, now: Now, step: RegistrationStep) -> Stored<()> {
        let mut state = store.sync_state()?;
        state.registration = match (step, state.registration) {
            // One that was asked for by an earlier life of the app was not answered.
            (RegistrationStep::Asked, Registration::None | Registration::Asked) => {
                store.begin_telling()?;
                Registration::Asked
            }
            (RegistrationStep::Stands, Registration::Asked) => {
                // What was told since may have come before it.
                self.intents_soon(now, 0);
                Registration::Stands
            }
            (RegistrationStep::Failed, Registration::Asked)
            | (RegistrationStep::Ended, Registration::Asked | Registration::Stands) => {
                store.end_telling()?;
                Registration::None
            }
            _ => return Ok(()),
        };
        self.told.values_mut().for_each(Told::forget_device);
        store.put_sync_state(&state)
    }

    /// The log is another one: it may not know of the registration. The caller asks for it again.
    pub(crate) fn lose_registration(&mut self, store: &mut dyn LocalStore, state: &mut SyncState) -> Stored<()> {
        if state.registration == Registration::None {
            return Ok(());
        }
        self.told.values_mut().for_each(Told::forget_device);
        store.end_telling()?;
        state.registration = Registration::None;
        // Whoever is told of a conversation from here on reads it there.
        store.put_sync_state(state)
    }
}
