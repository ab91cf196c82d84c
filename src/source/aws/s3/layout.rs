//! Where a folder or object stands in the layout that CloudTrail gives its bucket, and whether it is wanted.
//!
//! Names come in; account, region and day of delivery go out, as far as the name tells them:
//! `[prefix/]AWSLogs/[o-…/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail_REGION_YYYYMMDDTHHMMZ_….json.gz`.
//! A name that says nothing is always wanted. Nothing is read here.

use crate::event::{Text, Timestamp};

const DAY_SECONDS: i64 = 86_400;

/// Which objects are worth reading; what is empty or `None` admits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Accounts whose trails are read.
    pub accounts: Vec<Text>,
    /// Regions whose trails are read.
    pub regions: Vec<Text>,
    /// Delivered on the day of this time, or later.
    pub from: Option<Timestamp>,
    /// Delivered on the day of this time, or earlier.
    pub to: Option<Timestamp>,
}

impl Selection {
    /// Whether everything is wanted.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// First and last day wanted, in days since 1970.
    pub(super) fn days(&self) -> (Option<i64>, Option<i64>) {
        let day = |time: Timestamp| time.second().div_euclid(DAY_SECONDS);
        (self.from.map(day), self.to.map(day))
    }

    /// Whether something of what stands at `place` may be wanted.
    pub(super) fn admits(&self, place: &Place<'_>) -> bool {
        let is_listed = |list: &[Text], name: Option<&str>| {
            list.is_empty() || name.is_none_or(|name| list.iter().any(|listed| **listed == *name))
        };
        let is_in_time = place.days.is_none_or(|(first, last)| {
            let (from, to) = self.days();
            from.is_none_or(|from| from <= last) && to.is_none_or(|to| first <= to)
        });
        is_listed(&self.accounts, place.account) && is_listed(&self.regions, place.region) && is_in_time
    }
}

/// What kind of folder it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Level {
    /// None that CloudTrail makes: anything may be inside.
    #[default]
    Unknown,
    /// `AWSLogs/` or that of an organisation: accounts are inside.
    Accounts,
    /// An account's: services are inside.
    Account,
    /// `CloudTrail/`: regions are inside.
    Regions,
    /// A region's: years are inside.
    Region,
    /// Months are inside.
    Year,
    /// Days are inside.
    Month,
    /// Log files are inside.
    Day,
    /// Of another service, or digests and Insights: holds no records that matter.
    Other,
}

/// What a name says about what it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place<'n> {
    pub(super) level: Level,
    pub(super) account: Option<&'n str>,
    pub(super) region: Option<&'n str>,
    /// First and last day of delivery, in days since 1970.
    pub(super) days: Option<(i64, i64)>,
    is_below_aws_logs: bool,
    year: i64,
    month: i64,
}

impl<'n> Place<'n> {
    /// Of a folder, whose name ends in `/` or is empty.
    pub(super) fn of_folder(name: &'n str) -> Self {
        let mut place = Self::default();
        let components = name.strip_suffix('/').unwrap_or(name);
        if !components.is_empty() {
            components.split('/').for_each(|component| place.enter(component));
        }
        place
    }

    /// Of an object. Where its folder tells nothing, its own name may.
    pub(super) fn of_object(key: &'n str) -> Self {
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
        let mut place = Self::of_folder(folder);
        if let Some(named) = FileName::parse(name) {
            if named.service != "CloudTrail" {
                place.level = Level::Other;
            }
            place.account = place.account.or(Some(named.account));
            place.region = place.region.or(Some(named.region));
            if place.level != Level::Day {
                place.days = Some((named.day, named.day));
            }
        }
        place
    }

    /// Year of a folder of a year or below.
    pub(super) fn year(&self) -> i64 {
        self.year
    }

    fn enter(&mut self, component: &'n str) {
        self.level = match self.level {
            Level::Other => Level::Other,
            _ if component == "AWSLogs" => {
                *self = Self { is_below_aws_logs: true, ..Self::default() };
                Level::Accounts
            }
            Level::Unknown | Level::Accounts if is_account(component) => {
                self.account = Some(component);
                Level::Account
            }
            Level::Accounts if component.starts_with("o-") => Level::Accounts,
            Level::Account if component == "CloudTrail" => Level::Regions,
            Level::Account if component.starts_with("CloudTrail-") || self.is_below_aws_logs => Level::Other,
            Level::Regions if is_region(component) => {
                self.region = Some(component);
                Level::Region
            }
            Level::Region if let Some(year) = number(component, 4, 1970..=9999) => {
                self.year = year;
                self.days = Some((day(year, 1, 1), day(year + 1, 1, 1) - 1));
                Level::Year
            }
            Level::Year if let Some(month) = number(component, 2, 1..=12) => {
                self.month = month;
                self.days = Some((day(self.year, month, 1), first_of_next_month(self.year, month) - 1));
                Level::Month
            }
            Level::Month if let Some(day_of_month) = number(component, 2, 1..=31) => {
                let only = day(self.year, self.month, day_of_month);
                self.days = Some((only, only));
                Level::Day
            }
            Level::Day => Level::Day,
            // What is no folder of the layout is searched like any other, under what was told so far.
            _ => Level::Unknown,
        };
    }
}

