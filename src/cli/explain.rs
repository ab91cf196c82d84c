//! `keytrail explain`: one node or key, from what it is to the fix.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Outcome;
use super::arguments::{Explain, ExplanationFormat, FilterArguments, KeyArguments, WindowArguments};
use super::manifest;
use super::output::{TOOL, layout, layout_of_messages};
use super::pipeline::{self, Answer};
use super::progress::Bar;
use super::sources::Sources;
use crate::correlate::{Case, KeyVerdict, Node};
use crate::report::{self, Explanation, SubjectError};

pub(super) fn run(arguments: &Explain, is_quiet: bool) -> anyhow::Result<Outcome> {
    manifest::check_standard_input(&arguments.sources, &arguments.keys)?;
    let mut question = pipeline::question(&arguments.window, &arguments.filter, &arguments.keys)?;
    // Who asks for an instance by its id wants it whoever launched it.
    question.filter.all_launches = true;
    let sources = Sources::list(&arguments.sources, &arguments.aws, &question, is_quiet)?;
    let bar = Bar::new(is_quiet);
    let options = pipeline::read_options(&arguments.reading);
    let answer = pipeline::answer(&sources.objects, &options, &question, &bar);
    bar.finish();
    sources.check(&answer.case)?;
    sources.conclude(&answer.case, is_quiet)?;
    let Answer { case, findings } = &answer;
    let subject = match report::find_subject(case, &arguments.subject) {
        Ok(subject) => subject,
        Err(error) => {
            say_not_found(&error, case, arguments)?;
            return Ok(Outcome::NotFound);
        }
    };
    let explanation = report::explain(case, findings, &subject, &arguments.subject);
    write(&explanation, arguments.output).context("writing to standard output")?;
    let is_lossy = !case.coverage.losses.is_empty();
    if is_lossy && !is_quiet {
        let mut err = anstream::AutoStream::auto(io::stderr().lock());
        writeln!(err)?;
        report::write_summary(&mut err, case, &[], layout_of_messages())?;
    }
    if !is_quiet {
        manifest::write_notes(&question.expectations)?;
    }
    Ok(if arguments.reading.strict && is_lossy { Outcome::Inconclusive } else { Outcome::Done })
}

fn write(explanation: &Explanation, format: ExplanationFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        ExplanationFormat::Table => {
            report::write_explanation(&mut anstream::AutoStream::auto(out), explanation, layout())
        }
        ExplanationFormat::Markdown => report::write_explanation_markdown(&mut out, explanation),
        ExplanationFormat::Json => report::write_explanation_json(&mut out, explanation, TOOL),
    }
}

/// Says why there is nothing to explain, and what there is instead.
fn say_not_found(error: &SubjectError, case: &Case, arguments: &Explain) -> io::Result<()> {
    let mut err = anstream::AutoStream::auto(io::stderr().lock());
    let show = |text: &str| report::sanitize(text).into_owned();
    writeln!(err, "error: {}", show(&error.to_string()))?;
    let candidates = error.candidates();
    match (error, candidates.is_empty()) {
        (SubjectError::Unknown { .. }, false) => writeln!(err, "the nearest names:")?,
        (SubjectError::Unknown { .. }, true) => writeln!(
            err,
            "hint: the archive shows {} nodes and {} keys of theirs; `keytrail analyze --all-launches` lists them",
            case.nodes.len(),
            case.keys.len()
        )?,
        (SubjectError::Ambiguous { count, .. }, _) => {
            let shown = if *count > candidates.len() { "the first of them" } else { "name one of them" };
            writeln!(err, "{shown}:")?;
        }
        (SubjectError::Unresolved { .. }, _) => {}
    }
    for candidate in candidates {
        writeln!(err, "  {}  ({})", show(&candidate.name), show(&candidate.description))?;
    }
    if is_narrowed(&arguments.window, &arguments.filter) {
        writeln!(err, "hint: only nodes that the time window and the filters admit were looked at")?;
    }
    Ok(())
}

fn is_narrowed(window: &WindowArguments, filter: &FilterArguments) -> bool {
    window.since.is_some()
        || window.from.is_some()
        || window.to.is_some()
        || [&filter.account, &filter.region, &filter.cluster, &filter.nodepool]
            .into_iter()
            .any(|list| !list.is_empty())
}

/// The command that explains the worst node of a case: refused first, then under a wrong key, then unknown.
pub(super) fn next_command(case: &Case, sources: &[PathBuf], keys: &KeyArguments) -> Option<String> {
    Some(command(&worst_node(case)?.instance_id, sources, keys))
}

