//! What can be set: defaults, then a file, then the environment (`TERTULIA_...`, `__` between levels), then flags.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use config::{Config, Environment, File, FileFormat};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tertulia_core::auth::{AuthConfig, HostIssuer, HostKey};
use tertulia_gateway::flaky::Flaky;
use tertulia_proto::{Limits, ServerId};

use crate::push::PushSettings;
use crate::trace::TraceSettings;
use crate::unset;
use crate::webhooks::WebhookSettings;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `tertulia worker` shows its health and metrics, such as 127.0.0.1:4001; nowhere if it is not set. Port 0 takes a free one.
    pub worker_listen: Option<SocketAddr>,
    /// The folder of the database.
    pub data: PathBuf,
    /// Where people reach this server, such as https://chat.example.org.
    pub public_url: Option<String>,
    /// `on` where a proxy says in X-Forwarded-For where a request comes from.
    pub behind_proxy: Switch,
    /// Other origins whose pages may call the REST API.
    pub cors_origins: Vec<String>,
    /// `on` or `off` (for tests and measurements).
    pub rate_limits: Switch,
    /// A filter of tracing-subscriber, such as `info` or `tertulia_gateway=debug`.
    pub log: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// Database connections that read.
    pub readers: usize,
    /// `postgres://user:password@host/database`: the log is there instead of in the folder, for several servers.
    #[serde(skip_serializing)]
    pub database_url: Option<String>,
    /// `cached`, or `typed` behind PgBouncer in transaction mode.
    pub database_prepared: Statements,
    /// Into how many parts a new log's messages are divided, at most 64.
    pub database_partitions: u16,
    /// `may_lose`: a promoted replica may lack what was acknowledged, so clients compare what they hold. `loses_nothing` where only synchronous
    /// replicas are promoted.
    pub database_failover: Promotion,
    /// Streaming replicas to read conversations from, a URL with one host for each; the primary answers what they can't.
    #[serde(skip_serializing)]
    pub database_replica_urls: Vec<String>,
    /// A replica that is further behind is left out, in milliseconds.
    pub database_replica_lag_max_ms: u64,
    /// `redis://host`, `redis-sentinel://a,b,c/master` or `redis-cluster://a,b,c`: how several servers tell one another.
    #[serde(skip_serializing)]
    pub redis_url: Option<String>,
    /// Begins all names in Redis; another for each log on one Redis.
    pub redis_prefix: String,
    /// Development only: a bad network on the sockets, such as `latency=50..800,drop=2%,double=2%,cut=1%`; `on` for just these.
    pub flaky: Option<Flaky>,
    pub auth: AuthSettings,
    pub jobs: JobSettings,
    pub push: PushSettings,
    pub webhooks: WebhookSettings,
    pub trace: TraceSettings,
    /// By the names of `tertulia_proto::Limits`, in snake case.
    pub limits: HashMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    #[serde(alias = "true", alias = "1")]
    On,
    #[serde(alias = "false", alias = "0")]
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statements {
    Cached,
    Typed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promotion {
    MayLose,
    LosesNothing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSettings {
    /// Whether people can register and sign in with a password.
    pub local_accounts: Switch,
    /// How long a session lasts without a refresh. 7 days.
    pub session_ttl_ms: i64,
    /// One host app by environment: its secret (HS256, 32 bytes at least) or the address of its keys.
    #[serde(skip_serializing)]
    pub host_secret: Option<String>,
    pub host_jwks_url: Option<String>,
    pub host_issuer: Option<String>,
    pub host_audience: Option<String>,
    /// Any number of host apps by file.
    pub hosts: Vec<HostSettings>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSettings {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    #[serde(skip_serializing)]
    pub secret: Option<String>,
    pub jwks_url: Option<String>,
}

/// Work for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobSettings {
    /// Jobs that one process runs at a time, 1 to 512.
    pub workers: usize,
    /// After so long without a sign of its worker a job is given to another, 1 s at least. The clocks of all servers have to agree within a sixth of it.
    pub lease_ms: u64,
    /// How often the queue is looked at for jobs that nobody told of.
    pub poll_ms: u64,
    /// How long running jobs have when the process stops; then they are handed back.
    pub grace_ms: u64,
    /// Waits between the attempts of jobs that carry messages on, and of clean-ups; each spread by a fifth. One attempt more than waits.
    #[serde(deserialize_with = "one_or_many")]
    pub message_waits_s: Vec<u64>,
    /// The same of notifications. Nobody works on those yet.
    #[serde(deserialize_with = "one_or_many")]
    pub notification_waits_s: Vec<u64>,
    /// How long dead letters are kept.
    pub dead_retention_days: u16,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            workers: 64,
            lease_ms: 60_000,
            poll_ms: 1000,
            grace_ms: 4000,
            message_waits_s: vec![10, 30, 60],
            notification_waits_s: vec![5, 15],
            dead_retention_days: 30,
        }
    }
}

