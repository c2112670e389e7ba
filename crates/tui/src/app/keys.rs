//! What each key does where.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tertulia_client::{ConnectionState, ConversationId, Message, MessageRef, Seq, Status, Timestamp};

use crate::app::dialog::{Dialog, EMOJI, Search};
use crate::app::line::Line;
use crate::app::room::Mode;
use crate::app::sign_in::{Answer, Form};
use crate::app::{App, Focus, Wish};
use crate::view;

/// Muted "for good": a hundred years.
const MUTE_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Beyond any place: what is chosen then is the last.
const LAST: isize = isize::MAX / 2;

/// `at` moved by so much, within `0..count`.
fn moved(at: usize, by: isize, count: usize) -> usize {
    at.saturating_add_signed(by).min(count.saturating_sub(1))
}

/// How far a key moves in a list.
fn step_of(key: KeyEvent) -> Option<isize> {
    Some(match key.code {
        KeyCode::Up => -1,
        KeyCode::Down => 1,
        KeyCode::PageUp => -10,
        KeyCode::PageDown => 10,
        KeyCode::Home => -LAST,
        KeyCode::End => LAST,
        _ => return None,
    })
}

fn vi_step_of(key: KeyEvent) -> Option<isize> {
    match key.code {
        KeyCode::Char('k') => Some(-1),
        KeyCode::Char('j') => Some(1),
        _ => step_of(key),
    }
}

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) {
        if self.dialog.is_some() {
            self.dialog_key(key);
        } else if !self.key_anywhere(key) {
            match self.focus {
                Focus::List => self.list_key(key),
                Focus::Compose => self.compose_key(key),
                Focus::Messages => self.messages_key(key),
            }
        }
    }

    pub(super) fn paste(&mut self, text: &str) {
        match &mut self.dialog {
            None if self.room.is_some() => {
                self.focus = Focus::Compose;
                self.typed(|line| {
                    line.insert(text);
                    true
                });
            }
            Some(Dialog::SignIn(form)) => form.paste(text),
            Some(
                Dialog::Dm(line)
                | Dialog::React { line, .. }
                | Dialog::Group { people: line, at_people: true, .. }
                | Dialog::Group { title: line, .. },
            ) => line.insert(text.lines().next().unwrap_or("")),
            Some(Dialog::Search(search)) => {
                search.line.insert(text.lines().next().unwrap_or(""));
                self.look_for();
            }
            _ => {}
        }
    }

    fn key_anywhere(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.leave(),
            KeyCode::Char('r') if control => self.connect(),
            KeyCode::Char('f') if control => self.dialog = Some(Dialog::Search(Search::default())),
            KeyCode::Char('p') if control => self.dialog = Some(Dialog::Parked { at: 0 }),
            KeyCode::Char('n') if control => self.dialog = Some(Dialog::Dm(Line::default())),
            KeyCode::Char('g') if control => self.dialog = Some(new_group()),
            KeyCode::F(1) => self.dialog = Some(Dialog::Help { top: 0 }),
            KeyCode::Up if alt => self.neighbour(-1),
            KeyCode::Down if alt => self.neighbour(1),
            _ => return false,
        }
        true
    }

    fn leave(&mut self) {
        self.keep_draft();
        self.wish(Wish::Quit);
    }

    fn connect(&mut self) {
        if self.connection == ConnectionState::SignedOut {
            self.dialog = Some(Dialog::SignIn(Form::known(&self.server, "")));
        } else {
            self.wish(Wish::Connect);
        }
    }

    fn choose(&mut self, by: isize) {
        let listed: Vec<ConversationId> = self.listed().map(|of| of.id).collect();
        let at = listed.iter().position(|id| Some(*id) == self.at).unwrap_or(0);
        self.at = listed.get(moved(at, by, listed.len())).copied();
    }

    fn neighbour(&mut self, by: isize) {
        self.choose(by);
        if let Some(id) = self.at {
            self.open(id, None);
        }
    }

    fn list_key(&mut self, key: KeyEvent) {
        if let Some(by) = vi_step_of(key) {
            return self.choose(by);
        }
        match key.code {
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => {
                if let Some(id) = self.at {
                    self.open(id, None);
                }
            }
            KeyCode::Tab if self.room.is_some() => self.focus = Focus::Compose,
            KeyCode::Char('n') => self.dialog = Some(Dialog::Dm(Line::default())),
            KeyCode::Char('g') => self.dialog = Some(new_group()),
            KeyCode::Char('/') => self.dialog = Some(Dialog::Search(Search::default())),
            KeyCode::Char('p') => self.dialog = Some(Dialog::Parked { at: 0 }),
            KeyCode::Char('m') => self.mute(),
            KeyCode::Char('?') => self.dialog = Some(Dialog::Help { top: 0 }),
            KeyCode::Char('L') => self.dialog = Some(Dialog::LogOut),
            KeyCode::Char('q') => self.leave(),
            _ => {}
        }
    }

    fn mute(&mut self) {
        let Some(of) = self.at.and_then(|id| self.conversation(id)) else { return };
        let is_muted = of.muted_until.is_some_and(|until| until > self.now);
        let until = (!is_muted).then(|| Timestamp::from_ms(self.now.ms().saturating_add(MUTE_MS)));
        let id = of.id;
        self.wish(Wish::Mute(id, until));
    }

    fn compose_key(&mut self, key: KeyEvent) {
        let Some(room) = self.room.as_mut() else {
            self.focus = Focus::List;
            return;
        };
        let is_plain = key.modifiers.is_empty();
        match key.code {
            KeyCode::Esc if room.mode != Mode::New => room.back_to_new(),
            KeyCode::Esc | KeyCode::BackTab => self.focus = Focus::List,
            KeyCode::Tab => self.choose_message(),
            KeyCode::Enter if is_plain => self.submit(),
            KeyCode::Up if is_plain && room.line.is_empty() && room.mode == Mode::New => self.edit_last(),
            KeyCode::PageUp => self.scroll(-1),
            KeyCode::PageDown => self.scroll(1),
            _ => self.typed(|line| line.key(key)),
        }
    }

    fn typed(&mut self, change: impl FnOnce(&mut Line) -> bool) {
        let now = self.now;
        let Some(room) = self.room.as_mut() else { return };
        let before = room.line.text().to_owned();
        change(&mut room.line);
        if room.line.text() == before {
            return;
        }
        if !matches!(room.mode, Mode::Edit { .. }) {
            room.typed_at = Some(now);
        }
        let wish = Wish::Typing(room.id, !room.line.is_empty());
        self.wish(wish);
    }

    fn submit(&mut self) {
        let Some(room) = self.room.as_mut() else { return };
        if room.line.text().trim().is_empty() {
            return;
        }
        let text = room.line.take();
        let id = room.id;
        room.typed_at = None;
        (room.anchor, room.selected, room.unread_after) = (None, None, None);
        let wish = match std::mem::replace(&mut room.mode, Mode::New) {
            Mode::New => Wish::Send { room: id, text, reply_to: None },
            Mode::Reply { to } => Wish::Send { room: id, text, reply_to: Some(to) },
            Mode::Edit { message, kept } => {
                room.line.set(&kept);
                Wish::Edit { room: id, message, text }
            }
        };
        self.wish(Wish::Typing(id, false));
        self.wish(wish);
    }

    fn edit_last(&mut self) {
        let me = self.me;
        let last = self.room.as_ref().and_then(|room| {
            let mine = |message: &&Message| message.sender == me && message.deleted_at.is_none();
            room.messages.iter().rev().find(mine).map(|message| message.key)
        });
        if let Some(key) = last {
            self.edit(key);
        }
    }

    fn edit(&mut self, key: i64) {
        let me = self.me;
        let Some(room) = self.room.as_mut() else { return };
        let Some(message) = room.index(key).and_then(|index| room.messages.get(index)) else { return };
        if message.sender != me || message.deleted_at.is_some() {
            return self.say("Only what you wrote can be edited");
        }
        let (reference, body) = (MessageRef::from(message), message.body.clone());
        room.back_to_new();
        let kept = room.line.take();
        room.mode = Mode::Edit { message: reference, kept };
        room.line.set(&body);
        self.focus = Focus::Compose;
    }

    fn choose_message(&mut self) {
        let Some(room) = self.room.as_mut() else { return };
        if let Some(last) = room.messages.last() {
            room.selected = room.selected.or(Some(last.key));
            self.focus = Focus::Messages;
            self.show_selected();
        }
    }

    fn messages_key(&mut self, key: KeyEvent) {
        if let Some(by) = vi_step_of(key) {
            return match key.code {
                KeyCode::PageUp => self.scroll(-1),
                KeyCode::PageDown => self.scroll(1),
                _ => self.select(by),
            };
        }
        let Some(message) = self.room.as_ref().and_then(|room| room.selected()).cloned() else {
            self.focus = Focus::Compose;
            return;
        };
        match key.code {
            KeyCode::Esc | KeyCode::Tab => self.leave_messages(),
            KeyCode::BackTab => self.focus = Focus::List,
            KeyCode::Char('r') | KeyCode::Enter => self.reply(&message),
            KeyCode::Char('e') => self.edit(message.key),
            KeyCode::Char('+' | 'a') => self.react(&message),
            KeyCode::Char('d') => self.ask_to_delete(&message),
            KeyCode::Char('t') => self.of_failed(&message, Wish::Retry),
            KeyCode::Char('x') => self.of_failed(&message, Wish::Discard),
            KeyCode::Char('/') => self.dialog = Some(Dialog::Search(Search::default())),
            KeyCode::Char('?') => self.dialog = Some(Dialog::Help { top: 0 }),
            _ => {}
        }
    }

    fn leave_messages(&mut self) {
        self.focus = Focus::Compose;
        if let Some(room) = self.room.as_mut() {
            room.selected = None;
        }
    }

    fn reply(&mut self, message: &Message) {
        if message.deleted_at.is_some() {
            return self.say("It is deleted");
        }
        if let Some(room) = self.room.as_mut() {
            room.back_to_new();
            room.mode = Mode::Reply { to: message.into() };
        }
        self.focus = Focus::Compose;
    }

    fn react(&mut self, message: &Message) {
        let me = self.me;
        let mine = message.reactions.iter().filter(|reaction| reaction.user_ids.contains(&me));
        let mine = mine.map(|reaction| reaction.emoji.as_str().to_owned()).collect();
        let (room, message) = (message.conversation, message.into());
        self.dialog = Some(Dialog::React { room, message, mine, line: Line::default() });
    }

    fn ask_to_delete(&mut self, message: &Message) {
        if message.deleted_at.is_none() {
            let (room, body) = (message.conversation, message.body.clone());
            self.dialog = Some(Dialog::Delete { room, message: message.into(), body });
        }
    }

    fn of_failed(&mut self, message: &Message, wish: impl FnOnce(i64) -> Wish) {
        if let Some(Status::Failed { entry, .. }) = message.status {
            self.wish(wish(entry));
        }
    }

    fn select(&mut self, by: isize) {
        let Some(room) = self.room.as_mut() else { return };
        let at = room.selected.and_then(|key| room.index(key)).unwrap_or(0);
        let to = moved(at, by, room.messages.len());
        room.selected = room.messages.get(to).map(|message| message.key);
        let is_first = to == 0;
        self.show_selected();
        if is_first {
            self.more();
        }
    }

    /// By pages; the chosen message comes along.
    fn scroll(&mut self, pages: isize) {
        let Some(place) = view::Places::of(self).timeline else { return };
        let heights = view::heights(self, place.width);
        let room_for = usize::from(place.height);
        let Some(room) = self.room.as_mut() else { return };
        let by = pages.saturating_mul(isize::try_from(room_for.saturating_sub(2).max(1)).unwrap_or(1));
        let bottom = room.bottom(&heights).saturating_add_signed(by);
        room.set_bottom(&heights, room_for, bottom);
        let is_top = room.bottom(&heights) <= room_for;
        if room.selected.is_some() {
            room.selected = match room.anchor {
                Some(anchor) => Some(anchor.key),
                None => room.messages.last().map(|message| message.key),
            };
        }
        if is_top && pages < 0 {
            self.more();
        }
    }

    fn more(&mut self) {
        if let Some(room) = self.room.as_mut()
            && room.has_more
            && !std::mem::replace(&mut room.is_loading, true)
        {
            self.wish(Wish::MoreMessages);
        }
    }

    pub(super) fn show_selected(&mut self) {
        let Some(place) = view::Places::of(self).timeline else { return };
        let heights = view::heights(self, place.width);
        let room_for = usize::from(place.height);
        let Some(room) = self.room.as_mut() else { return };
        let Some(index) = room.selected.and_then(|key| room.index(key)) else { return };
        let top: usize = heights.iter().take(index).sum();
        let end = top + heights.get(index).copied().unwrap_or(0);
        let bottom = room.bottom(&heights);
        let wanted = if end > bottom {
            end
        } else if top < bottom.saturating_sub(room_for) {
            top + room_for
        } else {
            bottom
        };
        room.set_bottom(&heights, room_for, wanted);
    }

    fn dialog_key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if matches!(key.code, KeyCode::Char('c' | 'q') if control) {
            return self.leave();
        }
        if key.code == KeyCode::Esc {
            self.dialog = None;
            return;
        }
        let Some(dialog) = self.dialog.as_mut() else { return };
        match dialog {
            Dialog::Help { top } => match step_of(key) {
                Some(by) => *top = moved(*top, by, view::HELP.len()),
                None => self.dialog = None,
            },
            Dialog::Dm(line) if key.code == KeyCode::Enter => {
                let email = line.text().trim().to_owned();
                if !email.is_empty() {
                    self.wish(Wish::OpenDm(email));
                }
            }
            Dialog::Dm(line) => drop(line.key(key)),
            Dialog::Group { .. } => self.group_key(key),
            Dialog::Search(_) => self.search_key(key),
            Dialog::React { .. } => self.react_key(key),
            Dialog::Parked { .. } => self.parked_key(key),
            Dialog::Delete { room, message, .. } => {
                let wish = Wish::Delete { room: *room, message: message.clone() };
                self.dialog = None;
                if matches!(key.code, KeyCode::Char('y') | KeyCode::Enter) {
                    self.wish(wish);
                }
            }
            Dialog::LogOut => {
                self.dialog = None;
                if key.code == KeyCode::Char('y') {
                    self.wish(Wish::LogOut);
                }
            }
            Dialog::SignIn(form) => {
                if let Answer::Ask(wanted) = form.key(key) {
                    self.wish(Wish::SignIn(wanted));
                }
            }
        }
    }

    fn group_key(&mut self, key: KeyEvent) {
        let Some(Dialog::Group { title, people, at_people }) = self.dialog.as_mut() else { return };
        match key.code {
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Up | KeyCode::Down => *at_people = !*at_people,
            KeyCode::Enter if !*at_people => *at_people = true,
            KeyCode::Enter if title.text().trim().is_empty() => *at_people = false,
            KeyCode::Enter => {
                let named = people.text().split([' ', ',', ';']).filter(|email| !email.is_empty());
                let emails = named.map(str::to_owned).collect();
                let title = title.text().trim().to_owned();
                self.wish(Wish::OpenGroup { title, emails });
            }
            _ if *at_people => drop(people.key(key)),
            _ => drop(title.key(key)),
        }
    }

    fn search_key(&mut self, key: KeyEvent) {
        let Some(Dialog::Search(search)) = self.dialog.as_mut() else { return };
        if let Some(by) = step_of(key).filter(|_| !matches!(key.code, KeyCode::Home | KeyCode::End)) {
            search.at = moved(search.at, by, search.hits.len());
        } else if key.code == KeyCode::Enter {
            if let Some((room, seq)) = search.chosen() {
                self.dialog = None;
                self.open(room, Some(seq.unwrap_or(Seq::MAX)));
            }
        } else if search.line.key(key) {
            self.look_for();
        }
    }

    fn look_for(&mut self) {
        let Some(Dialog::Search(search)) = self.dialog.as_mut() else { return };
        let text = search.line.text().to_owned();
        if text.chars().count() < 3 {
            search.take(&text, Vec::new());
        } else {
            self.wish(Wish::Search(text));
        }
    }

    fn react_key(&mut self, key: KeyEvent) {
        let Some(Dialog::React { room, message, mine, line }) = self.dialog.as_mut() else { return };
        let at_hand = match key.code {
            KeyCode::Char(digit) => {
                let place = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()?.checked_sub(1));
                place.and_then(|place| EMOJI.get(place)).map(|emoji| (*emoji).to_owned())
            }
            KeyCode::Enter if !line.text().trim().is_empty() => Some(line.text().trim().to_owned()),
            _ => None,
        };
        let Some(emoji) = at_hand else {
            line.key(key);
            return;
        };
        let remove = mine.contains(&emoji);
        let wish = Wish::React { room: *room, message: message.clone(), emoji, remove };
        self.dialog = None;
        self.wish(wish);
    }

    fn parked_key(&mut self, key: KeyEvent) {
        let parked: Vec<(i64, ConversationId)> =
            self.parked().map(|parcel| (parcel.waiting.entry, parcel.waiting.conversation)).collect();
        let Some(Dialog::Parked { at }) = self.dialog.as_mut() else { return };
        if let Some(by) = vi_step_of(key) {
            *at = moved(*at, by, parked.len());
            return;
        }
        let chosen = parked.get((*at).min(parked.len().saturating_sub(1))).copied();
        match (key.code, chosen) {
            (KeyCode::Char('t'), Some((entry, _))) => self.wish(Wish::Retry(entry)),
            (KeyCode::Char('x'), Some((entry, _))) => self.wish(Wish::Discard(entry)),
            (KeyCode::Enter, Some((_, room))) => {
                self.dialog = None;
                self.open(room, None);
            }
            (KeyCode::Char('q'), _) => self.dialog = None,
            _ => {}
        }
    }
}

fn new_group() -> Dialog {
    Dialog::Group { title: Line::default(), people: Line::default(), at_people: false }
}
