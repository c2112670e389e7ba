//! The references as they are published: a change of one is a change that other people's code sees.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Ask, Server, Wish};
use tertulia_gateway::docs::{asyncapi, openapi};
use tertulia_proto::request::ClientRequest;

mod support;

/// With the keys in order, and without the version, which changes with every release.
fn pretty(mut document: Value) -> String {
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    document["info"]["version"] = "[version]".into();
    document.sort_all_objects();
    serde_json::to_string_pretty(&document).unwrap()
}

#[test]
fn the_openapi_document_stays() {
    insta::assert_snapshot!("openapi", pretty(openapi()));
}

#[test]
fn the_asyncapi_document_stays() {
    insta::assert_snapshot!("asyncapi", pretty(asyncapi()));
}

#[tokio::test]
async fn what_is_served_is_what_is_documented() {
    let server = Server::new(Wish::default());
    for (line, document) in [("GET /api/v1/openapi.json", openapi()), ("GET /api/v1/asyncapi.json", asyncapi())] {
        let answer = server.call(Ask::new(line)).await;
        assert_eq!(answer.header("content-type"), "application/json", "{line}");
        assert_eq!(answer.json(), document, "{line}");
    }
}

/// Every `$ref` of a document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for document in [openapi(), asyncapi()] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap_or("outside");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }
}

#[test]
fn a_schema_name_has_one_meaning_in_both_documents() {
    let (rest, sockets) = (openapi(), asyncapi());
    let schemas = |document: &Value| document["components"]["schemas"].as_object().unwrap().clone();
    let (rest, sockets) = (schemas(&rest), schemas(&sockets));
    for (name, schema) in &sockets {
        if let Some(other) = rest.get(name) {
            assert_eq!(schema, other, "{name}");
        }
    }
}

#[test]
fn an_operation_has_each_parameter_once() {
    let document = openapi();
    let mut parameters = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut found = BTreeSet::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
                assert!(found.insert(name), "{method} {path}: {name:?}");
                parameters += 1;
            }
        }
    }
    assert!(parameters > 0);
}

/// The names of a channel's messages.
fn names(document: &Value, channel: &str) -> BTreeSet<String> {
    let messages = document["channels"][channel]["messages"].as_object().unwrap();
    messages.values().map(|message| message["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_request_of_a_socket_is_documented() {
    let known: BTreeSet<String> = ClientRequest::NAMES.iter().map(ToString::to_string).collect();
    assert_eq!(names(&asyncapi(), "requests"), known);
}

#[test]
fn every_event_is_documented() {
    // The names of the snapshots of the events, in the wire types' own tests.
    let known = [
        "connected",
        "conversation.removed",
        "conversation.updated",
        "error",
        "member.updated",
        "message.ack",
        "message.deleted",
        "message.new",
        "message.updated",
        "presence.update",
        "reaction.updated",
        "receipt.updated",
        "sync.batch",
        "sync.needed",
        "typing.start",
        "typing.stop",
    ];
    assert_eq!(names(&asyncapi(), "events"), BTreeSet::from(known.map(str::to_owned)));
}

#[test]
fn every_call_names_its_answers_and_who_may_ask() {
    let document = openapi();
    let is_open =
        |path: &str| path.starts_with("/health/") || ["/metrics", "/auth/register", "/auth/login"].contains(&path);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            assert_eq!(operation["security"].is_null(), is_open(path), "{method} {path}");
            if !is_open(path) {
                assert!(responses.contains_key("401"), "{method} {path}");
            }
        }
    }
}
