//! `--since`, `--from` and `--to`: times as people type them.

use anyhow::{Context as _, bail};
use jiff::{Span, SpanRelativeTo, Unit};

use super::arguments::WindowArguments;
use crate::event::Timestamp;

/// A window of time; open where nothing is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// Reads the window; `now` is what `--since` counts back from.
pub(super) fn read(arguments: &WindowArguments, now: Timestamp) -> anyhow::Result<Window> {
    let mut window = Window::default();
    if let Some(text) = &arguments.since {
        let seconds = seconds(text).with_context(|| format!("--since {text}"))?;
        window.from = Some(Timestamp::from_second(now.second() - seconds));
    }
    if let Some(text) = &arguments.from {
        window.from = Some(time(text).with_context(|| format!("--from {text}"))?);
    }
    if let Some(text) = &arguments.to {
        window.to = Some(time(text).with_context(|| format!("--to {text}"))?);
    }
    if let (Some(from), Some(to)) = (window.from, window.to)
        && from >= to
    {
        bail!("the window is empty: it begins at {from} and ends at {to}");
    }
    Ok(window)
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    let text = text.trim();
    let midnight = format!("{text}T00:00:00Z");
    Timestamp::parse(text).or_else(|| Timestamp::parse(&midnight)).with_context(|| {
        "not a time: write 2026-03-02T10:00:00Z, 2026-03-02T12:00:00+02:00 or 2026-03-02".to_owned()
    })
}

/// `--lookback` in seconds; may be nothing.
pub(super) fn lookback(text: &str) -> Result<i64, String> {
    if text.trim() == "0" { Ok(0) } else { seconds(text).map_err(|error| format!("{error:#}")) }
}

/// Seconds of a duration; at least one.
pub(super) fn seconds(text: &str) -> anyhow::Result<i64> {
    let hint = || "not a duration: write 30m, 2h, 7d or \"1 week\"";
    // The calendar library's own words are about its interface. Months and years have no fixed length.
    let span: Span = text.trim().parse().ok().with_context(hint)?;
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok().with_context(hint)?;
    if seconds <= 0.0 {
        bail!("a duration must be longer than nothing");
    }
    #[expect(clippy::cast_possible_truncation, reason = "a span is at most 20,000 years")]
    Ok(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::{Window, read};
    use crate::cli::arguments::WindowArguments;
    use crate::event::Timestamp;

    fn window(since: &str, from: &str, to: &str) -> anyhow::Result<Window> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let arguments = WindowArguments { since: given(since), from: given(from), to: given(to) };
        read(&arguments, Timestamp::parse("2026-03-02T10:00:00Z").expect("a time"))
    }

    fn from(since: &str) -> String {
        window(since, "", "").expect("a window").from.expect("a beginning").to_string()
    }

    #[test]
    fn durations_count_back_from_now() {
        assert_eq!(from("2h"), "2026-03-02T08:00:00Z");
        assert_eq!(from("7d"), "2026-02-23T10:00:00Z");
        assert_eq!(from("1 week"), "2026-02-23T10:00:00Z");
        assert_eq!(from("1h30m"), "2026-03-02T08:30:00Z");
    }

    #[test]
    fn times_may_be_dates_and_have_offsets() {
        let window = window("", "2026-03-02", "2026-03-02T12:00:00+02:00").expect("a window");
        assert_eq!(window.from.expect("a beginning").to_string(), "2026-03-02T00:00:00Z");
        assert_eq!(window.to.expect("an end").to_string(), "2026-03-02T10:00:00Z");
    }

    #[test]
    fn nonsense_says_what_would_be_right() {
        for (since, from, to, says) in [
            ("yesterday", "", "", "not a duration"),
            ("1 year", "", "", "not a duration"),
            ("-2h", "", "", "longer than nothing"),
            ("", "2026-02-30", "", "not a time"),
            ("", "", "10:00", "not a time"),
            ("", "2026-03-02", "2026-03-01", "the window is empty"),
        ] {
            let error = format!("{:#}", window(since, from, to).expect_err("no window"));
            assert!(error.contains(says), "{error}");
        }
    }
}
