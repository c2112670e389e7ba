//! Who is told what: decided on facts alone, without IO, so that every rule is a line of a table in the tests.
//!
//! A device needs a notification of what it has not got, over a socket or as a notification before, and what its person has not read anywhere. Mute and
//! quiet hours are the person's, content or none is the device's and the house's.

use tertulia_proto::{ConversationKind, Seq, Timestamp};
use tertulia_store::push::{Occasion, Seat, Unseen};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::notification::{Notification, NotificationKind};

/// Characters of a title and of a body.
pub const TEXT_MAX_CHARS: usize = 100;

/// In quiet hours it is looked again so often, in milliseconds.
const QUIET_LOOK_MS: i64 = 900_000;

/// So much longer a client waits for each member, in milliseconds (`delivered_soon` of the engine).
const MEMBER_MS: i64 = 10;

/// The house's own wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// No notification says who wrote, what, or where.
    pub is_private: bool,
    /// What stands there instead of who.
    pub name: String,
    /// What stands there instead of what.
    pub private_text: String,
    /// How long a device has to say that it has a message, in milliseconds.
    pub grace_ms: i64,
    /// Nobody is told of what is older, in milliseconds: jobs may have waited for a provider, or for somebody to set one up.
    pub age_max_ms: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            is_private: false,
            name: "Tertulia".to_owned(),
            private_text: "New message".to_owned(),
            grace_ms: 3000,
            age_max_ms: 86_400_000,
        }
    }
}

/// What is to be done about one device and one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    Nothing,
    /// Not before then; everything is looked at again.
    Later(Timestamp),
    Tell(Box<Notification>),
    /// What it shows of the conversation was read elsewhere, or is no longer theirs to see.
    TakeAway(Box<Notification>),
}

/// Whether a job for this device is worth its while: a cheap look, on less than a plan knows.
pub fn may_need(seat: &Seat, last_seq: Seq, now: Timestamp) -> bool {
    seat.seen_seq() < last_seq && !is_muted(seat, now)
}

fn is_muted(seat: &Seat, now: Timestamp) -> bool {
    seat.muted_until.is_some_and(|until| until > now)
}

/// `quiet_until`: the end of the person's quiet hours, where `now` lies in them.
pub fn plan(occasion: &Occasion, quiet_until: Option<Timestamp>, now: Timestamp, policy: &Policy) -> Plan {
    let Some(seat) = &occasion.seat else { return Plan::Nothing };
    let is_over = seat.has_left || seat.pushed_seq <= seat.read_seq;
    let shows_what_is_over = seat.pushed_seq > seat.withdrawn_seq && is_over;
    let is_told = !seat.has_left && !is_muted(seat, now);
    let news = if is_told { news(occasion, quiet_until, now, policy) } else { None };
    match news {
        // What is told takes the place of what is shown. Quiet hours keep nothing from being taken away: their end may be far.
        Some(plan) if !(shows_what_is_over && is_quiet(quiet_until, now)) => plan,
        _ if shows_what_is_over => Plan::TakeAway(Box::new(withdrawal(occasion, seat, now))),
        _ => Plan::Nothing,
    }
}

fn is_quiet(quiet_until: Option<Timestamp>, now: Timestamp) -> bool {
    quiet_until.is_some_and(|end| end > now)
}

/// What is to be done about messages that the device has not seen, where there are some worth it.
fn news(occasion: &Occasion, quiet_until: Option<Timestamp>, now: Timestamp, policy: &Policy) -> Option<Plan> {
    let (newest, oldest) = (occasion.unseen.first()?, occasion.unseen.last()?);
    if is_old(newest, now, policy) {
        return None;
    }
    if let Some(end) = quiet_until.filter(|end| *end > now) {
        // They may end them sooner than they said.
        return Some(Plan::Later(end.min(now.plus_ms(QUIET_LOOK_MS))));
    }
    // Who is there says so of the oldest first: as long as that one may still be on its way, so may all. Of a flood the oldest is not known here.
    let is_flood = usize::try_from(occasion.unseen_count).is_ok_and(|count| count > occasion.unseen.len());
    let grace = grace_ms(occasion, policy);
    let due = oldest.created_at.plus_ms(grace);
    // A message of a time that is far ahead is of a clock that has gone back since: nobody waits until then.
    let is_ahead = oldest.created_at > now.plus_ms(grace);
    if due > now && !is_flood && !is_ahead {
        return Some(Plan::Later(due));
    }
    Some(Plan::Tell(Box::new(message(occasion, newest, now, policy))))
}

fn is_old(message: &Unseen, now: Timestamp, policy: &Policy) -> bool {
    message.created_at.ms() < now.ms().saturating_sub(policy.age_max_ms)
}