/// A list, or its only number: one alone in the environment is no list.
pub fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or a list of numbers")
        }

        fn visit_u64<E: Error>(self, one: u64) -> Result<Vec<u64>, E> {
            Ok(vec![one])
        }

        fn visit_i64<E: Error>(self, one: i64) -> Result<Vec<u64>, E> {
            u64::try_from(one).map(|one| vec![one]).map_err(|_| E::custom(format!("{one} is less than 0")))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                all.push(one);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(OneOrMany)
}

const DAY_MS: u64 = 86_400_000;

/// Attempts of one job.
const WAITS_MAX: usize = 20;

impl JobSettings {
    fn check(&self) -> anyhow::Result<()> {
        if !(1..=tertulia_store::jobs::JOBS_PER_CALL_MAX).contains(&self.workers) {
            bail!("jobs.workers: {} is not from 1 to {}", self.workers, tertulia_store::jobs::JOBS_PER_CALL_MAX);
        }
        if !(1000..=DAY_MS).contains(&self.lease_ms) || !(1..=DAY_MS).contains(&self.poll_ms) {
            bail!("jobs.lease_ms: from 1000 to a day, and jobs.poll_ms: from 1 to a day");
        }
        if self.message_waits_s.len().max(self.notification_waits_s.len()) > WAITS_MAX {
            bail!("jobs.message_waits_s and jobs.notification_waits_s: at most {WAITS_MAX} waits");
        }
        Ok(())
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            local_accounts: Switch::On,
            session_ttl_ms: AuthConfig::default().session_ttl_ms,
            host_secret: None,
            host_jwks_url: None,
            host_issuer: None,
            host_audience: None,
            hosts: Vec::new(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            worker_listen: None,
            data: PathBuf::from("./data"),
            public_url: None,
            behind_proxy: Switch::Off,
            cors_origins: Vec::new(),
            rate_limits: Switch::On,
            log: "info".into(),
            log_format: LogFormat::Text,
            readers: 4,
            database_url: None,
            database_prepared: Statements::Cached,
            database_partitions: 16,
            database_failover: Promotion::MayLose,
            database_replica_urls: Vec::new(),
            database_replica_lag_max_ms: 5000,
            redis_url: None,
            redis_prefix: "tertulia".into(),
            flaky: None,
            auth: AuthSettings::default(),
            jobs: JobSettings::default(),
            push: PushSettings::default(),
            webhooks: WebhookSettings::default(),
            trace: TraceSettings::default(),
            limits: HashMap::new(),
        }
    }
}

/// First words of the variables that are settings; others that begin with `TERTULIA_` are somebody else's.
const KNOWN: [&str; 25] = [
    "LISTEN",
    "DATA",
    "PUBLIC_URL",
    "BEHIND_PROXY",
    "CORS_ORIGINS",
    "RATE_LIMITS",
    "LOG",
    "LOG_FORMAT",
    "READERS",
    "WORKER_LISTEN",
    "DATABASE_URL",
    "DATABASE_PREPARED",
    "DATABASE_PARTITIONS",
    "DATABASE_FAILOVER",
    "DATABASE_REPLICA_URLS",
    "DATABASE_REPLICA_LAG_MAX_MS",
    "REDIS_URL",
    "REDIS_PREFIX",
    "FLAKY",
    "AUTH",
    "JOBS",
    "PUSH",
    "WEBHOOKS",
    "TRACE",
    "LIMITS",
];

