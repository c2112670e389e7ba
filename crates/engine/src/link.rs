//! The connection: when to open it, when to give it up, how long to wait.

use crate::backoff::{self, Jitter};
use crate::config::Config;

/// One connection of this engine; a later one has a higher number. What an earlier one still brings is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// What the driver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkAction {
    Open(LinkId),
    Close(LinkId),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It could not be opened, or was lost.
    Lost,
    /// The server's close code.
    Code(u16),
}

/// What a person is told of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// Not asked to connect.
    Paused,
    /// No network.
    Offline,
    /// The next try comes at this time of the monotonic clock.
    Waiting {
        until_ms: u64,
    },
    Connecting,
    /// Open; `caught_up`: the first difference is here.
    Connected {
        caught_up: bool,
    },
    /// The server does not take the token: a new one is needed.
    SignedOut,
    /// The token is of another person than the data here.
    WrongAccount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Paused,
    Offline,
    Waiting { until: u64 },
    Opening { since: u64 },
    Open { caught_up: bool },
    SignedOut,
    WrongAccount,
}

/// Unauthenticated, replaced, too slow, rate limited, restarting: see the wire contract.
const UNAUTHENTICATED: u16 = 4401;
const REPLACED: u16 = 4409;
const TOO_SLOW: u16 = 4408;
const RATE_LIMITED: u16 = 4429;
const RESTARTING: u16 = 1012;

/// Whom a restarting server sends away is spread over this, and back with the difference before five seconds are over.
const RESTARTING_MAX_MS: u64 = 3500;

#[derive(Debug)]
pub(crate) struct Link {
    phase: Phase,
    id: LinkId,
    network: bool,
    attempt: u32,
    actions: Vec<LinkAction>,
}

impl Link {
    pub const fn new() -> Self {
        Self { phase: Phase::Paused, id: LinkId(0), network: true, attempt: 0, actions: Vec::new() }
    }

    pub const fn id(&self) -> LinkId {
        self.id
    }

    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Whether the first difference of the connection is here.
    pub const fn is_caught_up(&self) -> bool {
        matches!(self.phase, Phase::Open { caught_up: true })
    }

    /// Whether frames of this connection count.
    pub fn is_current(&self, link: LinkId) -> bool {
        link == self.id && matches!(self.phase, Phase::Opening { .. } | Phase::Open { .. })
    }

    pub fn take_action(&mut self) -> Option<LinkAction> {
        (!self.actions.is_empty()).then(|| self.actions.remove(0))
    }

    pub const fn state(&self) -> ConnectionState {
        match self.phase {
            Phase::Paused => ConnectionState::Paused,
            Phase::Offline => ConnectionState::Offline,
            Phase::Waiting { until } => ConnectionState::Waiting { until_ms: until },
            Phase::Opening { .. } => ConnectionState::Connecting,
            Phase::Open { caught_up } => ConnectionState::Connected { caught_up },
            Phase::SignedOut => ConnectionState::SignedOut,
            Phase::WrongAccount => ConnectionState::WrongAccount,
        }
    }

    /// Wanted from now on, at once.
    pub fn start(&mut self, now: u64) {
        self.attempt = 0;
        if self.is_open() || matches!(self.phase, Phase::Opening { .. }) {
            return;
        }
        self.phase = Phase::Waiting { until: now };
        self.tick(now, &Config::default());
    }

    pub fn pause(&mut self) {
        self.drop_connection();
        self.phase = Phase::Paused;
    }

    pub fn set_network(&mut self, up: bool, now: u64) {
        self.network = up;
        match (up, self.phase) {
            (true, Phase::Offline | Phase::Waiting { .. }) => {
                self.attempt = 0;
                self.phase = Phase::Waiting { until: now };
                self.tick(now, &Config::default());
            }
            (false, Phase::Waiting { .. } | Phase::Opening { .. } | Phase::Open { .. }) => {
                self.drop_connection();
                self.phase = Phase::Offline;
            }
            _ => {}
        }
    }

    pub const fn opened(&mut self) {
        self.phase = Phase::Open { caught_up: false };
    }

    pub const fn caught_up(&mut self) {
        if self.is_open() {
            self.phase = Phase::Open { caught_up: true };
            self.attempt = 0;
        }
    }

    pub fn wrong_account(&mut self) {
        self.drop_connection();
        self.phase = Phase::WrongAccount;
    }

    /// The connection is of no more use: another one after a while.
    pub fn give_up(&mut self, now: u64, jitter: &mut Jitter) {
        self.drop_connection();
        self.closed(Closed::Lost, now, jitter);
    }

    pub fn closed(&mut self, how: Closed, now: u64, jitter: &mut Jitter) {
        if !self.network {
            self.phase = Phase::Offline;
            return;
        }
        self.attempt = self.attempt.saturating_add(1);
        let wait = match how {
            Closed::Code(UNAUTHENTICATED) => {
                self.phase = Phase::SignedOut;
                return;
            }
            Closed::Code(TOO_SLOW) if self.attempt <= 1 => jitter.between(0, 500),
            Closed::Code(RESTARTING) if self.attempt <= 1 => jitter.between(0, RESTARTING_MAX_MS),
            // An opening that was given up came late, and is gone by now; or a copy of this store is in use elsewhere, and the two are not to chase each other.
            Closed::Code(REPLACED) => 3000 + backoff::reconnect_ms(self.attempt, jitter),
            Closed::Code(RATE_LIMITED) => 10_000 + backoff::reconnect_ms(self.attempt, jitter),
            _ => backoff::reconnect_ms(self.attempt, jitter),
        };
        self.phase = Phase::Waiting { until: now.saturating_add(wait) };
    }

    fn drop_connection(&mut self) {
        if matches!(self.phase, Phase::Opening { .. } | Phase::Open { .. }) {
            self.actions.push(LinkAction::Close(self.id));
        }
    }

    /// When [`Link::tick`] has something to do.
    pub const fn timeout(&self, config: &Config) -> Option<u64> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Opening { since } => Some(since.saturating_add(config.open_timeout_ms)),
            _ => None,
        }
    }

    /// Opens when the wait is over; says whether an opening took too long.
    pub fn tick(&mut self, now: u64, config: &Config) -> bool {
        match self.phase {
            Phase::Waiting { .. } if !self.network => self.phase = Phase::Offline,
            Phase::Waiting { until } if until <= now => {
                self.id = LinkId(self.id.0 + 1);
                self.phase = Phase::Opening { since: now };
                self.actions.push(LinkAction::Open(self.id));
            }
            Phase::Opening { since } => return since.saturating_add(config.open_timeout_ms) <= now,
            _ => {}
        }
        false
    }
}