/// The command that explains a node as a run over the same sources with the same expectations saw it.
pub(super) fn command(instance_id: &str, sources: &[PathBuf], keys: &KeyArguments) -> String {
    let mut words = vec!["keytrail".to_owned(), "explain".to_owned(), quoted(instance_id)];
    words.extend(sources.iter().map(|source| quoted_path(source)));
    if let Some(key) = &keys.expect_key {
        words.extend(["--expect-key".to_owned(), quoted(key)]);
    }
    for (name, arn) in &keys.alias {
        words.extend(["--alias".to_owned(), quoted(&format!("{name}={arn}"))]);
    }
    for (option, paths) in [("--nodeclass", &keys.nodeclass), ("--terraform", &keys.terraform)] {
        for path in paths {
            words.extend([option.to_owned(), quoted_path(path)]);
        }
    }
    words.join(" ")
}

/// Whether an id has EC2's form: no other goes from a log into a command line.
pub(super) fn is_instance_id(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn worst_node(case: &Case) -> Option<&Node> {
    let rank = |node: &Node| match node.key_verdict {
        KeyVerdict::Denied => Some(0),
        KeyVerdict::Mismatch => Some(1),
        KeyVerdict::Unencrypted => Some(2),
        KeyVerdict::Unknown => Some(3),
        KeyVerdict::Match | KeyVerdict::NoExpectation => None,
    };
    let ranked = case
        .nodes
        .iter()
        .filter(|node| is_instance_id(&node.instance_id))
        .filter_map(|node| Some((rank(node)?, node)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, node)| node)
}

fn quoted_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') && text != "-" { quoted(&format!("./{text}")) } else { quoted(&text) }
}

/// A word of the shell: as it is where nothing in it means anything to the shell, else in single quotes.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{next_command, quoted, quoted_path};
    use crate::cli::arguments::KeyArguments;
    use crate::correlate::{Case, KeyVerdict, Node};

    fn case(verdicts: &[(&str, KeyVerdict)]) -> Case {
        let node = |(id, verdict): &(&str, KeyVerdict)| Node {
            instance_id: (*id).into(),
            key_verdict: *verdict,
            ..Node::default()
        };
        Case { nodes: verdicts.iter().map(node).collect(), ..Case::default() }
    }

    fn next(case: &Case) -> Option<String> {
        next_command(case, &["my logs".into()], &KeyArguments::default())
    }

    #[test]
    fn the_refused_node_comes_before_the_wrong_key_and_the_unknown_one() {
        let all = [
            ("i-0a", KeyVerdict::Match),
            ("i-0b", KeyVerdict::Unknown),
            ("i-0c", KeyVerdict::Mismatch),
            ("i-0d", KeyVerdict::Denied),
            ("i-0e", KeyVerdict::Denied),
        ];
        for (count, id) in [(5, "i-0d"), (3, "i-0c"), (2, "i-0b")] {
            assert_eq!(next(&case(&all[..count])), Some(format!("keytrail explain {id} 'my logs'")));
        }
        assert_eq!(next(&case(&all[..1])), None);
    }

    #[test]
    fn an_instance_id_from_a_log_cannot_bring_a_command() {
        assert_eq!(next(&case(&[("i-0a; reboot", KeyVerdict::Denied)])), None);
        assert_eq!(next(&case(&[("--help", KeyVerdict::Denied)])), None);
    }

    #[test]
    fn keys_that_were_given_are_given_again() {
        let keys = KeyArguments {
            expect_key: Some("alias/ebs".into()),
            alias: vec![("alias/ebs".into(), "11111111-2222-3333-4444-555555555555".into())],
            nodeclass: vec!["default.yaml".into()],
            terraform: vec!["plan.json".into()],
        };
        assert_eq!(
            next_command(&case(&[("i-0d", KeyVerdict::Denied)]), &["logs".into()], &keys).as_deref(),
            Some(
                "keytrail explain i-0d logs --expect-key alias/ebs \
                 --alias alias/ebs=11111111-2222-3333-4444-555555555555 \
                 --nodeclass default.yaml --terraform plan.json"
            )
        );
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("./AWSLogs/111122223333"), "./AWSLogs/111122223333");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted_path("-rf".as_ref()), "./-rf");
        assert_eq!(quoted_path("-".as_ref()), "-");
    }
}
