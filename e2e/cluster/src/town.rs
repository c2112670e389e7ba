//! Who lives there: people with two devices each, what they talk in, and what their devices wrote down.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tertulia_client::ConversationId;
use tertulia_testkit::{Chaos, Folder, Person, Random, Server, program, within};
use tokio::task::JoinSet;

use crate::device::{Device, Running};
use crate::record::{Names, Record};

pub const DEVICES: [&str; 2] = ["phone", "desk"];

pub struct Town {
    pub people: Vec<Person>,
    /// And who is in it, by number.
    conversations: Vec<(ConversationId, Vec<usize>)>,
    histories: PathBuf,
    stores: Folder,
}

impl Town {
    /// The histories stay, for whoever wants to know what happened; those of before do not.
    pub fn new(
        people: Vec<Person>,
        conversations: Vec<(ConversationId, Vec<usize>)>,
        histories: PathBuf,
    ) -> Result<Self> {
        let _ = std::fs::remove_dir_all(&histories);
        std::fs::create_dir_all(&histories)?;
        Ok(Self { people, conversations, histories, stores: Folder::new()? })
    }

    /// All of them, on their way to `server`, each with at most `rest` between two things that it does.
    pub fn devices(&self, server: &str, rest: Duration, random: &mut Random) -> Result<Vec<Device>> {
        let names: Arc<Names> = Arc::new(self.people.iter().map(|person| (person.id, person.name.clone())).collect());
        let mut devices = Vec::new();
        for (number, person) in self.people.iter().enumerate() {
            let here = self.conversations.iter().filter(|(_, members)| members.contains(&number));
            let conversations: Vec<ConversationId> = here.map(|(id, _)| *id).collect();
            for device in DEVICES {
                let name = format!("{}-{device}", person.name);
                devices.push(Device {
                    server: server.to_owned(),
                    token: person.token.clone(),
                    me: person.id,
                    file: self.stores.path().join(format!("{name}.db")),
                    conversations: conversations.clone(),
                    record: Record::new(&self.histories, &name, &person.name, Arc::clone(&names))?,
                    random: random.fork(),
                    rest,
                });
            }
        }
        Ok(devices)
    }

    /// All that was written reaches everybody, and everybody has read it; then each writes down what it has in the end.
    pub async fn end(&self, server: &Server, links: &Chaos, devices: &[Running]) -> Result<()> {
        links.calm();
        links.cut_all();
        for device in devices {
            device.sent_all().await?;
        }
        for (conversation, members) in &self.conversations {
            let last_seq = server.api(&self.people[members[0]]).conversation(*conversation).await?.last_seq;
            let here = || devices.iter().filter(|device| device.is_in(*conversation));
            for device in here() {
                device.read_all(*conversation, last_seq).await?;
            }
            for device in here() {
                device.all_have_read(*conversation, last_seq).await?;
            }
        }
        for device in devices {
            device.sync_again().await?;
        }
        for device in devices {
            device.write_ends().await?;
        }
        Ok(())
    }

    /// What the program says of all histories that knows nothing of this one.
    pub async fn verdict(&self) -> Result<String> {
        let mut command = Command::new(program("tertulia-history", "TERTULIA_HISTORY_BIN", "tertulia-history")?);
        for file in std::fs::read_dir(&self.histories)? {
            command.arg(file?.path());
        }
        let output = within("the verdict", tokio::task::spawn_blocking(move || command.output())).await???;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}{complained}", output.status);
        Ok(said)
    }
}

/// Lets them live for a while, unless one fails.
pub async fn peace(time: Duration, lives: &mut JoinSet<Result<Running>>) -> Result<()> {
    if let Ok(Some(ended)) = tokio::time::timeout(time, lives.join_next()).await {
        ended??;
        bail!("a device ended in the middle of it");
    }
    Ok(())
}

/// All that were told to stop.
pub async fn stopped(mut lives: JoinSet<Result<Running>>) -> Result<Vec<Running>> {
    let mut devices = Vec::new();
    while let Some(device) = within("the devices stop", lives.join_next()).await? {
        devices.push(device??);
    }
    Ok(devices)
}
