//! Where Redis is: one, behind Sentinels, or a Cluster.

use std::str::FromStr;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

/// `redis://[user:password@]host[:port][/db]`, `redis-cluster://[user:password@]host[:port],host...` or
/// `redis-sentinel://[user:password@]sentinel[:port],sentinel.../master`; with `rediss` in place of `redis` over TLS.
#[derive(Debug, Clone)]
pub enum Address {
    One(ConnectionInfo),
    /// Any of its nodes.
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        /// The master's name.
        master: String,
        /// How one signs in to the master.
        sign_in: RedisConnectionInfo,
        tls: bool,
    },
}

/// Says what is wrong and nothing of what is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redis url: {0}")]
pub struct AddressError(String);

const SENTINEL_PORT: u16 = 26379;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let wrong = |why: &str| AddressError(why.to_owned());
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("begins with redis://, rediss://, redis-cluster:// or redis-sentinel://"));
        };
        let plain = |scheme: &str, rest: &str| {
            let info = format!("{scheme}://{rest}").as_str().into_connection_info();
            let info = info.map_err(|_| wrong("is not of the form redis://[user:password@]host[:port][/db]"))?;
            Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
        };
        match scheme {
            "redis" | "rediss" => Ok(Self::One(plain(scheme, rest)?)),
            "redis-cluster" | "rediss-cluster" => {
                let base = scheme.trim_end_matches("-cluster");
                let (sign_in, hosts) = split_sign_in(rest);
                let hosts = hosts.trim_end_matches('/');
                if hosts.contains('/') {
                    return Err(wrong("a cluster has no numbered databases"));
                }
                let nodes = hosts.split(',').map(|host| plain(base, &format!("{sign_in}{host}")));
                Ok(Self::Cluster(nodes.collect::<Result<_, _>>()?))
            }
            "redis-sentinel" | "rediss-sentinel" => {
                let base = scheme.trim_end_matches("-sentinel");
                let (sign_in, hosts) = split_sign_in(rest);
                let (hosts, master) = hosts.split_once('/').unwrap_or((hosts, ""));
                if master.is_empty() {
                    return Err(wrong(
                        "after the sentinels the master's name is needed: redis-sentinel://a,b,c/mymaster",
                    ));
                }
                let sentinels = hosts.split(',').map(|host| Ok(with_port(plain(base, host)?, host)));
                let sentinels = sentinels.collect::<Result<_, _>>()?;
                let sign_in = plain(base, &format!("{sign_in}master"))?.redis_settings().clone();
                Ok(Self::Sentinel { sentinels, master: master.to_owned(), sign_in, tls: base == "rediss" })
            }
            _ => Err(wrong("begins with redis://, rediss://, redis-cluster:// or redis-sentinel://")),
        }
    }
}

/// What stands up to and with the `@`, and what follows.
fn split_sign_in(rest: &str) -> (&str, &str) {
    rest.rfind('@').map_or(("", rest), |at| rest.split_at(at + 1))
}

/// A Sentinel's own port where none was given.
fn with_port(info: ConnectionInfo, given: &str) -> ConnectionInfo {
    let addr = match info.addr() {
        ConnectionAddr::Tcp(host, _) if !given.contains(':') => ConnectionAddr::Tcp(host.clone(), SENTINEL_PORT),
        other => other.clone(),
    };
    info.set_addr(addr)
}

impl Address {
    pub(crate) fn is_encrypted(&self) -> bool {
        let encrypted = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match self {
            Self::One(info) => encrypted(info),
            Self::Cluster(nodes) => nodes.iter().any(encrypted),
            Self::Sentinel { tls, .. } => *tls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_names_its_servers() {
        let Address::One(one) = "redis://127.0.0.1:7000/3".parse().unwrap() else { panic!("one") };
        assert_eq!((one.addr().to_string(), one.redis_settings().db()), ("127.0.0.1:7000".into(), 3));
        let Address::Cluster(nodes) = "redis-cluster://me:secret@a:1,b".parse().unwrap() else { panic!("a cluster") };
        let all: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(all, ["a:1", "b:6379"]);
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("secret")));
        let Address::Sentinel { sentinels, master, sign_in, tls } =
            "redis-sentinel://:secret@a,b:5/main".parse().unwrap()
        else {
            panic!("sentinels")
        };
        let all: Vec<String> = sentinels.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!((all, master.as_str(), tls), (vec!["a:26379".to_owned(), "b:5".to_owned()], "main", false));
        assert_eq!(sign_in.password(), Some("secret"));
        assert!("rediss://a".parse::<Address>().unwrap().is_encrypted());
    }

    #[test]
    fn an_error_says_what_is_wrong_and_nothing_secret() {
        let wrong = [
            "",
            "localhost",
            "http://a",
            "redis-sentinel://secret@a",
            "redis-cluster://secret@a/3",
            "redis://:secret@a:x",
        ];
        for url in wrong {
            let error = url.parse::<Address>().unwrap_err().to_string();
            assert!(error.starts_with("redis url: ") && !error.contains("secret"), "{error}");
        }
    }
}
