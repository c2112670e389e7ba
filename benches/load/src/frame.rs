//! WebSocket frames (RFC 6455, section 5.2), as much of them as a client needs that never fragments and negotiates no extension.

use anyhow::{Result, bail};

/// The key every client frame is masked with. It should be unpredictable where proxies are on the way; here none is, and a fixed one is cheaper.
const MASK: [u8; 16] = [0x5a, 0xc3, 0x17, 0x8e, 0x5a, 0xc3, 0x17, 0x8e, 0x5a, 0xc3, 0x17, 0x8e, 0x5a, 0xc3, 0x17, 0x8e];
const FRAME_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What kind of frame a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    Text = 0x1,
    Pong = 0xa,
}

/// A whole frame of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// Close code (1005 where none was given) and reason.
    Close(u16, &'a [u8]),
}

/// Appends one masked frame.
pub fn push(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK[..4]);
    let start = out.len();
    out.extend_from_slice(payload);
    for chunk in out[start..].chunks_mut(MASK.len()) {
        for (byte, mask) in chunk.iter_mut().zip(MASK) {
            *byte ^= mask;
        }
    }
}

/// The first frame of `data` and how many bytes it takes; `None` until all of it is there.
pub fn decode(data: &[u8]) -> Result<Option<(Frame<'_>, usize)>> {
    let [first, second, ..] = *data else { return Ok(None) };
    if second & 0x80 != 0 {
        bail!("the server masked a frame");
    }
    let (len, head) = match second & 0x7f {
        126 => match data.get(2..4) {
            Some(bytes) => (bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)), 4),
            None => return Ok(None),
        },
        127 => match data.get(2..10) {
            Some(bytes) => (bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)), 10),
            None => return Ok(None),
        },
        len => (u64::from(len), 2),
    };
    if len > FRAME_MAX_BYTES {
        bail!("a frame of {len} bytes, over the limit of {FRAME_MAX_BYTES}");
    }
    let end = head + len as usize;
    let Some(payload) = data.get(head..end) else { return Ok(None) };
    let frame = match first {
        0x81 => Frame::Text(payload),
        0x88 => match *payload {
            [high, low, ..] => Frame::Close(u16::from_be_bytes([high, low]), &payload[2..]),
            _ => Frame::Close(1005, &[]),
        },
        0x89 => Frame::Ping(payload),
        0x8a => Frame::Pong,
        other => bail!(
            "a frame that begins with {other:#04x}: fragmented, binary or compressed, none of which was asked for"
        ),
    };
    Ok(Some((frame, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_once_they_are_whole() {
        for len in [0usize, 1, 125, 126, 65_535, 65_536] {
            let mut data = vec![0x81];
            match len {
                0..=125 => data.push(len as u8),
                126..=65_535 => {
                    data.push(126);
                    data.extend((len as u16).to_be_bytes());
                }
                _ => {
                    data.push(127);
                    data.extend((len as u64).to_be_bytes());
                }
            }
            data.resize(data.len() + len, b'x');
            assert_eq!(decode(&data[..data.len() - 1]).unwrap(), None);
            let whole = data.len();
            data.extend_from_slice(b"\x8a\x00");
            assert_eq!(decode(&data).unwrap(), Some((Frame::Text(&vec![b'x'; len]), whole)));
        }
    }

    #[test]
    fn a_close_frame_says_its_code_and_reason() {
        assert_eq!(decode(b"\x88\x06\x11\x38slow").unwrap(), Some((Frame::Close(4408, b"slow"), 8)));
        assert_eq!(decode(b"\x88\x00").unwrap(), Some((Frame::Close(1005, b""), 2)));
    }

    #[test]
    fn what_the_generator_cannot_read_is_an_error() {
        assert!(decode(b"\x01\x01x").is_err());
        assert!(decode(b"\x82\x01x").is_err());
        assert!(decode(b"\x81\x81....x").is_err());
    }

    #[test]
    fn a_mask_taken_off_again_shows_the_payload() {
        let mut out = Vec::new();
        push(&mut out, Opcode::Text, b"a text of more than sixteen bytes");
        assert_eq!(out[..2], [0x81, 0x80 | 33]);
        let key: Vec<u8> = out[2..6].to_vec();
        let plain: Vec<u8> = out[6..].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(plain, b"a text of more than sixteen bytes");
    }
}