/// Devices wait before they say that they have got something, longer in larger groups, where each word of it goes to many.
fn grace_ms(occasion: &Occasion, policy: &Policy) -> i64 {
    policy
        .grace_ms
        .saturating_add(occasion.place.member_count.clamp(2, 1000).saturating_sub(2).saturating_mul(MEMBER_MS))
}

fn message(occasion: &Occasion, newest: &Unseen, now: Timestamp, policy: &Policy) -> Notification {
    let is_private = policy.is_private || !occasion.target.shows_content;
    let (title, body) = if is_private {
        (cut(&policy.name), cut(&policy.private_text))
    } else {
        match (occasion.place.kind, &occasion.place.title) {
            (ConversationKind::Group, title) => {
                let title = title.as_deref().map(cut).filter(|title| !title.is_empty());
                let title = title.unwrap_or_else(|| cut(&policy.name));
                (title, cut(&format!("{}: {}", newest.sender_name, newest.body)))
            }
            (ConversationKind::Dm, _) => (cut(&newest.sender_name), cut(&newest.body)),
        }
    };
    let conversation = occasion.conversation;
    Notification {
        kind: NotificationKind::Message,
        title,
        body,
        badge: occasion.badge,
        conversation,
        message: Some(newest.id),
        seq: newest.seq,
        link: format!("/c/{conversation}?m={}", newest.id),
        sent_at: now,
        silent: false,
    }
}

fn withdrawal(occasion: &Occasion, seat: &Seat, now: Timestamp) -> Notification {
    let conversation = occasion.conversation;
    Notification {
        kind: NotificationKind::Withdrawal,
        title: String::new(),
        body: String::new(),
        badge: occasion.badge,
        conversation,
        message: None,
        seq: seat.pushed_seq,
        link: format!("/c/{conversation}"),
        sent_at: now,
        silent: true,
    }
}

