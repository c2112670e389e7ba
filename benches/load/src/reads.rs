//! What reading costs once the store is large: the list, the history, the difference and the search.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::fill::{FilledStore, hits_of};
use crate::http::HttpClient;
use crate::people::{self, Dice, Person};
use crate::report::{CpuWindow, Outcome, Row, histogram_us, percentiles_json, percentiles_ms, rounded};
use crate::server::Server;

const MISSED_PER_CONVERSATION: u64 = 10;
const ENDPOINT_MAX: Duration = Duration::from_secs(30);
const PAGES_MAX: usize = 100_000;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct ReadsOptions {
    /// Messages in the store before anything is read.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=20_000_000))]
    pub messages: u64,
    /// People who write, two to a conversation, and as many conversations of the one who reads.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=400))]
    pub users: u32,
    /// Requests per call, by two connections together.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub requests: u32,
}

/// One kind of request.
struct Call<'a> {
    name: &'static str,
    /// The array that makes the reply, and its length; `None` for a search, which finds what it finds.
    expected: Option<(&'static str, usize)>,
    request: &'a dyn Fn(&mut Dice) -> (String, String),
}

/// All pages of a difference.
struct Difference {
    cursor: String,
    requests: u64,
    bytes: u64,
    messages: u64,
    took: Duration,
}

/// Runs it against a server.
pub async fn run(server: &Server, options: &ReadsOptions) -> Result<Outcome> {
    let mut outcome = Outcome::new("reads");
    let mut store = FilledStore::make(server, options.users, options.messages).await?;
    describe_store(&mut outcome, server, &store);

    let mut http = HttpClient::new(server.address());
    let index_behind = store.wait_for_search(&mut http).await?.as_secs_f64();
    outcome.set("searchBehindSeconds", json!(rounded(index_behind, 2)));
    outcome.rows.push(Row {
        what: "search index".into(),
        value: format!("{index_behind:.1} s"),
        note: "behind the fill".into(),
        ..Row::default()
    });
    describe_files(&mut outcome, server, &store);
    let first = difference(&mut http, &store.reader, None).await?;
    outcome.set(
        "firstSync",
        json!({ "requests": first.requests, "bytes": first.bytes, "ms": rounded(first.took.as_secs_f64() * 1e3, 2) }),
    );
    outcome.rows.push(difference_row("first sync", &first, None));

    measure_calls(&mut outcome, server, options, &store, &first.cursor).await?;

    store.write_to_absent_reader(server, MISSED_PER_CONVERSATION).await?;
    measure_resync(&mut outcome, &mut http, &store, &first.cursor, options.requests).await?;

    outcome.set_violations(&store.violations);
    outcome.set_server_state(server);
    Ok(outcome)
}

fn describe_store(outcome: &mut Outcome, server: &Server, store: &FilledStore) {
    let rate = rounded(store.messages as f64 / store.seconds, 1);
    outcome.set("messages", store.messages);
    outcome.set("writers", store.people.len());
    outcome.set("conversationsOfReader", store.with_reader.len());
    outcome.set("fillSeconds", json!(rounded(store.seconds, 1)));
    outcome.set("fillMessagesPerSecond", json!(rate));
    outcome.set("residentKibAfterFill", server.resident_kib());
    outcome.rows.push(Row {
        what: format!("fill of {}", store.messages),
        value: format!("{rate:.0} msg/s"),
        note: server.resident_kib().map_or_else(String::new, |kib| format!("server at {} MiB", kib / 1024)),
        ..Row::default()
    });
}

