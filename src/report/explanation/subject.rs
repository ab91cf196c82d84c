//! What a user means by an instance id, a node's name, a volume, a key or an alias.
//!
//! A case and a text come in; the one node or key that the text names goes out, by its whole name or by an
//! unambiguous beginning of it. Anything else is an error with the nearest names: never a guess.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::wording::{moment, verdict_name};
use crate::correlate::{Case, Node, Place, WrittenKey};
use crate::event::{KeyArn, Text, partition_of_region};

/// Fewest characters of an unambiguous beginning.
const PREFIX_CHARACTERS_MIN: usize = 3;
/// How many names an error lists.
const CANDIDATES_MAX: usize = 8;
/// Fewest characters that a name must share with what was asked for.
const SHARED_CHARACTERS_MIN: usize = 4;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject<'a> {
    /// A node.
    Node(&'a Node),
    /// A key, by its ARN.
    Key(Text),
}

/// A name that a subject has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What to ask for.
    pub name: String,
    /// What that is, in a few words.
    pub description: String,
}

/// Why nothing can be explained.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SubjectError {
    /// Nothing has this name.
    #[error("`{given}` is neither a node, a volume of one, nor a key of this archive")]
    Unknown {
        /// What was asked for.
        given: String,
        /// The nearest names, best first.
        nearest: Vec<Candidate>,
    },
    /// Several nodes or keys have this name.
    #[error("`{given}` may be any of {count}")]
    Ambiguous {
        /// What was asked for.
        given: String,
        /// How many.
        count: usize,
        /// The first of them.
        candidates: Vec<Candidate>,
    },
    /// No record says which key an alias points to.
    #[error("no record shows which key `{alias}` points to; say so with --alias {alias}=KEY_ARN")]
    Unresolved {
        /// The alias.
        alias: String,
    },
}

impl SubjectError {
    /// The names to choose from.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        match self {
            Self::Unknown { nearest, .. } => nearest,
            Self::Ambiguous { candidates, .. } => candidates,
            Self::Unresolved { .. } => &[],
        }
    }
}

/// Finds what `given` names: an instance id, node name, NodeClaim, volume id, key ARN, key id, alias or alias
/// ARN.
///
/// # Errors
/// When nothing has that name, or several nodes or keys do.
pub fn find_subject<'a>(case: &'a Case, given: &str) -> Result<Subject<'a>, SubjectError> {
    let names = Names::gather(case);
    // Tables cut ids and end them in an ellipsis: what was copied from one is a beginning.
    let asked = given.trim().trim_end_matches('…');
    let is_cut = asked.len() < given.trim().len();
    let whole = if is_cut { BTreeSet::new() } else { names.targets(|name| name == asked) };
    let found = if whole.is_empty() && asked.chars().count() >= PREFIX_CHARACTERS_MIN {
        names.targets(|name| name.starts_with(asked))
    } else {
        whole
    };
    let mut found = found.into_iter();
    match (found.next(), found.len()) {
        (Some(Target::Node(index)), 0) => Ok(Subject::Node(&case.nodes[index])),
        (Some(Target::Key(arn)), 0) => Ok(Subject::Key(arn)),
        (Some(Target::Unresolved(alias)), 0) => Err(SubjectError::Unresolved { alias: alias.to_string() }),
        (Some(first), more) => Err(SubjectError::Ambiguous {
            given: given.to_owned(),
            count: more + 1,
            candidates: std::iter::once(first)
                .chain(found)
                .take(CANDIDATES_MAX)
                .map(|target| names.candidate(&target, None))
                .collect(),
        }),
        (None, _) => Err(SubjectError::Unknown { given: given.to_owned(), nearest: names.nearest(asked) }),
    }
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// Index of a node.
    Node(usize),
    /// ARN of a key.
    Key(Text),
    /// An alias whose key is not known.
    Unresolved(Text),
}

/// All names of a case.
struct Names<'a> {
    case: &'a Case,
    /// Keys by ARN, with their aliases.
    keys: BTreeMap<Text, BTreeSet<Text>>,
    /// Aliases by name and place, with the key that they point to now, or pointed to last.
    aliases: BTreeMap<(Text, Place), Option<Text>>,
}

impl<'a> Names<'a> {
    fn gather(case: &'a Case) -> Self {
        let mut keys: BTreeMap<Text, BTreeSet<Text>> = BTreeMap::new();
        let mut aliases: BTreeMap<(Text, Place), Option<Text>> = BTreeMap::new();
        for ((place, name), changes) in case.history.aliases() {
            let target = changes.iter().rev().find_map(|change| change.value.clone());
            aliases.insert((name.clone(), place.clone()), target);
        }
        for node in &case.nodes {
            for expected in node.expected_key.iter().chain(node.expected_keys.iter().map(|own| &own.key)) {
                let Some(written) = &expected.written else { continue };
                if let WrittenKey::Alias { name, account_id, region } =
                    WrittenKey::read(written, &node.account_id, &node.region)
                {
                    let target = aliases.entry((name, (account_id, region))).or_default();
                    if target.is_none() {
                        target.clone_from(&expected.key_arn);
                    }
                }
                if let Some(arn) = &expected.key_arn {
                    keys.entry(arn.clone()).or_default();
                }
            }
        }
        for ((name, _), target) in &aliases {
            if let Some(arn) = target {
                keys.entry(arn.clone()).or_default().insert(name.clone());
            }
        }
        let changed = case.history.changed_keys().cloned();
        let used = case.keys.iter().map(|key| key.key_arn.clone());
        for arn in changed.chain(used).filter(|arn| KeyArn::parse(arn).is_some()) {
            keys.entry(arn).or_default();
        }
        Self { case, keys, aliases }
    }

