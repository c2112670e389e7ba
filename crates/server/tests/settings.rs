//! That what is set reaches the doors of the real binary.

use anyhow::Result;
use serde_json::json;
use tertulia_testkit::{Options, Server};

/// The statuses of one attempt to sign in for each address that a proxy would name.
async fn attempts(behind_proxy: &str, named: [&str; 3]) -> Result<Vec<u16>> {
    let options = Options::new(env!("CARGO_BIN_EXE_tertulia"))
        .env("TERTULIA_BEHIND_PROXY", behind_proxy)
        .env("TERTULIA_RATE_LIMITS", "on")
        .limit("sign_ins_per_address_per_minute", 1);
    let server = Server::start(options).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut statuses = Vec::new();
    for named in named {
        let login = http.post(format!("{}/auth/login", server.url())).header("x-forwarded-for", named);
        // No e-mail address, so that no password is hashed; it is counted all the same.
        let answer = login.json(&json!({ "email": named, "password": "x" })).send().await?;
        statuses.push(answer.status().as_u16());
    }
    Ok(statuses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_attempts_are_counted_depends_on_the_proxy_that_is_set() {
    let named = ["203.0.113.1", "203.0.113.2", "203.0.113.1"];
    assert_eq!(attempts("off", named).await.unwrap(), [401, 429, 429], "the peer is the same each time");
    assert_eq!(attempts("on", named).await.unwrap(), [401, 401, 429]);
}
