//! A body that says it is text, and may be JSON all the same.
//!
//! Many servers send JSON as `text/plain` or `text/html`, and clients read it. So where names are
//! masked, a text that begins like JSON is read ahead a little: it is text as soon as it is no
//! JSON, and JSON once it has been for long enough or ends as such.

use super::Unreadable;
use super::hide::Hider;
use super::json::{Json, Values};
use super::text::Text;

/// Bytes after which a text that is JSON so far is JSON.
const AHEAD_BYTES: usize = 64 * 1024;

/// One text.
pub(super) struct Plain {
    state: State,
    is_empty: bool,
}

enum State {
    /// Nothing but blanks so far.
    Blank(Vec<u8>),
    /// It may be JSON.
    Ahead {
        raw: Vec<u8>,
        json: Box<Json>,
        blind: Box<Hider>,
    },
    Json(Box<Json>),
    Text(Text),
}

impl Default for Plain {
    fn default() -> Self {
        Self { state: State::Blank(Vec::new()), is_empty: true }
    }
}

impl Plain {
    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        self.is_empty &= bytes.is_empty();
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::Text(text) => return text.push(rest, hide, out),
                State::Json(json) => return json.push(rest, hide, out),
                State::Blank(raw) => {
                    raw.extend_from_slice(rest);
                    rest = &[];
                    let shown = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
                    let first = shown.trim_ascii_start().first().copied();
                    let may_go_on = raw.len() <= AHEAD_BYTES && hide.has_fields();
                    let marks = b"\xef\xbb\xbf";
                    match first {
                        None if may_go_on => {}
                        Some(_) if may_go_on && marks.starts_with(raw) => {}
                        Some(b'{' | b'[') if hide.has_fields() => self.look_ahead(hide, out)?,
                        _ => {
                            let raw = std::mem::take(raw);
                            self.become_text(&raw, hide, out)?;
                        }
                    }
                }
                State::Ahead { raw, json, blind } => {
                    let room = AHEAD_BYTES.saturating_sub(raw.len()).min(rest.len());
                    let (taken, after) = rest.split_at_checked(room).unwrap_or_default();
                    rest = after;
                    raw.extend_from_slice(taken);
                    match json.push(taken, blind, &mut Vec::new()) {
                        Ok(()) if raw.len() < AHEAD_BYTES => {}
                        Ok(()) => {
                            let raw = std::mem::take(raw);
                            self.become_json(&raw, hide, out)?;
                        }
                        Err(error) if error.reason == "invalid_json" => {
                            let raw = std::mem::take(raw);
                            self.become_text(&raw, hide, out)?;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    pub fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match &mut self.state {
            State::Blank(raw) => {
                let raw = std::mem::take(raw);
                self.become_text(&raw, hide, out)?;
            }
            State::Ahead { raw, json, blind } => {
                let raw = std::mem::take(raw);
                match json.finish(blind, &mut Vec::new()) {
                    Ok(()) => self.become_json(&raw, hide, out)?,
                    Err(error) if error.reason == "invalid_json" => {
                        self.become_text(&raw, hide, out)?;
                    }
                    // JSON that was cut off.
                    Err(error) => return Err(error),
                }
            }
            State::Json(_) | State::Text(_) => {}
        }
        match &mut self.state {
            State::Json(json) => json.finish(hide, out),
            State::Text(text) => {
                text.finish(hide, out);
                Ok(())
            }
            State::Blank(_) | State::Ahead { .. } => Ok(()),
        }
    }

    /// Values, or 1 once there is text.
    pub fn rows(&self) -> u64 {
        match &self.state {
            State::Json(json) => json.rows(),
            _ => u64::from(!self.is_empty),
        }
    }

    /// What was held as blank begins like JSON.
    fn look_ahead(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let State::Blank(raw) = &mut self.state else { return Ok(()) };
        let held = std::mem::take(raw);
        let json = Box::new(Json::new(Values::Many));
        let blind = Box::new(hide.blind());
        self.state = State::Ahead { raw: Vec::new(), json, blind };
        self.push(&held, hide, out)
    }

    fn become_json(
        &mut self,
        raw: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut json = Box::new(Json::new(Values::Many));
        let result = json.push(raw, hide, out);
        self.state = State::Json(json);
        result
    }

    fn become_text(
        &mut self,
        raw: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut text = Text::default();
        let result = text.push(raw, hide, out);
        self.state = State::Text(text);
        result
    }
}