/// Folders of days and whole months that hold exactly what was delivered from `first` to `last`, below the
/// folder of a year.
pub(super) fn folders_of_days(year_folder: &str, year: i64, first: i64, last: i64) -> Vec<String> {
    let mut folders = Vec::new();
    for month in 1..=12 {
        let begin = day(year, month, 1);
        let end = first_of_next_month(year, month) - 1;
        if first <= begin && end <= last {
            folders.push(format!("{year_folder}{month:02}/"));
        } else {
            for wanted in begin.max(first)..=end.min(last) {
                folders.push(format!("{year_folder}{month:02}/{:02}/", wanted - begin + 1));
            }
        }
    }
    folders
}

/// What CloudTrail writes into the name of a file.
struct FileName<'n> {
    account: &'n str,
    service: &'n str,
    region: &'n str,
    day: i64,
}

impl<'n> FileName<'n> {
    fn parse(name: &'n str) -> Option<Self> {
        let mut parts = name.split('_');
        let (account, service, region) = (parts.next()?, parts.next()?, parts.next()?);
        if !is_account(account) || !service.starts_with("CloudTrail") || !is_region(region) {
            return None;
        }
        // A digest's name has the trail and its region before the time.
        let time = parts.find(|part| part.len() >= 14 && part.as_bytes()[8] == b'T')?;
        let part = |from: usize, to: usize, range| number(time.get(from..to)?, to - from, range);
        let (year, month, of_month) = (part(0, 4, 1970..=9999)?, part(4, 6, 1..=12)?, part(6, 8, 1..=31)?);
        Some(Self { account, service, region, day: day(year, month, of_month) })
    }
}

fn is_account(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|digit| digit.is_ascii_digit())
}

/// Such as `us-east-1` or `us-gov-west-1`.
fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_lowercase()))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|digit| digit.is_ascii_digit())
}

fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && range.contains(number))
}

fn first_of_next_month(year: i64, month: i64) -> i64 {
    if month == 12 { day(year + 1, 1, 1) } else { day(year, month + 1, 1) }
}

/// Days since 1970 of a date; a day beyond the end of its month counts on into the next.
fn day(year: i64, month: i64, of_month: i64) -> i64 {
    let first = Timestamp::parse(&format!("{year:04}-{month:02}-01T00:00:00Z"));
    // The year after the last that is written with four digits.
    let first = first.map_or(i64::MAX / DAY_SECONDS, |time| time.second().div_euclid(DAY_SECONDS));
    first.saturating_add(of_month - 1)
}

#[cfg(test)]
mod tests {
    use super::{Level, Place, Selection, folders_of_days};
    use crate::event::Timestamp;

    const KEY: &str = "trail/AWSLogs/o-exampleorgid/111122223333/CloudTrail/us-east-1/2026/05/06/\
                       111122223333_CloudTrail_us-east-1_20260506T1140Z_DaIbTQhq406XAGy5.json.gz";

    fn level(folder: &str) -> Level {
        Place::of_folder(folder).level
    }

    fn time(text: &str) -> Option<Timestamp> {
        Some(Timestamp::parse(text).expect("a time"))
    }

    fn selection(account: &str, region: &str, from: &str, to: &str) -> Selection {
        let list = |name: &str| if name.is_empty() { vec![] } else { vec![name.into()] };
        Selection {
            accounts: list(account),
            regions: list(region),
            from: Timestamp::parse(from),
            to: Timestamp::parse(to),
        }
    }

