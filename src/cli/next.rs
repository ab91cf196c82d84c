//! The command line that comes next after `analyze` or `verify`: the explanation of its worst node.
//!
//! A case and the arguments come in, one line to be copied goes out. It reaches the same records in the same way, or those
//! that were saved; nothing of a log goes into it but an instance id.

use std::path::{Path, PathBuf};

use super::arguments::{FilterArguments, KeyArguments, WindowArguments};
use super::sources::{self, AwsArguments};
use crate::correlate::{Case, KeyVerdict, Node};
use crate::rules::{Severity, Subject, SubjectKind};

/// How a run came to its records and what it expected of them.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) sources: &'a [PathBuf],
    pub(super) window: &'a WindowArguments,
    pub(super) filter: &'a FilterArguments,
    pub(super) keys: &'a KeyArguments,
    pub(super) aws: &'a AwsArguments,
}

/// The command that explains the worst node of a case: refused first, then under a wrong key, then with a finding of at least
/// medium severity, then unknown.
pub(super) fn command<'a>(
    case: &Case,
    concerns: impl Iterator<Item = (Severity, &'a Subject)>,
    run: Run<'_>,
) -> Option<String> {
    Some(explain(&worst_node(case, concerns)?.instance_id, run))
}

/// The command that explains an instance as the run saw it.
pub(super) fn explain(instance_id: &str, run: Run<'_>) -> String {
    let Run { window, filter, keys, aws, .. } = run;
    let sources = source_words(run.sources, aws);
    let mut words = vec!["keytrail".to_owned(), "explain".to_owned(), quoted(instance_id)];
    words.extend(sources.iter().map(|source| if source == "-" { "FILE".to_owned() } else { source.clone() }));
    words.extend(key_words(keys));
    let mut command = words.join(" ");
    // What was saved is on disk: AWS is not asked again.
    if aws.save_to.is_none() {
        command += &sources::narrowing(run.sources, window, filter, aws);
        if run.sources.iter().any(|source| source.to_string_lossy().starts_with("lookup:")) {
            command += "  # with --save-to DIR, the history is kept, and DIR is the source here";
        }
    }
    // Standard input is over: nothing would come, and the command would wait for it.
    let is_manifest_over = keys.nodeclass.iter().any(|path| path == Path::new("-"));
    if sources.iter().any(|source| source == "-") {
        command += "  # FILE: standard input, saved";
    } else if is_manifest_over {
        command += "  # MANIFEST: standard input, saved";
    }
    command
}

