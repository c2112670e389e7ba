//! What an e-mail address, a name, a password and an address of a picture may be.

use tertulia_proto::{ApiError, Limits};

const EMAIL_MIN_BYTES: usize = 3;
/// RFC 5321, section 4.5.3.1.3, less the two angle brackets.
const EMAIL_MAX_BYTES: usize = 254;
/// NIST SP 800-63B-4, section 3.1.1.2, allows no fewer.
const PASSWORD_MIN_CHARS: usize = 8;

/// The form an e-mail address is kept and looked up in: trimmed and in lower case. Whether mail arrives there is not our question, so nothing
/// more is asked of it than one `@` with something on both sides.
pub fn normalize_email(text: &str) -> Result<String, ApiError> {
    let email = text.trim().to_lowercase();
    if email.len() > EMAIL_MAX_BYTES {
        return Err(ApiError::too_large("email", EMAIL_MAX_BYTES, "bytes"));
    }
    let well_formed = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@') && email.len() >= EMAIL_MIN_BYTES
    });
    if !well_formed || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(ApiError::invalid("email: must be an address such as alice@example.org"));
    }
    Ok(email)
}

/// A name as it is kept: trimmed, not blank, without control characters.
pub fn normalize_name(text: &str, limits: &Limits) -> Result<String, ApiError> {
    let name = text.trim();
    if name.is_empty() {
        return Err(ApiError::invalid("name: must not be blank"));
    }
    if name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name: must not have control characters"));
    }
    if name.chars().count() > limits.name_max_chars {
        return Err(ApiError::too_large("name", limits.name_max_chars, "characters"));
    }
    Ok(name.to_owned())
}

/// Length is the only rule: what else people are made to do makes passwords worse (NIST SP 800-63B-4, section 3.1.1.2).
pub fn check_password(password: &str, limits: &Limits) -> Result<(), ApiError> {
    if password.len() > limits.password_max_bytes {
        return Err(ApiError::too_large("password", limits.password_max_bytes, "bytes"));
    }
    if password.chars().count() < PASSWORD_MIN_CHARS {
        return Err(ApiError::invalid(format!("password: must have at least {PASSWORD_MIN_CHARS} characters")));
    }
    Ok(())
}

pub(super) fn is_http_url(text: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The nearest good name to what somebody else's token says; `None` where nothing is left of it.
pub(super) fn name_from_elsewhere(text: &str, limits: &Limits) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    let short: String = plain.trim().chars().take(limits.name_max_chars).collect();
    let name = short.trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

/// What stands before the `@`.
pub(super) fn local_part(email: &str) -> &str {
    email.split_once('@').map_or(email, |(local, _)| local)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tertulia_proto::ErrorCode;

    use super::*;

    #[test]
    fn an_email_is_kept_trimmed_and_in_lower_case() {
        assert_eq!(normalize_email("  Alice@Example.ORG ").unwrap(), "alice@example.org");
        assert_eq!(normalize_email("a@b").unwrap(), "a@b");
    }

    #[test]
    fn what_is_no_email_is_refused() {
        for bad in ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\u{0}c", "a@b\nc", "a\u{a0}b@c"] {
            assert_eq!(normalize_email(bad).unwrap_err().code, ErrorCode::Invalid, "{bad:?}");
        }
        let long = format!("{}@example.org", "a".repeat(243));
        assert_eq!(normalize_email(&long).unwrap_err().code, ErrorCode::TooLarge);
        assert!(normalize_email(&long[1..]).is_ok());
    }

    #[test]
    fn a_name_is_trimmed_and_bounded_in_characters() {
        let limits = Limits { name_max_chars: 3, ..Limits::default() };
        assert_eq!(normalize_name(" Zoë ", &limits).unwrap(), "Zoë");
        assert_eq!(normalize_name("Zoës", &limits).unwrap_err().code, ErrorCode::TooLarge);
        for bad in ["", "  ", "a\u{7}", "a\nb"] {
            assert_eq!(normalize_name(bad, &limits).unwrap_err().code, ErrorCode::Invalid, "{bad:?}");
        }
        assert_eq!(name_from_elsewhere("\u{0} Zoë Zoë\n", &limits).as_deref(), Some("Zoë"));
        assert_eq!(name_from_elsewhere("\u{0}\n", &limits), None);
    }

    #[test]
    fn a_password_is_counted_in_characters_below_and_bytes_above() {
        let limits = Limits { password_max_bytes: 20, ..Limits::default() };
        assert_eq!(check_password("1234567", &limits).unwrap_err().code, ErrorCode::Invalid);
        assert!(check_password("éééééééé", &limits).is_ok());
        assert!(check_password(&"a".repeat(20), &limits).is_ok());
        assert_eq!(check_password(&"a".repeat(21), &limits).unwrap_err().code, ErrorCode::TooLarge);
    }

    proptest! {
        #[test]
        fn a_normal_email_stays_as_it_is(text in ".{0,40}@.{0,40}") {
            if let Ok(email) = normalize_email(&text) {
                prop_assert_eq!(normalize_email(&email), Ok(email));
            }
        }
    }
}
