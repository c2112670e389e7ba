//! What kind of world a seed makes: who is there, what they like to do, and what goes wrong. Each world leaves many things out (swarm testing: Groce
//! et al., ISSTA 2012), so that what is rare together in one world is common in another.

use tertulia_engine::Config;
use tertulia_proto::Limits;
use tertulia_testkit::Random;

/// What somebody may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Send,
    Burst,
    Reply,
    EditLast,
    EditAny,
    Delete,
    React,
    Read,
    Mute,
    Draft,
    Type,
    Scroll,
    Retry,
    Discard,
    Offline,
    Online,
    Quit,
    NewGroup,
    AddMember,
    RemoveMember,
    Leave,
    Rename,
    SetRole,
    Hide,
    Block,
    Profile,
    Prune,
}

const DEEDS: [(Deed, usize); 27] = [
    (Deed::Send, 30),
    (Deed::Burst, 6),
    (Deed::Reply, 6),
    (Deed::EditLast, 8),
    (Deed::EditAny, 5),
    (Deed::Delete, 6),
    (Deed::React, 8),
    (Deed::Read, 14),
    (Deed::Mute, 2),
    (Deed::Draft, 2),
    (Deed::Type, 4),
    (Deed::Scroll, 5),
    (Deed::Retry, 3),
    (Deed::Discard, 3),
    (Deed::Offline, 5),
    (Deed::Online, 7),
    (Deed::Quit, 5),
    (Deed::NewGroup, 1),
    (Deed::AddMember, 3),
    (Deed::RemoveMember, 2),
    (Deed::Leave, 1),
    (Deed::Rename, 2),
    (Deed::SetRole, 1),
    (Deed::Hide, 2),
    (Deed::Block, 2),
    (Deed::Profile, 1),
    (Deed::Prune, 2),
];

/// What belongs together: deeds that only mean something when the others come before or after them.
pub const THEMES: [&[Deed]; 10] = [
    &[Deed::Send, Deed::Read, Deed::Scroll, Deed::Prune, Deed::EditAny, Deed::React],
    &[Deed::Burst, Deed::EditAny, Deed::React, Deed::Offline, Deed::Online],
    &[Deed::Send, Deed::Retry, Deed::Burst],
    &[Deed::Send, Deed::Delete, Deed::Quit, Deed::EditLast],
    &[Deed::Send, Deed::AddMember, Deed::RemoveMember, Deed::Leave],
    &[Deed::Read, Deed::Send, Deed::Delete, Deed::Scroll],
    &[Deed::Burst, Deed::Offline, Deed::Online, Deed::Reply],
    &[Deed::EditLast, Deed::Offline, Deed::Online],
    &[Deed::Send, Deed::Delete, Deed::Quit, Deed::Offline, Deed::Online],
    &[Deed::Send, Deed::NewGroup, Deed::Rename, Deed::Offline, Deed::Online],
];

/// In this theme backups are put back again and again: what was opened since is gone.
const PUT_BACK: usize = 9;

/// So many of them come up by themselves; the others are for who asks for them.
const THEMES_DRAWN: usize = 7;

/// How often, once in so many: 0 means never.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A frame on its way is lost, comes twice, or is overtaken, although its connection stays.
    pub drop_frame: usize,
    pub double_frame: usize,
    pub overtake_frame: usize,
    /// Of steps: a connection is cut.
    pub cut: usize,
    /// Of cuts: one end is not told.
    pub half_open: usize,
    /// Of connections that a device gives up: what is on its way over them arrives much later.
    pub late: usize,
    /// Of deaths of an app: the device loses its power, and what had not reached its disk.
    pub power_cut: usize,
    /// Of steps: a reader stops reading for a while.
    pub stall: usize,
    /// Of steps: the server dies, and with it what it had not committed.
    pub server_dies: usize,
    /// Of deaths: the server comes back from a backup.
    pub restore: usize,
    /// Of writes: the server's disk is full.
    pub server_full: usize,
    /// Of sends: the house refuses it for good, as a moderator would; the next try may be taken.
    pub refused: usize,
    /// Of local transactions: the device's disk is full, or the app dies inside, or after it before anything is sent.
    pub device_full: usize,
    pub app_dies_inside: usize,
    pub app_dies_after: usize,
    /// Of steps: a clock jumps.
    pub clock_jumps: usize,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub people: usize,
    pub devices: usize,
    pub groups: usize,
    pub deeds: usize,
    pub liked: Vec<(Deed, usize)>,
    pub faults: Faults,
    pub latency_ms: (u64, u64),
    pub pause_ms: u64,
    /// Frames on their way to one device before the server's writer waits.
    pub window: usize,
    pub limits: Limits,
    pub rate_limits: bool,
    pub config: Config,
}

