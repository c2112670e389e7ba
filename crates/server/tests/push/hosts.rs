//! Devices that no sign-in of ours registered: with a host app's token, and by its server with a key.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tertulia_testkit::{Api, Server, until};

use crate::expo::Expo;
use crate::{TERTULIA, register, token};

const SECRET: &str = "a secret of the host app, 32 bytes long at least";

/// As a host app signs it: HS256 (RFC 7515).
fn host_token(subject: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "sub": subject, "name": subject, "exp": 4_102_444_800_i64 });
    let signed = format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// The hourly clean-up, now.
async fn sweep(server: &Server) -> Result<()> {
    let log = rusqlite::Connection::open(server.folder().path().join("tertulia.db"))?;
    log.busy_timeout(std::time::Duration::from_secs(10))?;
    let is_due = |due: bool| {
        let found = log.query_row("SELECT max(run_at) = 0 FROM jobs WHERE kind = 'sweep'", [], |row| row.get(0));
        found == Ok(Some(due))
    };
    until("the clean-up is queued", || is_due(false)).await?;
    log.execute("UPDATE jobs SET run_at = 0 WHERE kind = 'sweep'", [])?;
    until("it has run", || is_due(false)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clean_up_leaves_the_devices_of_host_apps_and_of_keys() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA).env("TERTULIA_AUTH__HOST_SECRET", SECRET)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (&people[0], &people[1]);
    let http = reqwest::Client::builder().no_proxy().build()?;

    let carol = Api::new(http.clone(), server.url(), &host_token("carol"));
    let of_host = json!({ "token": token("hers"), "platform": "ios", "provider": "expo" });
    carol.post("/api/v1/devices/register", &of_host).await?.take::<Value>()?;
    let me: Value = carol.get("/api/v1/me").await?.take()?;
    let carol_id = me["id"].as_str().context("an id")?.parse()?;
    let carol = tertulia_testkit::Person { id: carol_id, ..bob.clone() };

    let said = server.run(&["apikey", "create", "--name", "shop", "--scopes", "users:write,chat:read"]).await?;
    let key = said.lines().last().context("a key")?;
    let of_key = json!({ "token": token("his"), "platform": "android", "provider": "expo" });
    let request = http.post(format!("{}/api/v1/devices/register", server.url())).bearer_auth(key);
    let answer = request.header("Tertulia-User", &bob.email).json(&of_key).send().await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    // One that signed in here, for comparison.
    register(&server, bob, "local", None).await?;

    sweep(&server).await?;
    let group = server.api(alice).group("All", &[bob.clone(), carol]).await?.id;
    server.api(alice).send(group, "a", "hello").await?;
    let told = expo.once(3).await?;
    let mut to: Vec<&str> = told.iter().filter_map(|one| one["to"].as_str()).collect();
    to.sort_unstable();
    ensure!(to == [token("hers"), token("his"), token("local")], "{to:?}");
    Ok(())
}