fn describe_files(outcome: &mut Outcome, server: &Server, store: &FilledStore) {
    let Some(files) = server.data_files() else { return };
    let (mut write_ahead, mut lasting) = (0, 0);
    for (name, bytes) in &files {
        *if name.ends_with("-wal") { &mut write_ahead } else { &mut lasting } += bytes;
    }
    let per_message = |bytes: u64| rounded(bytes as f64 / store.messages as f64, 1);
    outcome.set("databaseBytes", lasting);
    outcome.set("writeAheadLogBytes", write_ahead);
    outcome.set("databaseBytesPerMessage", json!(per_message(lasting)));
    let large: Vec<String> = files
        .iter()
        .filter(|(_, bytes)| per_message(*bytes) >= 1.0)
        .map(|(name, bytes)| format!("{name} {:.0}", per_message(*bytes)))
        .collect();
    outcome.set("files", files.into_iter().map(|(name, bytes)| (name, json!(bytes))).collect::<Map<_, _>>());
    outcome.rows.push(Row {
        what: "database".into(),
        value: format!("{:.0} B/msg", per_message(lasting)),
        note: format!("{} MiB without write-ahead logs; per message: {}", lasting >> 20, large.join(", ")),
        ..Row::default()
    });
}

async fn measure_calls(
    outcome: &mut Outcome,
    server: &Server,
    options: &ReadsOptions,
    store: &FilledStore,
    cursor: &str,
) -> Result<()> {
    let reader = &store.reader.token;
    let history = |dice: &mut Dice, deep: bool| {
        let person = dice.below(store.people.len() as u64) as usize;
        let dm = &store.pairs[person / 2];
        let before = if deep {
            format!("&beforeSeq={}", 51 + dice.below(dm.last_seq.saturating_sub(50)))
        } else {
            String::new()
        };
        (store.people[person].token.clone(), format!("/api/v1/conversations/{}/messages?limit=50{before}", dm.id))
    };
    let search = |text: String| (reader.clone(), format!("/api/v1/search?q={text}&limit=20"));
    let list_len = store.with_reader.len().min(20);
    let calls = [
        Call {
            name: "conversations",
            expected: Some(("conversations", list_len)),
            request: &|_| (reader.clone(), "/api/v1/conversations?limit=20".into()),
        },
        Call { name: "messagesNewest", expected: Some(("messages", 50)), request: &|dice| history(dice, false) },
        Call { name: "messagesDeep", expected: Some(("messages", 50)), request: &|dice| history(dice, true) },
        Call {
            name: "syncNothingNew",
            expected: Some(("conversations", 0)),
            request: &|_| (reader.clone(), format!("/api/v1/sync?cursor={cursor}")),
        },
        Call { name: "searchCommonWord", expected: None, request: &|_| search(people::common_word().into()) },
        Call { name: "searchRareWord", expected: None, request: &|dice| search(store.word_reader_knows(dice)) },
        Call { name: "searchAbsentWord", expected: None, request: &|_| search("zzxyqw".into()) },
    ];
    for call in &calls {
        let cpu = CpuWindow::open(server);
        let (figures, row) = measure(server, call, options.requests).await.with_context(|| call.name)?;
        let (server_cores, _) = cpu.close();
        outcome.set(call.name, figures);
        let cores = server_cores.as_f64().map_or_else(String::new, |cores| format!("; server {cores} cores"));
        outcome.rows.push(Row { note: row.note + &cores, ..row });
    }
    Ok(())
}

/// Two connections with one request each at a time.
async fn measure(server: &Server, call: &Call<'_>, requests: u32) -> Result<(Value, Row)> {
    let probe = async |http: &mut HttpClient, dice: &mut Dice| {
        let (token, path) = (call.request)(dice);
        let reply = http.get_json(&token, &path).await?;
        let Some((field, expected)) = call.expected else { return Ok(hits_of(&reply)) };
        let items = items_of(&reply, field);
        ensure!(items == expected, "{items} {field} instead of {expected}");
        anyhow::Ok(items)
    };
    let began = Instant::now();
    let worker = async |seed: u64| {
        let (mut http, mut dice) = (HttpClient::new(server.address()), Dice::new(seed));
        let items = probe(&mut http, &mut dice).await?;
        let (mut took_us, mut bytes) = (histogram_us()?, 0u64);
        for _ in 0..requests.div_ceil(2) {
            let (token, path) = (call.request)(&mut dice);
            let asked = Instant::now();
            let reply = http.get(&token, &path).await?;
            took_us.saturating_record((asked.elapsed().as_micros() as u64).max(1));
            bytes += reply.body.len() as u64;
            if began.elapsed() > ENDPOINT_MAX {
                break;
            }
        }
        anyhow::Ok((took_us, bytes, items))
    };
    let (first, second) = tokio::try_join!(worker(1), worker(2))?;
    let (mut took_us, mut bytes, items) = first;
    took_us.add(&second.0).context("adding up")?;
    bytes += second.1;
    let count = took_us.len();
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let mut figures = percentiles_json(&took_us);
    figures["requestsPerSecond"] = json!(rounded(rate, 1));
    figures["bodyBytes"] = json!(bytes / count);
    figures["items"] = json!(items);
    let row = Row {
        what: call.name.into(),
        value: format!("{rate:.0} req/s"),
        percentiles: Some(percentiles_ms(&took_us)),
        note: format!("{} B, {items} items", bytes / count),
    };
    Ok((figures, row))
}

