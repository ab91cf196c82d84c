//! Sources in AWS: from URIs and filters to what is listed there, and the lines that say so.
//!
//! The session is made for the first source in AWS, and for none else. What was left out on purpose is told at the end,
//! next to the summary.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::{AwsArguments, NothingListed, is_in_aws, list_on_disk};
use crate::cli::lookup;
use crate::correlate::{Case, Filter, Question};
use crate::event::{KeyArn, Text, Timestamp};
use crate::report::sanitize;
use crate::source::SourceObject;
use crate::source::aws::lookup::{LookupOptions, LookupWindow, REQUESTS_PER_SECOND};
use crate::source::aws::s3::{Listing, Location, S3Options, SaveDirectory, Selection, source_objects};
use crate::source::aws::{Session, SessionOptions};

/// How long after the end of the window objects are read: events are delivered late, and nodes end later than they began.
const DELIVERY_MARGIN_SECONDS: i64 = 24 * 3600;

/// What is in AWS.
pub(super) struct Remote {
    session: Session,
    save: Option<Arc<SaveDirectory>>,
    selection: Selection,
    left_out: u64,
    is_s3_read: bool,
    /// What is to be said of the event histories that were asked.
    histories: Vec<String>,
}

/// Lists all sources, those on disk too.
pub(super) fn list(
    sources: &[PathBuf],
    aws: &AwsArguments,
    question: &Question,
    is_quiet: bool,
) -> anyhow::Result<(Vec<SourceObject>, Option<Remote>)> {
    // What is on disk is listed first: a wrong path is told before AWS is asked.
    let mut listed = Vec::with_capacity(sources.len());
    for source in sources {
        listed.push(if is_in_aws(source) { Vec::new() } else { list_on_disk(source)? });
    }
    let mut remote: Option<Remote> = None;
    let mut listings = Vec::new();
    let options = S3Options { requester_pays: aws.requester_pays };
    for source in sources.iter().filter(|source| is_in_aws(source) && !lookup::is_lookup(source)) {
        let uri = source.to_string_lossy();
        let Some(location) = Location::parse(&uri) else {
            bail!("{uri}: names no bucket; write s3://BUCKET or s3://BUCKET/PREFIX");
        };
        let remote = match &mut remote {
            Some(remote) => remote,
            none => none.insert(Remote::begin(aws, question)?),
        };
        let tell = &mut |count| tell_listing(&uri, count, is_quiet);
        let listing = Listing::of(&remote.session, &location, options, &remote.selection, tell);
        end_listing(is_quiet);
        let listing = listing?;
        if listing.objects() == 0 {
            let hint = match listing.left_out() {
                0 => "holds no objects; is the prefix right?",
                _ => "holds no objects of these accounts, regions and days; widen the filters, or --lookback",
            };
            bail!(NothingListed(format!("{uri}: {hint}")));
        }
        remote.left_out += listing.left_out();
        remote.is_s3_read = true;
        listings.push(listing);
    }
    // Looked up last: it takes longest, and what is wrong with other sources is told before.
    for (source, listed) in sources.iter().zip(&mut listed).filter(|(source, _)| lookup::is_lookup(source)) {
        let remote = match &mut remote {
            Some(remote) => remote,
            none => none.insert(Remote::begin(aws, question)?),
        };
        *listed = remote.look_up(source, aws, &question.filter, is_quiet)?;
    }
    if let Some(remote) = &remote {
        let mut objects = source_objects(&remote.session, listings, remote.save.as_ref()).into_iter();
        for (source, listed) in sources.iter().zip(&mut listed) {
            if is_in_aws(source) && !lookup::is_lookup(source) {
                *listed = objects.next().unwrap_or_default();
            }
        }
    }
    Ok((listed.into_iter().flatten().collect(), remote))
}

impl Remote {
    fn begin(aws: &AwsArguments, question: &Question) -> anyhow::Result<Self> {
        // Made first: a directory that cannot be written to needs no credentials to be told.
        let save = match &aws.save_to {
            None => None,
            Some(path) => Some(Arc::new(
                SaveDirectory::create(path).with_context(|| format!("--save-to {}", path.display()))?,
            )),
        };
        let filter = &question.filter;
        let session = Session::load(&SessionOptions {
            profile: aws.profile.clone(),
            region: filter.regions.first().map(ToString::to_string),
            role_arn: aws.role_arn.clone(),
            external_id: aws.external_id.clone(),
            endpoint_url: aws.endpoint_url.clone(),
        })?;
        let named_keys: Vec<&Text> = question.expectations.named_keys().collect();
        Ok(Self {
            session,
            save,
            selection: selection(aws, filter, &named_keys),
            left_out: 0,
            is_s3_read: false,
            histories: Vec::new(),
        })
    }

    /// The objects of a `lookup:` source.
    fn look_up(
        &mut self,
        source: &Path,
        aws: &AwsArguments,
        filter: &Filter,
        is_quiet: bool,
    ) -> anyhow::Result<Vec<SourceObject>> {
        let mut regions = lookup::regions(&source.to_string_lossy()).unwrap_or_default();
        if regions.is_empty() {
            regions = filter.regions.iter().map(ToString::to_string).collect();
        }
        let options = LookupOptions {
            regions,
            window: LookupWindow {
                from: filter.from,
                to: filter.to,
                lookback_seconds: aws.lookback.unwrap_or_default(),
                lookahead_seconds: DELIVERY_MARGIN_SECONDS,
            },
            requests_per_second: aws.lookup_rate.unwrap_or(REQUESTS_PER_SECOND),
        };
        let looked_up = lookup::fetch(&self.session, &options, self.save.as_ref(), is_quiet)?;
        self.histories.push(lookup::note(&looked_up, &options.window));
        Ok(looked_up.objects)
    }

