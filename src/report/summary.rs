//! The account that goes with every output: how many nodes of each verdict, what was read, what was lost.
//!
//! A case comes in, a few lines go out, however large the case is. Where there is no node, they say what was
//! read and what to check: silence is never taken for an answer.

use std::io::{self, BufWriter, Write};

use super::abbreviate::limited;
use super::document::{contract_name, sorted_losses};
use super::filtered;
use super::style::{Line, Tone};
use super::table::{Layout, write_more};
use crate::correlate::{Case, Filter, KeyVerdict, Node};
use crate::event::{Detail, Scope};

/// Losses that are listed before the rest is counted.
const LOSSES_SHOWN_MAX: usize = 3;
/// Accounts and regions that are listed before the rest is counted.
const SCOPES_SHOWN_MAX: usize = 3;
/// Refusals without a node that are told before the rest is counted.
const UNJOINED_SHOWN_MAX: usize = 3;
/// Unresolved aliases that are told before the rest is counted.
const ALIASES_SHOWN_MAX: usize = 3;
/// Longest text taken over from a log or a path, in characters.
const TEXT_CHARACTERS_MAX: usize = 160;

/// Columns of the labels before losses and advice.
const LABEL_COLUMNS: usize = 7;
/// How far the rest of a line is indented that the screen has no room for.
const INDENT_COLUMNS: usize = 2;

/// Writes the summary. `filter` is what chose the nodes; `next_commands` are whole command lines that make a sensible next step; they are
/// shown as given.
///
/// # Errors
/// When `out` fails.
pub fn write_summary(
    out: &mut dyn Write,
    case: &Case,
    filter: &Filter,
    next_commands: &[&str],
    layout: impl Into<Layout>,
) -> io::Result<()> {
    let layout = layout.into();
    let mut out = BufWriter::new(out);
    write_counts(&mut out, case, layout)?;
    write_coverage(&mut out, case, layout)?;
    write_losses(&mut out, case, layout)?;
    for advice in advice(case, filter) {
        Line::new(layout.style).push(Tone::Warning, "check: ").push(Tone::Plain, &advice).write_within(
            &mut out,
            layout.columns,
            LABEL_COLUMNS,
        )?;
    }
    // Never broken: they are there to be copied.
    for command in next_commands {
        Line::new(layout.style).push(Tone::Faint, "next:  ").push(Tone::Plain, command).write(&mut out)?;
    }
    out.flush()
}

fn write_counts(out: &mut dyn Write, case: &Case, layout: Layout) -> io::Result<()> {
    let mut line = Line::new(layout.style);
    if case.nodes.is_empty() {
        line = line.push(Tone::Heading, "no nodes");
    } else {
        line = line.push(Tone::Heading, &format!("{}: ", counted(case.nodes.len() as u64, "node")));
        let verdicts = [
            (KeyVerdict::Match, Tone::Good),
            (KeyVerdict::Mismatch, Tone::Warning),
            (KeyVerdict::Denied, Tone::Bad),
            (KeyVerdict::NoExpectation, Tone::Plain),
            (KeyVerdict::Unencrypted, Tone::Warning),
            (KeyVerdict::Unknown, Tone::Plain),
        ];
        let mut separator = "";
        for (verdict, tone) in verdicts {
            let count = case.nodes.iter().filter(|node| node.key_verdict == verdict).count();
            if count > 0 {
                let text = format!("{} {}", grouped(count as u64), contract_name(verdict));
                line = line.push(Tone::Plain, separator).push(tone, &text);
                separator = ", ";
            }
        }
    }
    let mut failures: Vec<_> = case.launch_failures.iter().map(|failure| &failure.event_id).collect();
    failures.sort_unstable();
    failures.dedup();
    if !failures.is_empty() {
        line = line.push(Tone::Plain, &format!("; {}", counted(failures.len() as u64, "launch failure")));
        // One call may fail for several reasons, each several times: the table counts those.
        let errors = case.launch_failures.iter().fold(0u64, |sum, own| sum.saturating_add(own.count));
        if errors > failures.len() as u64 {
            line = line.push(Tone::Plain, &format!(" with {}", counted(errors, "error")));
        }
    }
    let records = case.coverage.records;
    let lost_tone = if records.lost > 0 { Tone::Warning } else { Tone::Plain };
    line.push(Tone::Plain, &format!("; {} read, ", counted(records.read, "record")))
        .push(lost_tone, &format!("{} lost", grouped(records.lost)))
        .write_within(out, layout.columns, INDENT_COLUMNS)
}

