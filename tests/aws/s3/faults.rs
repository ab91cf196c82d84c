//! What goes wrong between a bucket and its reader: it is made good, counted, and told where it cannot be made good.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{BUCKET, DAY, SAMPLE, analyze, answer, from_disk, with_sample};
use crate::sample;
use crate::server::Server;

/// The object that single faults hit.
const OBJECT: &str = "20260506T1140Z_DaIbTQhq406XAGy5";

#[test]
fn a_fifth_of_the_downloads_failing_once_changes_nothing_and_is_counted() {
    let Some(server) = with_sample() else { return };
    let local = answer(from_disk(&server, &sample::directory(SAMPLE)));
    for kind in ["slow-down", "server-error", "reset"] {
        server.clear_faults();
        let before = server.requests().len();
        server.fault(json!({ "kind": kind, "operation": "GetObject", "share": 0.4, "seed": 7 }));
        let run = analyze(&server, &format!("s3://{BUCKET}"));
        assert_eq!(answer(run.document()), local, "{kind}");
        let hit = server.requests()[before..].iter().filter(|request| request["fault"] == kind).count();
        assert!(hit > 1, "{kind}: {hit}");
        run.says(&[&format!("{hit} requests to AWS were retried")]);
    }
}

#[test]
fn listings_that_are_throttled_are_asked_for_again() {
    let Some(server) = with_sample() else { return };
    server.fault(json!({ "kind": "slow-down", "operation": "ListObjectsV2", "skip": 1, "times": 2 }));
    let run = analyze(&server, &format!("s3://{BUCKET}"));
    assert_eq!(answer(run.document()), answer(from_disk(&server, &sample::directory(SAMPLE))));
    run.says(&["2 requests to AWS were retried"]);
}

#[test]
fn a_body_that_breaks_off_goes_on_where_it_broke() {
    let Some(server) = with_sample() else { return };
    let local = answer(from_disk(&server, &sample::directory(SAMPLE)));
    for kind in ["truncate", "reset"] {
        server.clear_faults();
        let before = server.requests().len();
        server.fault(
            json!({ "kind": kind, "operation": "GetObject", "share": 0.6, "seed": 3, "after_bytes": 100 }),
        );
        let run = analyze(&server, &format!("s3://{BUCKET}"));
        assert_eq!(answer(run.document()), local, "{kind}");
        let requests = server.requests();
        let ranges: Vec<_> =
            requests[before..].iter().filter(|request| !request["range"].is_null()).collect();
        assert!(!ranges.is_empty(), "{kind}");
        if kind == "truncate" {
            assert!(ranges.iter().all(|request| request["range"] == "bytes=100-"), "{ranges:?}");
        }
    }
}

#[test]
fn a_body_that_stalls_is_given_up_and_resumed() {
    let Some(server) = with_sample() else { return };
    server.fault(json!({
        "kind": "stall", "operation": "GetObject", "contains": OBJECT, "times": 1, "after_bytes": 10, "seconds": 60
    }));
    let begin = Instant::now();
    let run = analyze(&server, &format!("s3://{BUCKET}"));
    assert_eq!(answer(run.document()), answer(from_disk(&server, &sample::directory(SAMPLE))));
    run.says(&["1 request to AWS was retried"]);
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
}

#[test]
fn a_large_object_streams_and_goes_on_where_it_broke() {
    let Some(server) = Server::start() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("large.json");
    let mut file = std::fs::File::create(&log).expect("a file");
    write!(file, "{{\"Records\":[").expect("written");
    for (index, record) in sample::records(&sample::directory(SAMPLE)).iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // As large as all copies of it that do not matter.
        let filler = format!(
            r#"{{"eventVersion":"1.10","eventTime":"2026-05-06T11:00:00Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","awsRegion":"eu-west-1","eventID":"{index:08}-0000-0000-0000-000000000000","recipientAccountId":"123456789012","requestParameters":{{"key":"{}"}}}}"#,
            "x".repeat(100_000)
        );
        write!(file, "{comma}{record},{filler}").expect("written");
    }
    write!(file, "]}}").expect("written");
    drop(file);
    assert!(std::fs::metadata(&log).expect("a file").len() > 6 << 20);
    server.put_directory(BUCKET, directory.path(), "large/");
    let local = answer(from_disk(&server, directory.path()));
    server
        .fault(json!({ "kind": "truncate", "operation": "GetObject", "times": 1, "after_bytes": 5_000_000 }));
    let run = analyze(&server, &format!("s3://{BUCKET}"));
    assert_eq!(answer(run.document()), local);
    run.says(&["1 request to AWS was retried"]);
    assert!(server.requests().iter().any(|request| request["range"] == "bytes=5000000-"));
    // Once some of it was read, another version cannot take its place.
    server.clear_faults();
    server
        .fault(json!({ "kind": "truncate", "operation": "GetObject", "times": 1, "after_bytes": 5_000_000 }));
    server.fault(
        json!({ "kind": "error", "operation": "GetObject", "times": 1, "status": 412, "code": "PreconditionFailed" }),
    );
    let run = analyze(&server, &format!("s3://{BUCKET}"));
    assert_eq!(run.document()["coverage"]["objects"]["failed"], 1);
    run.says(&["the object was replaced while it was read"]);
}

#[test]
fn an_object_that_changed_after_the_listing_is_read_as_it_is_now() {
    let Some(server) = with_sample() else { return };
    server.fault(json!({
        "kind": "error", "operation": "GetObject", "contains": OBJECT, "times": 1, "status": 412,
        "code": "PreconditionFailed", "message": "At least one of the pre-conditions you specified did not hold"
    }));
    let run = analyze(&server, &format!("s3://{BUCKET}"));
    assert_eq!(answer(run.document()), answer(from_disk(&server, &sample::directory(SAMPLE))));
}

