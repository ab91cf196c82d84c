//! In which form results go where: standard output, and the files of `--export`.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};

use super::arguments::{Format, OutputArguments};
use super::destination;
use super::pipeline::Answer;
use crate::report::{self, Layout, Style, Table, Tool};
use crate::rules::incidents;

/// Name and version, as outputs carry them.
pub(super) const TOOL: Tool<'static> = Tool { name: "keytrail", version: env!("CARGO_PKG_VERSION") };

#[cfg(not(feature = "parquet"))]
const WITHOUT_PARQUET: &str = "this keytrail was built without Parquet";

/// `--export FORMAT=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Export {
    format: ExportFormat,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExportFormat {
    Json,
    JsonLines,
    Csv,
    Html,
    #[cfg(feature = "parquet")]
    Parquet,
    Markdown,
    Timesketch,
    Ocsf,
}

impl ExportFormat {
    /// The extension of a file with one table; a path without it is a directory for all tables.
    fn extension(self) -> Option<&'static str> {
        match self {
            Self::Json | Self::JsonLines | Self::Html | Self::Markdown | Self::Timesketch | Self::Ocsf => {
                None
            }
            Self::Csv => Some("csv"),
            #[cfg(feature = "parquet")]
            Self::Parquet => Some("parquet"),
        }
    }
}

impl FromStr for Export {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = text.split_once('=').ok_or("expected FORMAT=PATH, such as json=case.json")?;
        if path.is_empty() {
            return Err("the path is empty".to_owned());
        }
        let format = match format {
            "json" => ExportFormat::Json,
            "jsonl" => ExportFormat::JsonLines,
            "csv" => ExportFormat::Csv,
            "html" => ExportFormat::Html,
            #[cfg(feature = "parquet")]
            "parquet" => ExportFormat::Parquet,
            #[cfg(not(feature = "parquet"))]
            "parquet" => return Err(WITHOUT_PARQUET.to_owned()),
            "markdown" => ExportFormat::Markdown,
            "timesketch" if !path.ends_with(".jsonl") => {
                return Err("Timesketch imports files named FILE.jsonl only".to_owned());
            }
            "timesketch" => ExportFormat::Timesketch,
            "ocsf" => ExportFormat::Ocsf,
            other => {
                return Err(format!(
                    "`{other}` is no export format: json, jsonl, csv, parquet, html, markdown, timesketch or ocsf"
                ));
            }
        };
        Ok(Self { format, path: path.into() })
    }
}

/// A file to be written.
struct Target {
    path: PathBuf,
    table: Table,
    format: ExportFormat,
}

impl Export {
    fn targets(&self, table: Table) -> Vec<Target> {
        let single = |path: &Path, table| Target { path: path.to_owned(), table, format: self.format };
        match self.format.extension() {
            Some(extension) if self.path.extension().is_none_or(|given| given != extension) => Table::ALL
                .into_iter()
                .map(|table| single(&self.path.join(format!("{table}.{extension}")), table))
                .collect(),
            _ => vec![single(&self.path, table)],
        }
    }
}

/// Says early, before hours of reading, that an export cannot be written.
pub(super) fn check(arguments: &OutputArguments) -> anyhow::Result<()> {
    for target in arguments.export.iter().flat_map(|export| export.targets(Table::Nodes)) {
        let path = target.path.display();
        destination::check(&target.path, arguments.force)?;
        // Missing directories will be made; what is there must be one.
        if let Some(file) = target.path.ancestors().skip(1).find(|above| above.exists() && !above.is_dir()) {
            bail!("{path}: cannot be made, because {} is no directory; name another place", file.display());
        }
    }
    if arguments.output == Format::Html && io::stdout().is_terminal() {
        bail!("HTML is for browsers: redirect standard output, or use --export html=FILE.html");
    }
    if arguments.output == Format::Parquet {
        #[cfg(not(feature = "parquet"))]
        bail!(WITHOUT_PARQUET);
        #[cfg(feature = "parquet")]
        if io::stdout().is_terminal() {
            bail!(
                "Parquet is not for terminals: redirect standard output, or use --export parquet=FILE.parquet"
            );
        }
    }
    if let Some(table) = arguments.table
        && !arguments.chooses_table()
    {
        bail!(
            "--table {table} is for -o csv, -o parquet and the export of one such table \
             (--export csv={table}.csv): nothing that was asked for has tables to choose from"
        );
    }
    Ok(())
}