/// The sources as words; what was saved stands for all that is in AWS.
fn source_words(sources: &[PathBuf], aws: &AwsArguments) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for source in sources {
        let word = match &aws.save_to {
            Some(directory) if sources::is_in_aws(source) => quoted_path(directory),
            _ => quoted_path(source),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

fn key_words(keys: &KeyArguments) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(key) = &keys.expect_key {
        words.extend(["--expect-key".to_owned(), quoted(key)]);
    }
    for (name, arn) in &keys.alias {
        words.extend(["--alias".to_owned(), quoted(&format!("{name}={arn}"))]);
    }
    for (option, paths) in [("--nodeclass", &keys.nodeclass), ("--terraform", &keys.terraform)] {
        for path in paths {
            let word = if path == Path::new("-") { "MANIFEST".to_owned() } else { quoted_path(path) };
            words.extend([option.to_owned(), word]);
        }
    }
    words
}

/// Whether an id has EC2's form: no other goes from a log into a command line.
pub(super) fn is_instance_id(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn worst_node<'a, 'c>(
    case: &'a Case,
    concerns: impl Iterator<Item = (Severity, &'c Subject)>,
) -> Option<&'a Node> {
    let rank = |node: &Node| match node.key_verdict {
        KeyVerdict::Denied => Some(0),
        KeyVerdict::Mismatch => Some(1),
        KeyVerdict::Unencrypted => Some(2),
        KeyVerdict::Unknown => Some(3),
        KeyVerdict::Match | KeyVerdict::NoExpectation => None,
    };
    // Only an id of EC2's form goes into a command line.
    let is_plain = |node: &&Node| is_instance_id(&node.instance_id);
    let ranked = case.nodes.iter().filter(is_plain).filter_map(|node| Some((rank(node)?, node)));
    let worst = ranked.min_by_key(|(rank, _)| *rank);
    if let Some((0..3, node)) = worst {
        return Some(node);
    }
    // They come with the worst first.
    let concerned = concerns
        .filter(|(severity, subject)| *severity >= Severity::Medium && subject.kind == SubjectKind::Node);
    let mut concerned = concerned.filter_map(|(_, subject)| {
        case.nodes.iter().filter(is_plain).find(|node| node.instance_id == subject.id)
    });
    concerned.next().or(worst.map(|(_, node)| node))
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
    use clap::Parser as _;

    use super::{Run, command, quoted, quoted_path};
    use crate::cli::arguments::{Analyze, Arguments, Command};
    use crate::correlate::{Case, KeyVerdict, Node};
    use crate::rules::{Severity, Subject, SubjectKind};

    fn case(verdicts: &[(&str, KeyVerdict)]) -> Case {
        let node = |(id, verdict): &(&str, KeyVerdict)| Node {
            instance_id: (*id).into(),
            key_verdict: *verdict,
            ..Node::default()
        };
        Case { nodes: verdicts.iter().map(node).collect(), ..Case::default() }
    }

    fn subject(id: &str) -> Subject {
        Subject { kind: SubjectKind::Node, id: id.into() }
    }

    fn analyze(line: &str) -> Analyze {
        let words = ["keytrail", "analyze"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words).expect("arguments").command {
            Command::Analyze(analyze) => *analyze,
            other => panic!("{other:?}"),
        }
    }

    fn run(analyze: &Analyze) -> Run<'_> {
        let Analyze { sources, window, filter, keys, aws, .. } = analyze;
        Run { sources, window, filter, keys, aws }
    }

    fn next(case: &Case, line: &str) -> Option<String> {
        command(case, std::iter::empty(), run(&analyze(line)))
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
            assert_eq!(next(&case(&all[..count]), "logs"), Some(format!("keytrail explain {id} logs")));
        }
        assert_eq!(next(&case(&all[..1]), "logs"), None);
    }

    #[test]
    fn a_node_under_the_right_key_is_explained_for_its_finding() {
        let case =
            case(&[("i-0a", KeyVerdict::Match), ("i-0b", KeyVerdict::Match), ("i-0c", KeyVerdict::Unknown)]);
        let of = |severity| {
            command(&case, [(severity, &subject("i-0b"))].into_iter(), run(&analyze("logs")))
                .expect("a command")
        };
        assert_eq!(of(Severity::Medium), "keytrail explain i-0b logs");
        assert_eq!(of(Severity::Low), "keytrail explain i-0c logs");
    }

    #[test]
    fn an_instance_id_from_a_log_cannot_bring_a_command() {
        assert_eq!(next(&case(&[("i-0a; reboot", KeyVerdict::Denied)]), "logs"), None);
        assert_eq!(next(&case(&[("--help", KeyVerdict::Denied)]), "logs"), None);
        let case = case(&[("i-0a; reboot", KeyVerdict::Match)]);
        assert_eq!(
            command(&case, [(Severity::High, &subject("i-0a; reboot"))].into_iter(), run(&analyze("logs"))),
            None
        );
    }

    #[test]
    fn keys_that_were_given_are_given_again() {
        let options = "--expect-key alias/ebs --alias alias/ebs=11111111-2222-3333-4444-555555555555 \
                       --nodeclass default.yaml --terraform plan.json";
        assert_eq!(
            next(&case(&[("i-0d", KeyVerdict::Denied)]), &format!("logs {options}")),
            Some(format!("keytrail explain i-0d logs {options}"))
        );
    }

    #[test]
    fn standard_input_is_not_waited_for() {
        let case = case(&[("i-0d", KeyVerdict::Denied)]);
        assert_eq!(
            next(&case, "-").as_deref(),
            Some("keytrail explain i-0d FILE  # FILE: standard input, saved")
        );
        let with_manifest = next(&case, "logs --nodeclass -").expect("a command");
        assert!(with_manifest.starts_with("keytrail explain i-0d logs --nodeclass MANIFEST  # "));
    }

    #[test]
    fn what_was_saved_is_the_source() {
        let case = case(&[("i-0d", KeyVerdict::Denied)]);
        assert_eq!(
            next(&case, "lookup: s3://logs more --since 2h --profile audit --save-to copy").as_deref(),
            Some("keytrail explain i-0d copy more")
        );
    }

    #[test]
    fn what_is_in_aws_is_reached_as_before() {
        let case = case(&[("i-0d", KeyVerdict::Denied)]);
        let options = "--since 2h --profile audit --lookback 259200s --lookup-rate 0.5";
        assert_eq!(
            next(&case, &format!("s3://logs {options}")),
            Some(format!("keytrail explain i-0d s3://logs {options}"))
        );
        let looked_up = next(&case, "lookup: --since 2h").expect("a command");
        assert!(looked_up.starts_with("keytrail explain i-0d lookup: --since 2h  # with --save-to DIR"));
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
