//! `--nodeclass` and `--terraform`: from files to a manifest, and what is said about it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use walkdir::WalkDir;

use super::arguments::KeyArguments;
use crate::correlate::{Case, Expectations};
use crate::manifest::{
    MANIFEST_BYTES_MAX, Manifest, ManifestError, Note, NoteKind, Position, parse_terraform, parse_yaml,
};
use crate::report::{self, Style};

/// Reads all manifests that the arguments name.
pub(super) fn read(arguments: &KeyArguments) -> anyhow::Result<Manifest> {
    let mut manifest = Manifest::default();
    for path in &arguments.nodeclass {
        read_node_classes(&mut manifest, path)?;
    }
    if !arguments.nodeclass.is_empty() && manifest.node_classes.is_empty() {
        bail!(
            "--nodeclass: no node class in {}: expected an EC2NodeClass, an AWSNodeTemplate or a NodeClass of EKS \
             Auto Mode",
            names(&arguments.nodeclass)
        );
    }
    let mut terraform = Manifest::default();
    for path in &arguments.terraform {
        terraform.merge(parse_terraform(&shown(path), &text_of(path)?)?)?;
    }
    let is_silent = terraform.node_classes.is_empty()
        && terraform.launch_templates.is_empty()
        && terraform.aliases.is_empty()
        && terraform.notes.iter().all(|note| note.kind != NoteKind::Unresolved);
    if !arguments.terraform.is_empty() && is_silent {
        bail!(
            "--terraform: neither a node class nor an alias nor a launch template in {}",
            names(&arguments.terraform)
        );
    }
    manifest.merge(terraform)?;
    Ok(manifest)
}

/// Standard input can be read once.
pub(super) fn check_standard_input<S: AsRef<OsStr>>(
    sources: &[S],
    arguments: &KeyArguments,
) -> anyhow::Result<()> {
    let manifests = arguments.nodeclass.iter().chain(&arguments.terraform).map(|path| path.as_os_str());
    let count = sources.iter().map(AsRef::as_ref).chain(manifests).filter(|name| *name == "-").count();
    if count > 1 {
        bail!("`-` is standard input, and can stand for one source or one manifest only");
    }
    Ok(())
}

/// Says what was understood, what was not, and which nodes no manifest speaks of.
pub(super) fn write_summary(expectations: &Expectations, case: &Case) -> io::Result<()> {
    let mut err = anstream::AutoStream::auto(io::stderr().lock());
    report::write_manifest_summary(&mut err, expectations, case, Style::coloured())
}

/// Says what was not understood.
pub(super) fn write_notes(expectations: &Expectations) -> io::Result<()> {
    let mut err = anstream::AutoStream::auto(io::stderr().lock());
    report::write_manifest_notes(&mut err, &expectations.manifest, Style::coloured())
}

fn read_node_classes(manifest: &mut Manifest, path: &Path) -> anyhow::Result<()> {
    if !path.is_dir() {
        manifest.merge(parse_yaml(&shown(path), &text_of(path)?)?)?;
        return Ok(());
    }
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".") && name != "." && name != "..";
    let entries = WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        let entry = entry.with_context(|| format!("listing {}", shown(path)))?;
        let extension = entry.path().extension().and_then(OsStr::to_str).unwrap_or_default();
        if !entry.file_type().is_file() || !matches!(extension, "yaml" | "yml") {
            continue;
        }
        let (file, text) = (shown(entry.path()), text_of(entry.path())?);
        match parse_yaml(&file, &text) {
            Ok(found) => manifest.merge(found)?,
            // A directory holds other things too: what does not speak of node classes need not be readable.
            Err(ManifestError::Malformed { position, message }) if !speaks_of_node_classes(&text) => {
                manifest.notes.push(ignored(position, &message));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn ignored(position: Position, message: &str) -> Note {
    Note {
        kind: NoteKind::Ignored,
        position,
        message: format!("left alone, for it cannot be read: {message}"),
    }
}

fn speaks_of_node_classes(text: &str) -> bool {
    ["karpenter.k8s.aws", "karpenter.sh", "eks.amazonaws.com"].iter().any(|group| text.contains(group))
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let limit = MANIFEST_BYTES_MAX as u64 + 1;
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("reading {}", shown(path)))?;
    String::from_utf8(bytes).with_context(|| format!("reading {}", shown(path)))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")
}
