//! `keytrail extract`: the same answers from an extract as from its source, whatever befell it on the way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use keytrail::archive::raw_record;
use keytrail::source::SourceObject;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::keytrail::{gzip, sample_text};

/// A directory in which several runs follow each other; `sample-logs` leads to the samples.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
        std::os::unix::fs::symlink(samples, directory.path().join("sample-logs"))
            .expect("a link can be made");
        Self(directory)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("directories can be made");
        fs::write(path, bytes).expect("a file can be written");
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keytrail"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().expect("keytrail runs")
    }

    pub fn succeed(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.success(), "{arguments}: {stderr}");
        stderr
    }

    fn fail(&self, arguments: &str, says: &[&str]) {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments}: {stderr}");
        for part in says {
            assert!(stderr.contains(part), "{arguments}: `{part}` is not in: {stderr}");
        }
    }

    /// What `analyze` says of a source, without where each record was read.
    pub fn answer(&self, source: &str) -> Value {
        let output = self.run(&format!("analyze -q -o json --all-launches {source}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        for node in answer["nodes"].as_array_mut().expect("nodes") {
            for entry in node["timeline"].as_array_mut().expect("a timeline") {
                entry["origin"] = Value::Null;
            }
        }
        answer
    }

    /// Every file below a directory, with its bytes.
    pub fn files(&self, directory: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(directory);
        walkdir::WalkDir::new(&root)
            .into_iter()
            .map(|entry| entry.expect("a directory can be listed"))
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let name = entry.path().strip_prefix(&root).expect("below it").display().to_string();
                (name, fs::read(entry.path()).expect("a file can be read"))
            })
            .collect()
    }

    fn manifest(&self, path: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(path)).expect("a manifest");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
    }
}

pub fn samples() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
    let mut names: Vec<String> = fs::read_dir(root)
        .expect("the samples can be listed")
        .map(|entry| entry.expect("the samples can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert!(names.len() > 30);
    names
}

fn kind<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["keytrailManifest"] == kind)
}

/// A source of many objects: one incident again and again, under ids of its own each time.
/// How often a run is killed at most.
const KILLS_MAX: u64 = 24;

fn many(place: &Place, count: usize) {
    let text = sample_text("07-policy-overwritten-by-terraform");
    for number in 0..count {
        for (part, line) in text.lines().enumerate() {
            let mut line = line.to_owned();
            for (at, id) in text_positions(&line, "\"eventID\":\"") {
                line.replace_range(at..at + 8, &format!("{:08x}", id * 1_000 + number));
            }
            place.write(&format!("many/{number:03}/{part:02}.json.gz"), gzip(&line));
        }
    }
}

fn text_positions(text: &str, mark: &str) -> Vec<(usize, usize)> {
    text.match_indices(mark).map(|(at, _)| at + mark.len()).zip(1..).collect()
}

#[test]
fn every_sample_gives_the_same_answer_from_its_extracts() {
    let place = Place::new();
    for sample in samples() {
        let source = format!("sample-logs/{sample}");
        let answer = place.answer(&source);
        place.succeed(&format!("extract {source} --out directory/{sample} --part-bytes 4k"));
        assert!(place.answer(&format!("directory/{sample}")) == answer, "{sample}: a directory");
        place.succeed(&format!("extract {source} --out file/{sample}.json.gz"));
        assert!(place.answer(&format!("file/{sample}.json.gz")) == answer, "{sample}: a file");
        fs::create_dir(place.path(&format!("both-{sample}"))).expect("a directory");
        for name in [format!("{sample}.json.gz"), format!("{sample}.json.gz.manifest.jsonl")] {
            let to = place.path(&format!("both-{sample}/{name}"));
            fs::rename(place.path(&format!("file/{name}")), to).expect("a file can be moved");
        }
        assert!(place.answer(&format!("both-{sample}")) == answer, "{sample}: a file and its manifest");
    }
}