async fn measure_resync(
    outcome: &mut Outcome,
    http: &mut HttpClient,
    store: &FilledStore,
    cursor: &str,
    requests: u32,
) -> Result<()> {
    let expected = MISSED_PER_CONVERSATION * store.with_reader.len() as u64;
    let mut took_us = histogram_us()?;
    let mut last = None;
    for _ in 0..(requests / 40).clamp(5, 50) {
        let resync = difference(http, &store.reader, Some(cursor)).await?;
        ensure!(resync.messages == expected, "a resync of {} messages instead of {expected}", resync.messages);
        took_us.saturating_record((resync.took.as_micros() as u64).max(1));
        last = Some(resync);
    }
    let last = last.context("no resync")?;
    let mut figures = percentiles_json(&took_us);
    figures["conversations"] = json!(store.with_reader.len());
    figures["missedPerConversation"] = json!(MISSED_PER_CONVERSATION);
    figures["requests"] = json!(last.requests);
    figures["bytes"] = json!(last.bytes);
    outcome.set("resync", figures);
    outcome.rows.push(difference_row("resync", &last, Some(percentiles_ms(&took_us))));
    Ok(())
}

fn difference_row(what: &str, difference: &Difference, percentiles: Option<[f64; 4]>) -> Row {
    Row {
        what: what.into(),
        value: format!("{} requests", difference.requests),
        percentiles: percentiles.or(Some([rounded(difference.took.as_secs_f64() * 1e3, 3); 4])),
        note: format!("{} messages in {} KiB", difference.messages, difference.bytes / 1024),
    }
}

/// Asks until there is no more. Only the requests are timed, not the parsing of their replies.
async fn difference(http: &mut HttpClient, reader: &Person, cursor: Option<&str>) -> Result<Difference> {
    let mut whole = Difference {
        cursor: cursor.unwrap_or_default().to_owned(),
        requests: 0,
        bytes: 0,
        messages: 0,
        took: Duration::ZERO,
    };
    for _ in 0..PAGES_MAX {
        let path = if whole.cursor.is_empty() {
            "/api/v1/sync".to_owned()
        } else {
            format!("/api/v1/sync?cursor={}", whole.cursor)
        };
        let asked = Instant::now();
        let reply = http.get(&reader.token, &path).await?;
        whole.took += asked.elapsed();
        whole.requests += 1;
        whole.bytes += reply.body.len() as u64;
        let page: Value = serde_json::from_slice(&reply.body).context("the difference is no JSON")?;
        let conversations = page["conversations"].as_array().context("the difference has no conversations")?;
        whole.messages +=
            conversations.iter().map(|conversation| items_of(conversation, "messages") as u64).sum::<u64>();
        whole.cursor = page["cursor"].as_str().context("the difference has no cursor")?.to_owned();
        if page["hasMore"] != true {
            return Ok(whole);
        }
    }
    anyhow::bail!("the difference has no end after {PAGES_MAX} pages")
}

fn items_of(value: &Value, field: &str) -> usize {
    value[field].as_array().map_or(0, Vec::len)
}