impl Plan {
    /// `theme`: what people do all the time, in a world of small pages in which frames overtake each other; else the seed decides.
    pub fn draw(random: &mut Random, theme: Option<usize>) -> Self {
        let mut liked: Vec<(Deed, usize)> = Vec::new();
        for (deed, weight) in DEEDS {
            if matches!(deed, Deed::Send | Deed::Online | Deed::Read) || !random.one_in(3) {
                liked.push((deed, weight * (1 + random.below(3))));
            }
        }
        // Some of it they do all the time.
        let drawn = random.one_in(2).then(|| random.below(THEMES_DRAWN));
        if let Some(theme) = theme.or(drawn).and_then(|number| THEMES.get(number)) {
            liked.retain(|(deed, _)| !theme.contains(deed));
            liked.extend(theme.iter().map(|deed| (*deed, 60)));
        }
        let small = random.one_in(2) || theme.is_some();
        let limits = Limits {
            sync_messages_max: if small { 2 + random.below(6) } else { 100 },
            sync_page_max: if random.one_in(2) { 1 + random.below(3) } else { 100 },
            lane_max_frames: if random.one_in(4) { 12 } else { 4096 },
            in_flight_max: 1 + random.below(64),
            sends_per_10s: 8,
            sends_per_conversation_per_minute: 40,
            conversations_opened_per_10min: 1_000_000,
            ..Limits::default()
        };
        let config = Config {
            history_page: if small { 3 } else { 50 },
            sends_in_flight_max: 1 + random.below(16),
            in_flight_max: 1 + random.below(64),
            gap_events_max: 1 + random.below(16),
            gaps_max: 1 + random.below(3),
            fills_max: 1 + random.below(3),
            ..Config::default()
        };
        let narrow = theme.is_some_and(|theme| theme >= THEMES_DRAWN);
        if narrow {
            liked.retain(|(_, weight)| *weight == 60);
            liked.push((Deed::Send, 4));
        }
        let slowest = [5, 50, 400, 3000];
        let mut faults = Faults::draw(random);
        if theme.is_some_and(|theme| theme < THEMES_DRAWN) {
            faults.overtake_frame = 8;
        }
        let mut plan = Self {
            people: 2 + random.below(3),
            devices: 1 + random.below(3),
            groups: 1 + random.below(3),
            deeds: 40 + random.below(160),
            liked,
            faults,
            latency_ms: (1, *random.pick(&slowest).unwrap_or(&50)),
            pause_ms: *random.pick(&[10, 200, 2000, 8000]).unwrap_or(&200),
            window: 1 + random.below(32),
            limits,
            rate_limits: random.one_in(4),
            config,
        };
        if narrow {
            // Two people with two devices in two conversations: so it is mostly the same message that is edited.
            (plan.people, plan.devices, plan.groups) = (2, 2, 1);
            (plan.latency_ms, plan.pause_ms) = ((1, 3000), 400);
        }
        if theme == Some(PUT_BACK) {
            (plan.faults.server_dies, plan.faults.restore) = (40, 1);
        }
        plan
    }
}

impl Faults {
    /// Drawn by itself: it came after worlds that are to stay what they were.
    pub fn draw_late(seed: u64) -> usize {
        let mut random = Random::new(seed ^ 0x6c61_7465);
        if random.one_in(2) { 1 + random.below(3) } else { 0 }
    }

    /// The same.
    pub fn draw_power_cut(seed: u64) -> usize {
        let mut random = Random::new(seed ^ 0x0070_6f77_6572);
        if random.one_in(3) { 1 + random.below(3) } else { 0 }
    }

    fn draw(random: &mut Random) -> Self {
        if random.one_in(10) {
            return Self::default();
        }
        let mut maybe = |often: usize| if random.one_in(2) { 0 } else { often * (1 + random.below(4)) };
        Self {
            drop_frame: maybe(40),
            double_frame: maybe(30),
            overtake_frame: maybe(8),
            cut: maybe(60),
            half_open: maybe(1),
            late: 0,
            power_cut: 0,
            stall: maybe(80),
            server_dies: maybe(80),
            restore: maybe(2),
            server_full: maybe(30),
            refused: maybe(8),
            device_full: maybe(60),
            app_dies_inside: maybe(100),
            app_dies_after: maybe(100),
            clock_jumps: maybe(60),
        }
    }
}
