//! Where the database is and how it is reached: the URL, TLS, and one connection.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Fault, Sql};
use crate::schema::OpenError;

/// How long a connection may take to come about on an open socket.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// How long each host may take to open one, where the URL says nothing else. Of several hosts the next one's turn comes after it, so a machine that is
/// switched off may not take all the time there is.
const HOST_TIMEOUT: Duration = Duration::from_secs(2);

/// A peer that is gone without a word is noticed after this.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// One database, as a URL says it.
#[derive(Clone)]
pub(crate) struct Target {
    pub config: Config,
    tls: MakeRustlsConnect,
}

impl Target {
    /// `postgres://user:password@host[:port][,host2[:port2]]/database?sslmode=...`. Beside what libpq's URLs say of it, `sslmode=require` and
    /// `verify-full` both check the server's certificate and name, against the system's authorities or those in the file `sslrootcert`.
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        let (plain, tls) = split(url)?;
        let mut config: Config = plain.parse().map_err(|e: tokio_postgres::Error| {
            // The driver's text names the part that is wrong and no secret.
            OpenError::Url(std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string))
        })?;
        if tls.verifies {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(HOST_TIMEOUT);
        }
        config.keepalives_idle(SILENCE_MAX).tcp_user_timeout(SILENCE_MAX);
        if config.get_application_name().is_none() {
            config.application_name("tertulia");
        }
        Ok(Self { config, tls: MakeRustlsConnect::new(tls.client()?) })
    }

    /// For messages: hosts and database, nothing secret.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                tokio_postgres::config::Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        format!("{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or("?"))
    }

    /// A URL without name and password: what somebody repeats who knows these.
    pub fn address(&self) -> String {
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.last()).copied().unwrap_or(5432);
        let hosts = self.config.get_hosts().iter().enumerate().map(|(at, host)| match host {
            tokio_postgres::config::Host::Tcp(name) => format!("{name}:{}", port(at)),
            #[cfg(unix)]
            tokio_postgres::config::Host::Unix(path) => {
                format!("{}:{}", path.display().to_string().replace('/', "%2F"), port(at))
            }
        });
        let hosts: Vec<String> = hosts.collect();
        format!("postgres://{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or("?"))
    }

    pub async fn connect(&self) -> Sql<(Client, Connection<Socket, impl TlsStream + Unpin + Send + use<>>)> {
        // The driver's own limit is for the socket; whoever accepts and says nothing has to be given up as well.
        let connecting = self.config.connect(self.tls.clone());
        Ok(tokio::time::timeout(self.patience() + CONNECT_TIMEOUT, connecting).await.map_err(|_| Fault::Silent)??)
    }

    /// How long all hosts together may take to open a socket.
    pub fn patience(&self) -> Duration {
        let each = self.config.get_connect_timeout().copied().unwrap_or(HOST_TIMEOUT);
        each * u32::try_from(self.config.get_hosts().len().max(1)).unwrap_or(1)
    }

    pub fn manager(&self) -> deadpool_postgres::Manager {
        let recycling = deadpool_postgres::ManagerConfig { recycling_method: deadpool_postgres::RecyclingMethod::Fast };
        deadpool_postgres::Manager::from_config(self.config.clone(), self.tls.clone(), recycling)
    }
}

#[derive(Default)]
struct Tls {
    verifies: bool,
    roots: Option<String>,
}

/// Takes out of the URL what the driver does not know.
fn split(url: &str) -> Result<(String, Tls), OpenError> {
    let mut tls = Tls::default();
    let Some((place, query)) = url.split_once('?') else { return Ok((url.to_owned(), tls)) };
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", "require" | "verify-full")) => tls.verifies = true,
            Some(("sslmode", "verify-ca")) => {
                return Err(OpenError::Url("sslmode=verify-ca is not known here: use verify-full".into()));
            }
            Some(("sslrootcert", file)) => tls.roots = Some(file.replace("%2F", "/").replace("%2f", "/")),
            _ => rest.push(pair),
        }
    }
    Ok((format!("{place}?{}", rest.join("&")), tls))
}

impl Tls {
    fn client(&self) -> Result<ClientConfig, OpenError> {
        let failed = |cause: String| OpenError::Tls(cause);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(e.to_string()))?;
        let Some(file) = &self.roots else {
            return Ok(builder.with_platform_verifier().map_err(|e| failed(e.to_string()))?.with_no_client_auth());
        };
        let mut roots = rustls::RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(file).map_err(|e| failed(format!("{file}: {e}")))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| failed(format!("{file}: {e}")))?;
            roots.add(certificate).map_err(|e| failed(format!("{file}: {e}")))?;
        }
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}
