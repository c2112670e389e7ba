//! Who may do what to whom, as a table that is written out: each action, each role that asks, each role it is about.
//!
//! The letters: `.` yes, `F` forbidden, `N` not_found, `C` conflict, `G` gone, `I` invalid, `L` too_large.

#![expect(clippy::panic, reason = "a test fails by a panic, in its helpers too")]

use tertulia_core::HouseRules;
use tertulia_proto::ConversationKind::{self, Dm, Group};
use tertulia_proto::{ErrorCode, Role};
use tertulia_store::Action::{self, *};
use tertulia_store::{Facts, Rules as _, Target};

const STRANGER: Option<Role> = None;
const MEMBER: Option<Role> = Some(Role::Member);
const ADMIN: Option<Role> = Some(Role::Admin);
const OWNER: Option<Role> = Some(Role::Owner);

/// The columns of every table.
const ACTORS: [Option<Role>; 4] = [STRANGER, MEMBER, ADMIN, OWNER];

const GROUP_MEMBERS_MAX: usize = 5;

fn letter(action: Action, facts: &Facts) -> char {
    let rules = HouseRules { group_members_max: GROUP_MEMBERS_MAX };
    match rules.decide(action, facts).map_err(|refusal| refusal.code) {
        Ok(()) => '.',
        Err(ErrorCode::Forbidden) => 'F',
        Err(ErrorCode::NotFound) => 'N',
        Err(ErrorCode::Conflict) => 'C',
        Err(ErrorCode::Gone) => 'G',
        Err(ErrorCode::Invalid) => 'I',
        Err(ErrorCode::TooLarge) => 'L',
        Err(code) => panic!("{action:?}: no rule says {code:?}"),
    }
}

/// A row: what is asked, a group or a DM, what is so, and a letter for each of [`ACTORS`].
type Row = (Action, ConversationKind, fn(&mut Facts), &'static str);

/// A group of three with one owner; in a DM the other person is there, and nobody has blocked anybody.
fn facts(kind: ConversationKind, actor: Option<Role>) -> Facts {
    let mut facts = Facts::new(kind, actor);
    facts.member_count = 3;
    facts.owner_count = 1;
    if kind == Dm {
        facts.member_count = 2;
        facts.owner_count = 0;
        facts.target = Some(target(MEMBER));
    }
    facts
}

const fn target(role: Option<Role>) -> Target {
    Target { role, has_blocked_actor: false, is_blocked_by_actor: false }
}

#[track_caller]
fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    for (at, (action, kind, so, expected)) in rows.iter().enumerate() {
        let found: String = ACTORS
            .into_iter()
            .map(|actor| {
                let mut facts = facts(*kind, actor);
                so(&mut facts);
                letter(*action, &facts)
            })
            .collect();
        if found != *expected {
            wrong.push(format!("row {at}: {action:?} in {kind:?}: expected {expected}, was {found}"));
        }
    }
    assert!(wrong.is_empty(), "stranger, member, admin, owner:\n{}", wrong.join("\n"));
}

fn plain(_: &mut Facts) {}

fn own(facts: &mut Facts) {
    facts.is_author = true;
}

fn deleted(facts: &mut Facts) {
    facts.is_deleted = true;
}

fn own_and_deleted(facts: &mut Facts) {
    (facts.is_author, facts.is_deleted) = (true, true);
}

/// The other one has blocked who asks.
fn blocked_by_other(facts: &mut Facts) {
    let other = facts.target.unwrap_or(target(STRANGER));
    facts.target = Some(Target { has_blocked_actor: true, ..other });
    facts.is_author = true;
}

/// Who asks has blocked the other one.
fn blocked_by_actor(facts: &mut Facts) {
    let other = facts.target.unwrap_or(target(STRANGER));
    facts.target = Some(Target { is_blocked_by_actor: true, ..other });
    facts.is_author = true;
}

fn both_blocked(facts: &mut Facts) {
    blocked_by_other(facts);
    blocked_by_actor(facts);
}

fn about_stranger(facts: &mut Facts) {
    facts.target = Some(target(STRANGER));
}

