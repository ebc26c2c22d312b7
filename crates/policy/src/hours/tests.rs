use super::*;
use proptest::prelude::*;

fn schedule(windows: &[&str], zone: &str) -> Schedule {
    Schedule {
        windows: windows.iter().map(|text| Window::parse(text).unwrap()).collect(),
        zone: Some(TimeZone::get(zone).unwrap()),
        until: None,
    }
}

fn time(text: &str) -> Timestamp {
    nanos(text.parse().unwrap())
}

fn shown(at: Option<Timestamp>) -> String {
    let at = at.map(|at| jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap());
    at.map_or("never".to_owned(), |at| at.to_string())
}

/// When it closes if it is open, or when it opens.
fn at(schedule: &Schedule, now: &str) -> String {
    match schedule.open(time(now)) {
        Some(end) => format!("until {}", shown(end)),
        None => format!("opens {}", shown(schedule.opens(time(now)))),
    }
}

#[test]
fn office_hours_open_and_close_by_the_clocks_of_their_zone() {
    let office = schedule(&["mon-fri 08:00-18:00"], "Europe/Berlin");
    for (now, expected) in [
        // A Monday in winter, one hour ahead of UTC.
        ("2026-11-30T06:59:59Z", "opens 2026-11-30T07:00:00Z"),
        ("2026-11-30T07:00:00Z", "until 2026-11-30T17:00:00Z"),
        ("2026-11-30T16:59:59.999999999Z", "until 2026-11-30T17:00:00Z"),
        ("2026-11-30T17:00:00Z", "opens 2026-12-01T07:00:00Z"),
        // Friday evening to Monday morning, and summer, two hours ahead.
        ("2026-12-04T17:00:00Z", "opens 2026-12-07T07:00:00Z"),
        ("2026-07-01T06:00:00Z", "until 2026-07-01T16:00:00Z"),
    ] {
        assert_eq!(at(&office, now), expected, "{now}");
    }
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let night = schedule(&["fri 22:00-06:00"], "UTC");
    for (now, expected) in [
        ("2026-12-04T03:00:00Z", "opens 2026-12-04T22:00:00Z"),
        ("2026-12-04T22:00:00Z", "until 2026-12-05T06:00:00Z"),
        ("2026-12-05T05:59:59Z", "until 2026-12-05T06:00:00Z"),
        ("2026-12-05T06:00:00Z", "opens 2026-12-11T22:00:00Z"),
    ] {
        assert_eq!(at(&night, now), expected, "{now}");
    }
}

#[test]
fn windows_that_meet_are_one() {
    let week = schedule(&["mon-fri"], "UTC");
    assert_eq!(at(&week, "2026-11-30T12:00:00Z"), "until 2026-12-05T00:00:00Z");
    let shifts = schedule(&["06:00-14:00", "14:00-22:00"], "UTC");
    assert_eq!(at(&shifts, "2026-11-30T07:00:00Z"), "until 2026-11-30T22:00:00Z");
    let wrapped = schedule(&["fri-mon 10:00-12:00"], "UTC");
    assert_eq!(at(&wrapped, "2026-11-29T11:00:00Z"), "until 2026-11-29T12:00:00Z");
    assert_eq!(at(&wrapped, "2026-11-30T12:00:00Z"), "opens 2026-12-04T10:00:00Z");
    // Always open: it says a moment in which to ask again, and is open then.
    let always = schedule(&["mon-sun"], "UTC");
    let again = always.open(time("2026-11-30T12:00:00Z")).unwrap().unwrap();
    assert!(always.open(again).is_some());
}

#[test]
fn clocks_that_change_leave_out_an_hour_and_do_not_double_one() {
    // 2026-03-29: 02:00 is followed by 03:00 in Berlin, which is 01:00 UTC.
    let early = schedule(&["02:00-03:00"], "Europe/Berlin");
    assert_eq!(at(&early, "2026-03-29T00:30:00Z"), "opens 2026-03-30T00:00:00Z");
    assert_eq!(at(&early, "2026-03-29T01:00:00Z"), "opens 2026-03-30T00:00:00Z");
    let long = schedule(&["01:00-05:00"], "Europe/Berlin");
    assert_eq!(at(&long, "2026-03-29T00:00:00Z"), "until 2026-03-29T03:00:00Z");
    // 2026-10-25: 02:00 to 03:00 comes twice, first at 00:00 UTC.
    let half = schedule(&["01:30-02:30"], "Europe/Berlin");
    assert_eq!(at(&half, "2026-10-25T00:00:00Z"), "until 2026-10-25T00:30:00Z");
    assert_eq!(at(&half, "2026-10-25T01:15:00Z"), "opens 2026-10-26T00:30:00Z");
    let night = schedule(&["22:00-06:00"], "Europe/Berlin");
    assert_eq!(at(&night, "2026-10-24T20:00:00Z"), "until 2026-10-25T05:00:00Z");
}

