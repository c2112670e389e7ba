//! Histories written by hand: good ones pass, and of each kind of violation one is found.

use tertulia_history::entry::Entry;
use tertulia_history::{Summary, Violation, check};

/// Two people in one conversation; Alice has a phone and a desk.
const CLIENTS: [&str; 3] = ["alice-phone", "alice-desk", "bob-phone"];

fn line(client: &str, event: &str, fields: &str) -> String {
    let user = client.split_once('-').map_or(client, |(user, _)| user);
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"at_ms":1,"client":"{client}","user":"{user}","conversation":"c","event":"{event}"{comma}{fields}}}"#)
}

fn send(client: &str, name: &str, body: &str) -> String {
    line(client, "send", &format!(r#""name":"{name}","body":"{body}""#))
}

fn ack(client: &str, name: &str, seq: i64) -> String {
    line(client, "ack", &format!(r#""name":"{name}","seq":{seq}"#))
}

fn message(sender: &str, name: &str, seq: i64, body: &str, more: &str) -> String {
    format!(r#""sender":"{sender}","name":"{name}","seq":{seq},"body":"{body}"{more}"#)
}

fn see(client: &str, message: &str) -> String {
    line(client, "see", message)
}

fn mark(client: &str, of: &str, delivered: i64, read: i64) -> String {
    line(client, "watermark", &format!(r#""of":"{of}","delivered":{delivered},"read":{read}"#))
}

fn last(client: &str, messages: &[String], watermarks: &str) -> String {
    let messages: Vec<String> = messages.iter().map(|message| format!("{{{message}}}")).collect();
    line(client, "final", &format!(r#""messages":[{}],"watermarks":{{{watermarks}}}"#, messages.join(",")))
}

fn lasts(messages: &[String]) -> Vec<String> {
    CLIENTS.iter().map(|client| last(client, messages, "")).collect()
}

fn judged(lines: &[Vec<String>]) -> Result<Summary, Violation> {
    let unreadable = |what| Violation { what, entries: Vec::new() };
    let entries: Vec<Entry> =
        lines.iter().flatten().map(|line| Entry::parse(line)).collect::<Result<_, _>>().map_err(unreadable)?;
    check(&entries)
}

/// What is said of a history that ends with all clients having the same messages.
fn broken(lines: Vec<String>, messages: &[String]) -> String {
    judged(&[lines, lasts(messages)]).map_or_else(|violation| violation.what, |_| "sound".to_owned())
}

fn sound(lines: Vec<String>, messages: &[String]) {
    assert_eq!(judged(&[lines, lasts(messages)]).map(drop), Ok(()));
}

fn hola() -> Vec<String> {
    vec![send("alice-phone", "a1", "Hola"), send("bob-phone", "b1", "Buenas")]
}

fn hola_log() -> Vec<String> {
    vec![message("alice", "a1", 1, "Hola", ""), message("bob", "b1", 2, "Buenas", "")]
}

fn with(mut lines: Vec<String>, more: impl IntoIterator<Item = String>) -> Vec<String> {
    lines.extend(more);
    lines
}

#[test]
fn a_history_that_keeps_the_promises_is_sound() {
    let seen = CLIENTS.iter().flat_map(|client| hola_log().into_iter().map(|message| see(client, &message)));
    let lines = with(hola(), [ack("alice-phone", "a1", 1), ack("bob-phone", "b1", 2)].into_iter().chain(seen));
    let summary = judged(&[lines, lasts(&hola_log())]).unwrap();
    assert_eq!((summary.sends, summary.acks, summary.sights, summary.finals), (2, 2, 6, 3));
    assert_eq!(judged(&[]).unwrap(), Summary::default());
}

#[test]
fn what_was_acknowledged_or_seen_and_is_not_there_is_found() {
    let log = &hola_log()[..1];
    let acknowledged = broken(with(hola(), [ack("bob-phone", "b1", 2)]), log);
    assert_eq!(acknowledged, "b1 of bob was at 2, and alice-desk does not have it");
    let seen = broken(with(hola(), [see("alice-desk", &hola_log()[1])]), log);
    assert_eq!(seen, acknowledged);
}

#[test]
fn what_was_sent_by_who_has_nothing_left_to_send_and_is_not_there_is_found() {
    let lost = broken(hola(), &hola_log()[..1]);
    assert_eq!(lost, "b1 of bob was sent, nothing waits to be sent, and alice-desk does not have it");
    let unfinished = [last("alice-phone", &hola_log()[..1], ""), last("alice-desk", &hola_log()[..1], "")];
    judged(&[hola(), unfinished.into()]).unwrap();
}

#[test]
fn a_message_at_two_places_is_found() {
    let twice = [message("alice", "a1", 1, "Hola", ""), message("alice", "a1", 2, "Hola", "")];
    assert_eq!(broken(hola(), &twice), "a1 of alice stands at 1 and at 2");
    let moved = broken(with(hola(), [ack("alice-phone", "a1", 2)]), &hola_log());
    assert_eq!(moved, "a1 of alice stands at 2 and at 1");
}

#[test]
fn two_messages_at_one_place_are_found() {
    let lines = with(hola(), [see("bob-phone", &message("bob", "b1", 1, "Buenas", ""))]);
    assert_eq!(broken(lines, &hola_log()), "b1 of bob and a1 of alice both stand at 1");
}

#[test]
fn two_ids_of_one_message_are_found() {
    let ids =
        ["x", "y"].map(|id| see("bob-phone", &message("alice", "a1", 1, "Hola", &format!(r#","message":"{id}""#))));
    assert_eq!(broken(with(hola(), ids), &hola_log()), "a1 of alice has two ids");
}

#[test]
fn a_gap_is_found() {
    let log = [message("alice", "a1", 1, "Hola", ""), message("bob", "b1", 3, "Buenas", "")];
    assert_eq!(broken(hola(), &log), "alice-desk: b1 of bob stands at 3 where 2 was expected");
}

#[test]
fn messages_of_one_device_in_another_order_are_found_and_of_two_devices_may_come_so() {
    let log = [message("alice", "a2", 1, "y", ""), message("alice", "a1", 2, "x", "")];
    let lines = |second| vec![send("alice-phone", "a1", "x"), send(second, "a2", "y")];
    sound(lines("alice-desk"), &log);
    let overtaken = "alice-phone wrote a1 of alice before a2 of alice, and it comes after it";
    assert_eq!(broken(lines("alice-phone"), &log), overtaken);
}

#[test]
fn a_message_that_nobody_sent_is_found_wherever_it_is_seen() {
    let strange = message("mallory", "m1", 2, "Hi", "");
    let nobody = "nobody sent m1 of mallory";
    assert_eq!(broken(hola(), &[hola_log()[0].clone(), strange.clone()]), nobody);
    assert_eq!(broken(with(hola(), [see("alice-desk", &strange)]), &hola_log()), nobody);
    assert_eq!(broken(with(hola(), [ack("bob-phone", "b2", 1)]), &hola_log()), "nobody sent b2 of bob");
}

#[test]
fn a_message_in_another_conversation_than_it_was_sent_to_is_found() {
    let lines = with(hola(), [see("bob-phone", &hola_log()[0]).replace(r#""c""#, r#""other""#)]);
    assert_eq!(broken(lines, &hola_log()), "a1 of alice was sent to another conversation");
}

#[test]
fn a_body_that_its_sender_never_gave_is_found() {
    let wrong = see("bob-phone", &message("alice", "a1", 1, "Adios", ""));
    assert_eq!(broken(with(hola(), [wrong]), &hola_log()), "a1 of alice has a body that its sender never gave it");
}

fn edit(client: &str, name: &str, body: &str) -> String {
    line(client, "edit", &format!(r#""name":"{name}","body":"{body}""#))
}

#[test]
fn an_edit_that_is_not_there_in_the_end_is_found() {
    let lines = with(hola(), [edit("alice-phone", "a1", "Hola!"), edit("alice-phone", "a1", "Hola!!")]);
    let log = |body| [message("alice", "a1", 1, body, r#","edited":true"#), hola_log()[1].clone()];
    sound(lines.clone(), &log("Hola!!"));
    for older in ["Hola", "Hola!"] {
        let what = broken(lines.clone(), &log(older));
        assert_eq!(what, "alice-desk: a1 of alice is not as it was edited last");
    }
    let both = with(lines, [edit("alice-desk", "a1", "Hey")]);
    sound(both.clone(), &log("Hey"));
    sound(both, &log("Hola!!"));
    assert_eq!(broken(hola(), &log("Hola")), "a1 of alice is marked as edited, and nobody edited it");
}

fn deleted(client: &str) -> String {
    line(client, "delete", r#""name":"a1""#)
}

#[test]
fn deletions_are_asked_for_and_stay() {
    let gone = [message("alice", "a1", 1, "", r#","deleted":true"#), hola_log()[1].clone()];
    sound(with(hola(), [deleted("alice-desk")]), &gone);
    assert_eq!(broken(hola(), &gone), "a1 of alice is deleted, and nobody asked for it");
    let still = broken(with(hola(), [deleted("alice-desk")]), &hola_log());
    assert_eq!(still, "a1 of alice was deleted, and alice-desk has it still");
    let speaks = [message("alice", "a1", 1, "Hola", r#","deleted":true"#), hola_log()[1].clone()];
    let what = broken(with(hola(), [deleted("alice-desk")]), &speaks);
    assert_eq!(what, "a1 of alice is deleted, and still has a body");
}

#[test]
fn a_message_that_was_taken_back_before_it_left_need_not_be_there() {
    sound(with(hola(), [deleted("alice-phone")]), &[message("bob", "b1", 1, "Buenas", "")]);
}

#[test]
fn what_was_refused_and_is_there_is_found() {
    let refused = line("bob-phone", "refused", r#""name":"b1","code":"forbidden""#);
    sound(with(hola(), [refused.clone()]), &hola_log()[..1]);
    assert_eq!(broken(with(hola(), [refused]), &hola_log()), "b1 of bob was refused and is seen");
}

fn react(client: &str, emoji: &str, remove: bool) -> String {
    line(client, "react", &format!(r#""sender":"alice","name":"a1","emoji":"{emoji}","remove":{remove}"#))
}

#[test]
fn reactions_are_as_they_were_asked_last() {
    let log = |users: &str| {
        let reactions = format!(r#","reactions":{{"+":[{users}]}}"#);
        [message("alice", "a1", 1, "Hola", &reactions), hola_log()[1].clone()]
    };
    sound(with(hola(), [react("bob-phone", "+", false)]), &log(r#""bob""#));
    sound(with(hola(), [react("bob-phone", "+", false), react("bob-phone", "+", true)]), &log(""));
    assert_eq!(broken(hola(), &log(r#""bob""#)), "bob never reacted with + to a1 of alice");
    let lost = broken(with(hola(), [react("bob-phone", "+", false)]), &log(""));
    assert_eq!(lost, "alice-desk: + of bob to a1 of alice is not as it was asked last");
    let both = [react("alice-phone", "+", false), react("alice-desk", "+", true)];
    sound(with(hola(), both), &log(r#""alice""#));
}

#[test]
fn a_client_of_which_something_was_refused_is_held_to_nothing_it_asked_for_but_its_sends() {
    let refused = |code: &str| line("bob-phone", "refused", &format!(r#""code":"{code}""#));
    sound(with(hola(), [react("bob-phone", "+", false), refused("forbidden")]), &hola_log());
    let lost = broken(with(hola(), [react("bob-phone", "+", false), refused("gone")]), &hola_log());
    assert_eq!(lost, "alice-desk: + of bob to a1 of alice is not as it was asked last");
}

#[test]
fn a_watermark_that_goes_back_is_found() {
    let read = line("bob-phone", "read", r#""seq":2"#);
    let lines = with(hola(), [read, mark("alice-desk", "bob", 2, 2), mark("alice-desk", "bob", 2, 1)]);
    assert_eq!(broken(lines, &hola_log()), "alice-desk: what bob has read goes back from 2 to 1");
}

#[test]
fn watermarks_end_where_the_person_was_and_no_further() {
    let read = |seq: i64| line("bob-phone", "read", &format!(r#""seq":{seq}"#));
    let ends = |marks: &str| vec![last("alice-phone", &hola_log(), marks), last("bob-phone", &hola_log(), marks)];
    judged(&[hola(), vec![read(2)], ends(r#""bob":[2,2]"#)]).unwrap();
    let what = |lines: Vec<String>, marks: &str| judged(&[hola(), lines, ends(marks)]).unwrap_err().what;
    let on = send("alice-phone", "a2", "Still here?");
    let log = [hola_log(), vec![message("alice", "a2", 3, "Still here?", "")]].concat();
    let ends_later = |marks: &str| vec![last("alice-phone", &log, marks), last("bob-phone", &log, marks)];
    let lost = judged(&[hola(), vec![on.clone(), read(3)], ends_later(r#""bob":[3,2]"#)]).unwrap_err().what;
    assert_eq!(lost, "bob read up to 3, and alice-phone says 2");
    let unsaid = judged(&[hola(), vec![on], ends_later(r#""bob":[3,3]"#)]).unwrap_err().what;
    assert_eq!(unsaid, "bob has read up to 3, which nobody said");
    assert_eq!(what(vec![], r#""bob":[9,2]"#), "bob has got or read more than the 2 there are");
    let back = what(vec![mark("alice-desk", "bob", 2, 0)], r#""bob":[1,0]"#);
    assert_eq!(back, "alice-phone: what bob has delivered goes back from 2 to 1");
}

#[test]
fn clients_that_end_with_something_else_are_found() {
    let edits = [edit("alice-phone", "a1", "x"), edit("alice-desk", "a1", "y")];
    let log = |body| [message("alice", "a1", 1, body, r#","edited":true"#), hola_log()[1].clone()];
    let ends = vec![last("alice-phone", &log("x"), ""), last("bob-phone", &log("y"), "")];
    let violation = judged(&[with(hola(), edits), ends]).unwrap_err();
    assert_eq!(violation.what, "alice-phone and bob-phone differ about a1 of alice at 1");
    assert_eq!(violation.entries, [4, 5]);

    let marks = vec![last("alice-phone", &hola_log(), r#""bob":[0,0]"#), last("bob-phone", &hola_log(), "")];
    assert_eq!(judged(&[hola(), marks]).unwrap_err().what, "alice-phone and bob-phone differ about watermarks");

    let longer = with(hola_log(), [message("bob", "b2", 3, "?", "")]);
    let never_finished = send("bob-desk", "b2", "?");
    let lengths = vec![last("alice-phone", &hola_log(), ""), last("bob-phone", &longer, "")];
    judged(&[hola(), vec![never_finished], lengths]).unwrap_err();
}

#[test]
fn a_conversation_that_nobody_has_read_to_its_end_proves_nothing() {
    assert_eq!(judged(&[hola()]).unwrap_err().what, "nobody has read c to its end");
}

#[test]
fn a_name_that_two_messages_bear_is_found() {
    let lines = with(hola(), [send("alice-desk", "a1", "Hola")]);
    assert_eq!(broken(lines, &hola_log()), "a1 of alice was given to two messages");
}

#[test]
fn a_line_that_is_not_of_the_format_is_named() {
    let error = |line: &str| Entry::parse(line).unwrap_err();
    assert!(error("{").contains("EOF"));
    assert_eq!(error(&line("alice-phone", "sned", "")), r#"event: there is no "sned""#);
    assert_eq!(error(&line("alice-phone", "ack", r#""name":"a1""#)), "seq: must be a whole number");
    assert_eq!(error(r#"{"client":"x"}"#), "at_ms: must be a whole number");
    assert_eq!(
        error(&line("alice-phone", "final", r#""messages":[],"watermarks":{"bob":2}"#)),
        "watermarks: must be [delivered, read]"
    );
}
