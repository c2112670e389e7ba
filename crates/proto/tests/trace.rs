//! How the life of a message looks on the wire.

use serde_json::json;
use tertulia_proto::MessageTrace;

#[test]
fn a_trace_has_its_form() {
    let id = |number: u8| format!("018f0000-0000-7000-8000-0000000000{number:02}");
    let form = json!({
        "messageId": id(1),
        "conversationId": id(2),
        "seq": 7,
        "senderId": id(3),
        "senderName": "Ana",
        "clientMsgId": "a-1",
        "createdAt": "2026-11-22T10:00:00.001Z",
        "editedAt": "2026-11-22T11:00:00.000Z",
        "received": [{
            "at": "2026-11-22T10:00:00.000Z", "serverId": id(4), "door": "socket.io", "connectionId": 3, "requestId": 9,
            "traceId": "000102030405060708090a0b0c0d0eff", "sessionId": id(5), "deviceId": id(6), "repeat": false
        }],
        "committed": { "at": "2026-11-22T10:00:00.004Z", "serverId": id(4), "rev": 12 },
        "fannedOut": [{ "at": "2026-11-22T10:00:00.005Z", "serverId": id(4), "connectionIds": [3, 4], "count": 60 }],
        "receipts": [{
            "userId": id(7),
            "delivered": { "at": "2026-11-22T10:00:01.000Z", "by": "receipt", "deviceId": id(8) },
            "read": { "by": "watermark" }
        }, {
            "userId": id(8), "delivered": { "at": "2026-11-22T10:00:01.000Z", "by": "at_latest" }
        }],
        "notDelivered": { "members": 4, "count": 2, "users": [
            { "userId": id(14), "name": "Bo", "notNotified": "no_device" },
            { "userId": id(15) }
        ] },
        "pushes": [{
            "at": "2026-11-22T10:00:03.000Z", "registrationId": id(9), "userId": id(7), "provider": "expo", "seq": 8,
            "outcome": "accepted", "detail": "ticket-1"
        }],
        "webhooks": [
            { "endpointId": id(10), "taken": true, "requests": [
                { "at": "2026-11-22T10:00:04.000Z", "firstEvent": 12, "lastEvent": 15, "outcome": "failed", "try": 1 },
                { "at": "2026-11-22T10:00:09.000Z", "firstEvent": 12, "lastEvent": 13, "outcome": "taken", "status": 204, "try": 2 }
            ] },
            { "endpointId": id(11), "taken": false, "waitsUntil": "2026-11-22T10:05:00.000Z", "requests": [] },
            { "endpointId": id(12), "taken": false, "offSince": "2026-11-22T10:05:00.000Z", "requests": [] },
            { "endpointId": id(13), "taken": false, "removed": true, "requests": [] }
        ],
        "jobs": [{
            "id": 5, "kind": "push.expo", "state": "dead", "tries": 3, "createdAt": "2026-11-22T10:00:03.000Z",
            "runAt": "2026-11-22T10:00:03.000Z", "deadAt": "2026-11-22T10:00:09.000Z", "reason": "no luck"
        }],
        "notRecorded": [
            { "what": "receipts", "why": "busy", "partial": true, "serverId": id(4) },
            { "what": "jobs", "why": "not_looked" }
        ]
    });
    let trace: MessageTrace = serde_json::from_value(form.clone()).unwrap();
    assert_eq!(serde_json::to_value(&trace).unwrap(), form);
}
