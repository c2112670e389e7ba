//! Who is signed in on this device: a folder with the account and its messages, for nobody else to read.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tertulia_client::{Client, Timestamp, TokenAnswer, User, UserId};

const ACCOUNT: &str = "account.json";
const STORE: &str = "chat.db";

/// A session is made longer once less than this is left of it. Servers give seven days.
const REFRESH_BELOW_MS: i64 = 6 * 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub server: String,
    pub token: String,
    /// `None`: not known, as of a token that came from elsewhere.
    pub expires_at: Option<Timestamp>,
    pub user_id: UserId,
    pub email: Option<String>,
    pub name: String,
}

impl Account {
    pub fn of_answer(server: &str, answer: TokenAnswer) -> Self {
        Self { expires_at: Some(answer.expires_at), ..Self::of_token(server, answer.token, answer.user) }
    }

    pub fn of_token(server: &str, token: String, user: User) -> Self {
        Self {
            server: server.to_owned(),
            token,
            expires_at: None,
            user_id: user.id,
            email: user.email,
            name: user.name,
        }
    }

    pub fn is_due_for_refresh(&self, now_ms: i64) -> bool {
        self.expires_at.is_some_and(|end| end.ms() - now_ms < REFRESH_BELOW_MS)
    }
}

/// The folder of one account.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// `given`, else the place the system has for data of programs.
    pub fn find(given: Option<PathBuf>) -> Result<Self> {
        let data = || {
            let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))
        };
        let folder = given.or_else(|| Some(data()?.join("tertulia-tui")));
        Ok(Self(folder.context("no HOME: name a folder with --data")?))
    }

    /// `None` where nobody is signed in.
    pub fn account(&self) -> Result<Option<Account>> {
        let file = self.0.join(ACCOUNT);
        let held = match fs::read(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            held => held.with_context(|| format!("can't read {}", file.display()))?,
        };
        Ok(Some(serde_json::from_slice(&held).with_context(|| format!("{} can't be understood", file.display()))?))
    }

    pub fn signed_in(&self) -> Result<Account> {
        self.account()?.context("nobody is signed in here: `tertulia-tui sign-in`")
    }

    /// Whole or not at all, whatever happens meanwhile.
    pub fn save(&self, account: &Account) -> Result<()> {
        self.make()?;
        let (file, beside) = (self.0.join(ACCOUNT), self.0.join("account.json.new"));
        let saved = || -> std::io::Result<()> {
            let mut new = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            new.write_all(&serde_json::to_vec_pretty(account)?)?;
            new.sync_all()?;
            fs::rename(&beside, &file)
        };
        saved().with_context(|| format!("can't write {}", file.display()))
    }

    fn make(&self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.with_context(|| format!("can't make {}", self.0.display()))
    }

    /// Not connected.
    pub fn open(&self, account: &Account) -> Result<Client> {
        self.make()?;
        let file = self.0.join(STORE);
        // SQLite gives the files beside it the same permissions.
        let touched = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&file);
        touched.with_context(|| format!("can't write {}", file.display()))?;
        let opened = Client::builder(&account.server).token(account.token.as_str()).file(&file).open();
        opened.with_context(|| {
            format!("can't open {} (another tertulia-tui may use it; --data names another folder)", file.display())
        })
    }

    /// After the client has let go of the file.
    pub fn wipe(&self) -> Result<()> {
        for name in [ACCOUNT, "account.json.new", STORE, "chat.db-wal", "chat.db-shm", "chat.db-journal"] {
            let file = self.0.join(name);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("can't remove {}", file.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
