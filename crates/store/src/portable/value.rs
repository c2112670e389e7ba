//! Cells and their bytes: one form for keys that are stored and for hashes.

/// What both homes mean by a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Id([u8; 16]),
    Int(i64),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// The cells of a table's columns, in their order; or of its key alone.
pub type Row = Vec<Value>;

impl Value {
    /// About what it takes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
                _ => 0,
            }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let mut put = |tag: u8, bytes: &[u8]| {
            into.push(tag);
            into.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            into.extend_from_slice(bytes);
        };
        match self {
            Self::Null => put(0, &[]),
            Self::Id(id) => put(1, id),
            Self::Int(number) => put(2, &number.to_be_bytes()),
            Self::Flag(flag) => put(3, &[u8::from(*flag)]),
            Self::Text(text) => put(4, text.as_bytes()),
            Self::Bytes(bytes) => put(5, bytes),
        }
    }

    fn decode(tag: u8, bytes: &[u8]) -> Option<Self> {
        Some(match tag {
            0 => Self::Null,
            1 => Self::Id(bytes.try_into().ok()?),
            2 => Self::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
            3 => Self::Flag(*bytes.first()? == 1),
            4 => Self::Text(String::from_utf8(bytes.to_vec()).ok()?),
            5 => Self::Bytes(bytes.to_vec()),
            _ => return None,
        })
    }
}

/// For people: an id as a UUID, bytes by their number.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("none"),
            Self::Id(id) => write!(f, "{}", tertulia_proto::UserId::from_bytes(*id)),
            Self::Int(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// Each cell with its kind and length before it, so that no two rows have the same bytes.
pub fn encode(row: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(row.iter().map(Value::size).sum());
    row.iter().for_each(|value| value.encode(&mut bytes));
    bytes
}

/// `None` for what [`encode`] has not made.
pub fn decode(mut bytes: &[u8]) -> Option<Row> {
    let mut row = Row::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        row.push(Value::decode(*tag, rest.get(..length)?)?);
        bytes = rest.get(length..)?;
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_from_its_bytes_and_no_two_share_them() {
        let rows = [
            vec![],
            vec![Value::Null],
            vec![Value::Id([7; 16]), Value::Int(-3), Value::Flag(true)],
            vec![Value::Text("ab".into()), Value::Text("c".into())],
            vec![Value::Text("a".into()), Value::Text("bc".into())],
            vec![Value::Text("abc".into())],
            vec![Value::Bytes(b"abc".to_vec())],
            vec![Value::Text(String::new()), Value::Flag(false)],
        ];
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(decode(&encode(row)).as_ref(), Some(row));
            assert!(rows[..at].iter().all(|other| encode(other) != encode(row)), "{row:?}");
        }
        assert_eq!(decode(&[1, 0, 0, 0, 2, 5]), None);
        assert_eq!(decode(&[9, 0, 0, 0, 0]), None);
    }
}