#[test]
fn all_samples_together_give_the_same_answer_and_the_same_bytes_with_any_number_of_workers() {
    let place = Place::new();
    let answer = place.answer("sample-logs");
    place.succeed("extract sample-logs --out one -j1 --part-bytes 8k");
    place.succeed("extract sample-logs --out seven -j7 --part-bytes 8k");
    assert!(place.files("one") == place.files("seven"));
    assert!(place.files("one").len() > 20, "many parts");
    assert!(place.answer("one") == answer);
    place.succeed("extract sample-logs --out one.json.gz -j1");
    place.succeed("extract sample-logs --out seven.json.gz -j7");
    let bytes = |name: &str| fs::read(place.path(name)).expect("a file");
    assert!(bytes("one.json.gz") == bytes("seven.json.gz"));
    let manifest = |out: &str| {
        let text = String::from_utf8(bytes(&format!("{out}.json.gz.manifest.jsonl"))).expect("UTF-8");
        text.replace(&format!("\"{out}.json.gz\""), "")
    };
    assert!(manifest("one") == manifest("seven"));
    // An extract is a source like any other.
    place.succeed("extract one --out again");
    assert!(place.answer("again") == answer);
    place.succeed("extract one.json.gz --out again.json.gz");
    assert!(place.answer("again.json.gz") == answer);
}

#[test]
fn records_are_written_byte_for_byte_and_each_tells_where_it_was_read() {
    let place = Place::new();
    place.succeed("extract sample-logs --out out --part-bytes 20k");
    let lines = place.manifest("out/manifest.jsonl");
    let mut count = 0;
    for part in kind(&lines, "part") {
        let stored =
            fs::read(place.path("out").join(part["name"].as_str().expect("a name"))).expect("a part");
        assert_eq!(part["sha256"], sha256(&stored));
        assert_eq!(part["bytes"], stored.len());
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&stored[..]).read_to_string(&mut text).expect("gzip of UTF-8");
        let mut expected = b"{\"Records\":[".to_vec();
        for origins in part["origins"].as_array().expect("origins") {
            let name = origins["object"].as_str().expect("a name");
            let object = SourceObject::file(place.path(name), None);
            for index in origins["records"].as_array().expect("indices") {
                if !expected.ends_with(b"[") {
                    expected.push(b',');
                }
                expected.extend(raw_record(&object, index.as_u64().expect("an index")).expect("a record"));
                count += 1;
            }
        }
        expected.extend_from_slice(b"],\"keytrailExtract\":[");
        assert!(text.as_bytes().starts_with(&expected), "{}", part["name"]);
        let whole: Value = serde_json::from_str(&text).expect("JSON, for any reader");
        assert_eq!(whole["Records"].as_array().map(Vec::len), part["records"].as_u64().map(|n| n as usize));
    }
    let end = kind(&lines, "end").next().expect("the extract is whole");
    assert_eq!(end["records"]["kept"], count);
}