    #[test]
    fn every_folder_above_a_log_file_is_told_for_what_it_is() {
        for (folder, expected) in [
            ("", Level::Unknown),
            ("trail/", Level::Unknown),
            ("trail/AWSLogs/", Level::Accounts),
            ("trail/AWSLogs/o-exampleorgid/", Level::Accounts),
            ("AWSLogs/111122223333/", Level::Account),
            ("AWSLogs/111122223333/CloudTrail/", Level::Regions),
            ("AWSLogs/111122223333/CloudTrail/us-gov-west-1/", Level::Region),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2026/", Level::Year),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2026/05/", Level::Month),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2026/05/06/", Level::Day),
            ("copied/111122223333/CloudTrail/us-east-1/2026/05/06/", Level::Day),
        ] {
            assert_eq!(level(folder), expected, "{folder}");
        }
    }

    #[test]
    fn digests_insights_and_other_services_are_told_by_their_folder() {
        for folder in
            ["CloudTrail-Digest", "CloudTrail-Insight", "Config", "vpcflowlogs", "elasticloadbalancing"]
        {
            let below = format!("AWSLogs/111122223333/{folder}/us-east-1/2026/05/06/");
            assert_eq!(level(&below), Level::Other, "{below}");
        }
        // Outside of AWSLogs an account's folder may be anybody's idea.
        assert_eq!(level("copied/111122223333/Config/"), Level::Unknown);
        assert_eq!(level("copied/111122223333/CloudTrail-Digest/"), Level::Other);
    }

    #[test]
    fn what_resembles_the_layout_only_is_searched() {
        for folder in [
            "AWSLogs/11112222333/",
            "AWSLogs/notes/",
            "AWSLogs/111122223333/CloudTrail/global/",
            "AWSLogs/111122223333/CloudTrail/us-east-1/26/",
            "AWSLogs/111122223333/CloudTrail/us-east-1/2026/13/",
            "AWSLogs/111122223333/CloudTrail/us-east-1/2026/05/32/",
            "AWSLogs/111122223333/CloudTrail//2026/",
        ] {
            assert_eq!(level(folder), Level::Unknown, "{folder}");
        }
    }

    #[test]
    fn account_region_and_day_are_read_from_a_key_at_any_depth() {
        let place = Place::of_object(KEY);
        assert_eq!((place.account, place.region), (Some("111122223333"), Some("us-east-1")));
        let (_, name) = KEY.rsplit_once('/').expect("a name");
        for key in [
            name.to_owned(),
            format!("flat/{name}"),
            format!("AWSLogs/111122223333/CloudTrail/us-east-1/{name}"),
        ] {
            let named = Place::of_object(&key);
            assert_eq!(
                (named.account, named.region, named.days),
                (place.account, place.region, place.days),
                "{key}"
            );
        }
        assert_eq!(Place::of_object("flat/events.json.gz"), Place::default());
    }

    #[test]
    fn a_digest_is_told_by_its_name_too() {
        let key = "flat/111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20260506T114000Z.json.gz";
        assert_eq!(Place::of_object(key).level, Level::Other);
    }

    #[test]
    fn a_selection_admits_what_it_names_and_what_says_nothing() {
        let place = Place::of_object(KEY);
        let day = ("2026-05-06T12:00:00Z", "2026-05-06T13:00:00Z");
        for (admits, selection) in [
            (true, Selection::default()),
            (true, selection("111122223333", "us-east-1", day.0, day.1)),
            (false, selection("444455556666", "", "", "")),
            (false, selection("", "eu-west-1", "", "")),
            (false, selection("", "", "2026-05-07T00:00:00Z", "")),
            (false, selection("", "", "", "2026-05-05T23:59:59Z")),
            (true, selection("", "", "2026-05-06T23:59:59Z", "")),
            (true, selection("", "", "", "2026-05-06T00:00:00Z")),
        ] {
            assert_eq!(selection.admits(&place), admits, "{selection:?}");
            assert!(selection.admits(&Place::of_object("flat/events.json.gz")));
            assert!(selection.admits(&Place::of_folder("trail/AWSLogs/")));
        }
    }

    #[test]
    fn a_year_is_admitted_if_a_day_of_it_is() {
        let year = |name| Place::of_folder(name);
        let newer = selection("", "", "2026-01-01T00:00:00Z", "");
        assert!(!newer.admits(&year("1/AWSLogs/111122223333/CloudTrail/us-east-1/2025/")));
        assert!(newer.admits(&year("1/AWSLogs/111122223333/CloudTrail/us-east-1/2026/")));
        let within = selection("", "", "2025-12-31T00:00:00Z", "2025-12-31T01:00:00Z");
        assert!(within.admits(&year("AWSLogs/111122223333/CloudTrail/us-east-1/2025/12/")));
        assert!(!within.admits(&year("AWSLogs/111122223333/CloudTrail/us-east-1/2025/11/")));
    }

    #[test]
    fn days_are_folders_and_whole_months_one_folder() {
        let days = |from, to| {
            let selection = Selection { from: time(from), to: time(to), ..Selection::default() };
            let (first, last) = selection.days();
            folders_of_days("r/2024/", 2024, first.expect("a day"), last.expect("a day"))
        };
        assert_eq!(
            days("2024-02-28T12:00:00Z", "2024-03-01T00:00:00Z"),
            ["r/2024/02/28/", "r/2024/02/29/", "r/2024/03/01/"]
        );
        assert_eq!(days("2023-11-30T00:00:00Z", "2024-02-01T00:00:00Z"), ["r/2024/01/", "r/2024/02/01/"]);
        assert_eq!(days("2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z"), [""; 0]);
        assert_eq!(days("2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z").len(), 12);
    }
}