    /// Says what was left out and what was repeated; ends the saving.
    pub(super) fn conclude(&self, case: &Case, is_quiet: bool) -> anyhow::Result<()> {
        if !is_quiet {
            let mut err = io::stderr().lock();
            for note in self.notes(case) {
                writeln!(err, "{}", sanitize(&note))?;
            }
        }
        if let Some(save) = &self.save {
            save.finish()?;
        }
        Ok(())
    }

    fn notes(&self, case: &Case) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(what) = described(&self.selection).filter(|_| self.is_s3_read) {
            let left_out = match self.left_out {
                0 => String::new(),
                count => format!("; {count} folders or objects outside of it were left out"),
            };
            notes.push(format!("read:  of S3 only {what}{left_out}"));
        }
        notes.extend(self.histories.iter().map(|note| format!("read:  {note}")));
        match self.session.retries().count() {
            0 => {}
            1 => notes.push("read:  1 request to AWS was retried".to_owned()),
            count => notes.push(format!("read:  {count} requests to AWS were retried")),
        }
        if !self.selection.accounts.is_empty() {
            let mut owners: Vec<&Text> = case.keys.iter().filter_map(|key| key.account_id.as_ref()).collect();
            owners.sort_unstable();
            owners.dedup();
            for owner in owners {
                if !self.selection.accounts.contains(owner) {
                    notes.push(format!(
                        "check: keys of account {owner} were used, whose logs were not read: what changed there is \
                         not seen (--key-account {owner})"
                    ));
                }
            }
        }
        notes
    }
}

/// What is read of the trails, so that the filters can be answered.
fn selection(aws: &AwsArguments, filter: &Filter, named_keys: &[&Text]) -> Selection {
    let later = |time: Timestamp, seconds: i64| Timestamp::from_second(time.second().saturating_add(seconds));
    let mut accounts = filter.accounts.clone();
    if !accounts.is_empty() {
        let owners = named_keys.iter().filter_map(|key| Some(Text::from(KeyArn::parse(key)?.account_id)));
        accounts.extend(aws.key_account.iter().cloned().chain(owners));
        accounts.sort_unstable();
        accounts.dedup();
    }
    Selection {
        accounts,
        regions: filter.regions.clone(),
        from: filter.from.map(|from| later(from, -aws.lookback.unwrap_or_default())),
        to: filter.to.map(|to| later(to, DELIVERY_MARGIN_SECONDS)),
    }
}

/// A selection in words; `None` if it leaves nothing out.
fn described(selection: &Selection) -> Option<String> {
    if selection.is_all() {
        return None;
    }
    let day = |time: Timestamp| time.to_string()[..10].to_owned();
    let mut parts = Vec::new();
    match (selection.from, selection.to) {
        (Some(from), Some(to)) => parts.push(format!("what was delivered from {} to {}", day(from), day(to))),
        (Some(from), None) => parts.push(format!("what was delivered from {} on", day(from))),
        (None, Some(to)) => parts.push(format!("what was delivered until {}", day(to))),
        (None, None) => {}
    }
    for (name, list) in [("accounts", &selection.accounts), ("regions", &selection.regions)] {
        if !list.is_empty() {
            parts.push(format!("{name} {}", list.join(", ")));
        }
    }
    Some(parts.join(", "))
}

fn tell_listing(uri: &str, count: usize, is_quiet: bool) {
    let mut err = io::stderr();
    if !is_quiet && err.is_terminal() {
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(err, "\r\x1b[2Klisting {}: {count} objects", sanitize(uri));
    }
}

fn end_listing(is_quiet: bool) {
    let mut err = io::stderr();
    if !is_quiet && err.is_terminal() {
        let _ = write!(err, "\r\x1b[2K");
    }
}

#[cfg(test)]
mod tests {
    use super::{AwsArguments, described, selection};
    use crate::correlate::Filter;
    use crate::event::Timestamp;
    use crate::source::aws::s3::Selection;

    const DAY_SECONDS: i64 = 86_400;

    #[test]
    fn the_window_is_widened_before_for_configuration_and_after_for_late_delivery() {
        let filter = Filter {
            from: Timestamp::parse("2026-05-06T01:00:00Z"),
            to: Timestamp::parse("2026-05-06T02:00:00Z"),
            regions: vec!["us-east-1".into()],
            ..Filter::default()
        };
        let aws = AwsArguments { lookback: Some(DAY_SECONDS), ..AwsArguments::default() };
        let selection = selection(&aws, &filter, &[]);
        assert_eq!(selection.from, Timestamp::parse("2026-05-05T01:00:00Z"));
        assert_eq!(selection.to, Timestamp::parse("2026-05-07T02:00:00Z"));
        assert_eq!(
            described(&selection).as_deref(),
            Some("what was delivered from 2026-05-05 to 2026-05-07, regions us-east-1")
        );
    }

    #[test]
    fn accounts_that_own_the_keys_named_are_read_too() {
        let filter = Filter { accounts: vec!["111122223333".into()], ..Filter::default() };
        let aws = AwsArguments { key_account: vec!["777788889999".into()], ..AwsArguments::default() };
        let key = "arn:aws:kms:us-east-1:444455556666:key/11111111-2222-3333-4444-555555555555".into();
        let selection = selection(&aws, &filter, &[&"alias/ebs".into(), &key]);
        assert_eq!(selection.accounts.join(" "), "111122223333 444455556666 777788889999");
    }

    #[test]
    fn without_filters_everything_is_read() {
        let aws = AwsArguments { key_account: vec!["777788889999".into()], ..AwsArguments::default() };
        let all = selection(&aws, &Filter::default(), &[]);
        assert_eq!(all, Selection::default());
        assert_eq!(described(&all), None);
    }
}
