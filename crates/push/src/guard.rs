//! Addresses that others name, and that we are to ask: only what anybody on the internet could ask as well. Else a client could have this server knock at
//! doors behind its own firewall (server-side request forgery; OWASP's cheat sheet of that name).
//!
//! Two checks, and both are needed. [`check`] reads the address when it is used: a host that is an IP address never comes to a resolver. [`client`]
//! filters what names resolve to, at the moment of connecting: a check made before could have had another answer than the connection.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, Url};

/// Why an address is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this is no address")]
    NotAnAddress,
    #[error("the address is not https")]
    NotHttps,
    /// `https://trusted.example@evil.example` reads as what it is not.
    #[error("the address has a user name or a password in it")]
    Credentials,
    #[error("the address leads into a private network")]
    Private,
}

/// What a connection fails with when its name leads nowhere but into private networks.
#[derive(Debug)]
pub struct Forbidden;

impl Forbidden {
    pub const REASON: &str = "the address leads into a private network";
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::REASON)
    }
}

impl Error for Forbidden {}

/// What a connection fails with when its name leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name could not be resolved")]
    Unresolved,
    /// Of plain http, which stays within one's own network.
    #[error("the name leads out of the private network")]
    Public,
}

/// Reads an address. The parser is that of browsers, so `https://2130706433`, `https://0x7f.1` and `https://127.1` are 127.0.0.1 here too.
pub fn check(address: &str, allow_private: bool) -> Result<Url, Refusal> {
    let url = Url::parse(address).map_err(|_| Refusal::NotAnAddress)?;
    if url.scheme() != "https" {
        return Err(Refusal::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Credentials);
    }
    let host = url.host_str().ok_or(Refusal::NotAnAddress)?;
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if !allow_private && (literal.is_ok_and(|ip| !is_public(ip)) || is_this_host(host)) {
        return Err(Refusal::Private);
    }
    Ok(url)
}

/// Names that lead here whatever a resolver says (RFC 6761, 6.3). All others are looked up at each connection.
fn is_this_host(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost")
}

/// A client for addresses that passed [`check`] with the same `allow_private`.
pub fn client(builder: ClientBuilder, allow_private: bool) -> ClientBuilder {
    // A proxy would resolve the name itself, behind our back.
    let builder = builder.redirect(reqwest::redirect::Policy::none()).no_proxy();
    builder.dns_resolver(Arc::new(if allow_private { Names::All } else { Names::Public }))
}

/// As [`check`]; where private addresses are allowed, also plain http to them, because certificates for a host of one's own network are hard to come by. What
/// a name of such an address leads to is for [`private_client`].
pub fn check_with_http(address: &str, allow_private: bool) -> Result<Url, Refusal> {
    let Some(rest) = address.strip_prefix("http:").filter(|_| allow_private) else {
        return check(address, allow_private);
    };
    let url = check(&format!("https:{rest}"), true)?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if host.is_ok_and(is_public) {
        return Err(Refusal::NotHttps);
    }
    Url::parse(address).map_err(|_| Refusal::NotAnAddress)
}

/// A client for plain http within one's own network: names lead nowhere else.
pub fn private_client(builder: ClientBuilder) -> ClientBuilder {
    builder.redirect(reqwest::redirect::Policy::none()).no_proxy().dns_resolver(Arc::new(Names::Private))
}

/// The system's resolver, and which of the addresses it finds are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Names {
    All,
    Public,
    Private,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let which = *self;
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NameError::Unresolved)?;
            let asked = match which {
                Self::All => all.collect(),
                Self::Public => public_of(all)?,
                Self::Private => private_of(all)?,
            };
            Ok(Box::new(asked.into_iter()) as Addrs)
        })
    }
}