impl Settings {
    pub fn load(file: Option<&Path>, environment: HashMap<String, String>) -> anyhow::Result<Self> {
        let known = |name: &str| {
            let rest = name.strip_prefix("TERTULIA_").unwrap_or_default();
            KNOWN.contains(&rest.split("__").next().unwrap_or_default())
        };
        let variables: HashMap<String, String> = environment.into_iter().filter(|(name, _)| known(name)).collect();
        let mut layers = Config::builder();
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
            layers = layers.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let from_environment = Environment::with_prefix("TERTULIA")
            .prefix_separator("_")
            .separator("__")
            .list_separator(",")
            .with_list_parse_key("cors_origins")
            .with_list_parse_key("database_replica_urls")
            .with_list_parse_key("jobs.message_waits_s")
            .with_list_parse_key("jobs.notification_waits_s")
            .with_list_parse_key("webhooks.waits_s")
            .try_parsing(true)
            .source(Some(variables));
        let settings: Self =
            layers.add_source(from_environment).build()?.try_deserialize().context("in the configuration")?;
        settings.limits()?;
        settings.jobs.check()?;
        settings.push.check()?;
        settings.webhooks.check()?;
        settings.trace.check()?;
        settings.bus(ServerId::from_bytes([0; 16]))?;
        let partitions_max = tertulia_store_postgres::PARTITIONS_MAX;
        if !(1..=partitions_max).contains(&settings.database_partitions) {
            bail!("database_partitions: {} is not from 1 to {partitions_max}", settings.database_partitions);
        }
        settings.check_replicas()?;
        Ok(settings)
    }

    fn check_replicas(&self) -> anyhow::Result<()> {
        if self.database_url.is_none() && !self.database_replica_urls.is_empty() {
            bail!("database_replica_urls: replicas of what? Set database_url as well");
        }
        for (url, number) in self.database_replica_urls.iter().zip(1..) {
            tertulia_store_postgres::check_replica_url(url)
                .with_context(|| format!("database_replica_urls, number {number}"))?;
        }
        Ok(())
    }

    /// `None`: the log is a file of the folder.
    pub fn postgres(&self, seed: [u8; 64]) -> Option<tertulia_store_postgres::Options> {
        let mut options = tertulia_store_postgres::Options::new(self.database_url.as_deref()?, seed);
        options.readers = self.readers;
        options.partitions = self.database_partitions;
        options.prepared = match self.database_prepared {
            Statements::Cached => tertulia_store_postgres::Prepared::Cached,
            Statements::Typed => tertulia_store_postgres::Prepared::Typed,
        };
        options.failover = match self.database_failover {
            Promotion::MayLose => tertulia_store_postgres::Failover::MayLose,
            Promotion::LosesNothing => tertulia_store_postgres::Failover::LosesNothing,
        };
        options.replicas.clone_from(&self.database_replica_urls);
        options.replica_lag_max = Duration::from_millis(self.database_replica_lag_max_ms);
        Some(options)
    }

    /// `None`: there are no other servers.
    pub fn bus(&self, me: ServerId) -> anyhow::Result<Option<tertulia_bus_redis::Options>> {
        let Some(url) = self.redis_url.as_deref() else { return Ok(None) };
        if self.database_url.is_none() {
            bail!("redis_url: several servers need one database; set database_url as well");
        }
        if self.redis_prefix.is_empty() || self.redis_prefix.contains(['{', '}']) {
            bail!("redis_prefix: one character at least, and no braces");
        }
        let address = url.parse()?;
        Ok(Some(tertulia_bus_redis::Options { address, prefix: self.redis_prefix.clone(), me }))
    }

    /// An error where the network is to be bad and people seem to depend on it.
    pub fn keep_flaky_out_of_production(&self) -> anyhow::Result<()> {
        if self.flaky.is_none() {
            return Ok(());
        }
        if let Some(url) = self.public_url.as_deref().filter(|url| url.starts_with("https:")) {
            bail!("flaky is for development, and public_url = {url:?} looks like production");
        }
        if self.behind_proxy == Switch::On {
            bail!("flaky is for development, and behind_proxy = \"on\" looks like production");
        }
        Ok(())
    }

