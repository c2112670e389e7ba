//! The queue among several servers, and between a message and its commit.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;

use std::collections::BTreeSet;

use tertulia_store::conformance::book::Book;
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

/// What was read while a device was being told is found by whoever told it, or by the read: never by neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_of_what_a_device_was_told_waits_for_a_read_that_is_being_committed() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let book = Book::open(&log).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send(alice, dm, "one").await;
    let phone = book.phone_of(bob, "phone").await;
    // From now on a commit that moved a watermark waits for the stranger, behind all its statements.
    cluster.psql(
        log.name(),
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER waits AFTER UPDATE ON members DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let stranger = log.raw().await;
    stranger.run("SELECT pg_advisory_lock(1)").await;
    let read = book.world.submit(book.read_on(bob, dm, 1, book.client_device()));
    let looks = log.raw().await;
    looks.until_waiting(1).await;
    let mut noting = Box::pin(book.pushed(phone, dm, 1));
    tokio::select! {
        () = &mut noting => panic!("it is noted, and what is being read has found nothing to take away"),
        () = looks.until_waiting(2) => {}
    }
    stranger.run("SELECT pg_advisory_unlock(1)").await;
    read.await.expect("it is read");
    noting.await;
    // Whoever told it looks now, and sees that it was read.
    let seat = book.seat(phone, dm).await;
    assert_eq!((seat.pushed_seq, seat.withdrawn_seq, seat.read_seq), (1, 0, 1));
    assert_eq!(book.to_withdraw().await, [], "the read itself could not know");
    // A read after the note knows.
    book.world.send(alice, dm, "two").await;
    book.pushed(phone, dm, 2).await;
    stranger.run("DROP TRIGGER waits ON members").await;
    book.world.done(book.read_on(bob, dm, 2, book.client_device())).await;
    assert_eq!(book.to_withdraw().await, [phone]);
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
                next: Vec::new(),
            };
            let finished = claimed.iter().map(done).collect();
            let told = server.store.finish(finished, Timestamp::from_ms(1)).await.expect("jobs are finished");
            assert!(told.into_iter().all(|counted| counted));
        }
    });
    let all = within("all jobs", futures_util::future::join_all(working)).await.expect("in time").concat();
    assert_eq!((all.len(), all.into_iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
    assert_eq!(servers[0].store.job_stats(usize::MAX).await.expect("an answer"), []);
}

fn keyed(key: &[u8], n: i64) -> NewJob {
    NewJob {
        kind: "notify".to_owned(),
        unique_key: Some(key.to_vec()),
        unless_running: false,
        payload: format!("{n}"),
        priority: Priority::Normal,
        run_at: Timestamp::from_ms(n),
        now: Timestamp::from_ms(0),
    }
}

fn retry() -> JobEnd {
    JobEnd::Retry { at: Timestamp::from_ms(0), reason: "no luck".to_owned() }
}

/// Keys are taken in one order: who waits for one holds none that somebody with an earlier one may want.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_ends_jobs_waits_for_a_key_without_holding_a_later_one() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let server = log.server().await;
    let jobs = server.store.jobs();
    let [a, b, c] = [b"a".as_slice(), b"b", b"c"];
    jobs.enqueue([a, b, c].map(|key| keyed(key, 1)).to_vec()).await.expect("jobs are queued");
    let mut claimed = jobs.claim(claim(1, "notify", 10)).await.expect("jobs are claimed");
    // Of `b` nothing is ready, of the others there is.
    jobs.enqueue(vec![keyed(a, 2), keyed(c, 2)]).await.expect("jobs are queued");
    claimed.reverse();
    let end = |job: &ClaimedJob| Finish {
        held: Held { id: job.id, worker: [1; 16], attempt: job.attempt },
        end: retry(),
        next: vec![keyed(b"d", 3)],
    };
    let stranger = log.raw().await;
    // As whoever sends messages does, a conversation after the other.
    let take = |key: &str| {
        format!(
            "INSERT INTO jobs (kind, unique_key, payload, run_at, created_at) VALUES ('notify', '{key}', '', 0, 0)
             ON CONFLICT (kind, unique_key) WHERE state = 0 DO UPDATE SET run_at = jobs.run_at WHERE false"
        )
    };
    stranger.run(&format!("BEGIN; SET LOCAL lock_timeout = 100; {}", take("a"))).await;
    let finished = claimed.iter().map(end).collect();
    let finishing = jobs.finish(finished, Timestamp::from_ms(4));
    let others = async {
        log.raw().await.until_waiting(1).await;
        for key in ["b", "c", "d"] {
            stranger.run(&take(key)).await;
        }
        stranger.run("COMMIT").await;
    };
    let (told, ()) = futures_util::join!(finishing, others);
    assert_eq!(told.expect("jobs are finished"), [true; 3]);
    let filter = JobFilter { state: JobState::Ready, kind: None, after: 0, limit: 10 };
    let ready = jobs.list_jobs(filter).await.expect("the queue is listed");
    let told: Vec<(&str, i64)> = ready.iter().map(|job| (job.payload.as_str(), job.tries)).collect();
    assert_eq!(told, [("1", 1), ("1", 1), ("1", 1), ("", 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_end_jobs_and_send_to_the_same_conversations_are_never_in_a_deadlock() {
    const CONVERSATIONS: usize = 12;
    const ROUNDS: usize = 25;
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut groups = Vec::new();
    for _ in 0..CONVERSATIONS {
        groups.push(world.open_group(alice, &[bob]).await);
    }
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(log.server().await);
    }
    let sending = servers.iter().map(|server| {
        let (world, groups) = (&world, &groups);
        async move {
            for round in 0..ROUNDS {
                let messages = groups.iter().map(|group| world.message(alice, *group, &format!("{round}")));
                let sent: Vec<_> = messages.map(|message| server.submitted(self::sending(&message))).collect();
                for one in futures_util::future::join_all(sent).await {
                    one.expect("a completion is called").expect("a message is sent");
                }
            }
        }
    });
    let working = servers.iter().zip(1_u8..).map(|(server, n)| async move {
        for round in 0..ROUNDS {
            let mut claimed = server.store.jobs().claim(claim(n, "notify", 8)).await.expect("jobs are claimed");
            let by = round % claimed.len().max(1);
            claimed.rotate_left(by);
            let finished = claimed.iter().enumerate().map(|(place, job)| Finish {
                held: Held { id: job.id, worker: [n; 16], attempt: job.attempt },
                end: if (place + round) % 3 == 0 { JobEnd::HandedBack } else { retry() },
                next: vec![NewJob { kind: "next".into(), ..keyed(&[(place * 5 % 7) as u8], 1) }],
            });
            let finished: Vec<Finish> = finished.collect();
            let told = server.store.jobs().finish(finished, Timestamp::from_ms(1)).await.expect("jobs are finished");
            assert!(told.into_iter().all(|counted| counted));
        }
    });
    let all =
        futures_util::future::join(futures_util::future::join_all(sending), futures_util::future::join_all(working));
    within("everybody is done", all).await.expect("in time");
    assert!(!cluster.postgres.log().contains("deadlock detected"), "{}", cluster.postgres.log());
    let stats = world.store.jobs().job_stats(usize::MAX).await.expect("an answer");
    let ready: i64 = stats.iter().filter(|one| one.kind == "notify").map(|one| one.count).sum();
    assert_eq!(ready, i64::try_from(CONVERSATIONS).expect("small"), "one for each conversation: {stats:?}");
}
