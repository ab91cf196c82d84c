//! What a SOURCE may be, and what is said where it is none.

use super::keytrail::{gzip, keytrail, sample_text};

const SAMPLE: &str = "07-policy-overwritten-by-terraform";

#[test]
fn a_wrong_path_is_named() {
    keytrail("analyze no/such/place").fail(&["no/such/place", "no such file or directory"]);
}

#[test]
fn one_wrong_path_among_good_ones_ends_the_run() {
    keytrail("analyze sample-logs/01-healthy no/such/place").fail(&["no/such/place"]);
}

#[test]
fn a_link_that_leads_nowhere_is_no_source() {
    keytrail("analyze link").link("link", "gone").fail(&["link", "no such file or directory"]);
}

#[test]
fn a_path_through_a_file_says_what_the_system_says() {
    keytrail("analyze file/AWSLogs").file("file", "x").fail(&["file/AWSLogs", "cannot be read"]);
}

#[test]
fn an_empty_directory_is_an_error_and_says_so() {
    keytrail("analyze empty").directory("empty").fail(&["empty", "holds no files"]);
}

#[test]
fn no_source_at_all_is_a_usage_error() {
    keytrail("analyze").fail(&["<SOURCE>", "Usage: keytrail analyze"]);
}

#[test]
fn a_directory_without_logs_is_read_and_says_what_to_check() {
    let run = keytrail("analyze notes").file("notes/readme.txt", "nothing to see").succeed();
    for part in ["no nodes", "0 records read", "1 skipped", "no CloudTrail record was read", "AWSLogs/"] {
        assert!(run.stderr.contains(part), "`{part}` is not in: {}", run.stderr);
    }
}

#[test]
fn a_file_given_by_name_that_is_no_log_is_a_loss() {
    let run = keytrail("analyze notes.txt --strict").file("notes.txt", "nothing to see").run();
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("notes.txt: invalid-json"), "{}", run.stderr);
}

#[test]
fn a_file_among_logs_that_cannot_be_opened_is_not_passed_over_in_silence() {
    let run = keytrail("analyze sample-logs/32-records-lost").succeed();
    assert!(run.stderr.contains("lost:  "), "{}", run.stderr);
    assert!(run.stderr.contains("truncated-compression"), "{}", run.stderr);
}

#[test]
fn losses_are_accepted_unless_the_run_is_strict() {
    assert_eq!(keytrail("analyze sample-logs/32-records-lost").run().code, 0);
    let strict = keytrail("analyze sample-logs/32-records-lost --strict").run();
    assert_eq!(strict.code, 3);
    assert!(!strict.stdout.is_empty(), "the result is written all the same");
    assert_eq!(keytrail("analyze sample-logs/01-healthy --strict").run().code, 0);
}

#[test]
fn losses_outweigh_severe_findings() {
    assert_eq!(
        keytrail("analyze sample-logs/07-policy-overwritten-by-terraform --fail-on critical").run().code,
        1
    );
    assert_eq!(keytrail("analyze sample-logs/01-healthy --fail-on critical").run().code, 0);
    let both = "analyze sample-logs/32-records-lost sample-logs/09-launch-loop --fail-on critical";
    assert_eq!(keytrail(both).run().code, 1);
    assert_eq!(keytrail(&format!("{both} --strict")).run().code, 3);
}

#[test]
fn standard_input_is_read_plain_and_gzipped_like_a_directory() {
    let nodes = |run: super::keytrail::Run| run.node_ids();
    let from_disk = nodes(keytrail(&format!("analyze sample-logs/{SAMPLE} -o json")).succeed());
    assert_eq!(from_disk.len(), 6);
    let text = sample_text(SAMPLE);
    assert_eq!(nodes(keytrail("analyze - -o json").input(gzip(&text)).succeed()), from_disk);
    assert_eq!(nodes(keytrail("analyze - -o json").input(text).succeed()), from_disk);
}

