//! The command line: names that people already have in their fingers.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::examples;
use super::output::Export;
use super::sources::AwsArguments;
use crate::event::{KeyArn, Text, is_key_id};
use crate::report::Table;
use crate::rules::Severity;

/// Which KMS key did this Karpenter node really use, and why did it die?
///
/// keytrail reads CloudTrail archives and says for every node that Karpenter launched: which key was
/// configured for its EBS volumes, which one was really used, why the node ended, and which events say so.
#[derive(Debug, Parser)]
#[command(name = "keytrail", version, max_term_width = 100, before_help = examples::KEYTRAIL)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
    /// When to colour the output.
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    pub(super) color: Color,
    /// No progress and no summary.
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  a finding is as severe as --fail-on says, or a key other than expected with --fail-on high
  2  usage error, or an error that ended the run
  3  records or objects were lost, with --strict";

const EXPLAIN_EXIT_CODES: &str = "All launches are looked at, also those of others than Karpenter.

Exit codes:
  0  done
  2  usage error, no such subject or several, or an error that ended the run
  3  records or objects were lost, with --strict";

const VERIFY_EXIT_CODES: &str =
    "A failure weighs more than what is inconclusive, and that more than a pass. No evidence never passes.

Exit codes:
  0  pass: every node launched has every volume under the expected key
  1  fail: a refused key, a volume under another key or unencrypted, a launch that failed for a key
  2  usage error, or an error that ended the run
  3  inconclusive: too few launches, no expected key, no KMS evidence, an alias that does not resolve, losses,
     or an interrupted wait";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// One row per node: expected key, used key, outcome, cause.
    #[command(before_help = examples::ANALYZE, after_help = EXIT_CODES)]
    Analyze(Box<Analyze>),
    /// One node or key: what happened, why, how that is known, what was ruled out, and the fix.
    #[command(before_help = examples::EXPLAIN, after_help = EXPLAIN_EXIT_CODES)]
    Explain(Box<Explain>),
    /// Write the relevant records only, as an archive that gives the same answers.
    #[command(before_help = examples::EXTRACT, after_help = super::extract::AFTER_HELP)]
    Extract(Box<super::extract::Extract>),
    /// Prove that the configured key is applied: pass 0, fail 1, inconclusive 3.
    #[command(before_help = examples::VERIFY, after_help = VERIFY_EXIT_CODES)]
    Verify(Box<super::verify::Verify>),
    /// The catalogue of rules, or one rule's page: what it concludes, from what, and what would disprove it.
    #[command(before_help = examples::RULES)]
    Rules(Rules),
    /// Analyze an incident that is built in: no arguments, no AWS.
    #[command(before_help = examples::DEMO)]
    Demo(Demo),
    /// Print the JSON Schema of `-o json`.
    #[command(before_help = examples::SCHEMA)]
    Schema(Schema),
    /// Print a shell's completions: for its start-up file, or the directory in which it looks for them.
    #[command(before_help = examples::COMPLETIONS)]
    Completions(Completions),
    /// Write the manual pages into a directory.
    #[command(before_help = examples::MAN)]
    Man(Manual),
}

