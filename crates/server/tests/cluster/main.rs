//! Several servers as their people see them: one chat, whoever is connected where, and whatever happens to Redis.

mod town;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tertulia_proto::MessageId;
use tertulia_proto::event::Presence;
use tertulia_proto::trace::{MessageTrace, NotRecorded, Station, WhyNot};
use tertulia_testkit::chaos::Profile;
use tertulia_testkit::postgres::Stop;
use tertulia_testkit::{Api, Chaos, Incoming, Random, within};
use town::{Town, message, next_message, readiness};

#[tokio::test]
async fn people_at_different_servers_are_in_one_chat() -> Result<()> {
    let town = Town::new(2).await?;
    let people = town.servers[0].people(["ana", "bo"]).await?;
    let dm = town.api(0, &people[0]).dm(&people[1]).await?.id;
    let mut ana = town.connect(0, &people[0]).await?;
    let watch = json!({ "userIds": [people[1].id] });
    let answer = ana.request("presence.watch", watch).await?;
    assert_eq!(answer["presence"][0]["online"], false, "{answer}");
    let mut bo = town.connect(1, &people[1]).await?;
    let presence: Presence = ana.next_event("presence.update").await?;
    assert!(presence.online && presence.user_id == people[1].id);
    let (mut at_ana, mut at_bo) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let (from, to) = if n % 2 == 0 { (&mut ana, &mut bo) } else { (&mut bo, &mut ana) };
        let body = format!("m{n}");
        from.send("message.send", message(dm, &format!("id-{n}"), &body)).await?;
        let revs = if n % 2 == 0 { &mut at_bo } else { &mut at_ana };
        loop {
            let heard = next_message(to, revs).await?;
            if heard.body == body {
                assert_eq!(heard.seq, n + 1);
                break;
            }
        }
    }
    ana.send("typing.start", json!({ "conversationId": dm })).await?;
    bo.next_event::<serde_json::Value>("typing.start").await?;
    bo.close().await?;
    let gone: Presence = ana.next_event("presence.update").await?;
    assert!(!gone.online && gone.last_seen_at.is_some());
    Ok(())
}

