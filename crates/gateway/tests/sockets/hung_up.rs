//! A handler over HTTP is dropped where its client hangs up: in the midst, when the commit is on its way.

use crate::support::wire::until;
use crate::support::{Ask, Server, Wish};

#[tokio::test]
async fn who_leaves_and_hangs_up_sees_no_more_who_is_there() {
    let server = Server::new(Wish::default());
    let (owner, alice, bob) = (server.person("Owner").await, server.person("Alice").await, server.person("Bob").await);
    let group = server.group(&owner, &[&alice, &bob]).await;
    let services = server.services();
    let window = services.connect(&alice.identity, None).await.unwrap();
    let watched = services.watch_presence(&alice.identity, &window, vec![bob.id()]).await.unwrap();
    assert_eq!(watched.len(), 1);

    server.handoff.hold();
    let line = format!("DELETE /api/v1/conversations/{group}/members/{}", alice.id());
    let leave = server.call(Ask::new(&line).bearer(&alice.token.token));
    let written = async { until("the commit", || server.handoff.holds_something()).await };
    tokio::select! {
        answer = leave => panic!("nothing has been told yet: {answer}"),
        () = written => {}
    }
    server.handoff.release();
    until("the end of the watch", || services.hub().watched_by(alice.id()).is_empty()).await;
    assert_eq!(services.hub().watchers_of(bob.id()), []);
}
