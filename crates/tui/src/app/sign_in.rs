//! The form for signing in.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::app::line::Line;
use crate::text::one_line;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Server,
    Email,
    Password,
    Name,
}

/// What the form asks the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Wanted {
    pub server: String,
    pub email: String,
    pub password: String,
    /// Makes an account of this name.
    pub register: Option<String>,
}

/// Without the password.
impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("server", &self.server).field("register", &self.register).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Form {
    pub server: Line,
    pub email: Line,
    pub password: Line,
    pub name: Line,
    pub at: usize,
    pub registers: bool,
    pub is_asking: bool,
    pub refused: Option<String>,
    /// Of an account that is here already: only the password is asked for.
    pub is_known: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Stay,
    Ask(Wanted),
    Leave,
}

impl Form {
    pub fn new(server: &str, email: &str) -> Self {
        let at = [server.is_empty(), email.is_empty()].iter().position(|empty| *empty).unwrap_or(2);
        Self { server: Line::new(server), email: Line::new(email), at, ..Self::default() }
    }

    pub fn known(server: &str, email: &str) -> Self {
        Self { is_known: true, at: 0, ..Self::new(server, email) }
    }

    pub const fn fields(&self) -> &'static [Field] {
        match (self.is_known, self.registers) {
            (true, _) => &[Field::Email, Field::Password],
            (false, false) => &[Field::Server, Field::Email, Field::Password],
            (false, true) => &[Field::Server, Field::Email, Field::Password, Field::Name],
        }
    }

    pub fn field(&self) -> Field {
        self.fields().get(self.at).copied().unwrap_or(Field::Password)
    }

    pub const fn line(&self, field: Field) -> &Line {
        match field {
            Field::Server => &self.server,
            Field::Email => &self.email,
            Field::Password => &self.password,
            Field::Name => &self.name,
        }
    }

    const fn line_mut(&mut self, field: Field) -> &mut Line {
        match field {
            Field::Server => &mut self.server,
            Field::Email => &mut self.email,
            Field::Password => &mut self.password,
            Field::Name => &mut self.name,
        }
    }

    pub fn refused(&mut self, why: String) {
        (self.refused, self.is_asking) = (Some(one_line(&why)), false);
    }

    pub fn paste(&mut self, text: &str) {
        let field = self.field();
        self.line_mut(field).insert(text.lines().next().unwrap_or(""));
    }

    pub fn key(&mut self, key: KeyEvent) -> Answer {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let last = self.fields().len() - 1;
        match key.code {
            KeyCode::Esc => return Answer::Leave,
            KeyCode::Char('c' | 'q') if control => return Answer::Leave,
            _ if self.is_asking => {}
            KeyCode::Char('r') if control && !self.is_known => {
                self.registers = !self.registers;
                self.at = self.at.min(self.fields().len() - 1);
            }
            KeyCode::Tab | KeyCode::Down => self.at = if self.at >= last { 0 } else { self.at + 1 },
            KeyCode::BackTab | KeyCode::Up => self.at = self.at.checked_sub(1).unwrap_or(last),
            KeyCode::Enter if key.modifiers.is_empty() => return self.enter(),
            _ => {
                let field = self.field();
                self.line_mut(field).key(key);
            }
        }
        Answer::Stay
    }

    /// On to the next empty field; from the last one to the server.
    fn enter(&mut self) -> Answer {
        let empty = self.fields().iter().position(|field| self.line(*field).text().trim().is_empty());
        if let Some(empty) = empty {
            self.at = empty;
            return Answer::Stay;
        }
        (self.is_asking, self.refused) = (true, None);
        let server = self.server.text().trim().trim_end_matches('/');
        let server = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
        Answer::Ask(Wanted {
            server,
            email: self.email.text().trim().to_owned(),
            password: self.password.text().to_owned(),
            register: self.registers.then(|| self.name.text().trim().to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(form: &mut Form, text: &str) -> Answer {
        text.chars().for_each(|c| assert_eq!(form.key(KeyEvent::from(KeyCode::Char(c))), Answer::Stay));
        form.key(KeyEvent::from(KeyCode::Enter))
    }

    #[test]
    fn a_form_is_filled_from_the_top_and_asks_when_it_is_full() {
        let mut form = Form::new("", "");
        assert_eq!(typed(&mut form, "chat.example.org/"), Answer::Stay);
        assert_eq!(typed(&mut form, "alice@example.org"), Answer::Stay);
        let Answer::Ask(wanted) = typed(&mut form, "correct horse") else { panic!("it is full") };
        assert_eq!((wanted.server.as_str(), wanted.register), ("https://chat.example.org", None));
        form.refused("wrong".to_owned());
        assert!(!form.is_asking);
        form.key(KeyEvent::new(KeyCode::Char('r'), KeyModifiers::CONTROL));
        assert_eq!(form.key(KeyEvent::from(KeyCode::Enter)), Answer::Stay);
        assert_eq!(form.field(), Field::Name);
        assert!(matches!(typed(&mut form, "Alice"), Answer::Ask(Wanted { register: Some(_), .. })));
        assert_eq!(form.key(KeyEvent::from(KeyCode::Esc)), Answer::Leave);
    }

    #[test]
    fn a_password_is_in_no_log() {
        let mut form = Form::known("http://a", "b@c");
        form.at = 1;
        let Answer::Ask(wanted) = typed(&mut form, "secret") else { panic!("it is full") };
        assert!(!format!("{wanted:?}").contains("secret"));
    }
}