fn write_coverage(out: &mut dyn Write, case: &Case, layout: Layout) -> io::Result<()> {
    let (objects, records) = (case.coverage.objects, case.coverage.records);
    let failed_tone = if objects.failed > 0 { Tone::Warning } else { Tone::Plain };
    Line::new(layout.style)
        .push(
            Tone::Plain,
            &format!("{} read, {} skipped, ", counted(objects.read, "object"), grouped(objects.skipped)),
        )
        .push(failed_tone, &format!("{} failed", grouped(objects.failed)))
        .push(
            Tone::Plain,
            &format!(
                "; records: {} selected, {} passed over, {} duplicate",
                grouped(records.selected),
                grouped(records.passed_over),
                grouped(records.duplicate)
            ),
        )
        .write_within(out, layout.columns, INDENT_COLUMNS)?;
    let scopes = case.coverage.reported_scopes();
    for scope in scopes.iter().take(SCOPES_SHOWN_MAX) {
        let text = format!("{} {}: {}", short(&scope.account_id), short(&scope.region), period(scope));
        let line = Line::new(layout.style).push(Tone::Plain, &text);
        let line =
            if scope.kms_events_seen { line } else { line.push(Tone::Warning, ", no KMS events seen") };
        line.write_within(out, layout.columns, INDENT_COLUMNS)?;
    }
    write_more(out, scopes.len().saturating_sub(SCOPES_SHOWN_MAX), "accounts and regions", layout.style)
}

fn write_losses(out: &mut dyn Write, case: &Case, layout: Layout) -> io::Result<()> {
    let losses = sorted_losses(case);
    for loss in losses.iter().take(LOSSES_SHOWN_MAX) {
        let record = loss.record.map_or_else(String::new, |record| format!(" record {record}"));
        let text =
            format!("{}{record}: {}: {}", short(&loss.object), contract_name(loss.kind), short(&loss.detail));
        Line::new(layout.style).push(Tone::Warning, "lost:  ").push(Tone::Plain, &text).write_within(
            out,
            layout.columns,
            LABEL_COLUMNS,
        )?;
    }
    write_more(out, losses.len().saturating_sub(LOSSES_SHOWN_MAX), "losses", layout.style)
}