fn about_member(facts: &mut Facts) {
    facts.target = Some(target(MEMBER));
}

fn about_admin(facts: &mut Facts) {
    facts.target = Some(target(ADMIN));
}

/// There is another one.
fn about_owner(facts: &mut Facts) {
    facts.target = Some(target(OWNER));
    facts.owner_count = 2;
}

fn about_last_owner(facts: &mut Facts) {
    facts.target = Some(target(OWNER));
    facts.owner_count = 1;
}

fn alone(facts: &mut Facts) {
    facts.member_count = 1;
}

fn two_owners(facts: &mut Facts) {
    facts.owner_count = 2;
}

fn stranger_to_full_group(facts: &mut Facts) {
    about_stranger(facts);
    facts.member_count = 5;
}

fn stranger_to_group_with_one_place(facts: &mut Facts) {
    about_stranger(facts);
    facts.member_count = 4;
}

fn member_of_full_group(facts: &mut Facts) {
    about_member(facts);
    facts.member_count = 5;
}

fn stranger_who_blocked(facts: &mut Facts) {
    about_stranger(facts);
    blocked_by_other(facts);
}

fn blocked_stranger(facts: &mut Facts) {
    about_stranger(facts);
    blocked_by_actor(facts);
}

fn with_themselves(facts: &mut Facts) {
    facts.is_author = true;
}

#[rustfmt::skip]
#[test]
fn whoever_is_a_member_sends_unless_the_dm_is_blocked() {
    check(&[
        (SendMessage, Group, plain,            "N..."),
        (SendMessage, Dm,    plain,            "N..."),
        (SendMessage, Dm,    blocked_by_other, "NFFF"),
        (SendMessage, Dm,    blocked_by_actor, "NFFF"),
        (SendMessage, Dm,    both_blocked,     "NFFF"),
    ]);
}

#[rustfmt::skip]
#[test]
fn only_authors_edit_and_only_what_stands() {
    check(&[
        (EditMessage, Group, plain,            "NFFF"),
        (EditMessage, Group, own,              "N..."),
        // Whoever may not edit it learns nothing of its end.
        (EditMessage, Group, deleted,          "NFFF"),
        (EditMessage, Group, own_and_deleted,  "NGGG"),
        (EditMessage, Dm,    plain,            "NFFF"),
        (EditMessage, Dm,    own,              "N..."),
        (EditMessage, Dm,    own_and_deleted,  "NGGG"),
        (EditMessage, Dm,    blocked_by_other, "NFFF"),
        (EditMessage, Dm,    blocked_by_actor, "NFFF"),
        (EditMessage, Dm,    both_blocked,     "NFFF"),
    ]);
}

#[rustfmt::skip]
#[test]
fn authors_delete_and_in_groups_admins_too() {
    check(&[
        (DeleteMessage, Group, plain,            "NF.."),
        (DeleteMessage, Group, own,              "N..."),
        // Deleting again is no error.
        (DeleteMessage, Group, deleted,          "NF.."),
        (DeleteMessage, Group, own_and_deleted,  "N..."),
        // Nobody moderates a DM, whatever a row says.
        (DeleteMessage, Dm,    plain,            "NFFF"),
        (DeleteMessage, Dm,    own,              "N..."),
        (DeleteMessage, Dm,    own_and_deleted,  "N..."),
        // One may take back one's words also where one may say no more.
        (DeleteMessage, Dm,    blocked_by_other, "N..."),
        (DeleteMessage, Dm,    blocked_by_actor, "N..."),
        (DeleteMessage, Dm,    both_blocked,     "N..."),
    ]);
}

