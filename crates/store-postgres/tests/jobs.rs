//! The queue among several servers, and between a message and its commit.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;

use std::collections::BTreeSet;

use tertulia_store::conformance::world::World;
use tertulia_store::conformance::writes::sending;
use tertulia_store::jobs::*;
use tertulia_store::*;
use tertulia_testkit::within;

use crate::database::Cluster;

fn claim(worker: u8, kind: &str, jobs_max: usize) -> Claim {
    Claim {
        kinds: vec![ClaimKind { kind: kind.to_owned(), attempts_max: 3, jobs_max }],
        jobs_max,
        worker: [worker; 16],
        now: Timestamp::from_ms(4_000_000_000_000),
        lease_until: Timestamp::from_ms(4_000_000_060_000),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_not_claimed_while_a_message_that_counts_on_it_is_being_committed() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "one").await;
    // From now on a commit that changed a conversation waits for the stranger, behind all its statements.
    cluster.psql(
        log.name(),
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER waits AFTER UPDATE ON conversations DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let stranger = log.raw().await;
    stranger.run("SELECT pg_advisory_lock(1)").await;
    let sent = world.submit(sending(&world.message(alice, dm, "two")));
    log.raw().await.until_waiting(1).await;
    let claimed = world.store.jobs().claim(claim(1, "notify", 10)).await.expect("an answer");
    assert_eq!(claimed, [], "whoever works on it now sees nothing of the second message, and nobody would come again");
    stranger.run("SELECT pg_advisory_unlock(1)").await;
    sent.await.expect("the message is sent");
    let claimed = world.store.jobs().claim(claim(1, "notify", 10)).await.expect("an answer");
    assert_eq!(claimed.len(), 1);
    assert_eq!(world.history(bob, dm).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_many_servers_get_each_job_once() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(log.server().await);
    }
    let jobs = |from: i64| {
        let job = |n| NewJob {
            kind: "a".to_owned(),
            unique_key: None,
            unless_running: false,
            payload: String::new(),
            priority: Priority::Normal,
            run_at: Timestamp::from_ms(from + n),
            now: Timestamp::from_ms(0),
        };
        (0..250).map(job).collect::<Vec<_>>()
    };
    let queueing = servers.iter().zip(0..).map(|(server, n)| server.store.enqueue(jobs(n * 250)));
    let queued = futures_util::future::join_all(queueing).await;
    assert!(queued.into_iter().all(|fresh| fresh.expect("jobs are queued").len() == 250));
    let working = servers.iter().zip(1..).map(|(server, n)| async move {
        let mut mine: Vec<JobId> = Vec::new();
        loop {
            let claimed = server.store.claim(claim(n, "a", 16)).await.expect("jobs are claimed");
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed.iter().map(|job| job.id));
            let done = |job: &ClaimedJob| Finish {
                held: Held { id: job.id, worker: [n; 16], attempt: job.attempt },
                end: JobEnd::Done,
                next: None,
            };
            let finished = claimed.iter().map(done).collect();
            let told = server.store.finish(finished, Timestamp::from_ms(1)).await.expect("jobs are finished");
            assert!(told.into_iter().all(|counted| counted));
        }
    });
    let all = within("all jobs", futures_util::future::join_all(working)).await.expect("in time").concat();
    assert_eq!((all.len(), all.into_iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
    assert_eq!(servers[0].store.job_stats().await.expect("an answer"), []);
}
