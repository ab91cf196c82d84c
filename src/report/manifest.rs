//! What the user's manifests said, and which nodes they say nothing about.
//!
//! Expectations and a case come in, a few lines go out, however large both are. What is quoted from a manifest
//! is made safe like everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::abbreviate::limited;
use super::style::{Line, Style, Tone};
use super::table::write_more;
use crate::correlate::{Case, Expectations, Node, Provisioner};
use crate::event::Text;
use crate::manifest::{Manifest, NoteKind};

/// Notes that are shown before the rest is counted.
const NOTES_SHOWN_MAX: usize = 10;
/// Names that a line lists before the rest is counted.
const NAMES_SHOWN_MAX: usize = 5;
/// Longest text of a manifest in a line, in characters.
const TEXT_CHARACTERS_MAX: usize = 240;

/// Writes what was understood of the manifests, what needs saying, and which nodes they do not reach. Writes
/// nothing where no manifest was given.
///
/// # Errors
/// When `out` fails.
pub fn write_manifest_summary(
    out: &mut dyn Write,
    expectations: &Expectations,
    case: &Case,
    style: Style,
) -> io::Result<()> {
    let manifest = &expectations.manifest;
    if *manifest == Manifest::default() {
        return Ok(());
    }
    let mut parts = Vec::new();
    let names: Vec<&str> = manifest.node_classes.iter().map(|class| &*class.name).collect();
    parts.push(match names.len() {
        0 => "no node class".to_owned(),
        1 => format!("1 node class ({})", names[0]),
        count => format!("{count} node classes ({})", listed(&names)),
    });
    for (count, one, several) in [
        (manifest.node_pools.len(), "node pool", "node pools"),
        (manifest.launch_templates.len(), "launch template", "launch templates"),
        (manifest.aliases.len(), "alias", "aliases"),
    ] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            _ => parts.push(format!("{count} {several}")),
        }
    }
    match manifest.notes.iter().filter(|note| note.kind == NoteKind::Ignored).count() {
        0 => {}
        1 => parts.push("1 file with other things".to_owned()),
        count => parts.push(format!("{count} files with other things")),
    }
    Line::new(style)
        .push(Tone::Plain, "manifests: ")
        .push(Tone::Plain, &limited(&parts.join(", "), TEXT_CHARACTERS_MAX))
        .write(out)?;
    write_manifest_notes(out, manifest, style)?;
    for advice in advice(expectations, case) {
        Line::new(style)
            .push(Tone::Warning, "check: ")
            .push(Tone::Plain, &limited(&advice, TEXT_CHARACTERS_MAX))
            .write(out)?;
    }
    Ok(())
}

/// Writes what needs saying of the manifests: placeholders, settings that have no effect.
///
/// # Errors
/// When `out` fails.
pub fn write_manifest_notes(out: &mut dyn Write, manifest: &Manifest, style: Style) -> io::Result<()> {
    let notes: Vec<_> = manifest.notes.iter().filter(|note| note.kind != NoteKind::Ignored).collect();
    for note in notes.iter().take(NOTES_SHOWN_MAX) {
        let text = format!("{}: {}", note.position, note.message);
        Line::new(style)
            .push(Tone::Warning, "note:  ")
            .push(Tone::Plain, &limited(&text, TEXT_CHARACTERS_MAX))
            .write(out)?;
    }
    write_more(out, notes.len().saturating_sub(NOTES_SHOWN_MAX), "notes on manifests", style)
}

