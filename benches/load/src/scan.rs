//! Finds the few fields the generator needs in a frame without parsing the rest of it. Right because inside a JSON string every `"` is escaped,
//! so that `"seq":` can only be a key.

/// The position behind `needle`, looked for from `from` on.
pub fn after(text: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let last_start = text.len().checked_sub(needle.len())?;
    let mut at = from;
    while at <= last_start {
        if text[at] == first && text[at..at + needle.len()] == *needle {
            return Some(at + needle.len());
        }
        at += 1;
    }
    None
}

/// The decimal number that begins at `from`, and the position behind it.
pub fn number(text: &[u8], from: usize) -> Option<(u64, usize)> {
    let mut at = from;
    let mut value: u64 = 0;
    while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        at += 1;
    }
    (at > from).then_some((value, at))
}

/// Appends a number in decimal; `write!` costs several times as much.
pub fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// What a frame about a message says: which of ours it is, and its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    pub flow: usize,
    pub counter: u64,
    pub seq: u64,
}

/// Reads `clientMsgId` (`RUN-flow-counter`) and `seq`, in either order; `None` for messages of another run.
pub fn reference(text: &[u8], run: &[u8]) -> Option<Reference> {
    const SEQ: &[u8] = b"\"seq\":";
    const CLIENT_MSG_ID: &[u8] = b"\"clientMsgId\":\"";
    let seq_first = after(text, 0, SEQ);
    // In a broadcast `seq` comes before `clientMsgId`, in an acknowledgement behind it; the second look is the rare one.
    let id_at = seq_first.and_then(|at| after(text, at, CLIENT_MSG_ID)).or_else(|| after(text, 0, CLIENT_MSG_ID))?;
    let (seq, _) = number(text, seq_first?)?;
    if text.get(id_at..id_at + run.len())? != run || text.get(id_at + run.len()) != Some(&b'-') {
        return None;
    }
    let (flow, at) = number(text, id_at + run.len() + 1)?;
    if text.get(at) != Some(&b'-') {
        return None;
    }
    let (counter, _) = number(text, at + 1)?;
    Some(Reference { flow: usize::try_from(flow).ok()?, counter, seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_and_an_acknowledgement_are_read_alike() {
        let expected = Some(Reference { flow: 12, counter: 345, seq: 678 });
        let broadcast = br#"{"type":"message.new","messageId":"m","seq":678,"rev":9,"clientMsgId":"run-12-345","body":"\"seq\":1"}"#;
        let acknowledgement = br#"{"type":"ok","id":4,"clientMsgId":"run-12-345","messageId":"m","seq":678,"rev":9}"#;
        assert_eq!(reference(broadcast, b"run"), expected);
        assert_eq!(reference(acknowledgement, b"run"), expected);
    }

    #[test]
    fn a_message_of_another_run_is_not_ours() {
        assert_eq!(reference(br#"{"seq":1,"clientMsgId":"ran-1-1"}"#, b"run"), None);
        assert_eq!(reference(br#"{"seq":1,"clientMsgId":"run"}"#, b"run"), None);
        assert_eq!(reference(br#"{"seq":1}"#, b"run"), None);
    }

    #[test]
    fn a_number_is_written_as_it_is_read() {
        for value in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
            assert_eq!(number(&out, 0), Some((value, out.len())));
        }
        assert_eq!(number(b"x", 0), None);
    }
}
