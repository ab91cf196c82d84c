//! The test server: AWS on loopback, with faults. Builds its Python environment once, starts it, and ends it.
//!
//! `server.py` says what it can do. Without Python the tests are skipped, and say so; where `CI=true` they fail.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

/// A running server; ended when dropped.
pub struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts a server of its own for one test; `None` if there is no Python, which has been said then.
    ///
    /// # Panics
    /// Without Python where `CI=true`, and if the server does not start.
    pub fn start() -> Option<Self> {
        let python = python()?;
        let mut process = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws/server.py"))
            .env_remove("PYTHONPATH")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // The server ends with its input: it outlives no test, not even one that is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("Python starts");
        let output = process.stdout.take().expect("its output is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("the server says that it is ready");
        let port = line.trim().strip_prefix("ready ").and_then(|port| port.parse().ok());
        Some(Self { process, port: port.unwrap_or_else(|| panic!("the server said {line:?}")) })
    }

    /// What `AWS_ENDPOINT_URL` is set to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `keytrail` with the server as its AWS, with credentials of an account, and with nothing of the user's own
    /// AWS settings.
    pub fn keytrail<A: AsRef<OsStr>>(
        &self,
        account: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keytrail"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_ENDPOINT_URL", self.url())
            .env("AWS_ACCESS_KEY_ID", access_key_id(account))
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "no-such-file")
            .env("AWS_SHARED_CREDENTIALS_FILE", "no-such-file")
            .args(arguments);
        command
    }

    /// Adds records to the event history of their accounts and regions, to be seen after a while.
    pub fn add_events(&self, records: &[String], visible_after: Duration) {
        self.post("events", &json!({ "records": records, "visible_after": visible_after.as_secs_f64() }));
    }

    /// Copies a directory into a bucket, which is made if it does not exist.
    pub fn put_directory(&self, bucket: &str, directory: &Path, prefix: &str) {
        self.post("objects", &json!({ "bucket": bucket, "directory": directory, "prefix": prefix }));
    }

    /// Adds a fault, as `Fault` in `server.py` describes it.
    pub fn fault(&self, fault: Value) {
        self.post("faults", &json!([fault]));
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.exchange("DELETE", "/_test/faults", &[], "");
    }

    /// What was asked of the server, in order.
    pub fn requests(&self) -> Vec<Value> {
        let answer = self.exchange("GET", "/_test/requests", &[], "");
        let answer: Value = serde_json::from_str(&answer).expect("the server answers in JSON");
        answer["requests"].as_array().expect("a list").clone()
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: &str) -> usize {
        self.requests().iter().filter(|request| request["operation"] == operation).count()
    }

    /// Asks an operation of CloudTrail's, as a client would.
    pub fn cloudtrail(&self, operation: &str, account: &str, region: &str, request: &Value) -> Value {
        let target =
            format!("x-amz-target: com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{operation}");
        let authorization = format!(
            "authorization: AWS4-HMAC-SHA256 Credential={}/20260302/{region}/cloudtrail/aws4_request",
            access_key_id(account)
        );
        let answer = self.exchange("POST", "/", &[&target, &authorization], &request.to_string());
        serde_json::from_str(&answer).expect("the server answers in JSON")
    }

    fn post(&self, name: &str, body: &Value) {
        self.exchange("POST", &format!("/_test/{name}"), &[], &body.to_string());
    }

    /// One request and its answer's body, whatever its status.
    fn exchange(&self, method: &str, path: &str, headers: &[&str], body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n");
        for header in headers {
            head += &format!("{header}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).expect("the server listens");
        stream.write_all(body.as_bytes()).expect("the server listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
        assert!(!head.contains(" 500 "), "the server failed at {path}: {answer}");
        body.to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both only fail if the server is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server takes a key's account from its digits.
fn access_key_id(account: &str) -> String {
    format!("AKIA{account}EXAM")
}

/// The interpreter of the server's environment, which is built once and kept below `target`.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(environment) {
        Ok(python) => Some(python),
        Err(why) => {
            let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!is_ci, "the test server for AWS cannot be had, and CI must not go without: {why}");
            // Past the test runner, which hides what tests that pass print.
            let _ = writeln!(io::stderr(), "skipped: the test server for AWS cannot be had: {why}");
            None
        }
    }
}

fn environment() -> Result<PathBuf, String> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws/requirements.txt");
    let wanted = fs::read_to_string(&requirements).map_err(|error| error.to_string())?;
    let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = below.join("aws-test-server");
    let python = place.join("bin/python");
    if fs::read_to_string(place.join("requirements.txt")).is_ok_and(|built| built == wanted) {
        return Ok(python);
    }
    // Built aside and moved into place as a whole: several test programs may do so at once.
    let aside = tempfile::Builder::new()
        .prefix("aws-test-server-")
        .tempdir_in(below)
        .map_err(|error| error.to_string())?;
    let built = aside.path().join("environment");
    run(Command::new("python3").args(["-m", "venv"]).arg(&built))?;
    run(Command::new(built.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "-r"])
        .arg(&requirements))?;
    fs::write(built.join("requirements.txt"), &wanted).map_err(|error| error.to_string())?;
    if place.exists() && fs::rename(&place, aside.path().join("outdated")).is_err() {
        return Err("the outdated environment cannot be moved away".to_owned());
    }
    if let Err(error) = fs::rename(&built, &place)
        && !python.exists()
    {
        return Err(format!("moving the environment into place: {error}"));
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("{shown}: {}", said.concat().trim()))
}
