//! The queue of the real binary: what runs by itself, what an operator sees, and workers of their own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tertulia_testkit::{Options, Postgres, PostgresOptions, Server, until, within};

const TERTULIA: &str = env!("CARGO_BIN_EXE_tertulia");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_runs_jobs_and_an_operator_looks_after_the_dead_ones() -> Result<()> {
    let mut server = Server::start(Options::new(TERTULIA)).await?;
    let database = server.folder().path().join("tertulia.db");
    until("the clean-up is queued", || {
        let queued = rusqlite::Connection::open(&database)
            .and_then(|log| log.query_row("SELECT count(*) FROM jobs WHERE kind = 'sweep'", [], |row| row.get(0)));
        queued == Ok(1)
    })
    .await?;
    let log = rusqlite::Connection::open(&database)?;
    log.busy_timeout(std::time::Duration::from_secs(10))?;
    // Some that died of something, and the clean-up is due.
    log.execute_batch(
        "INSERT INTO jobs (kind, payload, state, attempt, run_at, created_at, dead_at, reasons)
         VALUES ('notify', 'a secret', 2, 3, 0, 0, 4000000000000, '[{\"at\":\"2026-01-01T00:00:00Z\",\"reason\":\"no\\nluck\"}]'),
            ('notify', '', 2, 3, 0, 0, 4000000000000, '[]'), ('notify', '', 2, 3, 0, 0, 4000000000000, '[]'),
            ('notify', 'too old', 2, 3, 0, 0, 1, '[]');
         UPDATE jobs SET run_at = 0 WHERE kind = 'sweep'",
    )?;
    until("the clean-up has run", || {
        log.query_row("SELECT count(*) FROM jobs WHERE payload = 'too old'", [], |row| row.get(0)) == Ok(0)
    })
    .await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut metrics = String::new();
    while !metrics.contains("tertulia_jobs_done{kind=\"sweep\"} 1") {
        metrics = http.get(format!("{}/metrics", server.url())).send().await?.text().await?;
    }
    ensure!(metrics.contains("tertulia_jobs_dead 3"), "{metrics}");
    ensure!(metrics.contains("tertulia_jobs_oldest_ready_ms{kind=\"sweep\"} 0"), "the next one is not due: {metrics}");

    let dead = server.run(&["jobs", "dead", "--kind", "notify"]).await?;
    ensure!(dead.contains("notify dead tries 3") && dead.contains("no luck") && !dead.contains("secret"), "{dead}");
    let first = dead.split(' ').next().context("an id")?.to_owned();
    over_the_api(&server, &http, first.parse()?).await?;
    ensure!(!server.command(&["jobs", "drop", &first]).await?.status.success(), "it is not dead any more");
    let ready = server.run(&["jobs", "list", "--kind", "notify"]).await?;
    ensure!(ready.starts_with(&format!("{first} notify ready tries 0")), "nobody works on it: {ready}");
    let stats = server.run(&["jobs", "stats"]).await?;
    ensure!(stats.starts_with("ready 2\ndead 0\n") && stats.contains("notify ready 1"), "{stats}");
    ensure!(server.terminate().await?.success());
    Ok(())
}