fn private_of(all: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, NameError> {
    let (public, private): (Vec<SocketAddr>, Vec<SocketAddr>) = all.partition(|address| is_public(address.ip()));
    match (private.is_empty(), public.is_empty()) {
        (false, _) => Ok(private),
        (true, false) => Err(NameError::Public),
        (true, true) => Err(NameError::Unresolved),
    }
}

fn public_of(all: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let (public, private): (Vec<SocketAddr>, Vec<SocketAddr>) = all.partition(|address| is_public(address.ip()));
    match (public.is_empty(), private.is_empty()) {
        (false, _) => Ok(public),
        (true, false) => Err(Box::new(Forbidden)),
        (true, true) => Err(Box::new(NameError::Unresolved)),
    }
}

/// Whether this is the address of one host on the internet, by IANA's special-purpose registries (RFC 6890; as of 2025).
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// First address and length of prefix.
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),        // this network (RFC 791)
    ([10, 0, 0, 0], 8),       // private (RFC 1918)
    ([100, 64, 0, 0], 10),    // behind a carrier's NAT (RFC 6598)
    ([127, 0, 0, 0], 8),      // this host (RFC 1122)
    ([168, 63, 129, 16], 32), // the host of an Azure machine: public by its number alone
    ([169, 254, 0, 0], 16),   // link-local (RFC 3927), and the metadata of clouds
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments (RFC 6890)
    ([192, 0, 2, 0], 24),     // documentation (RFC 5737)
    ([192, 88, 99, 0], 24),   // relays of 6to4 (RFC 7526)
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks (RFC 2544)
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast (RFC 5771)
    ([240, 0, 0, 0], 4),      // reserved (RFC 1112), and broadcast
];

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let begins_with = |first: [u8; 4], length: u32| {
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        ip.to_bits() & mask == u32::from_be_bytes(first)
    };
    !NOT_PUBLIC_V4.iter().any(|(first, length)| begins_with(*first, *length))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let v4 = |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        // IPv4-mapped (RFC 4291, 2.5.5.2), and NAT64 (RFC 6052): an IPv4 address in other clothes.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4 (RFC 3056): the IPv4 address that packets for it are sent to.
        [0x2002, high, low, ..] => v4(high, low),
        // Protocol assignments (RFC 2928), of which Teredo is one (RFC 4380).
        [0x2001, second, ..] if second < 0x200 => false,
        // Documentation (RFC 3849, RFC 9637).
        [0x2001, 0xdb8, ..] => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // All other addresses of single hosts on the internet are in 2000::/3 (IANA). Outside of it: ::1, fc00::/7, fe80::/10, ff00::/8, local NAT64.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; 20] = [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "2001:4860:4860::8888",
        "2001:200::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "3fff:1000::1",
    ];

    const PRIVATE: [&str; 51] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.0",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    ];

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for text in PUBLIC {
            assert!(is_public(text.parse().unwrap()), "{text} is public");
        }
        for text in PRIVATE {
            assert!(!is_public(text.parse().unwrap()), "{text} is not public");
        }
    }

    #[test]
    fn an_address_is_https_without_a_name_and_of_the_internet_however_it_is_written() {
        let cases = [
            ("https://push.example.net/a?b=c", Ok(())),
            ("https://8.8.8.8:8443/a", Ok(())),
            ("https://[2606:4700:4700::1111]/a", Ok(())),
            ("http://push.example.net/a", Err(Refusal::NotHttps)),
            ("file:///etc/passwd", Err(Refusal::NotHttps)),
            ("gopher://push.example.net/", Err(Refusal::NotHttps)),
            ("https://me@push.example.net/a", Err(Refusal::Credentials)),
            ("https://:secret@push.example.net/a", Err(Refusal::Credentials)),
            ("https://127.0.0.1/a", Err(Refusal::Private)),
            ("https://127.0.0.1./a", Err(Refusal::Private)),
            ("https://127.1/a", Err(Refusal::Private)),
            ("https://0x7f.1/a", Err(Refusal::Private)),
            ("https://0177.0.0.1/a", Err(Refusal::Private)),
            ("https://2130706433/a", Err(Refusal::Private)),
            ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/a", Err(Refusal::Private)),
            ("https://0/a", Err(Refusal::Private)),
            ("https://169.254.169.254/latest/meta-data", Err(Refusal::Private)),
            ("https://[::1]/a", Err(Refusal::Private)),
            ("https://[::ffff:127.0.0.1]/a", Err(Refusal::Private)),
            ("https://[fd00::1]/a", Err(Refusal::Private)),
            ("https://localhost/a", Err(Refusal::Private)),
            ("https://LOCALHOST.:8443/a", Err(Refusal::Private)),
            ("https://push.localhost/a", Err(Refusal::Private)),
            ("https://notlocalhost/a", Ok(())),
            ("https://localhost.example.net/a", Ok(())),
            ("https:///", Err(Refusal::NotAnAddress)),
            ("push.example.net", Err(Refusal::NotAnAddress)),
            ("", Err(Refusal::NotAnAddress)),
        ];
        for (address, wanted) in cases {
            assert_eq!(check(address, false).map(drop), wanted, "{address}");
        }
        assert!(check("https://127.0.0.1/a", true).is_ok());
        assert!(check("https://localhost/a", true).is_ok());
        assert_eq!(check("http://127.0.0.1/a", true), Err(Refusal::NotHttps));
    }

    #[test]
    fn plain_http_is_for_private_addresses_that_are_allowed() {
        for address in ["http://127.0.0.1:8080/a", "http://[::1]/a", "http://10.1.2.3/", "http://localhost/a"] {
            assert_eq!(
                check_with_http(address, true).map(|url| url.to_string()),
                Ok(Url::parse(address).unwrap().to_string())
            );
            assert_eq!(check_with_http(address, false), Err(Refusal::NotHttps));
        }
        assert_eq!(check_with_http("http://8.8.8.8/", true), Err(Refusal::NotHttps));
        assert_eq!(check_with_http("http://me:it@10.0.0.1/", true), Err(Refusal::Credentials));
        assert!(check_with_http("https://10.0.0.1/", true).is_ok());
        assert_eq!(check_with_http("https://10.0.0.1/", false), Err(Refusal::Private));
    }

    #[test]
    fn of_what_a_name_resolves_to_only_the_public_is_left() {
        let of = |all: &[&str]| {
            let all: Vec<SocketAddr> = all.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            public_of(all.into_iter()).map(|left| left.iter().map(|one| one.ip().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["10.0.0.1", "8.8.8.8", "::1"]).unwrap(), ["8.8.8.8"]);
        assert!(of(&["10.0.0.1", "::1"]).unwrap_err().is::<Forbidden>());
        assert!(!of(&[]).unwrap_err().is::<Forbidden>());
        let private = |all: &[&str]| private_of(all.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)));
        assert_eq!(private(&["8.8.8.8", "10.0.0.1"]).unwrap(), [SocketAddr::new("10.0.0.1".parse().unwrap(), 0)]);
        assert_eq!(private(&["8.8.8.8"]), Err(NameError::Public));
        assert_eq!(private(&[]), Err(NameError::Unresolved));
    }

    #[tokio::test]
    async fn a_name_that_leads_into_a_private_network_is_not_connected_to_whatever_was_checked_before() {
        // Past the check, as a name is whose answer has changed since.
        let client = client(reqwest::Client::builder(), false).build().unwrap();
        let error = client.get("https://localhost:1/").send().await.unwrap_err();
        let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
        assert!(causes.any(|cause| cause.is::<Forbidden>()), "{error:?}");
    }
}
