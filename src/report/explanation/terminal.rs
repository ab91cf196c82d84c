//! The explanation on a screen.
//!
//! An [`Explanation`] comes in, lines that fit the screen go out; texts ready to paste keep their own lines.
//! Everything is sanitized, and nothing needs its colour to be understood.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use super::exhibit::Numbers;
use super::wording::{cut, delta, moment, verdict_name};
use super::{Cause, ConfiguredKey, Exhibit, Explanation, Mark, Reading, Remedy, Step, UsedKey, key, node};
use crate::correlate::{Confidence, KeyVerdict, VolumeOutcome};
use crate::event::Text;
use crate::report::Layout;
use crate::report::abbreviate::{limited, named_key, short_principal};
use crate::report::document::contract_name;
use crate::report::sanitize::sanitize;
use crate::report::style::{Line, Tone, width};
use crate::report::wrap::wrapped;
use crate::rules::Severity;

/// Screen columns where nobody says how many there are.
const COLUMNS_DEFAULT: usize = 80;
/// Longer lines of prose are hard to read.
const COLUMNS_MAX: usize = 100;
/// Columns of the labels of facts.
const LABEL_COLUMNS: usize = 13;
/// Columns before the sentences of a timeline: blanks, time, time since the launch, mark.
const SENTENCE_COLUMN: usize = 24;
/// Events at the beginning and at the end of a timeline that are always shown.
const STEPS_SHOWN_EACH: usize = 25;
/// Decisive events between them that are shown.
const DECISIVE_STEPS_SHOWN_MAX: usize = 25;
/// Lines of any other list before the rest is counted.
const LINES_SHOWN_MAX: usize = 20;
/// Keys whose names are shortened in prose.
const NAMES_SHORTENED_MAX: usize = 50;
/// Events cited in one place before the rest is counted.
const CITED_MAX: usize = 8;

/// Writes the explanation for a screen.
///
/// # Errors
/// When `out` fails.
pub fn write_explanation(out: &mut dyn Write, explanation: &Explanation, layout: Layout) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let columns = layout.columns.unwrap_or(COLUMNS_DEFAULT).clamp(40, COLUMNS_MAX);
    let mut screen = Screen {
        out: &mut out,
        layout,
        columns,
        numbers: Numbers::new(&explanation.custody),
        names: Names::of(explanation),
    };
    screen.title(explanation)?;
    screen.causes(&explanation.causes)?;
    screen.related(&explanation.related)?;
    screen.timeline(explanation)?;
    screen.keys(explanation)?;
    screen.nodes_and_refusals(explanation)?;
    screen.list("RULED OUT", &explanation.ruled_out)?;
    screen.list("NOT IN THE ARCHIVE", &explanation.missing)?;
    screen.remedies(&explanation.remedies)?;
    screen.custody(&explanation.custody)?;
    screen.reading(&explanation.reading)?;
    out.flush()
}

/// Full names that the output holds anyway, and the short ones that stand for them in prose.
struct Names(Vec<(String, String)>);

impl Names {
    fn of(explanation: &Explanation) -> Self {
        let mut keys: BTreeSet<&Text> = BTreeSet::new();
        let mut principals: Vec<&Text> = Vec::new();
        if let Some(account) = &explanation.node {
            keys.extend(account.configured.iter().filter_map(|key| key.key_arn.as_ref()));
            keys.extend(account.used.iter().filter_map(|key| key.key_arn.as_ref()));
            let launcher = account.node.principal_arn.as_ref();
            principals.extend(launcher.filter(|_| account.node.launched_at.is_some()));
        }
        if let Some(account) = &explanation.key {
            keys.insert(&account.summary.key_arn);
            principals.extend(&account.summary.principals);
        }
        let keys: Vec<&Text> = keys.into_iter().take(NAMES_SHORTENED_MAX).collect();
        let short: BTreeSet<String> = keys.iter().map(|key| named_key(key)).collect();
        let mut names: Vec<(String, String)> = Vec::new();
        // Keys that look the same when shortened are not shortened.
        if short.len() == keys.len() {
            for key in &keys {
                let short = format!("key {}", named_key(key));
                names.push((format!("key {key}"), short.clone()));
                names.push((key.to_string(), short));
            }
        }
        let named: BTreeSet<&str> = principals.iter().map(|principal| short_principal(principal)).collect();
        if named.len() == principals.len() {
            let short = |principal: &&Text| (principal.to_string(), short_principal(principal).to_owned());
            names.extend(principals.iter().map(short));
        }
        names.retain(|(name, _)| name.contains("arn:"));
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self(names)
    }