#[rustfmt::skip]
#[test]
fn whoever_is_a_member_reacts_to_what_stands_and_takes_it_back_always() {
    check(&[
        (React,   Group, plain,            "N..."),
        (React,   Group, own,              "N..."),
        (React,   Group, deleted,          "NGGG"),
        (React,   Group, own_and_deleted,  "NGGG"),
        (React,   Dm,    plain,            "N..."),
        (React,   Dm,    deleted,          "NGGG"),
        (React,   Dm,    blocked_by_other, "NFFF"),
        (React,   Dm,    blocked_by_actor, "NFFF"),
        (React,   Dm,    both_blocked,     "NFFF"),
        (Unreact, Group, plain,            "N..."),
        (Unreact, Group, deleted,          "N..."),
        (Unreact, Dm,    plain,            "N..."),
        (Unreact, Dm,    deleted,          "N..."),
        (Unreact, Dm,    blocked_by_other, "N..."),
        (Unreact, Dm,    blocked_by_actor, "N..."),
        (Unreact, Dm,    both_blocked,     "N..."),
    ]);
}

#[rustfmt::skip]
#[test]
fn what_only_concerns_oneself_is_for_every_member() {
    check(&[
        (AdvanceWatermarks, Group, plain,            "N..."),
        (AdvanceWatermarks, Dm,    plain,            "N..."),
        (AdvanceWatermarks, Dm,    blocked_by_other, "N..."),
        (AdvanceWatermarks, Dm,    blocked_by_actor, "N..."),
        (AdvanceWatermarks, Dm,    both_blocked,     "N..."),
        (SetPersonal,       Group, plain,            "N..."),
        (SetPersonal,       Dm,    plain,            "N..."),
        (SetPersonal,       Dm,    blocked_by_other, "N..."),
        (SetPersonal,       Dm,    blocked_by_actor, "N..."),
        (SetPersonal,       Dm,    both_blocked,     "N..."),
    ]);
}

#[rustfmt::skip]
#[test]
fn owners_and_admins_rename_a_group_and_nobody_a_dm() {
    check(&[
        (Rename, Group, plain, "NF.."),
        (Rename, Dm,    plain, "NFFF"),
    ]);
}

#[rustfmt::skip]
#[test]
fn owners_and_admins_add_people_while_there_is_room() {
    check(&[
        (AddMember, Group, about_stranger,                   "NF.."),
        (AddMember, Group, about_member,                     "NF.."),
        (AddMember, Group, about_admin,                      "NF.."),
        (AddMember, Group, about_owner,                      "NF.."),
        (AddMember, Group, stranger_to_group_with_one_place, "NF.."),
        (AddMember, Group, stranger_to_full_group,           "NFLL"),
        // Who is in already takes no new place.
        (AddMember, Group, member_of_full_group,             "NF.."),
        (AddMember, Group, stranger_who_blocked,             "NFFF"),
        (AddMember, Group, blocked_stranger,                 "NFFF"),
        (AddMember, Dm,    about_stranger,                   "NFFF"),
        (AddMember, Dm,    plain,                            "NFFF"),
    ]);
}

#[rustfmt::skip]
#[test]
fn owners_remove_everybody_and_admins_members() {
    check(&[
        (RemoveMember, Group, about_member,     "NF.."),
        (RemoveMember, Group, about_admin,      "NFF."),
        (RemoveMember, Group, about_owner,      "NFF."),
        (RemoveMember, Group, about_last_owner, "NFF."),
        // The home then says that there is no such member.
        (RemoveMember, Group, about_stranger,   "NF.."),
        // Blocking somebody does not protect from being removed by them.
        (RemoveMember, Group, |facts| { about_member(facts); both_blocked(facts) }, "NF.."),
        (RemoveMember, Dm,    about_member,     "NFFF"),
    ]);
}

#[rustfmt::skip]
#[test]
fn everybody_leaves_but_the_last_owner_names_another_first() {
    const JUST: Action = Leave { names_successor: false };
    const NAMING: Action = Leave { names_successor: true };
    check(&[
        (JUST,   Group, plain,      "N..C"),
        (JUST,   Group, two_owners, "N..."),
        (JUST,   Group, alone,      "N..."),
        (NAMING, Group, plain,      "NFF."),
        (NAMING, Group, two_owners, "NFF."),
        (NAMING, Group, alone,      "NFF."),
        (JUST,   Dm,    plain,      "NFFF"),
        (NAMING, Dm,    plain,      "NFFF"),
    ]);
}

