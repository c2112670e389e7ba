//! Host apps' published keys over HTTP.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tertulia_core::auth::JwksSource;

/// Bytes of a key document; 64 RSA keys take under 64 KiB.
const DOCUMENT_MAX_BYTES: usize = 256 * 1024;

pub struct HttpJwks {
    client: reqwest::Client,
}

impl HttpJwks {
    pub fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(5))
            // A key address that leads elsewhere is a mistake or an attack.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client })
    }

    async fn get(&self, url: &str) -> Result<String, String> {
        let mut answer = self.client.get(url).send().await.map_err(|e| e.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| e.to_string())? {
            document.extend_from_slice(&chunk);
            if document.len() > DOCUMENT_MAX_BYTES {
                return Err(format!("over {DOCUMENT_MAX_BYTES} bytes"));
            }
        }
        String::from_utf8(document).map_err(|e| e.to_string())
    }
}

impl JwksSource for HttpJwks {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(self.get(url))
    }
}
