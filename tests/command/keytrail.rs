//! Runs keytrail: a builder for one run, a directory of its own for each, and the sample logs as text.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// One run. It starts in a new directory, in which `sample-logs` leads to the samples.
pub struct Keytrail {
    arguments: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
    input: Vec<u8>,
    directory: TempDir,
}

/// What a run left behind.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    directory: TempDir,
}

/// `keytrail` with arguments separated by blanks.
pub fn keytrail(arguments: &str) -> Keytrail {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
    std::os::unix::fs::symlink(samples, directory.path().join("sample-logs")).expect("a link can be made");
    Keytrail {
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
        environment: Vec::new(),
        input: Vec::new(),
        directory,
    }
}

impl Keytrail {
    /// One more argument, blanks and all.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// A file in the run's directory.
    pub fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("directories can be made");
        fs::write(path, bytes).expect("a file can be written");
        self
    }

    /// An empty directory in the run's directory.
    pub fn directory(self, name: &str) -> Self {
        fs::create_dir_all(self.directory.path().join(name)).expect("directories can be made");
        self
    }

    /// A symbolic link in the run's directory.
    pub fn link(self, name: &str, target: &str) -> Self {
        std::os::unix::fs::symlink(target, self.directory.path().join(name)).expect("a link can be made");
        self
    }

    /// A path in the run's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The process to be, for what the builder does not offer.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keytrail"));
        command
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .env("TERM", "xterm-256color")
            .envs(self.environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(self) -> Run {
        let mut child = self.command().spawn().expect("keytrail can be started");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let input = self.input;
        let writer = std::thread::spawn(move || {
            // Who does not read its input is tested by its other outputs.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("keytrail ends");
        writer.join().expect("the writer ends");
        Run {
            code: output.status.code().expect("keytrail ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
            directory: self.directory,
        }
    }

    /// Runs, and holds the run to exit code 0.
    pub fn succeed(self) -> Run {
        let run = self.run();
        assert_eq!(run.code, 0, "{}", run.stderr);
        run
    }

    /// Runs, and holds the run to exit code 2, an empty standard output, and a message with every one of `says`.
    pub fn fail(self, says: &[&str]) -> Run {
        let run = self.run();
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert_eq!(run.stdout, "", "an error leaves no result");
        assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
        for part in says {
            assert!(run.stderr.contains(part), "`{part}` is not in: {}", run.stderr);
        }
        run
    }
}

impl Run {
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).expect("text is UTF-8")
    }

    /// Names of what is in the run's directory now, sorted, without the samples.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.directory.path())
            .expect("the directory is there")
            .map(|entry| entry.expect("a name").file_name().into_string().expect("UTF-8"))
            .filter(|name| name != "sample-logs")
            .collect();
        names.sort();
        names
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).expect("standard output is JSON")
    }

    /// Ids of the nodes of a JSON document on standard output.
    pub fn node_ids(&self) -> Vec<String> {
        let document = self.json();
        let nodes = document["nodes"].as_array().expect("there are nodes").clone();
        nodes.iter().map(|node| node["instance_id"].as_str().expect("an id").to_owned()).collect()
    }
}

/// All records of a sample, inflated, each file a line.
pub fn sample_text(sample: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs").join(sample).join("AWSLogs");
    let mut text = String::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.expect("samples can be listed");
        if entry.file_type().is_file() {
            let file = fs::File::open(entry.path()).expect("samples can be opened");
            flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("the sample is whole");
            text.push('\n');
        }
    }
    text
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}
