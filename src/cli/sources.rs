//! What the user names as SOURCE -> objects to read, wherever they are; and what is to be said about it.
//!
//! Paths and URIs come in with the filters; the objects go out in the order of the sources. AWS is asked only if a source
//! is there. Filters choose what is listed in AWS, with the margins that are documented in `docs/aws.md`.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use super::arguments::{FilterArguments, WindowArguments, parse_account};
use super::next::quoted;
use super::window;
use crate::correlate::{Case, Question};
use crate::event::Text;
use crate::source::SourceObject;
use crate::source::disk;

/// `--lookback` where it is not given: a day.
const LOOKBACK_SECONDS: i64 = 86_400;
/// `--lookup-rate` where it is not given.
const LOOKUP_RATE: &str = "2";

/// How to reach AWS, and what to read there.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "AWS")]
pub(super) struct AwsArguments {
    /// Profile of the AWS configuration.
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// Role to assume, such as the log archive account's reader.
    #[arg(long, value_name = "ARN")]
    pub(super) role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    #[arg(long, value_name = "ID", requires = "role_arn")]
    pub(super) external_id: Option<String>,
    /// Another endpoint than AWS's own.
    #[arg(long, value_name = "URL")]
    pub(super) endpoint_url: Option<String>,
    /// You pay for what is read from the bucket.
    #[arg(long)]
    pub(super) requester_pays: bool,
    /// How long before --since or --from to read, for launch templates, aliases and policies of then.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = window::lookback)]
    pub(super) lookback: Option<i64>,
    /// With --account: read this account's logs too, such as those of the keys' owner; repeatable.
    #[arg(long, value_name = "ACCOUNT", value_parser = parse_account)]
    pub(super) key_account: Vec<Text>,
    /// Requests per second and region to `lookup:`. AWS admits 2 per account and region, to all who ask.
    #[arg(long, value_name = "N", default_value = LOOKUP_RATE, value_parser = parse_rate)]
    pub(super) lookup_rate: Option<f64>,
    /// Keep what is downloaded in this directory; it is a SOURCE too.
    #[arg(long, value_name = "DIR")]
    pub(super) save_to: Option<PathBuf>,
}

impl AwsArguments {
    /// These arguments as words of a command line, each with a blank before it.
    pub(super) fn words(&self) -> String {
        let texts = [
            ("--profile", self.profile.as_deref()),
            ("--role-arn", self.role_arn.as_deref()),
            ("--external-id", self.external_id.as_deref()),
            ("--endpoint-url", self.endpoint_url.as_deref()),
        ];
        let mut words = String::new();
        for (option, text) in texts {
            if let Some(text) = text {
                words.push_str(&format!(" {option} {}", quoted(text)));
            }
        }
        if self.requester_pays {
            words.push_str(" --requester-pays");
        }
        for account in &self.key_account {
            words.push_str(&format!(" --key-account {}", quoted(account)));
        }
        match self.lookback {
            None | Some(LOOKBACK_SECONDS) => {}
            Some(0) => words.push_str(" --lookback 0"),
            Some(seconds) => words.push_str(&format!(" --lookback {seconds}s")),
        }
        match self.lookup_rate {
            Some(rate) if rate.to_string() != LOOKUP_RATE => {
                words.push_str(&format!(" --lookup-rate {rate}"));
            }
            _ => {}
        }
        words
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number, such as 1 or 0.5")?;
    if (0.01..=10_000.0).contains(&rate) { Ok(rate) } else { Err("expected 0.01 to 10000".to_owned()) }
}

/// What narrows and reaches sources in AWS, as words of a command line: without them the next command would read
/// whole buckets. Nothing where all sources are on disk.
pub(super) fn narrowing(
    sources: &[PathBuf],
    window: &WindowArguments,
    filter: &FilterArguments,
    aws: &AwsArguments,
) -> String {
    if !sources.iter().any(|source| is_in_aws(source)) {
        return String::new();
    }
    let window = [("--since", &window.since), ("--from", &window.from), ("--to", &window.to)];
    let mut words = String::new();
    for (option, text) in window {
        if let Some(text) = text {
            words.push_str(&format!(" {option} {}", quoted(text)));
        }
    }
    for (option, list) in [("--account", &filter.account), ("--region", &filter.region)] {
        for text in list {
            words.push_str(&format!(" {option} {}", quoted(text)));
        }
    }
    words + &aws.words()
}

/// Whether a source is in AWS.
pub(super) fn is_in_aws(source: &Path) -> bool {
    source.to_str().is_some_and(|source| source.starts_with("s3://") || source.starts_with("lookup:"))
}

/// What a source that is nowhere on disk was probably meant to be.
fn near_miss(source: &Path) -> Option<String> {
    let text = source.to_str()?;
    let lower = text.to_ascii_lowercase();
    if lower == "lookup" {
        return Some("lookup:".to_owned());
    }
    if let Some(regions) = lower.strip_prefix("lookup:") {
        return Some(format!("lookup:{regions}"));
    }
    let rest = lower.strip_prefix("s3:").map(|_| text[3..].trim_start_matches('/'))?;
    Some(format!("s3://{rest}"))
}

/// The objects of a source on disk.
fn list_on_disk(source: &Path) -> anyhow::Result<Vec<SourceObject>> {
    disk::list(source).map_err(|error| match (&error, near_miss(source)) {
        (disk::ListError::NotFound { .. }, Some(meant)) => anyhow::anyhow!("{error}; did you mean {meant}?"),
        _ => error.into(),
    })
}

/// A source in AWS is there, and holds nothing of what is asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NothingListed(String);

/// The objects of all sources.
pub(super) struct Sources {
    /// In the order of the sources.
    pub(super) objects: Vec<SourceObject>,
    #[cfg(feature = "aws")]
    remote: Option<remote::Remote>,
}

impl Sources {
    /// Lists everything.
    pub(super) fn list(
        sources: &[PathBuf],
        aws: &AwsArguments,
        question: &Question,
        is_quiet: bool,
    ) -> anyhow::Result<Self> {
        #[cfg(feature = "aws")]
        {
            let (objects, remote) = remote::list(sources, aws, question, is_quiet)?;
            Ok(Self { objects, remote })
        }
        #[cfg(not(feature = "aws"))]
        {
            let _ = (aws, question, is_quiet);
            if let Some(source) = sources.iter().find(|source| is_in_aws(source)) {
                bail!("{}: this keytrail was built without AWS (feature `aws`)", source.display());
            }
            let mut objects = Vec::new();
            for source in sources {
                objects.extend(list_on_disk(source)?);
            }
            Ok(Self { objects })
        }
    }