    /// The defaults with what was set.
    pub fn limits(&self) -> anyhow::Result<Limits> {
        let mut all = serde_json::to_value(Limits::default())?;
        for (name, value) in &self.limits {
            let camel = camel_case(name);
            let Some(slot) = all.get_mut(&camel) else { bail!("limits.{name}: there is no such limit") };
            if value.as_u64().is_none() {
                bail!("limits.{name}: must be a whole number");
            }
            *slot = value.clone();
        }
        serde_json::from_value(all).context("limits")
    }

    pub fn auth(&self) -> anyhow::Result<AuthConfig> {
        let mut hosts = self.auth.hosts.clone();
        if self.auth.host_secret.is_some() || self.auth.host_jwks_url.is_some() {
            hosts.push(HostSettings {
                issuer: self.auth.host_issuer.clone(),
                audience: self.auth.host_audience.clone(),
                secret: self.auth.host_secret.clone(),
                jwks_url: self.auth.host_jwks_url.clone(),
            });
        }
        let hosts = hosts.into_iter().map(HostSettings::issuer).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(AuthConfig {
            local_accounts: self.auth.local_accounts == Switch::On,
            session_ttl_ms: self.auth.session_ttl_ms,
            hosts,
            limits: self.limits()?,
            ..AuthConfig::default()
        })
    }

    /// As a file one can start from; secrets are left out.
    pub fn print(&self) -> anyhow::Result<String> {
        let mut shown = self.clone();
        shown.limits = match serde_json::to_value(self.limits()?)? {
            serde_json::Value::Object(all) => all.into_iter().map(|(name, value)| (snake_case(&name), value)).collect(),
            _ => HashMap::new(),
        };
        let mut table = toml::Table::try_from(&shown)?;
        table.sort_keys_recursive();
        let sections = [
            ("", unset::names::<Self>()),
            ("auth", unset::names::<AuthSettings>()),
            ("jobs", unset::names::<JobSettings>()),
            ("push", unset::names::<PushSettings>()),
            ("push.urls", &["fcm", "apns", "expo"]),
            ("webhooks", unset::names::<WebhookSettings>()),
            ("trace", unset::names::<TraceSettings>()),
        ];
        Ok(unset::shown(&toml::to_string(&table)?, &table, &sections))
    }

    /// An error where there is no folder with a database, of which there has to be one.
    pub fn is_there(&self) -> anyhow::Result<()> {
        if self.database_url.is_none() && !self.data.join("tertulia.db").exists() {
            bail!("there is no database in {}; --data names the folder", self.data.display());
        }
        Ok(())
    }
}

impl HostSettings {
    fn issuer(self) -> anyhow::Result<HostIssuer> {
        let key = match (self.secret, self.jwks_url) {
            (Some(secret), None) => HostKey::Secret(secret.into_bytes()),
            (None, Some(url)) => HostKey::Jwks { url },
            _ => bail!("auth.hosts: one of secret and jwks_url is needed"),
        };
        Ok(HostIssuer { issuer: self.issuer, audience: self.audience, key })
    }
}

trait SortKeys {
    fn sort_keys_recursive(&mut self);
}