/// What to check, where the archive cannot answer the question.
fn advice(case: &Case, filter: &Filter) -> Vec<String> {
    let mut advice = filtered::advice(case, filter);
    let records = case.coverage.records;
    if case.nodes.is_empty() {
        if records.read == 0 {
            advice.push(
                "no CloudTrail record was read. Is the source the AWSLogs/ACCOUNT/CloudTrail/ part of the \
                 trail's bucket, or records as JSON?"
                    .to_owned(),
            );
        } else if records.selected == 0 {
            advice.push(
                "no record is about launches, volumes or keys. Do the accounts, regions and times above cover \
                 the nodes?"
                    .to_owned(),
            );
        } else if !advice.is_empty() {
            // The filters leave nothing; that has been said.
        } else if filter.all_launches {
            advice.push(
                "no node within the filters. Do the time window and the other filters cover the launch, and does the \
                 trail record management events of EC2?"
                    .to_owned(),
            );
        } else {
            advice.push(
                "no node of Karpenter within the filters. Do the time window and the other filters cover the \
                 launch, did somebody else launch it (--all-launches), and does the trail record management \
                 events of EC2?"
                    .to_owned(),
            );
        }
    }
    for index in case.unjoined_refusals.iter().take(UNJOINED_SHOWN_MAX) {
        let event = &case.events[*index as usize];
        let key = match &event.detail {
            Detail::Kms(kms) => kms.key_arn.as_deref(),
            _ => None,
        };
        advice.push(format!(
            "at {} KMS refused {} on key {} to {}, called by EC2, and no launch could be found for it (event {})",
            event.time,
            limited(&event.name, TEXT_CHARACTERS_MAX),
            limited(key.unwrap_or("(not logged)"), TEXT_CHARACTERS_MAX),
            limited(event.identity.principal().map_or("(not logged)", |name| &**name), TEXT_CHARACTERS_MAX),
            event.event_id
        ));
    }
    if let Some(more) = case.unjoined_refusals.len().checked_sub(UNJOINED_SHOWN_MAX).filter(|more| *more > 0)
    {
        let noun = if more == 1 { "refusal" } else { "refusals" };
        advice.push(format!("{more} more {noun} by KMS that no launch could be found for"));
    }
    let mut aliases: Vec<&str> = case.nodes.iter().flat_map(unresolved_aliases).collect();
    aliases.sort_unstable();
    aliases.dedup();
    for alias in aliases.iter().take(ALIASES_SHOWN_MAX) {
        advice.push(format!(
            "the archive does not show which key {0} led to as of the launch: give it with --alias {0}=KEY-ARN, or \
             read an archive that reaches back to the alias's CreateAlias or UpdateAlias",
            short(alias)
        ));
    }
    if let Some(more) = aliases.len().checked_sub(ALIASES_SHOWN_MAX).filter(|more| *more > 0) {
        advice.push(format!("{more} more aliases whose keys the archive does not show"));
    }
    let silent = case.coverage.scopes.values().filter(|scope| !scope.kms_events_seen).count();
    if silent > 0 && !case.nodes.is_empty() {
        advice.push(format!(
            "no KMS events in {}: which keys were used there cannot be told. Does the trail exclude KMS or \
             read-only events?",
            match silent {
                1 => "one account and region".to_owned(),
                more => format!("{more} accounts and regions"),
            }
        ));
    }
    advice
}

/// The aliases for whose want a node's verdict is unknown.
fn unresolved_aliases(node: &Node) -> impl Iterator<Item = &str> {
    let own = node.expected_keys.iter().filter(|own| own.key.key_arn.is_none());
    own.filter_map(|own| own.key.written.as_deref())
        .filter(|written| node.key_verdict == KeyVerdict::Unknown && written.contains("alias/"))
}

fn period(scope: &Scope) -> String {
    let spelled = |at: crate::event::Timestamp| at.to_string().replace('T', " ").replace('Z', "");
    match (scope.first_event, scope.last_event) {
        (Some(first), Some(last)) => format!("{} to {} UTC", spelled(first), spelled(last)),
        _ => "no record".to_owned(),
    }
}

fn short(text: &str) -> std::borrow::Cow<'_, str> {
    limited(text, TEXT_CHARACTERS_MAX)
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(count)) }
}