#[test]
fn the_manifest_has_the_hash_of_every_object_and_an_account_that_balances() {
    let place = Place::new();
    place.succeed("extract sample-logs --out out");
    let lines = place.manifest("out/manifest.jsonl");
    let mut sum = [0; 5];
    let names = ["read", "kept", "passed_over", "duplicate", "lost"];
    let objects: Vec<&Value> = kind(&lines, "object").collect();
    assert!(objects.len() > 500);
    for object in objects {
        let stored = fs::read(place.path(object["object"].as_str().expect("a name"))).expect("an object");
        assert_eq!(object["sha256"], sha256(&stored), "{object}");
        assert_eq!(object["bytes"], stored.len());
        for (sum, name) in sum.iter_mut().zip(names) {
            *sum += object["records"][name].as_u64().expect("a number");
        }
    }
    assert_eq!(sum[0], sum[1..].iter().sum::<u64>());
    let end = kind(&lines, "end").next().expect("the extract is whole");
    for (sum, name) in sum.iter().zip(names) {
        assert_eq!(end["records"][name], *sum, "{name}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn copies_are_left_out_and_counted() {
    let place = Place::new();
    let sources =
        "sample-logs/01-healthy sample-logs/07-policy-overwritten-by-terraform sample-logs/01-healthy";
    place.succeed("extract sample-logs/01-healthy --out once");
    let stderr = place.succeed(&format!("extract {sources} --out out"));
    assert!(!stderr.contains(" 0 duplicate"), "{stderr}");
    assert!(place.answer("out") == place.answer(sources));
    let kept = |out: &str| {
        let lines = place.manifest(&format!("{out}/manifest.jsonl"));
        kind(&lines, "end").next().expect("an end")["records"].clone()
    };
    assert_eq!(kept("out")["duplicate"], kept("once")["kept"]);
}

#[test]
fn an_interrupted_run_goes_on_wherever_it_stopped() {
    let place = Place::new();
    place.succeed("extract sample-logs --out whole --part-bytes 16k");
    let whole = place.files("whole");
    let manifest = &whole["manifest.jsonl"];
    let line_ends: Vec<usize> =
        manifest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let first = line_ends[0];
    // Behind the first line, within and behind others, up to the last but one.
    let mut cuts = vec![first, first + 1, manifest.len() - 1, line_ends[line_ends.len() - 2]];
    cuts.extend(line_ends.iter().step_by(97).map(|end| end + 40).filter(|cut| *cut < manifest.len()));
    for cut in cuts {
        for (name, bytes) in &whole {
            place.write(&format!("cut/{name}"), bytes);
        }
        place.write("cut/manifest.jsonl", &manifest[..cut]);
        place.write("cut/records/.keytrail-extract-left", "half a part");
        place.fail("extract sample-logs --out cut --part-bytes 16k", &["--resume", "--force"]);
        place.succeed("extract sample-logs --out cut --part-bytes 16k --resume -j3");
        assert!(place.files("cut") == whole, "cut at {cut}");
    }
    let stderr = place.succeed("extract sample-logs --out whole --part-bytes 16k --resume");
    assert!(stderr.contains("complete already"), "{stderr}");
    assert!(place.files("whole") == whole);
}

#[test]
fn a_run_that_was_killed_before_it_had_a_manifest_is_begun_again() {
    let place = Place::new();
    place.succeed("extract sample-logs/01-healthy --out whole");
    fs::create_dir_all(place.path("out/records")).expect("a directory");
    place.write("out/.keytrail-extract-x", "{\"keytrailManif");
    place.succeed("extract sample-logs/01-healthy --out out --resume");
    assert!(place.files("out") == place.files("whole"));
    // Who has such a name in a directory of their own keeps it.
    place.write("mine/.keytrail-extract-x/notes", "mine");
    place.fail("extract sample-logs/01-healthy --out mine --force", &["no extract"]);
    assert_eq!(place.files("mine").len(), 1);
}

#[test]
fn a_file_goes_on_from_its_parts() {
    let place = Place::new();
    place.succeed("extract sample-logs --out whole.json.gz --part-bytes 16k");
    place.succeed("extract sample-logs --out cut.json.gz.partial --part-bytes 16k");
    let manifest = fs::read(place.path("cut.json.gz.partial/manifest.jsonl")).expect("a manifest");
    for cut in [manifest.len() / 3, manifest.len()] {
        place.succeed("extract sample-logs --out cut.json.gz.partial --part-bytes 16k --force");
        fs::write(place.path("cut.json.gz.partial/manifest.jsonl"), &manifest[..cut]).expect("a file");
        place.fail("extract sample-logs --out cut.json.gz --part-bytes 16k", &["--resume"]);
        place.succeed("extract sample-logs --out cut.json.gz --part-bytes 16k --resume");
        let bytes = |name: &str| fs::read(place.path(name)).expect("a file");
        assert!(bytes("cut.json.gz") == bytes("whole.json.gz"));
        assert!(!place.path("cut.json.gz.partial").exists());
        let stderr = place.succeed("extract sample-logs --out cut.json.gz --part-bytes 16k --resume");
        assert!(stderr.contains("complete already"), "{stderr}");
        fs::remove_file(place.path("cut.json.gz")).expect("a file");
    }
}

#[test]
fn a_killed_run_goes_on_without_loss_or_copies() {
    let place = Place::new();
    many(&place, 30);
    place.succeed("extract many --out whole --part-bytes 8k");
    let whole = place.files("whole");
    assert!(whole.len() > 30, "{} files", whole.len());
    let manifest = place.path("killed/manifest.jsonl");
    let length = || fs::metadata(&manifest).map_or(0, |found| found.len());
    let mut kills = 0;
    // As many as this, and then one run that may end: a slow machine gets there too.
    for round in 0..KILLS_MAX {
        let before = length();
        let mut child = place.command("extract many --out killed --part-bytes 8k --resume -q -j2");
        let mut child = child.spawn().expect("keytrail runs");
        // By turns at any moment, which is mostly early, and as soon as something was done.
        let until = Instant::now() + Duration::from_millis(if round % 2 == 0 { 5 * round } else { 20_000 });
        while Instant::now() < until
            && (round % 2 == 0 || length() <= before)
            && child.try_wait().expect("its state").is_none()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        // It may be over already.
        let _ = child.kill();
        let status = child.wait().expect("it ends");
        if status.success() {
            break;
        }
        assert_eq!(status.code(), None, "after {kills} kills, the next run refuses");
        kills += 1;
    }
    assert!(kills > 0, "no run was killed");
    place.succeed("extract many --out killed --part-bytes 8k --resume -j2");
    assert!(place.files("killed") == whole, "after {kills} kills");
}

#[test]
fn a_changed_object_is_said_and_read_again() {
    let place = Place::new();
    many(&place, 6);
    place.succeed("extract many --out out --part-bytes 16k");
    let text = sample_text("01-healthy");
    place.write("many/002/00.json.gz", gzip(text.lines().next().expect("a file")));
    fs::rename(place.path("many/004/01.json.gz"), place.path("gone.json.gz")).expect("a file");
    place.write("many/001/new.json.gz", gzip(text.lines().nth(1).expect("a file")));
    let stderr = place.succeed("extract many --out out --part-bytes 16k --resume");
    assert!(stderr.contains("changed since, read again: many/002/00.json.gz"), "{stderr}");
    assert!(stderr.contains("no longer in the source, kept as read: many/004/01.json.gz"), "{stderr}");
    // With what is gone put back, the source gives what the extract does.
    fs::rename(place.path("gone.json.gz"), place.path("many/004/01.json.gz")).expect("a file");
    assert!(place.answer("out") == place.answer("many"));
}

#[test]
fn a_whole_file_is_made_again_only_if_its_source_has_changed() {
    let place = Place::new();
    many(&place, 2);
    place.succeed("extract many --out x.json.gz");
    let stderr = place.succeed("extract many --out x.json.gz --resume");
    assert!(stderr.contains("complete already"), "{stderr}");
    place.fail("extract many sample-logs/01-healthy --out x.json.gz --resume", &["other arguments"]);
    place.write("many/001/00.json.gz", gzip(sample_text("01-healthy").lines().next().expect("a file")));
    let stderr = place.succeed("extract many --out x.json.gz --resume");
    assert!(stderr.contains("changed since, read again: many/001/00.json.gz"), "{stderr}");
    assert!(place.answer("x.json.gz") == place.answer("many"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_object_that_could_not_be_read_is_tried_again() {
    let place = Place::new();
    many(&place, 2);
    let closed = place.path("many/000/03.json.gz");
    let away = place.path("away.json.gz");
    fs::rename(&closed, &away).expect("a file");
    // A file that can be opened and not be read, also not by root.
    std::os::unix::fs::symlink("/proc/self/mem", &closed).expect("a link");
    let stderr = place.succeed("extract many --out out");
    assert!(stderr.contains("unreadable"), "{stderr}");
    fs::remove_file(&closed).expect("a link");
    fs::rename(&away, &closed).expect("a file");
    let stderr = place.succeed("extract many --out out --resume");
    assert!(stderr.contains("read again: many/000/03.json.gz"), "{stderr}");
    assert!(place.answer("out") == place.answer("many"));
}

#[test]
fn other_arguments_and_other_directories_are_refused() {
    let place = Place::new();
    place.write("notes/readme.txt", "mine");
    for force in ["", "--force", "--resume"] {
        place.fail(
            &format!("extract sample-logs/01-healthy --out notes {force}"),
            &["notes", "is no extract"],
        );
    }
    assert_eq!(place.files("notes").len(), 1);
    place.succeed("extract sample-logs/01-healthy --out out");
    let before = place.files("out");
    place.fail("extract sample-logs/01-healthy --out out", &["exists already"]);
    place.fail(
        "extract sample-logs/25-unencrypted --out out --resume",
        &["sources", "01-healthy", "25-unencrypted"],
    );
    place.fail("extract sample-logs/01-healthy --out out --resume --part-bytes 1m", &["--part-bytes"]);
    place.fail(
        "extract sample-logs/01-healthy --out out --resume --record-bytes-max 1m",
        &["--record-bytes-max"],
    );
    assert!(place.files("out") == before, "a refusal changes nothing");
    place.succeed("extract sample-logs/25-unencrypted --out out --force");
    assert!(place.answer("out") == place.answer("sample-logs/25-unencrypted"));
    place.write("x.json.gz", "mine");
    place.fail("extract sample-logs/01-healthy --out x.json.gz", &["exists already"]);
    place.fail("extract sample-logs/01-healthy --out x.json.gz --resume", &["exists already"]);
    place.succeed("extract sample-logs/01-healthy --out x.json.gz --force");
    place.fail("extract sample-logs/01-healthy --out x.json", &[".json.gz"]);
}

#[test]
fn an_extract_inside_its_source_is_refused() {
    let place = Place::new();
    many(&place, 1);
    for out in ["many/out", "many/000/../out/deeper", "./many/x.json.gz"] {
        place.fail(&format!("extract many --out {out}"), &["lies within the source many"]);
    }
    place.fail("extract many --out many", &["no extract"]);
    place.succeed("extract many --out beside");
}

#[test]
fn two_runs_on_one_target_do_not_meet() {
    let place = Place::new();
    place.succeed("extract sample-logs/01-healthy --out out");
    let held = fs::File::open(place.path("out/manifest.jsonl")).expect("a manifest");
    held.lock().expect("it can be locked");
    for option in ["--resume", "--force"] {
        place.fail(&format!("extract sample-logs/01-healthy --out out {option}"), &["another run"]);
    }
    // Unlocked, not only closed: another test may be about to start a process, which shares the file for a moment.
    held.unlock().expect("it was locked");
    place.succeed("extract sample-logs/01-healthy --out out --resume");
}

#[test]
fn an_extract_that_is_not_whole_is_a_loss() {
    let place = Place::new();
    place.succeed("extract sample-logs/07-policy-overwritten-by-terraform --out whole --part-bytes 4k");
    let whole = place.files("whole");
    assert!(whole.len() > 4);
    let losses = |source: &str| place.answer(source)["coverage"]["losses"].clone();
    assert_eq!(losses("whole"), Value::Array(Vec::new()));
    let copy = |to: &str, is_kept: &dyn Fn(&str) -> bool| {
        for (name, bytes) in whole.iter().filter(|(name, _)| is_kept(name)) {
            place.write(&format!("{to}/{name}"), bytes);
        }
    };
    let only_loss = |source: &str, detail: &str| {
        let losses = losses(source);
        assert_eq!(losses.as_array().map(Vec::len), Some(1), "{losses}");
        assert_eq!(losses[0]["kind"], "incomplete-extract");
        assert!(losses[0]["detail"].as_str().expect("a text").contains(detail), "{losses}");
    };
    copy("part-missing", &|name| name != "records/part-000002.json.gz");
    only_loss("part-missing", &format!("{} of {} parts", whole.len() - 2, whole.len() - 1));
    copy("manifest-missing", &|name| name != "manifest.jsonl");
    only_loss("manifest-missing", "not its manifest");
    copy("unfinished", &|_| true);
    let manifest = &whole["manifest.jsonl"];
    let line = manifest[..manifest.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines");
    for cut in [line + 1, line - 30] {
        place.write("unfinished/manifest.jsonl", &manifest[..cut]);
        only_loss("unfinished", "--resume");
    }
    copy("damaged", &|_| true);
    let part = &whole["records/part-000001.json.gz"];
    place.write("damaged/records/part-000001.json.gz", &part[..part.len() / 2]);
    let kinds = losses("damaged").to_string();
    assert!(kinds.contains("truncated-compression") && kinds.contains("incomplete-extract"), "{kinds}");
}

#[test]
fn a_damaged_part_is_made_again() {
    let place = Place::new();
    place.succeed("extract sample-logs --out out --part-bytes 16k");
    let whole = place.files("out");
    let part = &whole["records/part-000003.json.gz"];
    for damaged in [&part[..part.len() - 1], b"", b"{}"] {
        place.write("out/records/part-000003.json.gz", damaged);
        let stderr = place.succeed("extract sample-logs --out out --part-bytes 16k --resume");
        assert!(stderr.contains("missing or damaged, made again: records/part-000003.json.gz"), "{stderr}");
        assert!(place.answer("out") == place.answer("sample-logs"));
        place.succeed("extract sample-logs --out out --part-bytes 16k --force");
    }
    assert!(place.files("out") == whole);
}

#[test]
fn a_hostile_manifest_is_an_error_and_touches_nothing() {
    let place = Place::new();
    place.succeed("extract sample-logs/01-healthy --out out");
    let manifest =
        String::from_utf8(place.files("out").remove("manifest.jsonl").expect("a manifest")).expect("UTF-8");
    let first = manifest.lines().next().expect("a line").to_owned() + "\n";
    let long = format!("{first}{{\"keytrailManifest\":\"{}\"", "x".repeat(70 << 20));
    for text in [
        String::new(),
        "\n".to_owned(),
        "{}\n".to_owned(),
        "[[[[[[[[[[\n".to_owned(),
        format!("{first}{first}"),
        format!("{first}{{\"keytrailManifest\":\"other\"}}\n"),
        format!("{first}\u{1b}]0;owned\u{7}\n"),
        first.replace("\"version\":1", "\"version\":99"),
        first.replace("\"part_bytes\":8388608", "\"part_bytes\":-1"),
        format!("{manifest}{first}"),
        long,
    ] {
        place.write("out/manifest.jsonl", &text);
        for option in ["--resume", "--force"] {
            let output = place.run(&format!("extract sample-logs/01-healthy --out out {option}"));
            let stderr = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains("is not of a manifest") && !stderr.contains('\u{1b}'), "{stderr}");
        }
        assert_eq!(place.files("out")["manifest.jsonl"], text.as_bytes());
        assert!(place.run("analyze out").status.success(), "a reader does not stop at it");
    }
    // Names are not taken from it: what it names is neither read nor removed.
    place.write("precious.json.gz", "mine");
    place.write("out/manifest.jsonl", manifest.replace("records/part-000001.json.gz", "../precious.json.gz"));
    place.succeed("extract sample-logs/01-healthy --out out --resume");
    place.write("out/manifest.jsonl", manifest.replace("\"part\":1,", "\"part\":4294967295,"));
    place.succeed("extract sample-logs/01-healthy --out out --resume");
    assert!(place.answer("out") == place.answer("sample-logs/01-healthy"));
    assert_eq!(fs::read(place.path("precious.json.gz")).expect("a file"), b"mine");
}

#[test]
fn standard_input_is_extracted_and_cannot_be_resumed() {
    let place = Place::new();
    place.write("all.json", sample_text("09-launch-loop"));
    let input = fs::File::open(place.path("all.json")).expect("a file");
    let status = place.command("extract - --out out -q").stdin(input).status().expect("keytrail runs");
    assert!(status.success());
    assert!(place.answer("out") == place.answer("all.json"));
    place.fail("extract - --out out --resume", &["standard input cannot be resumed"]);
}

#[test]
fn an_archive_without_anything_of_use_gives_an_extract_that_says_so() {
    let place = Place::new();
    place.write("none/a.json", "{\"Records\":[]}");
    place.write("none/b.txt", "hello");
    place.succeed("extract none --out out");
    assert!(place.answer("out") == place.answer("none"));
    place.succeed("extract none --out out.json.gz");
    assert!(place.answer("out.json.gz") == place.answer("none"));
}

#[test]
fn losses_are_told_and_strict_runs_say_so_by_their_exit_code() {
    let place = Place::new();
    let output = place.run("extract sample-logs/32-records-lost --out out --strict");
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(stderr.contains("lost:  sample-logs/32-records-lost/"), "{stderr}");
    assert!(stderr.contains("truncated-compression"), "{stderr}");
    assert_eq!(place.run("extract sample-logs/01-healthy --out healthy --strict").status.code(), Some(0));
    assert!(place.answer("out")["findings"].to_string().contains("KT503"));
}