    fn shorten(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, short)| text.replace(name, short))
    }
}

struct Screen<'a> {
    out: &'a mut dyn Write,
    layout: Layout,
    columns: usize,
    numbers: Numbers<'a>,
    names: Names,
}

impl Screen<'_> {
    fn line(&self) -> Line {
        Line::new(self.layout.style)
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(b"\n")?;
        self.prose(&[], 0, Tone::Heading, text)
    }

    /// Text behind a lead, wrapped; lines but the first begin at column `indent`.
    fn prose(&mut self, lead: &[(Tone, &str)], indent: usize, tone: Tone, text: &str) -> io::Result<()> {
        let mut line = self.line();
        let mut used = 0;
        for (tone, text) in lead {
            line = line.push(*tone, text);
            used += width(&sanitize(text));
        }
        if used < indent {
            line = line.gap(indent - used);
            used = indent;
        }
        let text = sanitize(text);
        let lines = wrapped(&text, self.columns.saturating_sub(used), self.columns - indent);
        for (index, text) in lines.iter().enumerate() {
            if index > 0 {
                line = self.line().gap(indent);
            }
            std::mem::replace(&mut line, self.line()).push(tone, text).write(self.out)?;
        }
        Ok(())
    }

    fn more(&mut self, count: usize, what: &str) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.prose(&[], 2, Tone::Faint, &format!("and {count} more {what}; -o json has all"))
    }

    fn title(&mut self, explanation: &Explanation) -> io::Result<()> {
        let subject = &explanation.subject;
        let id = limited(&subject.id, 160);
        let (facts, tone) = match (&explanation.node, &explanation.key) {
            (Some(account), _) => {
                let (verdict, tone) =
                    (verdict_name(account.node.key_verdict), verdict_tone(account.node.key_verdict));
                self.prose(&[(Tone::Plain, "Node ")], 5, Tone::Heading, &id)?;
                (node::facts(account), (verdict, tone))
            }
            (None, Some(account)) => {
                self.prose(&[(Tone::Plain, "Key ")], 4, Tone::Heading, &id)?;
                let tone = if account.refusals.is_empty() { Tone::Good } else { Tone::Bad };
                (key::facts(account), ("key".to_owned(), tone))
            }
            (None, None) => (Vec::new(), (String::new(), Tone::Plain)),
        };
        self.out.write_all(b"\n")?;
        for (label, text) in facts {
            self.prose(&[(Tone::Plain, "  "), (Tone::Faint, label)], LABEL_COLUMNS, Tone::Plain, &text)?;
        }
        if subject.given != *subject.id {
            let given = limited(&subject.given, 160);
            self.prose(&[(Tone::Faint, "  asked for")], LABEL_COLUMNS, Tone::Plain, &given)?;
        }
        self.heading("VERDICT")?;
        let (verdict, tone) = tone;
        let verdict = if explanation.node.is_some() { format!("{verdict}: ") } else { String::new() };
        self.prose(&[(Tone::Plain, "  "), (tone, &verdict)], 2, Tone::Plain, &explanation.verdict.sentence)?;
        self.prose(&[], 2, Tone::Plain, &explanation.verdict.end)
    }

    fn causes(&mut self, causes: &[Cause]) -> io::Result<()> {
        if causes.is_empty() {
            return Ok(());
        }
        self.heading("CAUSE")?;
        for (index, cause) in causes.iter().take(LINES_SHOWN_MAX).enumerate() {
            if index > 0 {
                self.out.write_all(b"\n")?;
            }
            let title = self.names.shorten(&cause.title);
            let (rule, tone) = match (cause.rule, cause.severity) {
                (Some(rule), Some(severity)) => (
                    format!("{rule} {}, {}", contract_name(severity), contract_name(cause.confidence)),
                    severity_tone(severity),
                ),
                _ => (contract_name(cause.confidence), Tone::Plain),
            };
            let of = if cause.nodes > 1 { format!(", {} nodes", cause.nodes) } else { String::new() };
            let lead = [(Tone::Plain, "  "), (tone, &*rule), (Tone::Plain, &*of), (Tone::Plain, ": ")];
            self.prose(&lead, 4, Tone::Heading, &title)?;
            if !cause.explanation.is_empty() {
                let text = self.names.shorten(&cause.explanation);
                self.prose(&[], 6, Tone::Plain, &text)?;
            }
            self.evidence(6, &cause.evidence)?;
        }
        self.more(causes.len().saturating_sub(LINES_SHOWN_MAX), "conclusions")
    }

    fn related(&mut self, related: &[Cause]) -> io::Result<()> {
        if related.is_empty() {
            return Ok(());
        }
        self.heading("ELSEWHERE (same key, nodepool or account; not what happened to this node)")?;
        for cause in related.iter().take(LINES_SHOWN_MAX) {
            let rule = format!("  {} ", cause.rule.unwrap_or_default());
            let title = self.names.shorten(&cause.title);
            self.prose(&[(Tone::Plain, &rule)], 4, Tone::Plain, &title)?;
        }
        self.more(related.len().saturating_sub(LINES_SHOWN_MAX), "conclusions")
    }

    fn evidence(&mut self, indent: usize, ids: &[crate::event::Id]) -> io::Result<()> {
        let cited = self.numbers.cite(ids, CITED_MAX);
        if cited.is_empty() {
            return Ok(());
        }
        self.prose(&[], indent, Tone::Faint, &format!("evidence {cited}"))
    }

    fn timeline(&mut self, explanation: &Explanation) -> io::Result<()> {
        let steps = &explanation.timeline;
        if steps.is_empty() {
            return Ok(());
        }
        self.heading("TIMELINE (UTC)")?;
        let launcher = explanation.node.as_ref().and_then(|account| account.node.principal_arn.as_ref());
        let mut day = String::new();
        let mut next = 0;
        for index in shown_steps(steps) {
            if index > next {
                self.more(index - next, "events here")?;
            }
            next = index + 1;
            let step = &steps[index];
            let at = moment(step.entry.time);
            let (date, time) = at.split_once(' ').unwrap_or((&at, ""));
            if date != day {
                self.line().gap(2).push(Tone::Faint, date).write(self.out)?;
                date.clone_into(&mut day);
            }
            self.step(step, time, launcher)?;
        }
        self.prose(&[], 2, Tone::Faint, "✗ refused · ★ launch · ◆ configuration · † end · [n] evidence")
    }

    fn step(&mut self, step: &Step, time: &str, launcher: Option<&Text>) -> io::Result<()> {
        let since = step.since_launch_seconds.map_or_else(String::new, delta);
        let (mark, tone) = match step.mark {
            Some(Mark::Refused) => ("✗", Tone::Bad),
            Some(Mark::Launch) => ("★", Tone::Good),
            Some(Mark::Configuration) => ("◆", Tone::Warning),
            Some(Mark::End) => ("†", Tone::Bad),
            None => ("·", Tone::Faint),
        };
        let inferred = if step.joined == Some(Confidence::Inferred) { " (inferred)" } else { "" };
        let sentence = format!("{}{inferred} [{}]", step.entry.summary, step.number);
        let text_tone = if step.mark.is_some() { Tone::Plain } else { Tone::Faint };
        let since = format!("{since:>9}  ");
        let lead = [(Tone::Plain, "  "), (Tone::Plain, time), (Tone::Faint, &*since), (tone, mark)];
        self.prose(&lead, SENTENCE_COLUMN, text_tone, &sentence)?;
        let by = by_hand(step, launcher);
        if by.is_empty() {
            return Ok(());
        }
        self.prose(&[], SENTENCE_COLUMN, Tone::Faint, &by)
    }

    fn keys(&mut self, explanation: &Explanation) -> io::Result<()> {
        let Some(account) = &explanation.node else { return Ok(()) };
        if account.configured.is_empty() && account.used.is_empty() {
            return Ok(());
        }
        self.heading("KEYS")?;
        let mut spelled = BTreeSet::new();
        for key in account.configured.iter().take(LINES_SHOWN_MAX) {
            self.configured(key, &mut spelled)?;
        }
        self.more(account.configured.len().saturating_sub(LINES_SHOWN_MAX), "configured devices")?;
        for key in account.used.iter().take(LINES_SHOWN_MAX) {
            self.used(key, &mut spelled)?;
        }
        self.more(account.used.len().saturating_sub(LINES_SHOWN_MAX), "volumes")
    }

    fn configured(&mut self, key: &ConfiguredKey, spelled: &mut BTreeSet<Text>) -> io::Result<()> {
        let device = key.device.as_ref().map_or_else(|| "all devices".to_owned(), |device| cut(device));
        let text = format!("{} {}", key.sentence, self.numbers.cite(&key.evidence, CITED_MAX));
        self.prose(
            &[(Tone::Plain, "  configured  "), (Tone::Heading, &device), (Tone::Plain, ": ")],
            14,
            Tone::Plain,
            &text,
        )?;
        self.spell(key.key_arn.as_ref(), spelled)
    }

    fn used(&mut self, key: &UsedKey, spelled: &mut BTreeSet<Text>) -> io::Result<()> {
        let volume = key.volume_id.as_ref().map_or_else(|| "a volume not named".to_owned(), |id| cut(id));
        let (mark, tone) = match (key.outcome, key.is_expected) {
            (VolumeOutcome::Denied | VolumeOutcome::Failed, _) => ("✗", Tone::Bad),
            (VolumeOutcome::Used, Some(true)) => ("✓", Tone::Good),
            (VolumeOutcome::Used, Some(false)) => ("≠", Tone::Warning),
            (VolumeOutcome::Used, None) => ("·", Tone::Plain),
        };
        let label = match key.outcome {
            VolumeOutcome::Used => "used     ",
            VolumeOutcome::Denied | VolumeOutcome::Failed => "refused  ",
        };
        let text = format!("{} {}", key.sentence, self.numbers.cite(&key.evidence, CITED_MAX));
        let lead = [
            (Tone::Plain, "  "),
            (Tone::Plain, label),
            (tone, mark),
            (Tone::Plain, "  "),
            (Tone::Heading, &*volume),
            (Tone::Plain, ": "),
        ];
        self.prose(&lead, 14, Tone::Plain, &text)?;
        self.spell(key.key_arn.as_ref(), spelled)
    }

    /// A key's ARN in full, where it stands for the first time.
    fn spell(&mut self, arn: Option<&Text>, spelled: &mut BTreeSet<Text>) -> io::Result<()> {
        match arn {
            Some(arn) if spelled.insert(arn.clone()) => self.prose(&[], 4, Tone::Faint, arn),
            _ => Ok(()),
        }
    }

    fn nodes_and_refusals(&mut self, explanation: &Explanation) -> io::Result<()> {
        let Some(account) = &explanation.key else { return Ok(()) };
        if !account.node_groups.is_empty() {
            self.heading("NODES")?;
            for group in account.node_groups.iter().take(LINES_SHOWN_MAX) {
                let verdict = verdict_name(group.key_verdict);
                let lead =
                    [(Tone::Plain, "  "), (verdict_tone(group.key_verdict), &*verdict), (Tone::Plain, "  ")];
                self.prose(&lead, 4, Tone::Plain, &key::group_text(group))?;
            }
            self.more(account.node_groups.len().saturating_sub(LINES_SHOWN_MAX), "groups of nodes")?;
        }
        if !account.refusals.is_empty() {
            self.heading("REFUSALS")?;
            for group in account.refusals.iter().take(LINES_SHOWN_MAX) {
                let text = self.names.shorten(&key::refusal_text(group));
                let text = format!("{text} {}", self.numbers.cite(&group.evidence, CITED_MAX));
                self.prose(&[(Tone::Plain, "  "), (Tone::Bad, "✗ ")], 4, Tone::Plain, &text)?;
            }
            self.more(account.refusals.len().saturating_sub(LINES_SHOWN_MAX), "kinds of refusal")?;
        }
        Ok(())
    }

    fn list(&mut self, heading: &str, texts: &[String]) -> io::Result<()> {
        if texts.is_empty() {
            return Ok(());
        }
        self.heading(heading)?;
        for text in texts.iter().take(LINES_SHOWN_MAX) {
            let text = self.names.shorten(text);
            self.prose(&[(Tone::Plain, "  - ")], 4, Tone::Plain, &text)?;
        }
        self.more(texts.len().saturating_sub(LINES_SHOWN_MAX), "of these")
    }

    fn remedies(&mut self, remedies: &[Remedy]) -> io::Result<()> {
        if remedies.is_empty() {
            return Ok(());
        }
        self.heading("FIX")?;
        for (index, remedy) in remedies.iter().take(LINES_SHOWN_MAX).enumerate() {
            if index > 0 {
                self.out.write_all(b"\n")?;
            }
            let summary = format!("{} ({})", self.names.shorten(&remedy.summary), remedy.rules.join(", "));
            self.prose(&[(Tone::Plain, "  - ")], 4, Tone::Heading, &summary)?;
            self.prose(&[(Tone::Faint, "    target: ")], 4, Tone::Plain, &remedy.target)?;
            for document in &remedy.documents {
                self.out.write_all(b"\n")?;
                self.line().gap(4).push(Tone::Faint, &format!("--- {}", document.format)).write(self.out)?;
                // To be copied: never wrapped, never cut.
                for text in document.body.lines() {
                    self.line().gap(4).push(Tone::Plain, text).write(self.out)?;
                }
            }
        }
        self.more(remedies.len().saturating_sub(LINES_SHOWN_MAX), "remedies")
    }

    fn custody(&mut self, custody: &[Exhibit]) -> io::Result<()> {
        if custody.is_empty() {
            return Ok(());
        }
        self.heading("EVIDENCE")?;
        let shown = &custody[..custody.len().min(2 * STEPS_SHOWN_EACH)];
        let directory = common_directory(shown);
        if !directory.is_empty() {
            self.prose(&[(Tone::Faint, "  in ")], 5, Tone::Faint, directory)?;
        }
        let mut object: Option<&Text> = None;
        for exhibit in by_object(shown) {
            if object != Some(&exhibit.origin.object) {
                object = Some(&exhibit.origin.object);
                self.prose(&[], 2, Tone::Plain, &exhibit.origin.object[directory.len()..])?;
            }
            let number = format!("    [{}]", exhibit.number);
            let record = format!("{number:<10}record {:<5} ", exhibit.origin.record);
            let id = exhibit.event_id.to_string();
            self.prose(&[(Tone::Plain, &record)], 10, Tone::Faint, &limited(&id, 80))?;
        }
        self.more(custody.len() - shown.len(), "events")
    }

    fn reading(&mut self, reading: &Reading) -> io::Result<()> {
        self.out.write_all(b"\n")?;
        let tone = if reading.losses > 0 { Tone::Warning } else { Tone::Faint };
        self.prose(&[], 0, tone, &reading.sentence())
    }
}

