//! Points in time, to the second: the resolution of CloudTrail.

use std::fmt;

use serde::{Serialize, Serializer};

/// A point in time: whole seconds since 1970, UTC. Written as RFC 3339 with `Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what four digits of a year can say.
const SECOND_MIN: i64 = -62_167_219_200;
const SECOND_MAX: i64 = 253_402_300_799;

impl Timestamp {
    /// From seconds since 1970; clamped to the years 0000 to 9999.
    #[must_use]
    pub fn from_second(second: i64) -> Self {
        Self(second.clamp(SECOND_MIN, SECOND_MAX))
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn second(self) -> i64 {
        self.0
    }

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`, the form of CloudTrail, or any other RFC 3339 text (a fraction of a
    /// second is cut off).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_canonical(text.as_bytes()).or_else(|| {
            let other: jiff::Timestamp = text.parse().ok()?;
            Some(Self::from_second(other.as_second() - i64::from(other.subsec_nanosecond() < 0)))
        })
    }

    /// Reads exactly `YYYY-MM-DDTHH:MM:SSZ`.
    #[must_use]
    pub fn parse_canonical(text: &[u8]) -> Option<Self> {
        let text: &[u8; 20] = text.try_into().ok()?;
        if [text[4], text[7], text[10], text[13], text[16], text[19]] != *b"--T::Z" {
            return None;
        }
        let number = |from: usize, to: usize| {
            text[from..to].iter().try_fold(0i64, |value, digit| {
                digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
            })
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let month_days = match month {
            2 => 28 + i64::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if day == 0 || day > month_days || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        Some(Self(days * 86_400 + hour * 3_600 + minute * 60 + second.min(59)))
    }
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar, by counting years from March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(86_400) + 719_468;
        let second_of_day = self.0.rem_euclid(86_400);
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second_of_day / 3_600,
            second_of_day / 60 % 60,
            second_of_day % 60
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn agrees_with_a_calendar_library_over_two_centuries() {
        for day in -30_000..60_000i64 {
            let second = day * 86_400 + 45_296;
            let text = jiff::Timestamp::from_second(second).expect("in range").to_string();
            assert_eq!(Timestamp::from_second(second).to_string(), text);
            assert_eq!(Timestamp::parse(&text).map(Timestamp::second), Some(second), "{text}");
        }
    }

    #[test]
    fn other_rfc_3339_forms_are_read_and_nonsense_is_not() {
        let second = |text| Timestamp::parse(text).map(Timestamp::second);
        assert_eq!(second("2026-03-02T10:00:00.750Z"), second("2026-03-02T10:00:00Z"));
        assert_eq!(second("2026-03-02T12:00:00+02:00"), second("2026-03-02T10:00:00Z"));
        for text in ["", "2026-03-02", "2026-13-02T10:00:00Z", "2026-02-30T10:00:00Z", "2026-03-02T24:00:00Z"]
        {
            assert_eq!(second(text), None, "{text}");
        }
    }
}