/// One line of at most [`TEXT_MAX_CHARS`] characters that ends between two graphemes. Without control characters, and without those that would have the
/// rest of the line read in another direction.
fn cut(text: &str) -> String {
    let is_override = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line: String = words.join(" ").chars().filter(|c| !is_override(*c)).collect();
    if line.chars().count() <= TEXT_MAX_CHARS {
        return line;
    }
    let (mut kept, mut count) = (String::new(), 0);
    for grapheme in line.graphemes(true) {
        count += grapheme.chars().count();
        if count >= TEXT_MAX_CHARS {
            break;
        }
        kept.push_str(grapheme);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use tertulia_proto::{ConversationId, MessageId, Platform, PushProvider, RegistrationId, UserId};
    use tertulia_store::push::{PushPlace, PushTarget};

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000_000);

    fn seat() -> Seat {
        Seat {
            user: UserId::from_bytes([1; 16]),
            registration: RegistrationId::from_bytes([2; 16]),
            provider: PushProvider::Fcm,
            visible_after_seq: 0,
            read_seq: 4,
            delivered_seq: 4,
            pushed_seq: 0,
            withdrawn_seq: 0,
            muted_until: None,
            has_left: false,
        }
    }

    fn unseen(seq: Seq, body: &str) -> Unseen {
        Unseen {
            id: MessageId::from_bytes([9; 16]),
            seq,
            sender: UserId::from_bytes([3; 16]),
            sender_name: "Ben".into(),
            body: body.into(),
            created_at: NOW.plus_ms(-3000),
        }
    }

    fn occasion() -> Occasion {
        Occasion {
            target: PushTarget {
                registration: RegistrationId::from_bytes([2; 16]),
                user: UserId::from_bytes([1; 16]),
                provider: PushProvider::Fcm,
                platform: Platform::Android,
                token: "t".into(),
                shows_content: true,
            },
            conversation: ConversationId::from_bytes([7; 16]),
            place: PushPlace { kind: ConversationKind::Dm, title: None, member_count: 2 },
            seat: Some(seat()),
            unseen: vec![unseen(6, "and again"), unseen(5, "hello")],
            unseen_count: 2,
            badge: 12,
            quiet_hours: None,
        }
    }

    fn with(change: impl FnOnce(&mut Seat)) -> Occasion {
        let mut changed = seat();
        change(&mut changed);
        Occasion { seat: Some(changed), ..occasion() }
    }

    fn told(occasion: &Occasion, policy: &Policy) -> Notification {
        match plan(occasion, None, NOW, policy) {
            Plan::Tell(notification) => *notification,
            other => panic!("{other:?}"),
        }
    }

    fn planned(occasion: &Occasion, quiet_until: Option<Timestamp>) -> String {
        match plan(occasion, quiet_until, NOW, &Policy::default()) {
            Plan::Nothing => "nothing".to_owned(),
            Plan::Later(at) => format!("later {}", at.ms() - NOW.ms()),
            Plan::Tell(_) => "tell".to_owned(),
            Plan::TakeAway(_) => "take away".to_owned(),
        }
    }

    #[test]
    fn a_device_is_worth_a_job_unless_it_has_come_to_the_end_or_is_muted() {
        type Change = fn(&mut Seat);
        let table: [(&str, Change, bool); 9] = [
            ("neither read nor reached", |_| (), true),
            ("read, on whichever device", |s| s.read_seq = 6, false),
            ("reached by a socket", |s| s.delivered_seq = 6, false),
            ("notified of all", |s| s.pushed_seq = 6, false),
            ("notified of a part", |s| s.pushed_seq = 5, true),
            ("joined after the end", |s| s.visible_after_seq = 6, false),
            ("muted", |s| s.muted_until = Some(NOW.plus_ms(1)), false),
            ("a mute that has ended", |s| s.muted_until = Some(NOW), true),
            ("what was taken away says nothing", |s| s.withdrawn_seq = 6, true),
        ];
        for (name, change, expected) in table {
            let mut changed = seat();
            change(&mut changed);
            assert_eq!(may_need(&changed, 6, NOW), expected, "{name}");
        }
    }

    #[test]
    fn what_is_done_follows_from_what_is_so() {
        let nothing_new = |change: fn(&mut Seat)| Occasion { unseen: vec![], unseen_count: 0, ..with(change) };
        let aged = |ms: i64| {
            let mut old = unseen(6, "old");
            old.created_at = NOW.plus_ms(-ms);
            Occasion { unseen: vec![old], unseen_count: 1, ..occasion() }
        };
        let of_members = |member_count| {
            let aged = aged(3000);
            Occasion { place: PushPlace { member_count, ..aged.place.clone() }, ..aged }
        };
        let flood = Occasion { unseen_count: 3, ..aged(2999) };
        let burst = |ms| Occasion { unseen: [aged(0).unseen, aged(ms).unseen].concat(), ..occasion() };
        let (day, quiet) = (86_400_000, Some(NOW.plus_ms(5000)));
        let gone = |s: &mut Seat| (s.has_left, s.pushed_seq) = (true, 6);
        let table: [(&str, Occasion, Option<Timestamp>, &str); 27] = [
            ("as young as the grace", aged(3000), None, "tell"),
            ("a little ahead", aged(-3000), None, "later 6000"),
            ("of a clock that has gone back", aged(-3001), None, "tell"),
            ("younger", aged(2999), None, "later 1"),
            ("of a clock that was ahead", aged(-60_000), None, "tell"),
            ("a burst whose first has waited", burst(3000), None, "tell"),
            ("a burst whose first has not", burst(2000), None, "later 1000"),
            ("in a group of twelve it waits longer", of_members(12), None, "later 100"),
            ("in the largest no longer than in one of a thousand", of_members(5000), None, "later 9980"),
            ("more than is known here", flood, None, "tell"),
            ("unseen", occasion(), None, "tell"),
            ("never a member", Occasion { seat: None, ..occasion() }, None, "nothing"),
            ("no member any more", with(|s| s.has_left = true), None, "nothing"),
            ("no member any more, and shown what was not read", with(gone), None, "take away"),
            ("the same in quiet hours", with(gone), quiet, "take away"),
            ("the same, muted", with(|s| (gone(s), s.muted_until = Some(NOW.plus_ms(1))).1), None, "take away"),
            ("nothing new", nothing_new(|_| ()), None, "nothing"),
            ("muted", with(|s| s.muted_until = Some(NOW.plus_ms(1))), None, "nothing"),
            ("muted until now", with(|s| s.muted_until = Some(NOW)), None, "tell"),
            ("in quiet hours", occasion(), quiet, "later 5000"),
            ("muted in quiet hours", with(|s| s.muted_until = Some(NOW.plus_ms(1))), quiet, "nothing"),
            ("as old as it may be", aged(day), None, "tell"),
            ("too old", aged(day + 1), None, "nothing"),
            ("shown and read", nothing_new(|s| (s.pushed_seq, s.read_seq) = (5, 5)), None, "take away"),
            (
                "shown and read, in quiet hours",
                nothing_new(|s| (s.pushed_seq, s.read_seq) = (5, 6)),
                quiet,
                "take away",
            ),
            ("shown and not all of it read", nothing_new(|s| (s.pushed_seq, s.read_seq) = (6, 5)), None, "nothing"),
            (
                "taken away already",
                nothing_new(|s| (s.pushed_seq, s.withdrawn_seq, s.read_seq) = (5, 5, 6)),
                None,
                "nothing",
            ),
        ];
        for (name, occasion, quiet_until, expected) in table {
            assert_eq!(planned(&occasion, quiet_until), expected, "{name}");
        }
    }

    #[test]
    fn quiet_hours_keep_nothing_from_being_taken_away() {
        let quiet = Some(NOW.plus_ms(5000));
        let table: [(&str, Occasion, Option<Timestamp>, &str); 4] = [
            (
                "shown and read, and more came in quiet hours",
                with(|s| (s.pushed_seq, s.read_seq) = (4, 4)),
                quiet,
                "take away",
            ),
            (
                "taken away, and more came in quiet hours",
                with(|s| (s.pushed_seq, s.withdrawn_seq) = (4, 4)),
                quiet,
                "later 5000",
            ),
            (
                "shown and not read, and more came in quiet hours",
                with(|s| (s.pushed_seq, s.read_seq) = (5, 4)),
                quiet,
                "later 5000",
            ),
            ("shown and read, and more came", with(|s| (s.pushed_seq, s.read_seq) = (4, 4)), None, "tell"),
        ];
        for (name, occasion, quiet_until, expected) in table {
            assert_eq!(planned(&occasion, quiet_until), expected, "{name}");
        }
    }

    #[test]
    fn in_long_quiet_hours_it_is_looked_again_now_and_then() {
        let end = NOW.plus_ms(36_000_000);
        let planned = plan(&occasion(), Some(end), NOW, &Policy::default());
        assert_eq!(planned, Plan::Later(NOW.plus_ms(QUIET_LOOK_MS)));
    }

    #[test]
    fn the_newest_message_is_told_with_the_way_to_it() {
        let told = told(&occasion(), &Policy::default());
        let (conversation, id) = (occasion().conversation, occasion().unseen[0].id);
        assert_eq!((told.title.as_str(), told.body.as_str()), ("Ben", "and again"));
        assert_eq!((told.seq, told.badge, told.message), (6, 12, Some(id)));
        assert_eq!(told.link, format!("/c/{conversation}?m={id}"));
        assert_eq!((told.kind, told.silent, told.sent_at), (NotificationKind::Message, false, NOW));
    }

    #[test]
    fn a_group_stands_above_and_the_sender_before_what_they_say() {
        let group = |title: Option<&str>| Occasion {
            place: PushPlace { kind: ConversationKind::Group, title: title.map(str::to_owned), member_count: 2 },
            ..occasion()
        };
        let one = told(&group(Some("Book club")), &Policy::default());
        assert_eq!((one.title.as_str(), one.body.as_str()), ("Book club", "Ben: and again"));
        assert_eq!(told(&group(Some("\u{202e} ")), &Policy::default()).title, "Tertulia");
    }

    #[test]
    fn where_nothing_is_to_be_said_neither_who_nor_what_nor_where_is_said() {
        let place = PushPlace { kind: ConversationKind::Group, title: Some("Divorce".into()), member_count: 2 };
        let group = Occasion { place, ..occasion() };
        let of_the_device =
            Occasion { target: PushTarget { shows_content: false, ..group.target.clone() }, ..group.clone() };
        let of_the_house = Policy { is_private: true, ..Policy::default() };
        for told in [told(&of_the_device, &Policy::default()), told(&group, &of_the_house)] {
            assert_eq!((told.title.as_str(), told.body.as_str()), ("Tertulia", "New message"));
        }
    }

    #[test]
    fn a_withdrawal_says_nothing_but_where_and_the_new_badge() {
        let read = Occasion { unseen: vec![], badge: 3, ..with(|s| (s.pushed_seq, s.read_seq) = (5, 5)) };
        let Plan::TakeAway(taken) = plan(&read, None, NOW, &Policy::default()) else { panic!("not taken away") };
        assert_eq!((taken.title.as_str(), taken.body.as_str(), taken.message), ("", "", None));
        assert_eq!((taken.seq, taken.badge, taken.silent), (5, 3, true));
    }

    #[test]
    fn a_text_is_cut_between_graphemes_to_one_line_without_tricks() {
        assert_eq!(cut("a\n\tb\u{0}  c"), "a b c");
        assert_eq!(cut("pay \u{202e}gpj.exe\u{2066}"), "pay gpj.exe");
        assert_eq!(cut(&"x".repeat(100)), "x".repeat(100));
        assert_eq!(cut(&"x".repeat(101)), format!("{}…", "x".repeat(99)));
        // Seven characters each, never a half of one.
        let family = "👨‍👩‍👧‍👦";
        let cut_families = cut(&family.repeat(30));
        assert_eq!(cut_families, format!("{}…", family.repeat(14)));
        assert!(cut_families.chars().count() <= TEXT_MAX_CHARS);
        // One grapheme that is longer than the whole.
        assert_eq!(cut(&format!("a{}", "\u{301}".repeat(500))), "…");
        assert_eq!(cut(""), "");
    }
}