    /// Calls `with` with every name and what it stands for.
    fn each(&self, mut with: impl FnMut(&str, &dyn Fn() -> Target)) {
        for (index, node) in self.case.nodes.iter().enumerate() {
            let target = || Target::Node(index);
            let names = [Some(&node.instance_id), node.node_name.as_ref(), node.nodeclaim.as_ref()];
            let volumes = node.volumes.iter().map(|volume| volume.volume_id.as_ref());
            for name in names.into_iter().chain(volumes).flatten() {
                with(name, &target);
            }
        }
        for arn in self.keys.keys() {
            let target = || Target::Key(arn.clone());
            with(arn, &target);
            if let Some(id) = KeyArn::parse(arn).and_then(|arn| arn.key_id()) {
                with(id, &target);
            }
        }
        for ((name, (account_id, region)), key) in &self.aliases {
            let arn = format!("arn:{}:kms:{region}:{account_id}:{name}", partition_of_region(region));
            let target = || key.clone().map_or_else(|| Target::Unresolved(name.clone()), Target::Key);
            with(name, &target);
            with(&arn, &target);
        }
    }

    fn targets(&self, is_meant: impl Fn(&str) -> bool) -> BTreeSet<Target> {
        let mut targets = BTreeSet::new();
        self.each(|name, target| {
            if is_meant(name) {
                targets.insert(target());
            }
        });
        targets
    }

    /// The names that have most in common with `asked`, the nearest first.
    fn nearest(&self, asked: &str) -> Vec<Candidate> {
        let mut best: BTreeMap<Target, (usize, String)> = BTreeMap::new();
        self.each(|name, target| {
            let score = likeness(name, asked);
            if score == 0 {
                return;
            }
            let target = target();
            if best.get(&target).is_none_or(|(other, _)| *other < score) {
                best.insert(target, (score, name.to_owned()));
            }
            if best.len() > CANDIDATES_MAX {
                let worst =
                    best.iter().min_by_key(|(_, (score, _))| *score).map(|(target, _)| target.clone());
                worst.and_then(|worst| best.remove(&worst));
            }
        });
        let mut best: Vec<_> = best.into_iter().collect();
        best.sort_by_key(|(_, (score, _))| std::cmp::Reverse(*score));
        best.into_iter().map(|(target, (_, name))| self.candidate(&target, Some(&name))).collect()
    }

    /// How to name a target, with the name by which it was found.
    fn candidate(&self, target: &Target, found_by: Option<&str>) -> Candidate {
        match target {
            Target::Node(index) => {
                let node = &self.case.nodes[*index];
                let mut parts = match &node.nodepool {
                    Some(nodepool) => vec![format!("node of nodepool {nodepool}")],
                    None => vec!["node".to_owned()],
                };
                parts.extend(node.launched_at.map(|at| format!("launched {}", moment(at))));
                parts.push(verdict_name(node.key_verdict));
                parts.extend(found_by.filter(|name| **name != *node.instance_id).map(ToOwned::to_owned));
                Candidate { name: node.instance_id.to_string(), description: parts.join(", ") }
            }
            Target::Key(arn) => {
                let aliases = self.keys.get(arn).into_iter().flatten();
                let aliases: Vec<&str> = aliases.take(CANDIDATES_MAX).map(|name| &**name).collect();
                let description = if aliases.is_empty() { "key".to_owned() } else { aliases.join(", ") };
                Candidate { name: arn.to_string(), description }
            }
            Target::Unresolved(alias) => Candidate {
                name: alias.to_string(),
                description: "alias; no record shows its key".to_owned(),
            },
        }
    }
}

/// How much of `asked` is in `name`: all of it, or a beginning and an end that make up most of both. Nought
/// for names that have nothing to do with it.
fn likeness(name: &str, asked: &str) -> usize {
    let (length, asked_length) = (name.chars().count(), asked.chars().count());
    if asked_length >= SHARED_CHARACTERS_MIN && name.contains(asked) {
        return 2 * asked_length;
    }
    let beginning = name.chars().zip(asked.chars()).take_while(|(one, two)| one == two).count();
    let end = name.chars().rev().zip(asked.chars().rev()).take_while(|(one, two)| one == two).count();
    // `i-`, `vol-` and `alias/` are common to all of their kind.
    let kind = name.find(['-', '/']).map_or(0, |at| at + 1);
    let shared = beginning + end.min(length.min(asked_length) - beginning);
    let is_near = beginning >= kind + SHARED_CHARACTERS_MIN || shared * 3 > length.max(asked_length) * 2;
    if is_near { shared } else { 0 }
}
