//! What is read of a bucket, and what is not even listed.

use std::path::Path;

use super::{BUCKET, DAY, SAMPLE, analyze, answer, from_disk, with_sample};
use crate::sample;
use crate::server::Server;

/// Prefixes that were listed, decoded as far as the tests need it.
fn listed(server: &Server) -> Vec<String> {
    let requests = server.requests();
    requests
        .iter()
        .filter(|request| request["operation"] == "ListObjectsV2")
        .filter_map(|request| {
            let detail = request["detail"].as_str()?;
            let (_, prefix) = detail.split_once("prefix=")?;
            Some(prefix.split('&').next()?.replace("%2F", "/"))
        })
        .collect()
}

fn put(server: &Server, key: &str, text: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let (folder, name) = key.rsplit_once('/').expect("a folder");
    std::fs::write(directory.path().join(name), text).expect("a file");
    server.put_directory(BUCKET, directory.path(), &format!("{folder}/"));
}

#[test]
fn other_accounts_regions_and_days_are_neither_listed_nor_downloaded() {
    let Some(server) = with_sample() else { return };
    let log = r#"{"Records":[]}"#;
    for key in [
        "AWSLogs/444455556666/CloudTrail/eu-west-1/2026/05/06/1.json",
        "AWSLogs/123456789012/CloudTrail/us-east-1/2026/05/06/1.json",
        "AWSLogs/123456789012/CloudTrail/eu-west-1/2026/05/04/1.json",
        "AWSLogs/123456789012/CloudTrail/eu-west-1/2026/05/08/1.json",
        "AWSLogs/123456789012/CloudTrail/eu-west-1/2025/05/06/1.json",
    ] {
        put(&server, key, log);
    }
    let filters =
        "--account 123456789012 --region eu-west-1 --from 2026-05-06T11:00:00Z --to 2026-05-06T12:00:00Z";
    let run = analyze(&server, &format!("s3://{BUCKET} {filters}"));
    let local = sample::directory(SAMPLE);
    assert_eq!(answer(run.document())["nodes"], answer(from_disk(&server, &local))["nodes"]);
    let mut days: Vec<String> = listed(&server)
        .into_iter()
        .filter(|prefix| prefix.contains("/2026/") || prefix.contains("/2025/"))
        .collect();
    days.sort();
    // A day before for configuration, a day after for what is delivered late.
    let folder = |day: &str| DAY.replace("/06/", day);
    assert_eq!(days, [folder("/05/"), folder("/06/"), folder("/07/")]);
    for prefix in listed(&server) {
        assert!(!prefix.contains("444455556666") && !prefix.contains("us-east-1"), "{prefix}");
    }
    let downloads = server.count("GetObject");
    assert_eq!(run.document()["coverage"]["objects"]["read"], downloads);
    run.says(&["what was delivered from 2026-05-05 to 2026-05-07, accounts 123456789012, regions eu-west-1"]);
}

#[test]
fn the_lookback_widens_what_is_read() {
    let Some(server) = with_sample() else { return };
    let from = "--from 2026-05-09T00:00:00Z";
    let nothing = analyze(&server, &format!("s3://{BUCKET} {from}"));
    nothing.fails(&["no objects of these accounts, regions and days", "--lookback"]);
    let document = analyze(&server, &format!("s3://{BUCKET} {from} --lookback 3d")).document();
    assert!(document["coverage"]["records"]["read"].as_u64().is_some_and(|records| records > 50));
}

#[test]
fn logs_of_the_keys_owner_are_read_if_asked_for() {
    let Some(server) = with_sample() else { return };
    put(&server, "AWSLogs/444455556666/CloudTrail/eu-west-1/2026/05/06/1.json", r#"{"Records":[]}"#);
    let read = |arguments: &str| {
        let document =
            analyze(&server, &format!("s3://{BUCKET} --account 123456789012 {arguments}")).document();
        document["coverage"]["objects"]["read"].as_u64().expect("a count")
    };
    let without = read("");
    assert_eq!(read("--key-account 444455556666"), without + 1);
    let key = "arn:aws:kms:eu-west-1:444455556666:key/11111111-2222-3333-4444-555555555555";
    assert_eq!(read(&format!("--expect-key {key}")), without + 1);
}

#[test]
fn digests_insights_and_other_services_are_passed_over_by_name_and_counted() {
    let Some(server) = with_sample() else { return };
    let before = analyze(&server, &format!("s3://{BUCKET}")).document();
    for key in [
        "AWSLogs/123456789012/CloudTrail-Digest/eu-west-1/2026/05/06/d.json.gz",
        "AWSLogs/123456789012/CloudTrail-Insight/eu-west-1/2026/05/06/i.json.gz",
        "AWSLogs/123456789012/Config/eu-west-1/2026/5/6/c.json.gz",
    ] {
        put(&server, key, "not to be read");
    }
    let after = analyze(&server, &format!("s3://{BUCKET}")).document();
    let objects = |document: &serde_json::Value| document["coverage"]["objects"].clone();
    assert_eq!(objects(&after)["read"], objects(&before)["read"]);
    assert_eq!(objects(&before)["skipped"], 0);
    assert_eq!(objects(&after)["skipped"], 3);
    assert!(!listed(&server).iter().any(|prefix| prefix.contains("Digest") || prefix.contains("Config")));
}

#[test]
fn organisations_and_prefixes_of_trails_are_found() {
    let Some(server) = Server::start() else { return };
    let logs = sample::directory(SAMPLE).join("AWSLogs");
    server.put_directory(BUCKET, &logs, "security/trail/AWSLogs/o-exampleorgid/");
    let filters = "--account 123456789012 --region eu-west-1 --from 2026-05-06 --to 2026-05-07";
    let run = analyze(&server, &format!("s3://{BUCKET} {filters}"));
    assert_eq!(answer(run.document())["nodes"], answer(from_disk(&server, &logs))["nodes"]);
    let elsewhere = analyze(&server, &format!("s3://{BUCKET} --account 444455556666"));
    elsewhere.fails(&["no objects of these accounts"]);
}

#[test]
fn no_key_of_a_hostile_bucket_leads_out_of_the_directory() {
    let Some(server) = Server::start() else { return };
    for prefix in ["../../", "/", "a//", "..\\..\\", "\u{1b}[2J\n\u{7}/", "100%+ é/"] {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("x.json"), r#"{"Records":[]}"#).expect("a file");
        server.put_directory(BUCKET, directory.path(), prefix);
    }
    let outer = tempfile::tempdir().expect("a directory");
    let save = outer.path().join("a/b/saved");
    let run = analyze(&server, &format!("s3://{BUCKET} --save-to {}", save.display()));
    assert_eq!(run.document()["coverage"]["objects"]["read"], 6, "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'));
    let files = |root: &Path| {
        walkdir::WalkDir::new(root)
            .into_iter()
            .filter(|entry| entry.as_ref().expect("a listing").file_type().is_file())
            .count()
    };
    assert_eq!((files(outer.path()), files(&save)), (6, 6));
    let offline = from_disk(&server, &save);
    assert_eq!(offline["coverage"]["objects"]["read"], 6);
}