/// What the command shows and does, with a key: one letter is tried again, and the two others of its kind go.
async fn over_the_api(server: &Server, http: &reqwest::Client, first: i64) -> Result<()> {
    let made = server.run(&["apikey", "create", "--name", "operations", "--scopes", "admin"]).await?;
    let key = made.split_whitespace().find(|word| word.starts_with("tk_")).context("a key")?.to_owned();
    let at = |path: &str| format!("{}/api/v1/admin/jobs{path}", server.url());
    let dead = http.get(at("?state=dead&kind=notify&limit=1")).bearer_auth(&key).send().await?.text().await?;
    ensure!(dead.contains("no\\nluck") && !dead.contains("secret"), "{dead}");
    let dead: serde_json::Value = serde_json::from_str(&dead)?;
    let jobs = dead["jobs"].as_array().context("jobs")?;
    ensure!(jobs.len() == 1 && jobs[0]["id"] == first && jobs[0]["tries"] == 3 && jobs[0]["state"] == "dead", "{dead}");
    let after = http.get(at(&format!("?state=dead&after={first}"))).bearer_auth(&key).send().await?.text().await?;
    let after: serde_json::Value = serde_json::from_str(&after)?;
    ensure!(after["jobs"].as_array().is_some_and(|jobs| jobs.len() == 2), "{after}");

    let ask = async |verdict: &str, body: serde_json::Value| -> Result<(u16, serde_json::Value)> {
        let request = http.post(at(verdict)).bearer_auth(&key).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await?;
        Ok((answer.status().as_u16(), serde_json::from_str(&answer.text().await?)?))
    };
    let (status, done) = ask("/retry", serde_json::json!({ "id": first })).await?;
    ensure!(status == 200 && done == serde_json::json!({ "count": 1, "more": false }), "{done}");
    let (status, refused) = ask("/retry", serde_json::json!({ "id": first })).await?;
    ensure!(status == 404, "it is not dead any more: {refused}");
    let (status, done) = ask("/drop", serde_json::json!({ "kind": "notify" })).await?;
    ensure!(status == 200 && done["count"] == 2, "{done}");
    for bad in
        [serde_json::json!({}), serde_json::json!({ "id": 1, "kind": "x" }), serde_json::json!({ "kind": "\u{0}" })]
    {
        let (status, refused) = ask("/drop", bad).await?;
        ensure!(status == 400 && refused.to_string().contains("kind"), "{refused}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_has_no_worker_of_its_own_and_says_why() -> Result<()> {
    let server = Server::start(Options::new(TERTULIA)).await?;
    let refused = server.command(&["worker"]).await?;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && text.contains("needs PostgreSQL") && text.contains("one writer"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_has_one_server_until_that_is_gone_however_it_went() -> Result<()> {
    let mut server = Server::start(Options::new(TERTULIA)).await?;
    let folder = server.folder().path().display().to_string();
    for _ in 0..2 {
        let refused = within("an answer", server.command(&["serve", "--listen", "127.0.0.1:0"])).await??;
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && text.contains(&folder), "{text}");
        ensure!(text.contains("another server runs") && text.contains("PostgreSQL"), "{text}");
        // What an operator asks meanwhile is answered.
        ensure!(server.command(&["jobs", "stats"]).await?.status.success());
        server.kill()?;
        server.launch().await?;
    }
    Ok(())
}

/// Ended at the end.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_on_postgresql_works_alone_and_stops_when_it_is_told_to() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::default())?;
    postgres.create("log")?;
    let worker = |queues: &[&str]| {
        let mut command = Command::new(TERTULIA);
        command.arg("worker").args(queues).env("TERTULIA_DATABASE_URL", postgres.url("log"));
        command.env("TERTULIA_DATABASE_PARTITIONS", "1").stderr(Stdio::piped());
        command
    };
    let refused = worker(&["--queues", "sweep,notify"]).output()?;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && text.contains("\"notify\"") && text.contains("sweep"), "{text}");

    let mut running = Worker(worker(&["--queues", "sweep", "--listen", "127.0.0.1:0"]).spawn()?);
    let mut told = BufReader::new(running.0.stderr.take().context("what it says")?).lines();
    let url = told.find_map(|line| Some(line.ok()?.strip_prefix("listening on ")?.to_owned())).context("an address")?;
    let ask = |statement: &str| postgres.psql("log", statement).unwrap_or_default();
    until("the clean-up is queued", || ask("SELECT count(*) FROM jobs WHERE kind = 'sweep'") == "1").await?;
    ask("INSERT INTO jobs (kind, payload, state, run_at, created_at, dead_at) VALUES ('x', '', 2, 0, 0, 1);
         UPDATE jobs SET run_at = 0 WHERE kind = 'sweep'");
    until("it has run", || ask("SELECT count(*) FROM jobs WHERE kind = 'x'") == "0").await?;
    until("the next one waits", || ask("SELECT state, run_at > 1000 FROM jobs") == "0|t").await?;
    // How it is can be seen; nobody is served.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let look = async |path: &str| http.get(format!("{url}{path}")).send().await;
    for path in ["/health/live", "/health/ready"] {
        ensure!(look(path).await?.text().await?.starts_with("{\"status\":\"ok\""), "{path}");
    }
    let mut metrics = String::new();
    while !metrics.contains("tertulia_jobs_done{kind=\"sweep\"} 1") {
        metrics = look("/metrics").await?.text().await?;
    }
    ensure!(metrics.contains("tertulia_jobs_capped 0") && metrics.contains("tertulia_jobs_ready 1"), "{metrics}");
    for path in ["/", "/docs", "/api/v1/conversations", "/socket.io/"] {
        ensure!(look(path).await?.status() == 404, "{path}");
    }
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    until("it has stopped", || matches!(running.0.try_wait(), Ok(Some(status)) if status.success())).await?;
    Ok(())
}