/// Three servers, a person at each, one conversation: everybody hears every change, in the one order, without a jump.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_hears_every_change_in_order_and_without_a_jump() -> Result<()> {
    const EACH: usize = 200;
    let town = Town::new(3).await?;
    let people = town.servers[0].people(["ana", "bo", "cy"]).await?;
    let group = town.api(0, &people[0]).group("one room", &people[1..]).await?.id;
    let mut listeners = Vec::new();
    for (server, person) in people.iter().enumerate() {
        listeners.push(town.connect(server, person).await?);
    }
    let mut writers = tokio::task::JoinSet::new();
    for (server, person) in people.iter().enumerate() {
        let mut socket = town.connect(server, person).await?;
        writers.spawn(async move {
            for n in 0..EACH {
                socket
                    .request("message.send", message(group, &format!("{server}-{n}"), &format!("{server}-{n}")))
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    let total = EACH * people.len();
    let mut orders = Vec::new();
    for mut listener in listeners {
        let (mut revs, mut order) = (Vec::new(), Vec::new());
        while order.len() < total {
            order.push(next_message(&mut listener, &mut revs).await?);
        }
        let seqs: Vec<i64> = order.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, (1..=i64::try_from(total)?).collect::<Vec<_>>());
        let jumps = revs.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
        assert_eq!(jumps, 0, "{revs:?}");
        orders.push(order.into_iter().map(|message| message.body).collect::<Vec<_>>());
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "one order for everyone");
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(())
}

#[tokio::test]
async fn without_redis_everybody_is_served_and_those_at_other_servers_catch_up() -> Result<()> {
    let mut town = Town::new(2).await?;
    for server in &mut town.servers {
        server.allow("the other servers can't be told");
    }
    let people = town.servers[0].people(["ana", "bo", "cy"]).await?;
    let group = town.api(0, &people[0]).group("one room", &people[1..]).await?.id;
    let (mut ana, mut cy) = (town.connect(0, &people[0]).await?, town.connect(0, &people[2]).await?);
    let mut bo = town.connect(1, &people[1]).await?;
    ana.request("message.send", message(group, "1", "before")).await?;
    assert_eq!(next_message(&mut bo, &mut Vec::new()).await?.body, "before");
    assert_eq!(readiness(&town.servers[1]).await?["status"], "ok");
    town.redis.kill()?;
    ana.request("message.send", message(group, "2", "without")).await?;
    assert_eq!(next_message(&mut cy, &mut Vec::new()).await?.body, "before");
    assert_eq!(
        next_message(&mut cy, &mut Vec::new()).await?.body,
        "without",
        "who is at the same server hears it at once"
    );
    bo.next_event::<serde_json::Value>("sync.needed").await?;
    let caught_up = town.api(1, &people[1]).history_after(group, 1).await?;
    assert_eq!(caught_up[0].body, "without");
    let ready = readiness(&town.servers[1]).await?;
    assert_eq!((&ready["status"], &ready["bus"]), (&json!("degraded"), &json!("unavailable")));
    town.redis.launch().await?;
    within("the servers hear one another", async {
        while readiness(&town.servers[0]).await?["status"] != "ok"
            || readiness(&town.servers[1]).await?["status"] != "ok"
        {}
        anyhow::Ok(())
    })
    .await??;
    ana.request("message.send", message(group, "3", "after")).await?;
    while next_message(&mut bo, &mut Vec::new()).await?.body != "after" {}
    Ok(())
}

/// Whom nobody hears has nobody who misses it: the others find what it wrote when they look at the log now and then, and it finds theirs.
#[tokio::test]
async fn a_server_that_is_cut_off_from_redis_alone_is_missed_by_nobody_for_long() -> Result<()> {
    let mut town = Town::new(1).await?;
    let gate = Chaos::open(&town.redis.url().replacen("redis:", "http:", 1), Random::new(7)).await?;
    let way = gate.url().replacen("http:", "redis:", 1);
    let mut server = town.server_with(|options| options.env("TERTULIA_REDIS_URL", way)).await?;
    server.allow("the other servers can't be told");
    town.servers.push(server);
    let people = town.servers[0].people(["ana", "bo"]).await?;
    let dm = town.api(0, &people[0]).dm(&people[1]).await?.id;
    let group = town.api(0, &people[0]).group("one room", &people[1..]).await?.id;
    let (mut ana, mut bo) = (town.connect(0, &people[0]).await?, town.connect(1, &people[1]).await?);
    ana.request("message.send", message(dm, "1", "heard")).await?;
    assert_eq!(next_message(&mut bo, &mut Vec::new()).await?.body, "heard");
    gate.storm(Profile { dead: 1, through: 0, ..Profile::CALM });
    gate.cut_all();
    bo.request("message.send", message(dm, "2", "from the one that is alone")).await?;
    ana.request("message.send", message(group, "3", "to the one that is alone")).await?;
    // Nothing else is said in these conversations, so nobody sees a jump.
    within("its own people ask", bo.next_event::<serde_json::Value>("sync.needed")).await??;
    within("the others' people ask", ana.next_event::<serde_json::Value>("sync.needed")).await??;
    assert_eq!(town.api(0, &people[0]).history_after(dm, 1).await?[0].body, "from the one that is alone");
    assert_eq!(readiness(&town.servers[0]).await?["status"], "ok", "it hears Redis");
    assert_eq!(readiness(&town.servers[1]).await?["status"], "degraded");
    gate.calm();
    gate.cut_all();
    within("the servers hear one another", async {
        while readiness(&town.servers[1]).await?["status"] != "ok" {}
        anyhow::Ok(())
    })
    .await??;
    bo.request("message.send", message(dm, "4", "heard again")).await?;
    while next_message(&mut ana, &mut Vec::new()).await?.body != "heard again" {}
    Ok(())
}

#[tokio::test]
async fn a_session_that_ends_at_one_server_ends_at_all() -> Result<()> {
    let town = Town::new(2).await?;
    let ana = town.servers[0].register("ana", "correct horse battery").await?;
    let mut there = town.connect(1, &ana).await?;
    let answer = town.api(0, &ana).post("/auth/logout", &json!({})).await?;
    ensure!(answer.status < 300, "{answer:?}");
    let code = loop {
        if let Incoming::Closed(code) = there.next().await? {
            break code;
        }
    };
    assert_eq!(code, Some(4401));
    Ok(())
}

#[tokio::test]
async fn a_server_that_stops_hands_its_people_over_and_nobody_misses_anything() -> Result<()> {
    let mut town = Town::new(2).await?;
    let people = town.servers[0].people(["ana", "bo"]).await?;
    let dm = town.api(0, &people[0]).dm(&people[1]).await?.id;
    let mut bo = town.connect(1, &people[1]).await?;
    let mut ana = town.connect(0, &people[0]).await?;
    for n in 0..50 {
        ana.send("message.send", message(dm, &format!("a{n}"), "to be told")).await?;
    }
    for n in 1..=50 {
        assert_eq!(next_message(&mut bo, &mut Vec::new()).await?.seq, n);
    }
    let mut first = town.servers.remove(0);
    first.terminate().await?;
    let code = loop {
        if let Incoming::Closed(code) = ana.next().await? {
            break code;
        }
    };
    assert_eq!(code, Some(1012));
    let mut ana = town.connect(0, &people[0]).await?;
    ana.request("message.send", message(dm, "again", "over the other server")).await?;
    assert_eq!(next_message(&mut bo, &mut Vec::new()).await?.body, "over the other server");
    Ok(())
}

#[tokio::test]
async fn sign_ins_are_counted_over_all_servers() -> Result<()> {
    let mut town = Town::new(0).await?;
    for _ in 0..2 {
        let server =
            town.server_with(|options| options.env("TERTULIA_RATE_LIMITS", "on").limit("sign_ins_per_minute", 4));
        town.servers.push(server.await?);
    }
    let body = json!({ "email": "nobody@example.org", "password": "not this one" });
    let mut statuses = Vec::new();
    for n in 0..6 {
        let url = format!("{}/auth/login", town.servers[n % 2].url());
        statuses.push(reqwest::Client::new().post(url).json(&body).send().await?.status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    Ok(())
}

/// What was acknowledged last may be gone with the old primary; nobody may go on as if it were there.
#[tokio::test]
async fn after_a_promotion_everybody_connects_anew_and_is_told_that_the_log_is_another_one() -> Result<()> {
    let mut town = Town::with_replica(2).await?;
    for server in &mut town.servers {
        for complaint in ["the store failed", "the log could not be looked after"] {
            server.allow(complaint);
        }
    }
    let people = town.servers[0].people(["ana", "bo"]).await?;
    let dm = town.api(0, &people[0]).dm(&people[1]).await?.id;
    let (mut ana, mut bo) = (town.connect(0, &people[0]).await?, town.connect(1, &people[1]).await?);
    ana.request("message.send", message(dm, "1", "before")).await?;
    next_message(&mut bo, &mut Vec::new()).await?;
    let before = town.api(0, &people[0]).difference(None).await?.epoch;
    town.postgres.stop(Stop::Immediate)?;
    town.replica.as_ref().context("a replica")?.promote()?;
    for (server, socket) in [&mut ana, &mut bo].into_iter().enumerate() {
        let code = loop {
            if let Incoming::Closed(code) = socket.next().await? {
                break code;
            }
        };
        assert_eq!(code, Some(1012), "server {server}");
    }
    let after = town.api(1, &people[1]).difference(None).await?.epoch;
    assert_ne!(after, before);
    let mut ana = town.connect(0, &people[0]).await?;
    ana.request("message.send", message(dm, "2", "after")).await?;
    Ok(())
}

/// What is asked right after the answer or the news, at another server, which reads at the replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_told_of_something_finds_it_also_where_a_replica_is_read_from() -> Result<()> {
    let mut town = Town::with_replica(1).await?;
    let replica = town.replica.as_ref().context("a replica")?.url("chat");
    let reader = town.server_with(|options| options.env("TERTULIA_DATABASE_REPLICA_URLS", &replica)).await?;
    let people = town.servers[0].people(["ana", "bo"]).await?;
    let dm = town.api(0, &people[0]).dm(&people[1]).await?.id;
    let mut ana = town.connect(0, &people[0]).await?;
    let mut bo = reader.connect(&people[1]).await?;
    let at_reader = reader.api(&people[1]);
    within("the replica is read from", async {
        while at_reader.metric("tertulia_replica_up{replica=\"1\"}").await? != 1 {}
        anyhow::Ok(())
    })
    .await??;
    for n in 1..=100 {
        ana.request("message.send", message(dm, &format!("id-{n}"), &format!("m{n}"))).await?;
        let heard = next_message(&mut bo, &mut Vec::new()).await?;
        let read = at_reader.history_after(dm, n - 1).await?;
        assert_eq!(read.last().map(|last| last.message_id), Some(heard.message_id));
    }
    assert!(at_reader.metric("tertulia_replica_reads_total{replica=\"1\"}").await? > 0);
    town.replica.as_mut().context("a replica")?.stop(Stop::Immediate)?;
    ana.request("message.send", message(dm, "last", "last")).await?;
    assert_eq!(next_message(&mut bo, &mut Vec::new()).await?.body, "last");
    assert_eq!(at_reader.history_after(dm, 100).await?[0].body, "last");
    within("the replica is left out", async {
        while at_reader.metric("tertulia_replica_up{replica=\"1\"}").await? != 0 {}
        anyhow::Ok(())
    })
    .await??;
    assert_eq!(readiness(&reader).await?["status"], "ok");
    Ok(())
}

/// The second one may note one thing at a time, and has more to note.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_tells_the_fan_out_of_each_server_and_which_one_has_missed_something() -> Result<()> {
    let mut town = Town::new(1).await?;
    let second = town.server_with(|options| options.env("TERTULIA_TRACE__QUEUE_MAX", 1)).await?;
    town.servers.push(second);
    let people = town.servers[0].people(["ana", "bo"]).await?;
    let dm = town.api(0, &people[0]).dm(&people[1]).await?.id;
    let key = town.servers[0].run(&["apikey", "create", "--name", "owner", "--scopes", "admin"]).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let admin = Api::new(http, town.servers[0].url(), key.lines().last().context("a key")?);
    let trace =
        async |id: MessageId| -> Result<MessageTrace> { admin.get(&format!("/api/v1/admin/trace/{id}")).await?.take() };
    let (mut ana, mut bo) = (town.connect(0, &people[0]).await?, town.connect(1, &people[1]).await?);
    ana.request("message.send", message(dm, "first", "one")).await?;
    let first = next_message(&mut bo, &mut Vec::new()).await?.message_id;
    let both = loop {
        let trace = trace(first).await?;
        if trace.fanned_out.len() == 2 && trace.committed.is_some() {
            break trace;
        }
    };
    let committed_at = both.committed.as_ref().context("a commit")?.server_id;
    let [of_ana, of_bo] = [true, false].map(|is_ana| {
        both.fanned_out
            .iter()
            .find(|one| (one.server_id == committed_at) == is_ana)
            .map(|one| (one.server_id, one.count))
    });
    let (second, count) = of_bo.context("the other server's")?;
    ensure!(count == 1 && of_ana.is_some_and(|(_, count)| count == 1) && both.not_recorded.is_empty(), "{both:?}");
    let mut ids = Vec::new();
    for n in 0..20 {
        ana.send("message.send", message(dm, &format!("n{n}"), "more")).await?;
    }
    while ids.len() < 20 {
        ids.push(next_message(&mut bo, &mut Vec::new()).await?.message_id);
    }
    let is_by_second = |trace: &MessageTrace, what| {
        let is_it = |one: &NotRecorded| one.what == what && one.why == WhyNot::Busy && one.server_id == Some(second);
        trace.not_recorded.iter().any(|one| is_it(one) && one.partial)
    };
    // Of some of them the first server alone has told.
    'found: loop {
        for id in &ids {
            let trace = trace(*id).await?;
            if trace.fanned_out.len() == 1 && is_by_second(&trace, Station::FannedOut) {
                ensure!(trace.fanned_out[0].server_id == committed_at && trace.committed.is_some(), "{trace:?}");
                ensure!(is_by_second(&trace, Station::Received), "{trace:?}");
                break 'found Ok(());
            }
        }
    }
}
