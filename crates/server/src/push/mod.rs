//! Push notifications as this program has them: what can be set, and what can be asked. What is done is in `tertulia-notify`.

pub mod command;
mod settings;

pub use settings::PushSettings;
