//! Tertulia in a terminal: `tertulia-tui` for people, its commands for scripts and bots.
//!
//! This crate must not know: sockets, HTTP, SQL, or a message that is not [`tertulia_client`]'s. It shows what the client's subscriptions tell and
//! hands on what the person does.
//!
//! The way through: [`arguments`] and [`account`], who is signed in here; [`commands`] with [`json`], for scripts. For people: [`app`] the state and what
//! keys and news make of it, [`view`] what is drawn of it, both pure; [`screen`] ties them to the terminal and to the client. [`text`] what other
//! people wrote, made harmless.

mod account;
mod app;
mod arguments;
mod commands;
mod json;
#[cfg(test)]
mod sample;
mod screen;
mod text;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ran = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let ran = runtime.block_on(commands::run(arguments));
            // A thread may still wait for standard input.
            runtime.shutdown_background();
            ran
        });
    match ran {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tertulia-tui: {}", text::one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
