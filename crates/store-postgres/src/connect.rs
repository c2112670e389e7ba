//! Where the database is and how it is reached: the URL, TLS, and one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Fault, Sql};
use crate::schema::OpenError;

/// How long a connection may take to come about on an open socket. Of several hosts the next one's turn comes after it: one that is frozen still opens
/// sockets, and says nothing on them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// How long each host may take to open one, where the URL says nothing else: a machine that is switched off may not take all the time there is.
const HOST_TIMEOUT: Duration = Duration::from_secs(2);

/// A peer that is gone without a word is noticed after this.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// One database, as a URL says it.
#[derive(Clone)]
pub(crate) struct Target {
    /// One for each host, in the URL's order.
    hosts: Vec<Config>,
    /// The host that answered last, which is asked first.
    first: Arc<AtomicUsize>,
    tls: MakeRustlsConnect,
}

type Established = (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

impl Target {
    /// `postgres://user:password@host[:port][,host2[:port2]]/database?sslmode=...`. Beside what libpq's URLs say of it, `sslmode=require` and
    /// `verify-full` both check the server's certificate and name, against the system's authorities or those in the file `sslrootcert`.
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        let (plain, tls) = split(url)?;
        let hosts = each_host(&plain).iter().map(|url| configure(url, tls.verifies)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { hosts, first: Arc::default(), tls: MakeRustlsConnect::new(tls.client()?) })
    }

    /// Only a host that takes writes will do.
    pub fn for_writing(mut self) -> Self {
        for host in &mut self.hosts {
            host.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        self
    }

    /// Called otherwise among the connections of its database; and how it was called.
    pub fn named(mut self, name: &str) -> (Self, String) {
        let before = self.hosts.first().and_then(Config::get_application_name).unwrap_or_default().to_owned();
        for host in &mut self.hosts {
            host.application_name(name);
        }
        (self, before)
    }

    /// The same for one replica: one host, whether it takes writes or not.
    pub fn of_replica(url: &str) -> Result<Self, OpenError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(OpenError::Url(
                "each replica has a URL of its own: postgres://user:password@host/database".into(),
            ));
        }
        let mut target = Self::parse(url)?;
        let [config] = &mut target.hosts[..] else {
            return Err(OpenError::Url("each replica has a URL of its own, with one host".into()));
        };
        if config.get_hosts().len() != 1 {
            return Err(OpenError::Url("each replica has a URL of its own, with one host".into()));
        }
        config.target_session_attrs(TargetSessionAttrs::Any);
        Ok(target)
    }

    /// For messages: hosts and database, nothing secret.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .flat_map(Config::get_hosts)
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        format!("{}/{}", hosts.join(","), self.hosts.first().and_then(Config::get_dbname).unwrap_or("?"))
    }

    /// A URL without name and password: what somebody repeats who knows these.
    pub fn address(&self) -> String {
        let hosts = self.hosts.iter().flat_map(|config| {
            let ports = config.get_ports();
            let port = move |at: usize| ports.get(at).or(ports.last()).copied().unwrap_or(5432);
            config.get_hosts().iter().enumerate().map(move |(at, host)| match host {
                Host::Tcp(name) => format!("{name}:{}", port(at)),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{}", path.display().to_string().replace('/', "%2F"), port(at)),
            })
        });
        let hosts: Vec<String> = hosts.collect();
        let database = self.hosts.first().and_then(Config::get_dbname).unwrap_or("?");
        format!("postgres://{}/{database}", hosts.join(","))
    }

    pub async fn connect(&self) -> Sql<Established> {
        match self.first_that_answers().await {
            Ok(established) => Ok(established),
            Err(Some(error)) => Err(error.into()),
            Err(None) => Err(Fault::Silent),
        }
    }

    /// The hosts one after the other, beginning with the one that answered last. No error where none said anything in its time.
    async fn first_that_answers(&self) -> Result<Established, Option<tokio_postgres::Error>> {
        let (count, first) = (self.hosts.len(), self.first.load(Ordering::Relaxed));
        let mut latest = None;
        for turn in 0..count {
            let at = (first + turn) % count;
            let host = &self.hosts[at];
            match tokio::time::timeout(patience(host), host.connect(self.tls.clone())).await {
                Ok(Ok(established)) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(established);
                }
                Ok(Err(error)) => latest = Some(error),
                Err(_) => {}
            }
        }
        Err(latest)
    }

    /// How long all hosts together may take.
    pub fn patience(&self) -> Duration {
        self.hosts.iter().map(patience).sum()
    }

    pub fn manager(&self) -> Manager {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        // The pool hands its configuration back to whoever connects for it; ours has its own.
        Manager::from_connect(self.hosts.first().cloned().unwrap_or_default(), self.clone(), recycling)
    }
}

impl deadpool_postgres::Connect for Target {
    fn connect(
        &self,
        _: &Config,
    ) -> BoxFuture<'_, Result<(Client, tokio::task::JoinHandle<()>), tokio_postgres::Error>> {
        Box::pin(async move {
            let (client, connection) = match self.first_that_answers().await {
                Ok(established) => established,
                Err(Some(error)) => return Err(error),
                // The driver has no error for it, and the pool's own limit is reached in a moment.
                Err(None) => std::future::pending().await,
            };
            #[expect(clippy::disallowed_methods, reason = "the pool ends it with its connection")]
            let driver = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a reader's connection ended");
                }
            });
            Ok((client, driver))
        })
    }
}

fn patience(host: &Config) -> Duration {
    host.get_connect_timeout().copied().unwrap_or(HOST_TIMEOUT) + CONNECT_TIMEOUT
}

fn configure(url: &str, verifies: bool) -> Result<Config, OpenError> {
    let mut config: Config = url.parse().map_err(|e: tokio_postgres::Error| {
        // The driver's text names the part that is wrong and no secret.
        OpenError::Url(std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string))
    })?;
    if verifies {
        config.ssl_mode(SslMode::Require);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(HOST_TIMEOUT);
    }
    config.keepalives_idle(SILENCE_MAX).tcp_user_timeout(SILENCE_MAX);
    if config.get_application_name().is_none() {
        config.application_name("tertulia");
    }
    Ok(config)
}

/// The same URL once for each of its hosts; whole where they are not where one looks for them.
fn each_host(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (who, hosts) = authority.rsplit_once('@').map_or(("", authority), |(who, hosts)| (who, hosts));
    let at = if who.is_empty() { "" } else { "@" };
    hosts.split(',').map(|host| format!("{scheme}://{who}{at}{host}{rest}")).collect()
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
