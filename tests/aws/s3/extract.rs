//! Extracts of a bucket: the same answers, and no object fetched twice.

use serde_json::Value;

use super::{ACCOUNT, BUCKET, DAY, Run, SAMPLE, Server, answer, from_disk, sample, with_sample};

fn extract(server: &Server, out: &std::path::Path, more: &str) -> Run {
    let source = format!("s3://{BUCKET}");
    let mut arguments = vec!["extract", &source, "--out", out.to_str().expect("UTF-8")];
    arguments.extend(more.split_whitespace());
    Run::of(&mut server.keytrail(ACCOUNT, arguments))
}

#[test]
fn an_extract_of_a_bucket_gives_the_answer_of_the_bucket_and_of_disk() {
    let Some(server) = with_sample() else { return };
    let place = tempfile::tempdir().expect("a directory");
    let local = from_disk(&server, &sample::directory(SAMPLE).join("AWSLogs"));
    for name in ["directory", "file.json.gz"] {
        let out = place.path().join(name);
        let run = extract(&server, &out, "");
        assert_eq!(run.code, 0, "{}", run.stderr);
        let extracted = from_disk(&server, &out);
        assert_eq!(extracted["coverage"]["records"], local["coverage"]["records"]);
        assert_eq!(extracted["coverage"]["scopes"], local["coverage"]["scopes"]);
        assert_eq!(answer(extracted), answer(local.clone()), "{name}");
    }
}

#[test]
fn a_resumed_extract_fetches_what_is_new_or_changed_and_nothing_else() {
    let Some(server) = with_sample() else { return };
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().join("out");
    assert_eq!(extract(&server, &out, "").code, 0);
    let fetched = server.count("GetObject");
    assert!(fetched > 10, "{fetched}");
    let run = extract(&server, &out, "--resume");
    run.says(&["complete already"]);
    assert_eq!(server.count("GetObject"), fetched);
    // One more log file.
    let new = place.path().join("new");
    std::fs::create_dir(&new).expect("a directory");
    let log = std::fs::read_dir(sample::directory(SAMPLE).join(DAY)).expect("the sample");
    let log = log.last().expect("a file").expect("a file").path();
    std::fs::copy(
        &log,
        new.join("123456789012_CloudTrail_eu-west-1_20260506T2300Z_AAAAAAAAAAAAAAAA.json.gz"),
    )
    .expect("a copy");
    server.put_directory(BUCKET, &new, DAY);
    let run = extract(&server, &out, "--resume");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(server.count("GetObject"), fetched + 1, "{}", run.stderr);
    // A log file of other content under its old name.
    let name = log.file_name().expect("a name");
    std::fs::remove_dir_all(&new).expect("a directory");
    std::fs::create_dir(&new).expect("a directory");
    std::fs::write(new.join(name), "{\"Records\":[]}").expect("a file");
    server.put_directory(BUCKET, &new, DAY);
    let run = extract(&server, &out, "--resume");
    run.says(&["changed since, read again: s3://trail-logs/AWSLogs/", name.to_str().expect("UTF-8")]);
    let nodes = |document: Value| answer(document)["nodes"].clone();
    let remote = super::analyze(&server, &format!("s3://{BUCKET}")).document();
    assert_eq!(nodes(from_disk(&server, &out)), nodes(remote));
}

#[test]
fn filters_choose_objects_of_a_bucket_and_are_refused_on_disk() {
    let Some(server) = with_sample() else { return };
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().join("out");
    let run = extract(&server, &out, "--region eu-west-1 --from 2026-05-06 --to 2026-05-07");
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.says(&["read:  of S3 only"]);
    let run = extract(&server, &out, "--region eu-west-1 --resume");
    run.fails(&["other arguments", "--from 2026-05-06"]);
    let source = sample::directory(SAMPLE);
    let mut command = server.keytrail(ACCOUNT, ["extract", "--region", "eu-west-1", "--out"]);
    Run::of(command.arg(place.path().join("disk")).arg(source)).fails(&["--region eu-west-1", "S3"]);
}
