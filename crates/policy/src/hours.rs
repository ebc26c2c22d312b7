//! When a line of `access` is open: hours of the week in a time zone, and an end.
//!
//! A window belongs to the day on which it begins, also where it goes over midnight. Its edges are
//! what a clock on the wall shows: an hour that a change of the clocks leaves out is not there, and
//! of one that comes twice its first showing counts.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use model::Timestamp;

use crate::nearest::hint;

const DAY_MINUTES: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Windows joined to say when a line closes. Past them it is asked again then.
const JOINED_MAX: usize = 16;
/// Days looked ahead for the next window: a week, and what a change of the clocks may leave out.
const AHEAD_DAYS: usize = 9;

/// When a line of `access` is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    /// None: at all hours.
    pub windows: Box<[Window]>,
    /// Whose clocks; UTC when left out.
    pub zone: Option<TimeZone>,
    /// From this moment on never again.
    pub until: Option<Timestamp>,
}

/// Hours of some days of the week.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    /// From Monday on.
    days: [bool; 7],
    /// Minutes of the day.
    from: u16,
    /// Minutes of the same day, or of the next one when not behind `from`.
    to: u16,
}

/// What is wrong with a text, from which character on, and what would be right.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Mistake {
    pub at: usize,
    pub what: String,
    pub help: String,
}

impl Schedule {
    /// The moment in which it closes, if it is open now; `Some(None)` is never.
    pub fn open(&self, now: Timestamp) -> Option<Option<Timestamp>> {
        if self.until.is_some_and(|until| now >= until) {
            return None;
        }
        if self.windows.is_empty() {
            return Some(self.until);
        }
        let mut end = self.closes(now)?;
        for _ in 0..JOINED_MAX {
            match self.closes(end) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(Some(self.until.map_or(end, |until| end.min(until))))
    }

    /// When it opens next, if it is not open now and ever does again.
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let from = self.spans(now, AHEAD_DAYS).map(|(from, _)| from).filter(|from| *from > now);
        from.min().filter(|from| self.until.is_none_or(|until| *from < until))
    }

    /// The end of the longest window in which a moment is.
    fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        let around = self.spans(now, 1).filter(|(from, to)| (*from..*to).contains(&now));
        around.map(|(_, to)| to).max()
    }

    /// The windows that begin on the day before, and on so many days from then on.
    fn spans(&self, now: Timestamp, ahead: usize) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let now = jiff::Timestamp::from_nanosecond(i128::from(now.0)).ok();
        let first = now.and_then(|now| zone.to_datetime(now).date().yesterday().ok());
        let days = std::iter::successors(first, |day| day.tomorrow().ok()).take(ahead + 2);
        let windows = self.windows.iter().copied();
        days.flat_map(move |day| {
            let zone = zone.clone();
            windows.clone().filter_map(move |window| window.on(day, &zone))
        })
    }
}

impl Window {
    /// Reads `mon-fri 08:00-18:00`, or one half of it.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mistake = |part: &str, what: String, help: &str| {
            let before = text.find(part).and_then(|at| text.get(..at)).unwrap_or_default();
            Mistake { at: before.chars().count(), what, help: help.to_owned() }
        };
        let (mut days, mut hours) = (None, None);
        for part in text.split_whitespace() {
            let is_hours = part.starts_with(|c: char| c.is_ascii_digit());
            let again = if is_hours { hours.is_some() } else { days.is_some() || hours.is_some() };
            if again {
                let help = "write days, then hours: mon-fri 08:00-18:00; more windows are a list";
                return Err(mistake(part, format!("\"{part}\" is one too many"), help));
            }
            match is_hours {
                true => {
                    hours = Some(clock(part).map_err(|(what, help)| mistake(part, what, help))?);
                }
                false => {
                    days = Some(week(part).map_err(|(word, what, help)| Mistake {
                        help,
                        ..mistake(word, what, "")
                    })?);
                }
            }
        }
        if days.is_none() && hours.is_none() {
            return Err(mistake("", "no hours".to_owned(), "write mon-fri 08:00-18:00"));
        }
        let (from, to) = hours.unwrap_or((0, DAY_MINUTES));
        Ok(Self { days: days.unwrap_or([true; 7]), from, to })
    }

    /// The window that begins on a day. None where a change of the clocks leaves nothing of it.
    fn on(self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let of_week = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        if !*self.days.get(of_week)? {
            return None;
        }
        let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
        let (from, to) = (moment(day, self.from, zone)?, moment(last, self.to, zone)?);
        (from < to).then_some((from, to))
    }
}

/// Reads `08:00-18:00`.
fn clock(part: &str) -> Result<(u16, u16), (String, &'static str)> {
    let help = "write HH:MM-HH:MM, from 00:00 to 24:00";
    let wrong = || (format!("\"{part}\" are no hours"), help);
    let (from, to) = part.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minutes(from).ok_or_else(wrong)?, minutes(to).ok_or_else(wrong)?);
    if from == DAY_MINUTES {
        return Err(wrong());
    }
    if from == to {
        let what = format!("\"{part}\" begins when it ends");
        return Err((what, "write 00:00-24:00 for a whole day"));
    }
    Ok((from, to))
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| digits)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY_MINUTES).then_some(total)
}

/// Reads `mon-fri`, `mon,wed`, `fri-mon`.
fn week(part: &str) -> Result<[bool; 7], (&str, String, String)> {
    let number = |name| -> Result<usize, _> {
        let lower = str::to_ascii_lowercase(name);
        DAYS.iter().position(|day| **day == *lower).ok_or_else(|| {
            let help = hint(&lower, DAYS).unwrap_or_else(|| {
                "write mon, tue, wed, thu, fri, sat, sun, or a range: mon-fri".to_owned()
            });
            (name, format!("\"{name}\" is no day"), help)
        })
    };
    let mut days = [false; 7];
    for range in part.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        let length = (last + DAYS.len() - first) % DAYS.len();
        for (day, set) in days.iter_mut().enumerate() {
            *set |= (day + DAYS.len() - first) % DAYS.len() <= length;
        }
    }
    Ok(days)
}

/// Reads an end: `2026-12-31` (through its end), `2026-12-31T18:00`, `2026-12-31T18:00:00Z`.
pub(crate) fn end(text: &str, zone: Option<&TimeZone>) -> Option<Timestamp> {
    let zone = &zone.cloned().unwrap_or(TimeZone::UTC);
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(nanos(moment));
    }
    match text.contains(['T', 't', ' ', ':']) {
        true => wall(text.parse().ok()?, zone),
        false => moment(text.parse().ok()?, DAY_MINUTES, zone),
    }
}

/// When clocks show so many minutes of a day.
fn moment(day: Date, minutes: u16, zone: &TimeZone) -> Option<Timestamp> {
    let (day, minutes) = match minutes {
        DAY_MINUTES => (day.tomorrow().ok()?, 0),
        _ => (day, minutes),
    };
    let (hours, minutes) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
    wall(day.to_datetime(Time::new(hours, minutes, 0, 0).ok()?), zone)
}

fn wall(shown: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    Some(nanos(zone.to_ambiguous_timestamp(shown).compatible().ok()?))
}

/// What is before or behind the times that a [`Timestamp`] can say is its first or last.
fn nanos(moment: jiff::Timestamp) -> Timestamp {
    Timestamp(u64::try_from(moment.as_nanosecond().max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "hours/tests.rs"]
mod tests;
