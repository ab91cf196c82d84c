//! Results for programs: the formats, and files that appear whole or not at all.

use super::keytrail::{Keytrail, keytrail};

const SAMPLE: &str = "sample-logs/07-policy-overwritten-by-terraform";

fn analyze(options: &str) -> Keytrail {
    keytrail(&format!("analyze {SAMPLE} {options}"))
}

fn rows(csv: &str) -> Vec<Vec<String>> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(csv.as_bytes())
        .records()
        .map(|row| row.expect("every row has the header's length").iter().map(str::to_owned).collect())
        .collect()
}

#[test]
fn an_export_is_what_standard_output_would_be() {
    let run = analyze("-o json --export json=case.json --export jsonl=a/case.jsonl --export csv=nodes.csv")
        .directory("a")
        .succeed();
    assert_eq!(run.text("case.json"), run.stdout);
    assert_eq!(run.text("a/case.jsonl"), analyze("-o jsonl").succeed().stdout);
    assert_eq!(run.text("nodes.csv"), analyze("-o csv").succeed().stdout);
    assert_eq!(run.names(), ["a", "case.json", "nodes.csv"], "no temporary file is left");
}

#[test]
fn json_lines_are_the_nodes_of_the_document() {
    let document = analyze("-o json").succeed().json();
    let lines = analyze("-o jsonl").succeed().stdout;
    let nodes: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(document["nodes"], serde_json::Value::Array(nodes));
}

#[test]
fn csv_has_a_row_per_node_and_other_tables_on_demand() {
    let nodes = rows(&analyze("-o csv").succeed().stdout);
    assert_eq!(nodes[0][0], "instance_id");
    assert_eq!(nodes.len(), 7);
    let findings = rows(&analyze("-o csv --table findings").succeed().stdout);
    assert_eq!(findings[0][0], "rule");
    assert!(findings.iter().any(|row| row[0] == "KT401"), "{findings:?}");
    analyze("-o csv --table nodules").fail(&["nodules", "--table", "nodes"]);
}

#[test]
fn a_directory_gets_all_tables() {
    let run = analyze("-o none --export csv=tables").succeed();
    assert_eq!(run.stdout, "");
    for table in ["nodes", "volumes", "timeline", "findings"] {
        let rows = rows(&run.text(&format!("tables/{table}.csv")));
        assert!(rows.len() > 1, "{table} has rows");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_the_rows_of_the_csv() {
    use polars::io::SerReader as _;
    use polars::io::parquet::read::ParquetReader;

    let run = analyze("-o none --export parquet=nodes.parquet --export csv=nodes.csv").succeed();
    let frame = ParquetReader::new(std::fs::File::open(run.path("nodes.parquet")).expect("a file"))
        .finish()
        .expect("a Parquet file");
    let csv = rows(&run.text("nodes.csv"));
    let columns: Vec<&str> = frame.get_column_names().iter().map(|name| name.as_str()).collect();
    assert_eq!(columns, csv[0]);
    assert_eq!(frame.height(), csv.len() - 1);
    let ids = frame.column("instance_id").expect("a column").str().expect("text");
    let in_csv: Vec<&str> = csv[1..].iter().map(|row| row[0].as_str()).collect();
    assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), in_csv);
}

#[test]
fn reports_and_timelines_are_exported_as_they_are_printed() {
    let run = analyze(
        "-o none --export markdown=incident.md --export timesketch=timeline.jsonl --export ocsf=events.jsonl",
    )
    .succeed();
    assert_eq!(run.text("incident.md"), analyze("-o markdown").succeed().stdout);
    assert_eq!(run.text("timeline.jsonl"), analyze("-o timesketch").succeed().stdout);
    assert_eq!(run.text("events.jsonl"), analyze("-o ocsf").succeed().stdout);
    assert!(run.text("incident.md").contains("| **change** | terraform-pipeline replaced the policy of key"));
    for file in ["timeline.jsonl", "events.jsonl"] {
        let text = run.text(file);
        assert!(text.lines().count() > 20, "{text}");
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON");
        }
    }
    analyze("--export timesketch=timeline.json").fail(&["timesketch", ".jsonl"]);
}

