//! The command line, described: manual pages, shell completions, and the reference in `docs/`.
//!
//! The command as clap knows it comes in, texts go out; nothing is written by hand that the arguments already
//! say. [`with_examples_first`] gives every subcommand the same form of help.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;

use super::Outcome;
use super::arguments::{Completions, Manual};

/// Columns of the help texts in the reference.
#[cfg(test)]
const REFERENCE_COLUMNS: usize = 100;

/// Help as people read it: what it does, how it is called, examples, and only then the options.
const HELP: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";

/// The command and its subcommands, with examples before the options in their help, also where they were
/// given as a paragraph to follow it.
pub(super) fn with_examples_first(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|own| own.get_name().to_owned()).collect();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, rest): (Vec<&str>, Vec<&str>) =
        after.split("\n\n").partition(|part| part.starts_with("Examples:\n"));
    let command = match examples.first() {
        Some(examples) => command.before_help((*examples).to_owned()).after_help(rest.join("\n\n")),
        None => command,
    };
    let command = command.help_template(HELP);
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_examples_first))
}

/// Prints the completions of a shell.
pub(super) fn completions(arguments: &Completions) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "keytrail", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script).and_then(|()| out.flush()).context("writing to standard output")?;
    Ok(Outcome::Done)
}

/// Writes the manual pages into a directory, which is made if it is missing.
pub(super) fn write_pages(arguments: &Manual) -> anyhow::Result<Outcome> {
    let directory = &arguments.directory;
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("{shown}: cannot be made"))?;
    for (name, page) in pages() {
        write_page(directory, &name, &page).with_context(|| format!("{shown}/{name}: cannot be written"))?;
    }
    Ok(Outcome::Done)
}

/// Written beside its place and renamed, as every file: nobody reads half a page.
fn write_page(directory: &Path, name: &str, page: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(page)?;
    super::destination::make_readable(file.as_file());
    file.persist(directory.join(name)).map_err(|error| error.error)?;
    Ok(())
}

/// The manual pages by file name: of the command and of each subcommand.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let subcommands = command.get_subcommands().filter(|own| !own.is_hide_set());
    std::iter::once(&command).chain(subcommands).map(page).collect()
}

fn page(command: &Command) -> (String, Vec<u8>) {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    let mut write = || -> io::Result<()> {
        // Not the generator's title: it leaves the empty date out, and all that follows moves up.
        let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_uppercase();
        writeln!(page, ".TH \"{title}\" 1 \"\" \"keytrail {}\"", env!("CARGO_PKG_VERSION"))?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        for text in [command.get_after_help(), command.get_before_help()].into_iter().flatten() {
            text.to_string().split("\n\n").try_for_each(|part| write_section(&mut page, part))?;
        }
        Ok(())
    };
    write().expect("memory does not fail");
    (man.get_filename(), page)
}

/// A part of a help text as a section: under the heading that it has, or as a note, line by line.
fn write_section(out: &mut Vec<u8>, part: &str) -> io::Result<()> {
    let (heading, lines) = match part.split_once(":\n") {
        Some((heading, lines)) if !heading.contains('\n') => (heading.to_uppercase(), lines),
        _ => ("NOTES".to_owned(), part),
    };
    writeln!(out, ".SH \"{heading}\"\n.nf")?;
    for line in lines.lines() {
        // A full stop or an apostrophe would begin a request, and a hyphen may become a dash.
        let text = line.strip_prefix("  ").unwrap_or(line).replace('\\', "\\e").replace('-', "\\-");
        let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
        writeln!(out, "{guard}{text}")?;
    }
    writeln!(out, ".fi")
}

/// The reference of the command line, as Markdown: every help text.
#[cfg(test)]
fn reference() -> String {
    let mut command = super::command().disable_help_subcommand(true).term_width(REFERENCE_COLUMNS);
    command.build();
    let mut page = String::from(
        "# Command line\n\nWhat `keytrail --help` and the `--help` of each subcommand say. The same is in the \
         [manual pages](man).\n",
    );
    let mut section = |name: &str, command: &mut Command| {
        let help = command.render_long_help().to_string();
        let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.trim_end()));
    };
    section("keytrail", &mut command.clone());
    for subcommand in command.get_subcommands_mut().filter(|own| !own.is_hide_set()) {
        let name = format!("keytrail {}", subcommand.get_name());
        section(&name, subcommand);
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::{pages, reference, with_examples_first, write_section};

    fn docs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
    }

    fn is_update() -> bool {
        std::env::var_os("KEYTRAIL_UPDATE_DOCS").is_some()
    }

    #[test]
    fn the_committed_reference_of_the_command_line_is_current() {
        let path = docs().join("cli.md");
        if is_update() {
            std::fs::write(&path, reference()).expect("docs/ is writable");
        }
        let committed = std::fs::read_to_string(&path).expect("docs/cli.md is committed");
        assert!(
            committed == reference(),
            "docs/cli.md is not current: run the tests with KEYTRAIL_UPDATE_DOCS=1"
        );
    }

    #[test]
    fn the_committed_manual_pages_are_current() {
        let directory = docs().join("man");
        let pages: BTreeMap<String, Vec<u8>> = pages().into_iter().collect();
        if is_update() {
            std::fs::create_dir_all(&directory).expect("docs/ is writable");
            for (name, page) in &pages {
                std::fs::write(directory.join(name), page).expect("docs/ is writable");
            }
        }
        let committed: BTreeMap<String, Vec<u8>> = std::fs::read_dir(&directory)
            .expect("docs/man is committed")
            .map(|entry| {
                let path = entry.expect("can be listed").path();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, std::fs::read(&path).expect("can be read"))
            })
            .collect();
        let names: Vec<&String> = committed.keys().collect();
        assert_eq!(names, pages.keys().collect::<Vec<_>>(), "a page per subcommand, and no other file");
        for (name, page) in &pages {
            assert!(
                committed[name] == *page,
                "docs/man/{name} is not current: run the tests with KEYTRAIL_UPDATE_DOCS=1"
            );
        }
    }

    #[test]
    fn examples_stand_before_the_options_in_help_and_in_their_own_section_of_a_page() {
        let help = reference();
        for section in help.split("\n## ").skip(1) {
            let (examples, options) = (section.find("\nExamples:\n"), section.find("\nOptions:\n"));
            assert!(examples.is_some() && examples < options, "{section}");
        }
        for (name, page) in pages() {
            let page = String::from_utf8(page).expect("UTF-8");
            assert!(page.contains(".SH \"EXAMPLES\"\n.nf\n"), "{name}: {page}");
        }
    }

    #[test]
    fn examples_that_were_to_follow_the_options_come_first_too() {
        let command = clap::Command::new("x").after_help("Exit codes:\n  0  done\n\nExamples:\n  x y");
        let help = with_examples_first(command).render_help().to_string();
        let at = |text: &str| help.find(text).expect(text);
        assert!(at("Examples:\n  x y") < at("Options:") && at("Options:") < at("Exit codes:\n  0  done"));
    }

    #[test]
    fn no_line_of_a_section_is_taken_for_a_request() {
        let mut page = Vec::new();
        write_section(&mut page, "Examples:\n  .hidden\n  'x\n  a\\b --long").expect("memory does not fail");
        assert_eq!(
            String::from_utf8(page).expect("UTF-8"),
            ".SH \"EXAMPLES\"\n.nf\n\\&.hidden\n\\&'x\na\\eb \\-\\-long\n.fi\n"
        );
    }
}
