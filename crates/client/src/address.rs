//! Where the server is.

use tertulia_proto::DeviceId;

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server address: must be http://host or https://host, with a port and a path where it has them")]
pub struct AddressError;

/// `http://host:port/path`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let base = text.trim().trim_end_matches('/');
        let rest = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://")).ok_or(AddressError)?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
        if rest.is_empty() || rest.starts_with('/') || rest.contains(odd) {
            return Err(AddressError);
        }
        Ok(Self(base.to_owned()))
    }

    pub fn rest(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    pub fn socket(&self, device: Option<DeviceId>) -> String {
        let device = device.map(|device| format!("?device={device}")).unwrap_or_default();
        // `http` becomes `ws`, `https` becomes `wss`.
        format!("ws{}/messages/subscribe{device}", self.0.trim_start_matches("http"))
    }
}

/// A text as a part of an address (RFC 3986, section 2.3: what is unreserved stays).
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_lies_beside_rest() {
        let address = Address::parse("https://chat.example.org/talk/").unwrap();
        assert_eq!(address.socket(None), "wss://chat.example.org/talk/messages/subscribe");
        assert_eq!(address.rest("/api/v1/me"), "https://chat.example.org/talk/api/v1/me");
        assert_eq!(Address::parse("http://[::1]:80").unwrap().socket(None), "ws://[::1]:80/messages/subscribe");
        let device = Some(DeviceId::from_bytes([1; 16]));
        let with_device = "wss://chat.example.org/talk/messages/subscribe?device=01010101-0101-0101-0101-010101010101";
        assert_eq!(address.socket(device), with_device);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in
            ["", "chat.example.org", "ftp://a", "http://", "http:///x", "http://a b", "https://a?x=1", "http://u:p@a"]
        {
            assert_eq!(Address::parse(bad), Err(AddressError), "{bad}");
        }
    }

    #[test]
    fn a_text_is_escaped_byte_by_byte() {
        assert_eq!(escaped("a b&é~"), "a%20b%26%C3%A9~");
    }
}