#[test]
fn a_table_that_nothing_would_write_is_an_error() {
    for output in
        ["-o json", "-o table", "", "-o none --export json=case.json", "-o none --export csv=tables"]
    {
        analyze(&format!("{output} --table volumes")).fail(&["--table volumes", "-o csv"]);
    }
    let run = analyze("-o json --table volumes --export csv=volumes.csv").succeed();
    assert_eq!(run.text("volumes.csv"), analyze("-o csv --table volumes").succeed().stdout);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_format_that_was_not_built_in_is_known_and_refused() {
    analyze("-o parquet").fail(&["built without Parquet"]);
    analyze("--export parquet=nodes.parquet").fail(&["built without Parquet"]);
}

#[test]
fn a_file_that_exists_is_kept_unless_forced() {
    let kept = analyze("--export json=case.json").file("case.json", "mine").fail(&[
        "case.json",
        "exists already",
        "--force",
    ]);
    assert_eq!(kept.text("case.json"), "mine");
    let forced = analyze("--export json=case.json --force").file("case.json", "mine").succeed();
    assert!(forced.text("case.json").starts_with('{'));
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_reading() {
    // The source does not exist either: what is said shows what was looked at first.
    keytrail("analyze no/such/place --export json=case.json")
        .file("case.json", "mine")
        .fail(&["case.json", "exists already"]);
    keytrail("analyze no/such/place --export json=out").directory("out").fail(&["out", "is a directory"]);
    keytrail("analyze no/such/place --export json=file/case.json")
        .file("file", "x")
        .fail(&["file/case.json", "file is no directory"]);
}

#[test]
fn missing_directories_are_made() {
    let run = analyze("-o none --export json=a/b/c.json --export csv=d/e").succeed();
    assert!(run.text("a/b/c.json").starts_with('{'));
    assert!(run.path("d/e/nodes.csv").is_file());
}

#[test]
fn an_unknown_format_says_which_there_are() {
    analyze("-o yaml").fail(&["yaml", "json", "csv"]);
    analyze("--export yaml=case.yaml").fail(&["yaml", "json, jsonl, csv"]);
    analyze("--export json").fail(&["--export", "FORMAT=PATH"]);
    analyze("--export json=").fail(&["--export", "the path is empty"]);
}

#[test]
fn the_document_is_the_same_for_any_number_of_workers() {
    let one = keytrail("analyze sample-logs -o json -j 1").succeed().stdout;
    let many = keytrail("analyze sample-logs -o json -j 7").succeed().stdout;
    assert_eq!(one, many);
}

#[test]
fn a_pipe_is_written_to_and_stays_a_pipe() {
    use std::os::unix::fs::FileTypeExt as _;

    for line in [
        format!("analyze {SAMPLE} -o none --export json=pipe"),
        format!("verify {SAMPLE} -o none --junit pipe"),
        format!("verify {SAMPLE} -o none --markdown link"),
    ] {
        let keytrail = keytrail(&line).link("link", "pipe");
        let pipe = keytrail.path("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).expect("a reader"));
        let run = keytrail.run();
        assert!(run.code < 2, "{line}: {}", run.stderr);
        assert!(reader.join().expect("the reader ends").len() > 100, "{line}");
        let kind = std::fs::symlink_metadata(run.path("pipe")).expect("it is there").file_type();
        assert!(kind.is_fifo() && run.path("link").is_symlink(), "{line}");
    }
}

#[test]
fn a_link_is_kept_and_what_it_leads_to_is_replaced() {
    let run = analyze("-o none --export json=latest.json --force")
        .file("reports/case.json", "old")
        .link("latest.json", "reports/case.json")
        .succeed();
    assert!(run.path("latest.json").is_symlink());
    assert!(run.text("reports/case.json").starts_with('{'));
}

#[test]
fn an_extract_does_not_replace_a_pipe() {
    let keytrail = keytrail(&format!("extract {SAMPLE} --out pipe.json.gz --force"));
    let pipe = keytrail.path("pipe.json.gz");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let run = keytrail.fail(&["pipe.json.gz", "is no regular file"]);
    assert!(!run.path("pipe.json.gz").is_file() && run.path("pipe.json.gz").exists());
}
