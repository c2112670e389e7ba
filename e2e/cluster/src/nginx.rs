//! What stands in front of the servers.

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use tertulia_testkit::{Folder, until};

/// Dropping it ends it.
pub struct Nginx {
    port: u16,
    folder: Folder,
    child: Option<Child>,
}

/// As `deploy/nginx.conf`, for one machine and without TLS; it is hasty, because here servers come and go every few seconds.
fn configuration(port: u16, servers: &[u16], folder: &str) -> String {
    let upstream = servers.iter().fold(String::new(), |mut text, server| {
        let _ = writeln!(text, "        server 127.0.0.1:{server} max_fails=1 fail_timeout=1s;");
        text
    });
    format!(
        "daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream tertulia {{
        # A browser that polls (Socket.IO without WebSocket) has to stay with its server.
        hash $remote_addr$http_user_agent consistent;
{upstream}    }}
    upstream sockets {{
        least_conn;
{upstream}    }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 1m;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_connect_timeout 2s;
        proxy_read_timeout 120s;
        proxy_next_upstream error timeout http_502 http_503 non_idempotent;
        location /messages/subscribe {{ proxy_pass http://sockets; }}
        location / {{ proxy_pass http://tertulia; }}
    }}
}}
"
    )
}

impl Nginx {
    pub async fn start(port: u16, servers: &[u16]) -> Result<Self> {
        let folder = Folder::new()?;
        let text = configuration(port, servers, &folder.path().display().to_string());
        fs::write(folder.path().join("nginx.conf"), text)?;
        let mut nginx = Self { port, folder, child: None };
        nginx.launch().await?;
        Ok(nginx)
    }

    /// Kills what runs and starts anew.
    pub async fn launch(&mut self) -> Result<()> {
        self.stop()?;
        let folder = self.folder.path();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).stdin(Stdio::null());
        // It complains there until it has read where its log is.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().context("can't start nginx")?);
        let port = self.port;
        until("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
            .await
            .with_context(|| fs::read_to_string(folder.join("error.log")).unwrap_or_default())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            // SIGTERM: its worker goes along.
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            }
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