    /// Ends a run that could read nothing of what it found in AWS: no answer is better than an empty one.
    pub(super) fn check(&self, case: &Case) -> anyhow::Result<()> {
        let (records, failed) = (case.coverage.records.read, case.coverage.objects.failed);
        let is_remote = |loss: &&crate::event::Loss| is_in_aws(Path::new(&*loss.object));
        if records == 0
            && failed > 0
            && let Some(loss) = case.coverage.losses.iter().find(is_remote)
        {
            bail!(
                "none of the objects could be read ({failed} failed), such as {}: {}",
                loss.object,
                loss.detail
            );
        }
        Ok(())
    }

    /// Says how it went in AWS, and ends the saving.
    pub(super) fn conclude(&self, case: &Case, is_quiet: bool) -> anyhow::Result<()> {
        #[cfg(feature = "aws")]
        if let Some(remote) = &self.remote {
            remote.conclude(case, is_quiet)?;
        }
        #[cfg(not(feature = "aws"))]
        let _ = (case, is_quiet);
        Ok(())
    }
}

#[cfg(feature = "aws")]
mod remote;

#[cfg(test)]
mod tests {
    use super::{AwsArguments, is_in_aws, list_on_disk};

    #[test]
    fn a_source_in_aws_is_told_by_its_scheme() {
        for source in ["s3://logs/AWSLogs", "lookup:", "lookup:eu-west-1"] {
            assert!(is_in_aws(source.as_ref()), "{source}");
        }
        for path in ["./s3://logs", "s3", "lookup", "logs/s3:", "-", ""] {
            assert!(!is_in_aws(path.as_ref()), "{path}");
        }
    }

    #[test]
    fn what_is_nearly_a_source_in_aws_is_told() {
        for (given, meant) in [
            ("lookup", "lookup:"),
            ("LOOKUP:eu-west-1", "lookup:eu-west-1"),
            ("s3:trail", "s3://trail"),
            ("S3://trail/AWSLogs", "s3://trail/AWSLogs"),
        ] {
            let error = list_on_disk(given.as_ref()).expect_err("nothing there").to_string();
            assert!(error.ends_with(&format!("did you mean {meant}?")), "{error}");
        }
        let error = list_on_disk("no/such/place".as_ref()).expect_err("nothing there").to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn the_way_to_aws_is_given_again_in_the_next_command() {
        let aws = AwsArguments {
            profile: Some("log archive".to_owned()),
            requester_pays: true,
            key_account: vec!["444455556666".into()],
            ..AwsArguments::default()
        };
        assert_eq!(aws.words(), " --profile 'log archive' --requester-pays --key-account 444455556666");
        assert_eq!(AwsArguments::default().words(), "");
    }
}
