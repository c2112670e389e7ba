//! What an API key may do.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    ChatRead,
    ChatWrite,
    UsersRead,
    UsersWrite,
    /// Makes tokens with which anybody can be impersonated.
    TokensWrite,
    /// What the owner of the server sees and sets, such as which programs are told what everybody writes: nobody acts for a person by it.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 6] =
        [Self::ChatRead, Self::ChatWrite, Self::UsersRead, Self::UsersWrite, Self::TokensWrite, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatRead => "chat:read",
            Self::ChatWrite => "chat:write",
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::TokensWrite => "tokens:write",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| ScopeError::Unknown { text: text.to_owned() })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error("no scope is named; there are {}", names())]
    Empty,
    #[error("{text:?} is no scope; there are {}", names())]
    Unknown { text: String },
}

fn names() -> String {
    Scope::ALL.map(Scope::as_str).join(", ")
}

/// Before the stored scopes of a key that acts for one person.
const BOUND: &str = "own:";

/// A set of scopes. None implies another: what may write may not read unless it says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

impl Scopes {
    pub fn allows(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.allows(*scope))
    }

    /// Of a key that acts for one person they have names of their own: a version that knows nothing of such keys would have it act for anybody, and to that
    /// one they give no right.
    pub(super) fn to_stored(self, is_bound: bool) -> Vec<String> {
        let prefix = if is_bound { BOUND } else { "" };
        self.iter().map(|scope| format!("{prefix}{scope}")).collect()
    }

    /// What this version does not know gives no right; the rest of the key still works after a step back to an older version.
    pub(super) fn from_stored(stored: &[String], is_bound: bool) -> Self {
        let name = |text: &String| if is_bound { text.strip_prefix(BOUND)?.parse().ok() } else { text.parse().ok() };
        stored.iter().filter_map(name).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope.bit()))
    }
}

impl FromStr for Scopes {
    type Err = ScopeError;

    /// A list with commas, such as `chat:read,chat:write`.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.trim().is_empty() {
            return Err(ScopeError::Empty);
        }
        text.split(',').map(|part| part.trim().parse::<Scope>()).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written() {
        let scopes: Scopes = " chat:write , chat:read,chat:read".parse().unwrap();
        assert_eq!(scopes.to_string(), "chat:read,chat:write");
        assert!(scopes.allows(Scope::ChatRead) && scopes.allows(Scope::ChatWrite));
        assert!(!scopes.allows(Scope::UsersRead) && !scopes.allows(Scope::TokensWrite));
        for is_bound in [false, true] {
            assert_eq!(Scopes::from_stored(&scopes.to_stored(is_bound), is_bound), scopes);
        }
    }

    #[test]
    fn every_scope_has_a_bit_of_its_own() {
        for scope in Scope::ALL {
            let only: Scopes = scope.as_str().parse().unwrap();
            assert_eq!(only.iter().collect::<Vec<_>>(), [scope]);
        }
    }

    #[test]
    fn a_bad_list_says_what_there_is() {
        assert_eq!(" ".parse::<Scopes>(), Err(ScopeError::Empty));
        for bad in ["chat:read,", "chat", "chat:Read", "chat:read;chat:write", "*"] {
            let error = bad.parse::<Scopes>().unwrap_err().to_string();
            assert!(error.contains("users:write"), "{error}");
        }
    }

    #[test]
    fn an_unknown_stored_scope_gives_no_right() {
        let stored = ["chat:read".to_owned(), "chat:everything".to_owned()];
        assert_eq!(Scopes::from_stored(&stored, false), "chat:read".parse().unwrap());
    }

    /// An older version reads what is stored without knowing whom the key acts for, and looks for the scopes by their names.
    #[test]
    fn what_a_key_may_do_for_one_person_is_no_right_where_nobody_knows_of_them() {
        let scopes: Scopes = Scope::ALL.into_iter().collect();
        let stored = scopes.to_stored(true);
        assert_eq!(stored[0], "own:chat:read");
        assert_eq!(Scopes::from_stored(&stored, false), Scopes::default());
        assert_eq!(Scopes::from_stored(&scopes.to_stored(false), true), Scopes::default());
    }
}
