//! HTTP/1.1 over one kept connection: enough for measuring, and nothing between the request and the clock.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUEST_MAX: Duration = Duration::from_secs(60);
const REPLY_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A client that sends one request at a time.
#[derive(Debug)]
pub struct HttpClient {
    server: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

/// Status and body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

struct Head {
    status: u16,
    /// Bytes of the head with its empty line.
    len: usize,
    content_length: Option<usize>,
    chunked: bool,
    close: bool,
}

impl HttpClient {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, received: Vec::with_capacity(64 * 1024) }
    }

    /// Answers with a success status, or the error with what the server said.
    pub async fn get(&mut self, token: &str, path: &str) -> Result<Reply> {
        self.request("GET", token, path, "").await
    }

    pub async fn get_json(&mut self, token: &str, path: &str) -> Result<Value> {
        let reply = self.get(token, path).await?;
        serde_json::from_slice(&reply.body).with_context(|| format!("GET {path}: no JSON"))
    }

    pub async fn post_json(&mut self, token: &str, path: &str, body: &Value) -> Result<Value> {
        let reply = self.request("POST", token, path, &body.to_string()).await?;
        serde_json::from_slice(&reply.body).with_context(|| format!("POST {path}: no JSON"))
    }

    async fn request(&mut self, method: &str, token: &str, path: &str, body: &str) -> Result<Reply> {
        let what = || format!("{method} {}", path.split('?').next().unwrap_or(path));
        let exchange = async {
            let fresh = self.stream.is_none();
            match self.exchange(method, token, path, body).await {
                // The server may have closed an idle connection; a fresh one tells a real error.
                Err(_) if !fresh && method == "GET" => self.exchange(method, token, path, body).await,
                result => result,
            }
        };
        let reply = tokio::time::timeout(REQUEST_MAX, exchange).await.with_context(what)?.with_context(what)?;
        if !(200..300).contains(&reply.status) {
            let body = String::from_utf8_lossy(&reply.body);
            bail!("{}: {} {}", what(), reply.status, body.chars().take(300).collect::<String>());
        }
        Ok(reply)
    }

    async fn exchange(&mut self, method: &str, token: &str, path: &str, body: &str) -> Result<Reply> {
        // Taken out, so that whatever fails half way is not used again.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.server).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.server);
        if !token.is_empty() {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).await?;

        self.received.clear();
        let head = loop {
            self.read_more(&mut stream).await?;
            if let Some(head) = parse_head(&self.received)? {
                break head;
            }
        };
        let body = if head.chunked {
            loop {
                if let Some(body) = join_chunks(&self.received[head.len..])? {
                    break body;
                }
                self.read_more(&mut stream).await?;
            }
        } else {
            let end = head.len + head.content_length.unwrap_or(0);
            while self.received.len() < end {
                self.read_more(&mut stream).await?;
            }
            self.received[head.len..end].to_vec()
        };
        if !head.close {
            self.stream = Some(stream);
        }
        Ok(Reply { status: head.status, body })
    }

    async fn read_more(&mut self, stream: &mut TcpStream) -> Result<()> {
        if self.received.len() > REPLY_MAX_BYTES {
            bail!("an answer of over {REPLY_MAX_BYTES} bytes");
        }
        if self.received.capacity() - self.received.len() < 16 * 1024 {
            self.received.reserve(64 * 1024);
        }
        if stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn parse_head(received: &[u8]) -> Result<Option<Head>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&received[..end]).context("the head is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let mut head = Head {
        status: status.context("no status line")?,
        len: end + 4,
        content_length: None,
        chunked: false,
        close: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.content_length = Some(value.parse().context("content-length")?),
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => head.close = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Ok(Some(head))
}

/// The body that chunks make up (RFC 9112, section 7.1); `None` until the last one is there. The server sends no trailers.
fn join_chunks(mut data: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = data.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&data[..line]).ok().and_then(|text| text.split(';').next()).map(str::trim);
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).context("a chunk without a size")?;
        if size > REPLY_MAX_BYTES {
            bail!("a chunk of {size} bytes");
        }
        let end = line + 2 + size;
        if data.len() < end + 2 {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&data[line + 2..end]);
        data = &data[end + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n").unwrap().is_none());
        let head = parse_head(b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello")
            .unwrap()
            .unwrap();
        assert_eq!((head.status, head.content_length, head.chunked, head.close), (201, Some(5), false, true));
    }

    #[test]
    fn chunks_become_one_body() {
        let whole = b"5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n";
        assert_eq!(join_chunks(whole).unwrap().unwrap(), b"hello world");
        for cut in 0..whole.len() {
            assert_eq!(join_chunks(&whole[..cut]).unwrap(), None);
        }
        assert!(join_chunks(b"zz\r\n").is_err());
    }
}