#[derive(Debug, Args)]
pub(super) struct Analyze {
    /// Directories or files with CloudTrail records, `s3://bucket/prefix`, `lookup:` or `lookup:REGION,REGION` for
    /// the event history of the last 90 days, or `-` for standard input.
    ///
    /// Any container: log files as CloudTrail delivers them, JSON lines, LookupEvents pages, EventBridge
    /// events, CloudWatch Logs payloads; plain, gzip or zstd.
    #[arg(required = true, value_name = "SOURCE")]
    pub(super) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) window: WindowArguments,
    #[command(flatten)]
    pub(super) filter: FilterArguments,
    #[command(flatten)]
    pub(super) keys: KeyArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
    #[command(flatten)]
    pub(super) reading: ReadingArguments,
    #[command(flatten)]
    pub(super) aws: AwsArguments,
    /// Exit with 1 if any finding is at least this severe; a key other than expected counts as high.
    #[arg(long, value_name = "SEVERITY", value_parser = parse_severity)]
    pub(super) fail_on: Option<Severity>,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Instance id, node name, NodeClaim, volume id, key ARN, key id or alias; or an unambiguous beginning of
    /// one.
    #[arg(value_name = "SUBJECT")]
    pub(super) subject: String,
    /// Directories or files with CloudTrail records, `s3://bucket/prefix`, `lookup:`, or `-` for standard input:
    /// as for `analyze`.
    #[arg(required = true, value_name = "SOURCE")]
    pub(super) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) window: WindowArguments,
    #[command(flatten)]
    pub(super) filter: FilterArguments,
    #[command(flatten)]
    pub(super) keys: KeyArguments,
    /// Form of the explanation on standard output.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub(super) output: ExplanationFormat,
    #[command(flatten)]
    pub(super) reading: ReadingArguments,
    #[command(flatten)]
    pub(super) aws: AwsArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ExplanationFormat {
    /// For the screen.
    #[default]
    Table,
    /// For a ticket or a pull request.
    Markdown,
    /// One JSON document; `keytrail schema explain` describes it.
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Whose `-o json`.
    #[arg(value_enum, default_value_t, value_name = "COMMAND")]
    pub(super) of: SchemaOf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// That of `keytrail analyze` and `keytrail demo`.
    #[default]
    Analyze,
    /// That of `keytrail explain`.
    Explain,
    /// That of `keytrail verify`.
    Verify,
}

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(super) struct Manual {
    /// Where to: a page per subcommand, such as `keytrail-analyze.1`. Pages that are there are replaced.
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Rules {
    /// Rule id, such as KT101, or the rule's name; all rules if not given.
    #[arg(value_name = "ID")]
    pub(super) id: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Demo {
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which nodes")]
pub(super) struct WindowArguments {
    /// Nodes launched in the last while: 30m, 2h, 7d, "1 week".
    #[arg(long, value_name = "DURATION", conflicts_with = "from")]
    pub(super) since: Option<String>,
    /// Nodes launched at or after this time (RFC 3339, or a date).
    #[arg(long, value_name = "TIME")]
    pub(super) from: Option<String>,
    /// Nodes launched before this time (RFC 3339, or a date).
    #[arg(long, value_name = "TIME")]
    pub(super) to: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which nodes")]
pub(super) struct FilterArguments {
    /// Nodes of this account; repeatable, as are the filters below. In S3, only its trail is read.
    #[arg(long, value_name = "ACCOUNT", value_parser = parse_account)]
    pub(super) account: Vec<Text>,
    /// Nodes of this region. In AWS, only its trail is read.
    #[arg(long, value_name = "REGION")]
    pub(super) region: Vec<Text>,
    /// Nodes of this cluster.
    #[arg(long, value_name = "CLUSTER")]
    pub(super) cluster: Vec<Text>,
    /// Nodes of this nodepool.
    #[arg(long, value_name = "NODEPOOL")]
    pub(super) nodepool: Vec<Text>,
    /// Instances launched by others too, not only by Karpenter and EKS Auto Mode.
    #[arg(long)]
    pub(super) all_launches: bool,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Keys")]
pub(super) struct KeyArguments {
    /// The key that every node should use: key id, key ARN, alias or alias ARN.
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    pub(super) expect_key: Option<Text>,
    /// What an alias points to, where the archive does not show it; repeatable.
    #[arg(long, value_name = "NAME=ARN", value_parser = parse_alias)]
    pub(super) alias: Vec<(Text, Text)>,
    /// The node classes whose keys nodes should use, as YAML: EC2NodeClass, NodePool, and what they were called
    /// before; a file, a directory, or `-` for standard input; repeatable.
    #[arg(long, value_name = "FILE")]
    pub(super) nodeclass: Vec<PathBuf>,
    /// The same, with aliases and launch templates, from `terraform show -json` of a plan or a state; repeatable.
    #[arg(long, value_name = "FILE")]
    pub(super) terraform: Vec<PathBuf>,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArguments {
    /// Form of the result on standard output.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Format,
    /// Which table `csv` and `parquet` write: nodes (if not given), volumes, timeline or findings.
    #[arg(long, value_name = "TABLE", value_parser = parse_table)]
    pub(super) table: Option<Table>,
    /// Also write the result to a file: json=FILE, jsonl=FILE, html=FILE, markdown=FILE,
    /// timesketch=FILE.jsonl, ocsf=FILE, csv=FILE.csv, parquet=FILE.parquet, or all tables into a directory:
    /// csv=DIR, parquet=DIR. Repeatable.
    #[arg(long, value_name = "FORMAT=PATH")]
    pub(super) export: Vec<Export>,
    /// Overwrite files that exist and are not empty.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Reading")]
pub(super) struct ReadingArguments {
    /// Workers; as many as there are processors if not given.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    /// Largest record that is read, in bytes (k, m and g are understood); a larger one is a loss.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(super) record_bytes_max: Option<usize>,
    /// Exit with 3 if any object or record was lost.
    #[arg(long)]
    pub(super) strict: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// If the output is a terminal and NO_COLOR is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    pub(super) fn write_global(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One screen line per node.
    #[default]
    Table,
    /// All that is known of each node, in lines of any length.
    Wide,
    /// One JSON document; `keytrail schema` describes it.
    Json,
    /// One JSON object per node and line.
    Jsonl,
    /// One flat table.
    Csv,
    /// The report: one page for a browser, without network.
    Html,
    /// One flat table, typed.
    Parquet,
    /// For a ticket or a post-mortem.
    Markdown,
    /// JSON lines for Timesketch.
    Timesketch,
    /// JSON lines for a data lake: OCSF 1.5.0 API Activity.
    Ocsf,
    /// Nothing.
    None,
}

/// A key as AWS takes it: key id, key ARN, alias or alias ARN.
fn parse_key(text: &str) -> Result<Text, String> {
    let text = text.trim();
    if let Some(arn) = KeyArn::parse(text) {
        return match arn.key_id() {
            Some(id) if !is_key_id(id) => Err(format!("`{id}` is no key id")),
            _ => Ok(text.into()),
        };
    }
    let is_alias_letter = |letter: char| letter.is_ascii_alphanumeric() || "/_-".contains(letter);
    if let Some(name) = text.strip_prefix("alias/") {
        return if !name.is_empty() && name.chars().all(is_alias_letter) {
            Ok(text.into())
        } else {
            Err("an alias is `alias/` and a name of letters, digits, /, _ and -".to_owned())
        };
    }
    let id = text.strip_prefix("key/").unwrap_or(text).to_ascii_lowercase();
    if is_key_id(&id) {
        return Ok(id.into());
    }
    Err("expected a key id, a key ARN, an alias (alias/NAME) or an alias ARN".to_owned())
}

fn parse_alias(text: &str) -> Result<(Text, Text), String> {
    let (alias, key) =
        text.split_once('=').ok_or("expected NAME=ARN, such as alias/karpenter-ebs-key=arn:aws:kms:…")?;
    if !alias.starts_with("alias/") && !alias.contains(":alias/") {
        return Err(format!("`{alias}` is no alias: aliases begin with `alias/`"));
    }
    if key.is_empty() || key.contains("alias/") {
        return Err("an alias points to a key: give its ARN or id".to_owned());
    }
    if parse_key(key).is_err() {
        return Err(format!("`{key}` is neither a key ARN nor a key id"));
    }
    Ok((alias.into(), key.into()))
}

/// An account id: 12 digits.
pub(super) fn parse_account(text: &str) -> Result<Text, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.into())
    } else {
        Err("an account id has 12 digits".to_owned())
    }
}

fn parse_severity(text: &str) -> Result<Severity, String> {
    let all = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];
    let names = all.map(Severity::name).join(", ");
    all.into_iter()
        .find(|severity| severity.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("expected one of {names}"))
}

fn parse_table(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: crate::report::UnknownTable| error.to_string())
}

pub(super) fn parse_bytes(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let (digits, shift) = match lower.char_indices().last() {
        Some((end, 'k')) => (&lower[..end], 10),
        Some((end, 'm')) => (&lower[..end], 20),
        Some((end, 'g')) => (&lower[..end], 30),
        _ => (lower.as_str(), 0),
    };
    let number: usize =
        digits.parse().map_err(|_| "expected a number of bytes, such as 500000, 512k or 16m")?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| (1024..=1 << 30).contains(bytes))
        .ok_or_else(|| "expected between 1k and 1g".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{parse_alias, parse_bytes, parse_key};

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(parse_bytes("512k"), Ok(512 << 10));
        assert_eq!(parse_bytes("16M"), Ok(16 << 20));
        assert_eq!(parse_bytes("500000"), Ok(500_000));
        for text in ["", "k", "12", "2g", "99999999999999999999g", "1.5m"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_expected_key_is_a_key() {
        let id = "11111111-aaaa-3333-4444-555555555555";
        let accepted = |text: &str| parse_key(text).map(|key| key.to_string());
        assert_eq!(accepted(id), Ok(id.to_owned()));
        assert_eq!(accepted(&id.to_uppercase()), Ok(id.to_owned()));
        assert_eq!(accepted(&format!("key/{id}")), Ok(id.to_owned()));
        for text in [
            "alias/team/ebs",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "arn:aws-cn:kms:cn-north-1:111122223333:alias/ebs",
            "arn:aws:kms:us-east-1:111122223333:key/11111111-aaaa-3333-4444-555555555555",
        ] {
            assert_eq!(accepted(text), Ok(text.to_owned()));
        }
        for text in ["", "foo", "alias/", "alias/a b", "arn:aws:iam::111122223333:role/x", "mrk-1", "key/x"] {
            assert!(parse_key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_alias_points_to_a_key() {
        assert!(parse_alias("alias/ebs=11111111-2222-3333-4444-555555555555").is_ok());
        for text in [
            "alias/ebs",
            "ebs=11111111-2222-3333-4444-555555555555",
            "alias/ebs=alias/other",
            "alias/ebs=",
            "alias/x=foo",
        ] {
            assert!(parse_alias(text).is_err(), "{text}");
        }
    }
}