#[rustfmt::skip]
#[test]
fn owners_give_roles_and_the_last_one_stays() {
    check(&[
        (SetRole(Role::Member), Group, about_member,     "NFF."),
        (SetRole(Role::Admin),  Group, about_member,     "NFF."),
        (SetRole(Role::Owner),  Group, about_member,     "NFF."),
        (SetRole(Role::Member), Group, about_admin,      "NFF."),
        (SetRole(Role::Admin),  Group, about_admin,      "NFF."),
        (SetRole(Role::Owner),  Group, about_admin,      "NFF."),
        (SetRole(Role::Member), Group, about_owner,      "NFF."),
        (SetRole(Role::Admin),  Group, about_owner,      "NFF."),
        (SetRole(Role::Owner),  Group, about_owner,      "NFF."),
        (SetRole(Role::Member), Group, about_last_owner, "NFFC"),
        (SetRole(Role::Admin),  Group, about_last_owner, "NFFC"),
        (SetRole(Role::Owner),  Group, about_last_owner, "NFF."),
        // The home then says that there is no such member.
        (SetRole(Role::Admin),  Group, about_stranger,   "NFF."),
        (SetRole(Role::Member), Dm,    about_member,     "NFFF"),
        (SetRole(Role::Owner),  Dm,    about_member,     "NFFF"),
    ]);
}

#[rustfmt::skip]
#[test]
fn a_conversation_is_opened_with_somebody_else_whom_nobody_has_blocked() {
    check(&[
        (OpenDm,          Dm,    about_stranger,       "N..."),
        (OpenDm,          Dm,    with_themselves,      "NIII"),
        (OpenDm,          Dm,    |facts| { blocked_by_other(facts); facts.is_author = false }, "NFFF"),
        (OpenDm,          Dm,    |facts| { blocked_by_actor(facts); facts.is_author = false }, "NFFF"),
        (CreateGroupWith, Group, about_stranger,       "N..."),
        (CreateGroupWith, Group, stranger_who_blocked, "NFFF"),
        (CreateGroupWith, Group, blocked_stranger,     "NFFF"),
    ]);
}

/// An action without a row above does not compile here.
#[test]
fn a_stranger_learns_nothing_whatever_they_ask() {
    let asked_above = |action: Action| match action {
        SendMessage | EditMessage | DeleteMessage | React | Unreact | AdvanceWatermarks | Rename | AddMember => true,
        RemoveMember | Leave { .. } | SetRole(_) | SetPersonal | OpenDm | CreateGroupWith => true,
    };
    let actions = [
        SendMessage,
        EditMessage,
        DeleteMessage,
        React,
        Unreact,
        AdvanceWatermarks,
        Rename,
        AddMember,
        RemoveMember,
        Leave { names_successor: false },
        Leave { names_successor: true },
        SetRole(Role::Owner),
        SetPersonal,
        OpenDm,
        CreateGroupWith,
    ];
    let situations: [fn(&mut Facts); 8] =
        [plain, own, deleted, own_and_deleted, both_blocked, about_last_owner, stranger_to_full_group, alone];
    for (kind, situation) in [Dm, Group].into_iter().flat_map(|kind| situations.map(|situation| (kind, situation))) {
        for action in actions {
            let mut facts = facts(kind, STRANGER);
            situation(&mut facts);
            assert!(asked_above(action));
            let refusal = HouseRules::default().decide(action, &facts).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::NotFound, "{action:?} with {facts:?}");
            assert_eq!(refusal.detail, "no such conversation, or not for you to see");
        }
    }
}

#[test]
fn the_group_of_the_default_limits_holds_a_thousand() {
    let mut facts = facts(Group, OWNER);
    about_stranger(&mut facts);
    facts.member_count = 999;
    assert_eq!(HouseRules::default().decide(AddMember, &facts), Ok(()));
    facts.member_count = 1000;
    assert_eq!(HouseRules::default().decide(AddMember, &facts).unwrap_err().code, ErrorCode::TooLarge);
}