impl OutputArguments {
    /// Whether anything is written of the findings.
    pub(super) fn shows_findings(&self) -> bool {
        self.output != Format::None || !self.export.is_empty()
    }

    /// Whether any output is one flat table.
    fn chooses_table(&self) -> bool {
        matches!(self.output, Format::Csv | Format::Parquet)
            || self
                .export
                .iter()
                .any(|export| export.format.extension().is_some() && export.targets(Table::Nodes).len() == 1)
    }
}

/// Writes the answer to standard output and to the exports.
pub(super) fn write(answer: &Answer, arguments: &OutputArguments) -> anyhow::Result<()> {
    let table = arguments.table.unwrap_or(Table::Nodes);
    for target in arguments.export.iter().flat_map(|export| export.targets(table)) {
        write_file(answer, &target, arguments.force)?;
    }
    write_result(answer, arguments.output, table).context("writing to standard output")
}

fn write_result(answer: &Answer, format: Format, table: Table) -> io::Result<()> {
    let Answer { case, findings, .. } = answer;
    if matches!(format, Format::Table | Format::Wide) {
        let mut out = anstream::AutoStream::auto(io::stdout().lock());
        report::write_incidents(&mut out, &incidents(case, findings), findings, layout())?;
        return match format {
            Format::Table => {
                report::write_sparklines(&mut out, case, layout())?;
                report::write_table(&mut out, case, layout())
            }
            _ => report::write_wide_table(&mut out, case, findings, layout().style),
        };
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match format {
        Format::None | Format::Table | Format::Wide => {}
        Format::Json => report::write_json(&mut out, case, findings, TOOL)?,
        Format::Jsonl => report::write_json_lines(&mut out, case, findings)?,
        Format::Csv => report::write_csv(&mut out, case, findings, table)?,
        Format::Html => report::write_html(&mut out, case, findings, TOOL)?,
        #[cfg(feature = "parquet")]
        Format::Parquet => report::write_parquet(&mut out, case, findings, table, TOOL)?,
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(io::Error::other(WITHOUT_PARQUET)),
        Format::Markdown => report::write_markdown(&mut out, case, findings, TOOL)?,
        Format::Timesketch => report::write_timesketch(&mut out, case, findings)?,
        Format::Ocsf => report::write_ocsf(&mut out, case, findings, TOOL)?,
    }
    out.flush()
}

/// The screen that standard output is; 80 columns wide where nobody says.
pub(super) fn layout() -> Layout {
    layout_of(io::stdout().is_terminal())
}

/// The screen that standard error is.
pub(super) fn layout_of_messages() -> Layout {
    layout_of(io::stderr().is_terminal())
}

fn layout_of(is_terminal: bool) -> Layout {
    // A file or a pipe: whole texts serve better than a guess at a width.
    let columns = is_terminal
        .then(|| terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0).max(40)));
    Layout { columns, style: Style::coloured() }
}

fn write_file(answer: &Answer, target: &Target, force: bool) -> anyhow::Result<()> {
    let Answer { case, findings, .. } = answer;
    destination::put_in_place(&target.path, force, |out| match target.format {
        ExportFormat::Json => report::write_json(out, case, findings, TOOL),
        ExportFormat::JsonLines => report::write_json_lines(out, case, findings),
        ExportFormat::Csv => report::write_csv(out, case, findings, target.table),
        ExportFormat::Html => report::write_html(out, case, findings, TOOL),
        ExportFormat::Markdown => report::write_markdown(out, case, findings, TOOL),
        ExportFormat::Timesketch => report::write_timesketch(out, case, findings),
        ExportFormat::Ocsf => report::write_ocsf(out, case, findings, TOOL),
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => report::write_parquet(out, case, findings, target.table, TOOL),
    })
}

#[cfg(test)]
mod tests {
    use super::Export;
    use crate::report::Table;

    #[test]
    fn tables_go_to_one_file_or_all_of_them_to_a_directory() {
        let paths = |text: &str| -> Vec<String> {
            let export: Export = text.parse().expect("an export");
            export.targets(Table::Volumes).iter().map(|target| target.path.display().to_string()).collect()
        };
        assert_eq!(paths("csv=out.csv"), ["out.csv"]);
        assert_eq!(
            paths("csv=out"),
            ["out/nodes.csv", "out/volumes.csv", "out/timeline.csv", "out/findings.csv"]
        );
        assert_eq!(paths("json=case"), ["case"]);
        for text in ["json", "json=", "xml=a.xml"] {
            assert!(text.parse::<Export>().is_err(), "{text}");
        }
    }
}