#[test]
fn an_end_is_the_end_of_its_day_and_closes_for_good() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    for (text, expected) in [
        ("2026-12-31", "2026-12-31T23:00:00Z"),
        ("2026-12-31T18:00", "2026-12-31T17:00:00Z"),
        ("2026-12-31T18:00:00Z", "2026-12-31T18:00:00Z"),
        ("2026-12-31T18:00:00+05:00", "2026-12-31T13:00:00Z"),
    ] {
        assert_eq!(shown(end(text, Some(&berlin))), expected, "{text}");
    }
    assert_eq!(end("2999-12-31", None), Some(Timestamp(u64::MAX)), "as far as times go");
    for text in ["2026-13-01", "soon", "", "2026-12", "31.12.2026", "18:00"] {
        assert_eq!(end(text, None), None, "{text}");
    }
    let last = Schedule {
        until: Some(time("2026-12-02T09:00:00Z")),
        ..schedule(&["mon-fri 08:00-18:00"], "UTC")
    };
    assert_eq!(at(&last, "2026-12-02T08:30:00Z"), "until 2026-12-02T09:00:00Z");
    assert_eq!(at(&last, "2026-12-02T09:00:00Z"), "opens never");
    assert_eq!(at(&last, "2026-12-01T19:00:00Z"), "opens 2026-12-02T08:00:00Z");
}

#[test]
fn mistakes_say_where_and_what_would_be_right() {
    for (text, at, says) in [
        ("mon-fry 08:00-18:00", 4, "\"fry\" is no day"),
        ("mon-fri 8-18", 8, "\"8-18\" are no hours"),
        ("mon-fri 08:00", 8, "\"08:00\" are no hours"),
        ("mon-fri 08:00-24:01", 8, "are no hours"),
        ("mon-fri 24:00-02:00", 8, "are no hours"),
        ("mon-fri 08:60-18:00", 8, "are no hours"),
        ("08:00-08:00", 0, "begins when it ends"),
        ("mon 08:00-09:00 10:00-11:00", 16, "is one too many"),
        ("08:00-09:00 mon", 12, "is one too many"),
        ("montag", 0, "\"montag\" is no day"),
        ("", 0, "no hours"),
    ] {
        let mistake = Window::parse(text).expect_err(text);
        assert_eq!(mistake.at, at, "{text}: {mistake:?}");
        assert!(mistake.what.contains(says), "{text}: {mistake:?}");
        assert!(!mistake.help.is_empty(), "{text}: {mistake:?}");
    }
}

proptest! {
    /// Open and closed follow each other: whatever closes is closed then, whatever opens is open.
    #[test]
    fn what_is_said_of_a_moment_is_true_in_that_moment(
        seconds in 1_700_000_000_u64..1_900_000_000,
        from in 0_u16..1440, length in 1_u16..1439, first in 0_usize..7, last in 0_usize..7,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns",
            "Australia/Lord_Howe", "Pacific/Apia"]),
    ) {
        let to = (from + length) % 1440;
        let hour = |at: u16| format!("{:02}:{:02}", at / 60, at % 60);
        let text = format!("{}-{} {}-{}", DAYS[first], DAYS[last], hour(from), hour(to));
        let schedule = schedule(&[&text], zone);
        let now = Timestamp(seconds * 1_000_000_000);
        match schedule.open(now) {
            Some(end) => {
                let end = end.unwrap();
                prop_assert!(end > now);
                prop_assert!(schedule.open(Timestamp(end.0 - 1)).is_some(), "{text}");
                prop_assert!(schedule.open(end).is_none(), "{text}");
            }
            None => {
                let opens = schedule.opens(now).unwrap();
                prop_assert!(opens > now);
                prop_assert!(schedule.open(opens).is_some(), "{text}");
                prop_assert!(schedule.open(Timestamp(opens.0 - 1)).is_none(), "{text}");
            }
        }
    }
}
