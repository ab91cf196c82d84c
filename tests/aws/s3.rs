//! A bucket as a source: the same answers as from disk, whatever happens on the way, and readable words where there is none.

mod faults;
mod selection;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::sample;
use crate::server::Server;

const ACCOUNT: &str = "123456789012";
const SAMPLE: &str = "07-policy-overwritten-by-terraform";
const BUCKET: &str = "trail-logs";
/// Where the sample's log files are.
const DAY: &str = "AWSLogs/123456789012/CloudTrail/eu-west-1/2026/05/06/";

/// What a run left behind.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let output = command.output().expect("keytrail can be started");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("outputs are UTF-8");
        Self {
            code: output.status.code().expect("keytrail ends by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The JSON document, held to exit code 0.
    fn document(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).expect("a JSON document")
    }

    #[track_caller]
    fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
    }

    /// Holds to exit code 2 and one line on standard error with all of `parts`.
    #[track_caller]
    fn fails(&self, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.says(parts);
    }
}

/// `keytrail analyze … -o json`.
fn analyze(server: &Server, arguments: &str) -> Run {
    let arguments = format!("analyze {arguments} -o json");
    Run::of(&mut server.keytrail(ACCOUNT, arguments.split_whitespace()))
}

/// A server with the sample's log files in the bucket.
fn with_sample() -> Option<Server> {
    let server = Server::start()?;
    server.put_directory(BUCKET, &sample::directory(SAMPLE).join("AWSLogs"), "AWSLogs/");
    Some(server)
}

fn from_disk(server: &Server, directory: &Path) -> Value {
    let arguments = [Path::new("analyze"), directory, Path::new("-o"), Path::new("json")];
    Run::of(&mut server.keytrail(ACCOUNT, arguments)).document()
}

/// The document without what may differ: where an event was found, and what was read.
fn answer(mut document: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("origin");
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    document["coverage"].take();
    strip(&mut document);
    document
}

#[test]
fn every_sample_gives_the_same_answer_from_a_bucket_as_from_disk() {
    let Some(server) = Server::start() else { return };
    for name in sample::names() {
        let directory = sample::directory(&name).join("AWSLogs");
        server.put_directory("samples", &directory, &format!("{name}/AWSLogs/"));
        let remote = analyze(&server, &format!("s3://samples/{name}"));
        let (remote, local) = (remote.document(), from_disk(&server, &directory));
        assert_eq!(answer(remote), answer(local), "{name}");
    }
}

#[test]
fn the_user_may_point_at_any_depth() {
    let Some(server) = with_sample() else { return };
    let local = answer(from_disk(&server, &sample::directory(SAMPLE)));
    let mut prefix = String::new();
    for component in std::iter::once("").chain(DAY.split_inclusive('/')) {
        prefix.push_str(component);
        for prefix in [prefix.as_str(), prefix.trim_end_matches('/')] {
            let run = analyze(&server, &format!("s3://{BUCKET}/{prefix}"));
            assert_eq!(answer(run.document()), local, "{prefix}");
        }
    }
}

#[test]
fn a_flat_prefix_an_object_and_the_beginning_of_names_are_sources() {
    let Some(server) = Server::start() else { return };
    server.put_directory(BUCKET, &sample::directory(SAMPLE).join(DAY), "copied/logs/");
    let objects = |source: &str| {
        let document = analyze(&server, &format!("s3://{BUCKET}/{source}")).document();
        document["coverage"]["objects"]["read"].as_u64().expect("a count")
    };
    let all = objects("copied/logs");
    assert!(all > 10);
    assert_eq!((objects(""), objects("copied/lo")), (all, all));
    let name = "copied/logs/123456789012_CloudTrail_eu-west-1_20260506T1140Z_DaIbTQhq406XAGy5.json.gz";
    assert_eq!(objects(name), 1);
    let some = objects("copied/logs/123456789012_CloudTrail_eu-west-1_20260506T11");
    assert!(1 < some && some <= all);
}

#[test]
fn a_bucket_disk_and_standard_input_mix() {
    let Some(server) = with_sample() else { return };
    let directory = sample::directory(SAMPLE);
    let run = analyze(&server, &format!("{} s3://{BUCKET}", directory.join("AWSLogs").display()));
    let document = run.document();
    assert_eq!(
        document["coverage"]["records"]["duplicate"], document["coverage"]["records"]["selected"],
        "every record was read twice"
    );
    assert_eq!(answer(document)["nodes"], answer(from_disk(&server, &directory))["nodes"]);
}

#[test]
fn what_was_saved_is_a_source_with_the_same_answer() {
    let Some(server) = with_sample() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let save = directory.path().join("saved");
    let run = analyze(&server, &format!("s3://{BUCKET} --save-to {}", save.display()));
    let names = |root: &Path| -> Vec<String> {
        let files = keytrail::source::disk::list(root).expect("a listing");
        let root = format!("{}/", root.display());
        files.iter().map(|file| file.uri.strip_prefix(&root).expect("below").to_owned()).collect()
    };
    assert_eq!(
        names(&save.join(BUCKET).join("AWSLogs")),
        names(&sample::directory(SAMPLE).join("AWSLogs")),
        "the bucket's layout"
    );
    assert_eq!(answer(run.document()), answer(from_disk(&server, &save)));
}

#[test]
fn ten_thousand_objects_are_listed_page_by_page_and_read() {
    const OBJECTS: usize = 10_000;
    let Some(server) = Server::start() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    for index in 0..OBJECTS {
        let record = format!(
            r#"{{"Records":[{{"eventVersion":"1.10","eventTime":"2026-05-06T11:{:02}:{:02}Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","awsRegion":"eu-west-1","userIdentity":{{"type":"Root"}},"eventID":"{index:08}-2222-3333-4444-555555555555","recipientAccountId":"{ACCOUNT}"}}]}}"#,
            index / 60 % 60,
            index % 60
        );
        std::fs::write(directory.path().join(format!("{index:05}.json")), record).expect("a file");
    }
    server.put_directory(BUCKET, directory.path(), DAY);
    let document = analyze(&server, &format!("s3://{BUCKET}")).document();
    assert_eq!(document["coverage"]["objects"]["read"], OBJECTS);
    assert_eq!(document["coverage"]["records"]["read"], OBJECTS);
    let pages = server
        .requests()
        .iter()
        .filter(|request| {
            request["operation"] == "ListObjectsV2"
                && request["detail"].as_str().is_some_and(|detail| detail.contains("continuation-token"))
        })
        .count();
    assert!(pages >= OBJECTS / 1_000 - 1, "{pages} pages");
    assert_eq!(server.count("GetObject"), OBJECTS, "each object is asked for once");
}
