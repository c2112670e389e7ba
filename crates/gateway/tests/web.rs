//! The web app's files.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use bytes::Bytes;
use support::{Answer, Ask, Server, Wish, assert_problem};
use tertulia_gateway::Settings;
use tertulia_gateway::web::{File, WebApp};

mod support;

fn with_app() -> Server {
    let file = |text: &'static str, brotli: Option<&'static str>| File {
        bytes: Bytes::from_static(text.as_bytes()),
        brotli: brotli.map(|text| Bytes::from_static(text.as_bytes())),
        hash: format!("{:x}", text.len()),
    };
    let files = [
        ("index.html", file("<!doctype html>", None)),
        ("sw.js", file("self", None)),
        ("assets/core-1a2b.wasm", file("\0asm and more", Some("packed"))),
    ];
    let web = WebApp::new(files.map(|(name, file)| (name.to_owned(), file)).into());
    Server::new(Wish { settings: Settings { web, ..Settings::default() }, ..Wish::default() })
}

async fn page(server: &Server, line: &str) -> Answer {
    server.call(Ask::new(line).header("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")).await
}

#[tokio::test]
async fn every_place_in_the_app_is_its_page_and_no_path_of_the_server_is() {
    let server = with_app();
    for path in ["/", "/c/0190a1b2-0000-7000-8000-0000000000d0", "/settings", "/index.html", "/documents"] {
        let answer = page(&server, &format!("GET {path}")).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "<!doctype html>"), "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-cache", "a new version is seen");
    }
    // Whatever is asked for there, as by a program that looks whether the server is up.
    assert_eq!(server.call(Ask::new("GET /")).await.text(), "<!doctype html>");
    for path in [
        "/api/v1/nothing",
        "/auth/nothing",
        "/health",
        "/metrics/x",
        "/missing.js",
        "/assets/old.css",
        "/docs/x",
        "/../x.txt",
    ] {
        assert_problem(&page(&server, &format!("GET {path}")).await, 404, "not_found");
    }
    // Who does not ask for a page has asked for something that is not here.
    assert_problem(
        &server.call(Ask::new("GET /settings").header("accept", "application/json")).await,
        404,
        "not_found",
    );
    assert_problem(&page(&server, "POST /settings").await, 404, "not_found");
    assert_eq!(page(&server, "GET /docs").await.status, 200, "the reference is still there");
}

#[tokio::test]
async fn nothing_from_elsewhere_runs_in_the_app() {
    let server = with_app();
    for path in ["/", "/sw.js", "/assets/core-1a2b.wasm"] {
        let answer = page(&server, &format!("GET {path}")).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{policy}");
        let is_trusted = policy.ends_with("; require-trusted-types-for 'script'; trusted-types default");
        assert_eq!(is_trusted, path == "/", "pages alone: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
    }
}

#[tokio::test]
async fn what_never_changes_is_kept_and_what_is_known_is_not_sent_again() {
    let server = with_app();
    let wasm = || Ask::new("GET /assets/core-1a2b.wasm");
    let plain = server.call(wasm()).await;
    assert_eq!((plain.text(), plain.header("content-type")), ("\0asm and more", "application/wasm"));
    assert_eq!(plain.header("cache-control"), "public, max-age=31536000, immutable");
    let packed = server.call(wasm().header("accept-encoding", "gzip, br")).await;
    assert_eq!((packed.text(), packed.header("content-encoding")), ("packed", "br"));
    assert_eq!(packed.header("vary"), "accept-encoding");
    assert_ne!(packed.header("etag"), plain.header("etag"));
    let refused = server.call(wasm().header("accept-encoding", "br;q=0")).await;
    assert_eq!(refused.header("content-encoding"), "");
    for tag in [plain.header("etag").to_owned(), format!("\"other\", W/{}", plain.header("etag"))] {
        let again = server.call(wasm().header("if-none-match", &tag)).await;
        assert_eq!((again.status.as_u16(), again.text()), (304, ""), "{tag}");
    }
    assert_eq!(server.call(wasm().header("if-none-match", packed.header("etag"))).await.status, 200);
    let head = server.call(Ask::new("HEAD /sw.js")).await;
    assert_eq!((head.status.as_u16(), head.header("cache-control")), (200, "no-cache"));
}

#[tokio::test]
async fn without_an_app_the_front_page_leads_to_the_reference() {
    let server = Server::new(Wish::default());
    let answer = page(&server, "GET /").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (307, "/docs"));
    assert_problem(&page(&server, "GET /settings").await, 404, "not_found");
}