/// A number with a comma between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{grouped, write_summary};
    use crate::correlate::{Case, Filter, KeyVerdict};
    use crate::report::{Layout, Style, incident, is_hazardous};

    fn summary(case: &Case, next_commands: &[&str]) -> String {
        let mut bytes = Vec::new();
        write_summary(&mut bytes, case, &Filter::default(), next_commands, Style::plain())
            .expect("memory does not fail");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn counts_coverage_losses_and_the_next_command() {
        assert_eq!(
            summary(&incident::case(), &["keytrail explain i-0cccccccccccccccc logs"]),
            "4 nodes: 1 match, 1 mismatch, 1 denied, 1 unknown; 1 launch failure with 12 errors; 3,210 records read, 1 lost
12 objects read, 1 skipped, 1 failed; records: 6 selected, 3,203 passed over, 0 duplicate
111122223333 us-east-1: 2026-03-02 09:58:00 to 2026-03-02 11:02:30 UTC
lost:  logs/two.json.gz: truncated-compression: the stream ends early at byte 812
lost:  logs/one.json.gz record 9: invalid-json: no JSON at byte 4711
next:  keytrail explain i-0cccccccccccccccc logs
"
        );
    }

    #[test]
    fn a_narrow_screen_breaks_lines_but_no_command() {
        let mut bytes = Vec::new();
        let layout = Layout { columns: Some(60), style: Style::plain() };
        let command = "keytrail explain i-0cccccccccccccccc a/directory/with/a/very/long/name";
        write_summary(&mut bytes, &incident::case(), &Filter::default(), &[command], layout)
            .expect("memory does not fail");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (command, rest): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("next:"));
        assert!(command[0].ends_with("/a/very/long/name"), "{text}");
        assert!(rest.iter().all(|line| line.chars().count() <= 60), "{text}");
        let one_line: String = rest.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains("records: 6 selected, 3,203 passed over, 0 duplicate"), "{one_line}");
    }

    #[test]
    fn an_empty_case_says_what_to_check() {
        let mut case = Case::default();
        let text = summary(&case, &[]);
        assert!(text.starts_with("no nodes; 0 records read, 0 lost\n"), "{text}");
        assert!(text.contains("check: no CloudTrail record was read"), "{text}");
        case.coverage.records.read = 5;
        assert!(summary(&case, &[]).contains("check: no record is about launches"));
        case.coverage.records.selected = 1;
        assert!(summary(&case, &[]).contains("check: no node of Karpenter within the filters"));
        assert!(!summary(&incident::case(), &[]).contains("check:"));
    }

    #[test]
    fn missing_kms_events_are_said_and_not_taken_for_unencrypted_volumes() {
        let mut case = incident::case();
        for scope in case.coverage.scopes.values_mut() {
            scope.kms_events_seen = false;
        }
        let text = summary(&case, &[]);
        assert!(text.contains("11:02:30 UTC, no KMS events seen\n"), "{text}");
        assert!(text.contains("check: no KMS events in one account and region"), "{text}");
    }

    #[test]
    fn an_alias_that_leaves_a_verdict_open_is_to_be_given() {
        let mut case = incident::case();
        let node = case.nodes.iter_mut().find(|node| node.key_verdict == KeyVerdict::Match).expect("a match");
        for own in &mut node.expected_keys {
            own.key.key_arn = None;
            own.key.written = Some("alias/nodes".into());
        }
        assert!(!summary(&case, &[]).contains("--alias"));
        let node = case.nodes.iter_mut().find(|node| node.key_verdict == KeyVerdict::Match).expect("a match");
        node.key_verdict = KeyVerdict::Unknown;
        let text = summary(&case, &[]);
        assert!(text.contains("check: the archive does not show which key alias/nodes led to"), "{text}");
        assert!(text.contains("--alias alias/nodes=KEY-ARN"), "{text}");
    }

    #[test]
    fn one_fleet_with_two_error_codes_is_one_failed_launch() {
        let mut case = incident::case();
        let mut second = case.launch_failures[0].clone();
        second.error_code = "VcpuLimitExceeded".into();
        case.launch_failures.push(second);
        assert!(summary(&case, &[]).contains("; 1 launch failure with 24 errors; "));
    }

    #[test]
    fn many_losses_and_scopes_are_counted() {
        let mut case = Case::default();
        let loss = incident::case().coverage.losses.remove(0);
        case.coverage.losses = vec![loss.clone(); 4];
        assert!(summary(&case, &[]).contains("\nand 1 more loss\n"));
        case.coverage.losses = vec![loss; 50_000];
        for account in 0..100 {
            let scope = (format!("{account:012}").into(), "us-east-1".into());
            case.coverage.scopes.entry(scope).or_default().note(0, true);
        }
        let text = summary(&case, &[]);
        assert!(text.contains("\nand 49997 more losses\n"), "{text}");
        assert!(text.contains("\nand 97 more accounts and regions\n"), "{text}");
        assert!(text.lines().count() < 14, "{text}");
    }

    #[test]
    fn hostile_names_of_objects_and_accounts_do_nothing() {
        let text = summary(&incident::hostile_case(), &[]);
        assert_eq!(text.replace('\n', "").find(is_hazardous), None);
        assert!(text.contains(r"lost:  =cmd|'/c calc'!A1\u{1b}]0;owned\u{7}"), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
