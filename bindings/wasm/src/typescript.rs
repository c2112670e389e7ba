//! Writes TypeScript's types, or finds that they were not written again: `TERTULIA_TYPES=write cargo test -p tertulia-wasm`.

use std::path::Path;

use ts_rs::{Config, TS};

use crate::calls::{Call, Opening, Topic, Who};
use crate::failure::{Failure, Remedy};
use crate::model;
use crate::notify;

fn written<T: TS>(config: &Config) -> String {
    format!("{}export {}\n", T::docs().unwrap_or_default(), T::decl(config))
}

macro_rules! all {
    ($config:expr; $($name:ty)*) => { [$(written::<$name>($config)),*].join("\n") };
}

#[test]
fn the_types_of_the_page_are_these() {
    use model::*;
    let config = Config::new().with_large_int("number");
    let types = all!(&config; UserId ConversationId MessageId ClientMsgId Ms MessageRef Status Reaction Message User Role Conversation Member Op Parked
        Waiting ConnectionState Typist Presence Refused Limits Kept Session SignedIn notify::PushOffer notify::Device notify::TestOutcome notify::DeviceTest
        notify::QuietHours notify::Settings ListStep<()> TimelineChange Failure Remedy Opening Who Call Topic);
    let types = format!("// Made from bindings/wasm/src by `cargo xtask types`; not to be changed by hand.\n\n{types}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/client/src/generated/types.ts");
    if std::env::var_os("TERTULIA_TYPES").is_some_and(|wish| wish == "write") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &types).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == types, "{}: not what the crate has now; run `cargo xtask types`", file.display());
}