#[test]
fn lookup_events_pages_are_read_from_standard_input() {
    // As `aws cloudtrail lookup-events --output json` prints them: newest first, each record a string.
    let (mut events, mut texts) = (Vec::new(), Vec::new());
    for file in sample_text(SAMPLE).lines() {
        let file: serde_json::Value = serde_json::from_str(file).expect("a log file is JSON");
        for record in file["Records"].as_array().expect("records") {
            let text = serde_json::to_string(&record.to_string()).expect("a string");
            events.push(format!(
                "{{\"EventId\":{},\"EventName\":{},\"CloudTrailEvent\":{text}}}",
                record["eventID"], record["eventName"]
            ));
            texts.push(text);
        }
    }
    events.reverse();
    let page = format!("{{\n    \"Events\": [\n        {}\n    ]\n}}\n", events.join(",\n        "));
    let node_ids = keytrail(&format!("analyze sample-logs/{SAMPLE} -o json")).succeed().node_ids();
    // With --query 'Events[].CloudTrailEvent' nothing but the strings is left.
    for input in [page, format!("[\n    {}\n]\n", texts.join(",\n    ")), texts.join("\n")] {
        assert_eq!(keytrail("analyze - -o json").input(input).succeed().node_ids(), node_ids);
    }
}

#[test]
fn empty_standard_input_is_a_loss_not_an_answer() {
    let run = keytrail("analyze - --strict").run();
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("no CloudTrail record was read"), "{}", run.stderr);
}

#[test]
fn what_is_nearly_a_source_in_aws_is_told() {
    keytrail("analyze lookup").fail(&["did you mean lookup:?"]);
    keytrail("analyze S3://trail").fail(&["did you mean s3://trail?"]);
}

#[test]
fn the_next_command_does_not_wait_for_standard_input() {
    let run = keytrail("analyze -").input(sample_text(SAMPLE)).succeed();
    let next = run.stderr.lines().find(|line| line.starts_with("next:")).expect("a next command");
    assert!(next.contains(" FILE  # FILE: standard input, saved"), "{next}");
}

#[test]
fn a_rule_is_found_by_its_name_too() {
    let by_id = keytrail("rules KT305").succeed().stdout;
    let listed = keytrail("rules").succeed().stdout;
    let line = listed.lines().find(|line| line.contains("KT305")).expect("it is listed");
    let name = line.split_whitespace().nth(2).expect("a name");
    assert_eq!(keytrail(&format!("rules {name}")).succeed().stdout, by_id, "{line}");
}

#[test]
fn a_source_given_twice_counts_its_records_as_duplicates() {
    let once = keytrail("analyze sample-logs/01-healthy -o json").succeed().json();
    let twice = keytrail("analyze sample-logs/01-healthy sample-logs/01-healthy -o json").succeed().json();
    assert_eq!(once["nodes"], twice["nodes"]);
    assert_eq!(twice["coverage"]["records"]["duplicate"], once["coverage"]["records"]["selected"]);
}

#[test]
fn a_subject_that_is_not_in_the_archive_is_an_error() {
    let run = keytrail("explain i-0aaaaaaaaaaaaaaaa sample-logs/01-healthy").run();
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("i-0aaaaaaaaaaaaaaaa"), "{}", run.stderr);
}

#[test]
fn a_rule_that_does_not_exist_says_how_to_list_them() {
    keytrail("rules KT999").fail(&["KT999", "keytrail rules"]);
}

#[test]
fn a_source_without_a_subject_says_that_the_subject_is_missing() {
    keytrail("explain sample-logs/01-healthy")
        .fail(&["SUBJECT is missing", "keytrail explain SUBJECT sample-logs/01-healthy"]);
    let run = keytrail("explain i-0aaaaaaaaaaaaaaaa").fail(&["<SOURCE>"]);
    assert!(!run.stderr.contains("SUBJECT is missing"), "{}", run.stderr);
}