fn advice(expectations: &Expectations, case: &Case) -> Vec<String> {
    if expectations.manifest.node_classes.is_empty() {
        return Vec::new();
    }
    let mut unmatched: BTreeMap<&str, u64> = BTreeMap::new();
    let mut clusters: BTreeMap<&str, BTreeSet<&Text>> = BTreeMap::new();
    let mut unmatched_nodes = 0u64;
    let nodes = case
        .nodes
        .iter()
        .filter(|node| matches!(node.provisioner, Provisioner::Karpenter | Provisioner::EksAutoMode));
    for node in nodes {
        match expectations.node_class_of(node) {
            Some(class) => clusters.entry(&class.name).or_default().extend(&node.cluster),
            None => {
                *unmatched.entry(class_of(node)).or_default() += 1;
                unmatched_nodes += 1;
            }
        }
    }
    let mut advice = Vec::new();
    if unmatched_nodes > 0 {
        let names: Vec<String> = unmatched.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        advice.push(format!(
            "{unmatched_nodes} {} of node classes that no manifest holds: {}",
            if unmatched_nodes == 1 { "node is" } else { "nodes are" },
            listed(&names)
        ));
    }
    let changed = case.nodes.iter().filter(|node| !node.template_keys.is_empty()).count();
    if changed > 0 {
        advice.push(format!(
            "{changed} {} launched when another key was configured than the node class names now; `keytrail explain` \
             shows both",
            if changed == 1 { "node was" } else { "nodes were" }
        ));
    }
    for (name, clusters) in clusters.into_iter().filter(|(_, clusters)| clusters.len() > 1) {
        let clusters: Vec<&str> = clusters.into_iter().map(|cluster| &**cluster).collect();
        advice.push(format!(
            "node class {name} is taken for that of {} clusters: {}; --cluster chooses one",
            clusters.len(),
            listed(&clusters)
        ));
    }
    advice
}

/// The node class's name as far as the node's tags tell.
fn class_of(node: &Node) -> &str {
    node.nodeclass.as_deref().or(node.nodepool.as_deref()).unwrap_or("(not logged)")
}

fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMES_SHOWN_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::{write_manifest_notes, write_manifest_summary};
    use crate::correlate::{Expectations, Provisioner};
    use crate::manifest::parse_yaml;
    use crate::report::{Style, incident, is_hazardous};

    fn expectations(yaml: &str) -> Expectations {
        let manifest = parse_yaml("nodes.yaml", yaml).expect("a manifest");
        Expectations { manifest, ..Expectations::default() }
    }

    fn class(name: &str) -> String {
        format!("apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {{name: {name}}}\n---\n")
    }

    fn summary(expectations: &Expectations) -> String {
        let mut case = incident::case();
        for (index, node) in case.nodes.iter_mut().enumerate() {
            node.provisioner = Provisioner::Karpenter;
            node.nodeclass = Some(if index == 0 { "gpu".into() } else { "default".into() });
            node.cluster = Some(if index == 1 { "one".into() } else { "two".into() });
        }
        let mut bytes = Vec::new();
        write_manifest_summary(&mut bytes, expectations, &case, Style::plain())
            .expect("memory does not fail");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn says_what_was_understood_and_which_nodes_it_does_not_reach() {
        assert_eq!(summary(&Expectations::default()), "");
        let both = summary(&expectations(&format!("{}{}", class("default"), class("gpu"))));
        assert!(both.starts_with("manifests: 2 node classes (default, gpu)\n"), "{both}");
        assert!(!both.contains("no manifest holds"), "{both}");
        assert!(
            both.contains("check: node class default is taken for that of 2 clusters: one, two;"),
            "{both}"
        );
        let one = summary(&expectations(&class("default")));
        assert!(one.contains("check: 1 node is of node classes that no manifest holds: gpu (1)\n"), "{one}");
    }

    #[test]
    fn many_notes_are_counted_and_none_of_them_steers_the_terminal() {
        let mut yaml = String::from(
            "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {name: \"a\\e]0;owned\\a\"}\nspec:\n  \
             blockDeviceMappings:\n",
        );
        for _ in 0..500 {
            yaml.push_str(
                "  - {deviceName: \"/dev/\\e[31m\", ebs: {encrypted: true, kmsKeyID: \"${\\u202e}\"}}\n",
            );
        }
        let expectations = expectations(&yaml);
        let mut bytes = Vec::new();
        write_manifest_notes(&mut bytes, &expectations.manifest, Style::plain())
            .expect("memory does not fail");
        let text = String::from_utf8(bytes).expect("UTF-8") + &summary(&expectations);
        assert_eq!(text.replace('\n', "").find(is_hazardous), None);
        assert!(text.contains("and 490 more notes on manifests\n"), "{text}");
        assert!(text.lines().count() < 30, "{text}");
    }
}