/// Exhibits in the order of their objects' first numbers, then of their own.
fn by_object(custody: &[Exhibit]) -> Vec<&Exhibit> {
    let mut first: std::collections::BTreeMap<&Text, u32> = std::collections::BTreeMap::new();
    for exhibit in custody {
        first.entry(&exhibit.origin.object).or_insert(exhibit.number);
    }
    let mut sorted: Vec<&Exhibit> = custody.iter().collect();
    sorted.sort_by_key(|exhibit| (first[&exhibit.origin.object], exhibit.number));
    sorted
}

/// The directory that all objects are in, with the slash at its end; empty for none.
pub(super) fn common_directory(custody: &[Exhibit]) -> &str {
    let mut objects = custody.iter().map(|exhibit| &*exhibit.origin.object);
    let Some(first) = objects.next() else { return "" };
    let mut common = first.rfind('/').map_or("", |slash| &first[..=slash]);
    for object in objects {
        while !object.starts_with(common) {
            let shorter = &common[..common.len() - 1];
            common = shorter.rfind('/').map_or("", |slash| &common[..=slash]);
        }
    }
    common
}

/// Which steps are shown: those at both ends and the decisive ones.
fn shown_steps(steps: &[Step]) -> BTreeSet<usize> {
    let mut shown: BTreeSet<usize> = (0..steps.len().min(STEPS_SHOWN_EACH)).collect();
    shown.extend(steps.len().saturating_sub(STEPS_SHOWN_EACH)..steps.len());
    let is_decisive =
        |index: &usize| matches!(steps[*index].mark, Some(Mark::Refused | Mark::Launch | Mark::End));
    shown.extend((0..steps.len()).filter(is_decisive).take(DECISIVE_STEPS_SHOWN_MAX));
    shown
}