/// Plain values first, as TOML wants them before the tables, and each group by name: the text is the same every time.
impl SortKeys for toml::Table {
    fn sort_keys_recursive(&mut self) {
        let mut entries: Vec<(String, toml::Value)> = std::mem::take(self).into_iter().collect();
        entries.sort_by(|(a, x), (b, y)| (x.is_table(), a).cmp(&(y.is_table(), b)));
        for (name, mut value) in entries {
            if let toml::Value::Table(table) = &mut value {
                table.sort_keys_recursive();
            }
            self.insert(name, value);
        }
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| {
        // "10s" of `sends_per_10s` and "10min" stay as they are.
        let mut letters = part.chars();
        let head: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
        done + &head + letters.as_str()
    })
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() || (c.is_ascii_digit() && !before.is_ascii_digit()) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        Settings::load(None, variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn every_limit_can_be_set_by_its_printed_name() {
        let printed = Settings::default().print().unwrap();
        let again: Settings = toml::from_str(&printed).unwrap();
        assert_eq!(again.limits().unwrap(), Limits::default());
        insta::assert_snapshot!(printed);
    }

    #[test]
    fn the_environment_reaches_every_level() {
        let settings = with(&[
            ("TERTULIA_LIMITS__TYPING_EXPIRY_MS", "300"),
            ("TERTULIA_LIMITS__SENDS_PER_10S", "7"),
            ("TERTULIA_RATE_LIMITS", "off"),
            ("TERTULIA_AUTH__SESSION_TTL_MS", "1000"),
            ("TERTULIA_CORS_ORIGINS", "https://a.example,https://b.example"),
            ("TERTULIA_JOBS__MESSAGE_WAITS_S", "1,2,3,4"),
            ("TERTULIA_JOBS__WORKERS", "7"),
            ("TERTULIA_BIN", "of somebody else"),
        ])
        .unwrap();
        let limits = settings.limits().unwrap();
        assert_eq!((limits.typing_expiry_ms, limits.sends_per_10s), (300, 7));
        assert_eq!(settings.rate_limits, Switch::Off);
        assert_eq!(settings.auth.session_ttl_ms, 1000);
        assert_eq!(settings.cors_origins.len(), 2);
        let jobs = JobSettings { workers: 7, message_waits_s: vec![1, 2, 3, 4], ..JobSettings::default() };
        assert_eq!(settings.jobs, jobs);
    }

    #[test]
    fn waits_are_one_or_many() {
        let names = ["JOBS__MESSAGE_WAITS_S", "JOBS__NOTIFICATION_WAITS_S", "WEBHOOKS__WAITS_S"];
        let set =
            |text| with(&names.map(|name| format!("TERTULIA_{name}")).each_ref().map(|name| (name.as_str(), text)));
        let waits = |text| {
            let settings = set(text).unwrap();
            [settings.jobs.message_waits_s, settings.jobs.notification_waits_s, settings.webhooks.waits_s]
        };
        assert_eq!(waits("20"), [[20], [20], [20]]);
        assert_eq!(waits("20,30"), [[20, 30], [20, 30], [20, 30]]);
        for wrong in ["-1", "soon", "1,soon", "1.5", "true"] {
            assert!(set(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bad_network_is_shown_and_can_be_read_again_and_is_kept_out_of_production() {
        let flaky = ("TERTULIA_FLAKY", "cut=5%");
        let settings = with(&[flaky]).unwrap();
        let printed = settings.print().unwrap();
        assert!(printed.contains("flaky = \"latency=0..0,drop=0%,double=0%,cut=5%\""), "{printed}");
        assert_eq!(toml::from_str::<Settings>(&printed).unwrap().flaky, settings.flaky);
        settings.keep_flaky_out_of_production().unwrap();
        with(&[flaky, ("TERTULIA_PUBLIC_URL", "http://10.0.0.2:4000")])
            .unwrap()
            .keep_flaky_out_of_production()
            .unwrap();
        for (name, value) in [("TERTULIA_PUBLIC_URL", "https://chat.example.org"), ("TERTULIA_BEHIND_PROXY", "on")] {
            let error = with(&[flaky, (name, value)]).unwrap().keep_flaky_out_of_production().unwrap_err();
            assert!(error.to_string().contains(value), "{error}");
            with(&[(name, value)]).unwrap().keep_flaky_out_of_production().unwrap();
        }
        let error = with(&[("TERTULIA_FLAKY", "drop=2")]).unwrap_err();
        assert!(format!("{error:#}").contains("\"drop=2\""), "{error:#}");
    }

    #[test]
    fn several_servers_need_a_database_of_their_own_and_secrets_are_not_printed() {
        let redis = ("TERTULIA_REDIS_URL", "redis://:secret@r");
        let database = ("TERTULIA_DATABASE_URL", "postgres://me:secret@d/tertulia");
        let error = with(&[redis]).unwrap_err();
        assert!(error.to_string().contains("database_url"), "{error}");
        let settings = with(&[redis, database]).unwrap();
        assert!(!settings.print().unwrap().contains("secret@"));
        assert!(settings.postgres([0; 64]).is_some() && settings.bus(ServerId::from_bytes([0; 16])).unwrap().is_some());
        let error = with(&[database, ("TERTULIA_REDIS_URL", "http://secret")]).unwrap_err().to_string();
        assert!(error.contains("redis url") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn replicas_are_of_a_database_and_each_has_its_url() {
        let database = ("TERTULIA_DATABASE_URL", "postgres://me:secret@d/tertulia");
        let replicas = |urls| ("TERTULIA_DATABASE_REPLICA_URLS", urls);
        let two = replicas("postgres://me:secret@r/tertulia,postgres://me:secret@s/tertulia");
        let settings = with(&[database, two, ("TERTULIA_DATABASE_REPLICA_LAG_MAX_MS", "250")]).unwrap();
        assert!(!settings.print().unwrap().contains("secret@"));
        let options = settings.postgres([0; 64]).unwrap();
        assert_eq!((options.replicas.len(), options.replica_lag_max), (2, Duration::from_millis(250)));
        for (variables, told) in [
            (vec![two], "database_url"),
            (vec![database, replicas("postgres://me:secret@r,s/tertulia")], "number 2"),
            (vec![database, replicas("postgres://me:secret@r:port/tertulia")], "number 1"),
            (vec![database, replicas("http://secret")], "number 1"),
        ] {
            let error = format!("{:#}", with(&variables).unwrap_err());
            assert!(error.contains("database_replica_urls") && error.contains(told), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_set_is_shown_with_its_value_and_what_is_not_with_its_name_alone() {
        let set = [
            ("TERTULIA_WEBHOOKS__CA_FILE", "/etc/ca.pem"),
            ("TERTULIA_PUSH__URLS__FCM", "https://proxy.example"),
            ("TERTULIA_AUTH__HOST_SECRET", "0123456789abcdef0123456789abcdef"),
        ];
        let printed = with(&set).unwrap().print().unwrap();
        let section =
            |name: &str| printed.split("\n\n").find(|text| text.starts_with(name)).unwrap_or_default().to_owned();
        let webhooks = section("[webhooks]");
        assert!(webhooks.contains("ca_file = \"/etc/ca.pem\"") && !webhooks.contains('#'), "{webhooks}");
        assert!(section("[push]").contains("\n# ca_file =\n"), "another one of that name");
        assert_eq!(section("[push.urls]"), "[push.urls]\nfcm = \"https://proxy.example\"\n# apns =\n# expo =");
        assert!(section("[auth]").contains("\n# host_secret =") && !printed.contains("0123"), "{printed}");
        toml::from_str::<Settings>(&printed).unwrap();
    }

    #[test]
    fn a_wrong_name_or_value_is_an_error_that_names_it() {
        let error = with(&[("TERTULIA_LIMITS__TYPING", "300")]).unwrap_err();
        assert!(format!("{error:#}").contains("limits.typing"), "{error:#}");
        let error = with(&[("TERTULIA_DATABASE_PARTITIONS", "65")]).unwrap_err();
        assert!(error.to_string().contains("database_partitions"), "{error}");
        for (name, value) in [
            ("WORKERS", "0"),
            ("WORKERS", "513"),
            ("LEASE_MS", "999"),
            ("POLL_MS", "0"),
            ("LEASE_MS", "86400001"),
            ("POLL_MS", "86400001"),
            ("DEAD_RETENTION", "1"),
        ] {
            let error = with(&[(&format!("TERTULIA_JOBS__{name}"), value)]).unwrap_err();
            assert!(format!("{error:#}").to_lowercase().contains(&name.to_lowercase()), "{error:#}");
        }
        assert!(with(&[("TERTULIA_LIMITS__BODY_MAX_BYTES", "many")]).is_err());
        assert!(with(&[("TERTULIA_AUTH__TTL", "1")]).is_err());
        assert!(with(&[("TERTULIA_RATE_LIMITS", "perhaps")]).is_err());
    }
}