#[test]
fn one_object_that_cannot_be_had_is_a_loss_that_says_why() {
    let Some(server) = with_sample() else { return };
    let key = "arn:aws:kms:eu-west-1:444455556666:key/99999999-8888-7777-6666-555555555555";
    for (fault, says) in [
        (json!({ "kind": "error", "status": 404, "code": "NoSuchKey" }), "deleted after it was listed"),
        (json!({ "kind": "error", "status": 403, "code": "InvalidObjectState" }), "must be restored"),
        (json!({ "kind": "access-denied" }), "refused by S3"),
        (json!({ "kind": "kms-denied", "key_arn": key }), key),
    ] {
        server.clear_faults();
        let mut fault = fault;
        fault["operation"] = json!("GetObject");
        fault["contains"] = json!(OBJECT);
        server.fault(fault);
        let run = analyze(&server, &format!("s3://{BUCKET}"));
        let document = run.document();
        assert_eq!(document["coverage"]["objects"]["failed"], 1, "{says}");
        let loss = &document["coverage"]["losses"][0];
        assert_eq!(loss["kind"], "unreadable");
        let object = loss["object"].as_str().expect("an object");
        assert!(object.starts_with(&format!("s3://{BUCKET}/{DAY}")) && object.contains(OBJECT), "{object}");
        assert!(loss["detail"].as_str().expect("a detail").contains(says), "{loss}");
        run.says(&["lost:  "]);
    }
}

#[test]
fn an_archive_that_cannot_be_read_at_all_is_an_error_not_an_empty_answer() {
    let Some(server) = with_sample() else { return };
    let key = "arn:aws:kms:eu-west-1:444455556666:key/99999999-8888-7777-6666-555555555555";
    server.fault(json!({ "kind": "kms-denied", "operation": "GetObject", "key_arn": key }));
    analyze(&server, &format!("s3://{BUCKET}")).fails(&["refused by KMS", key, "kms:Decrypt"]);
}

#[test]
fn what_is_refused_at_the_door_is_one_line_that_says_what_comes_next() {
    let Some(server) = with_sample() else { return };
    analyze(&server, "s3://no-such-bucket").fails(&["s3://no-such-bucket", "does not exist"]);
    analyze(&server, &format!("s3://{BUCKET}/none")).fails(&["holds no objects"]);
    analyze(&server, "s3://").fails(&["names no bucket"]);
    for (kind, says) in [
        ("access-denied", ["refused by S3", "s3:ListBucket"]),
        ("expired-token", ["have expired", "aws sso login"]),
        ("region-not-enabled", ["InvalidAccessKeyId", "was it deleted"]),
    ] {
        server.clear_faults();
        server.fault(json!({ "kind": kind, "service": "s3" }));
        analyze(&server, &format!("s3://{BUCKET}")).fails(&says);
    }
}

#[test]
fn without_credentials_or_network_one_line_says_so() {
    let Some(server) = with_sample() else { return };
    let run = |change: &dyn Fn(&mut std::process::Command)| {
        let source = format!("s3://{BUCKET}");
        let mut command = server.keytrail(super::ACCOUNT, ["analyze", source.as_str()]);
        change(&mut command);
        super::Run::of(&mut command)
    };
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    run(&|command| {
        keys.iter().for_each(|key| {
            command.env_remove(key);
        });
    })
    .fails(&["no AWS credentials were found", "--profile", "aws sso login"]);
    run(&|command| {
        command.args(["--profile", "archive"]);
    })
    .fails(&["profile archive gives no AWS credentials"]);
    let secret = "wJalrXUtnFEMI";
    let unreachable = run(&|command| {
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    });
    unreachable.fails(&["no answer from AWS", "is there a network"]);
    assert!(!unreachable.stderr.contains(secret));
}

#[test]
fn a_bucket_of_another_region_is_followed_there() {
    let Some(server) = with_sample() else { return };
    let local = answer(from_disk(&server, &sample::directory(SAMPLE)));
    let headers = json!({ "x-amz-bucket-region": "eu-west-1" });
    let redirect = |operation: &str| {
        json!({
            "kind": "error", "operation": operation, "region": "us-east-1", "status": 301,
            "code": "PermanentRedirect", "message": "must be addressed using the specified endpoint",
            "headers": headers
        })
    };
    let malformed = json!({
        "kind": "error", "operation": "ListObjectsV2", "region": "us-east-1", "status": 400,
        "code": "AuthorizationHeaderMalformed", "message": "the region 'us-east-1' is wrong"
    });
    for faults in [vec![redirect("ListObjectsV2")], vec![malformed, redirect("HeadBucket")]] {
        server.clear_faults();
        let (before, expected) = (server.requests().len(), faults.len());
        faults.into_iter().for_each(|fault| server.fault(fault));
        let run = analyze(&server, &format!("s3://{BUCKET}"));
        assert_eq!(answer(run.document()), local);
        let requests = server.requests();
        let elsewhere = requests[before..].iter().filter(|request| request["region"] == "us-east-1").count();
        assert_eq!(elsewhere, expected, "only to find out where the bucket is");
    }
}

#[test]
fn who_pays_is_said_with_every_request() {
    let Some(server) = with_sample() else { return };
    analyze(&server, &format!("s3://{BUCKET} --requester-pays")).document();
    let requests = server.requests();
    assert!(requests.len() > 10);
    assert!(requests.iter().all(|request| request["payer"] == "requester"), "{requests:?}");
}