/// Who did it, from where and with what, where that was not whoever launches nodes.
pub(super) fn by_hand(step: &Step, launcher: Option<&Text>) -> String {
    let is_change = matches!(step.mark, Some(Mark::Configuration | Mark::End));
    if !is_change || step.actor.as_ref() == launcher || step.user_agent.contains("karpenter.sh") {
        return String::new();
    }
    let mut parts = Vec::new();
    parts.extend(step.session.as_ref().map(|session| format!("as {}", limited(session, 64))));
    let is_known =
        |text: &str| !text.is_empty() && !text.ends_with(".amazonaws.com") && text != "AWS Internal";
    if is_known(&step.source_ip) {
        parts.push(format!("from {}", limited(&step.source_ip, 64)));
    }
    let tool = products(&step.user_agent);
    if is_known(tool) {
        parts.push(format!("with {}", limited(tool, 64)));
    }
    parts.join(" ")
}

/// The products that a user agent begins with, without what SDKs say of themselves and their platform.
fn products(user_agent: &str) -> &str {
    const DETAILS: [&str; 9] = ["ua/", "os/", "md/", "lang/", "api/", "cfg/", "exec-env/", "m/", "("];
    let end = DETAILS
        .iter()
        .filter_map(|detail| {
            user_agent.match_indices(detail).map(|(at, _)| at).find(|at| user_agent[..*at].ends_with(' '))
        })
        .min()
        .unwrap_or(user_agent.len());
    user_agent[..end].trim_end()
}

pub(super) fn verdict_tone(verdict: KeyVerdict) -> Tone {
    match verdict {
        KeyVerdict::Match => Tone::Good,
        KeyVerdict::Mismatch | KeyVerdict::Unencrypted => Tone::Warning,
        KeyVerdict::Denied => Tone::Bad,
        KeyVerdict::NoExpectation | KeyVerdict::Unknown => Tone::Plain,
    }
}

fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical | Severity::High => Tone::Bad,
        Severity::Medium => Tone::Warning,
        Severity::Low | Severity::Info => Tone::Plain,
    }
}
