//! Telling other programs what happens: their endpoints over HTTP. What is told when is [`tertulia_notify::webhooks`].

pub mod command;
mod send;
mod settings;
mod sign;

pub use self::settings::WebhookSettings;
