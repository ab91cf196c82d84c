//! A headless Chromium, driven over the pipe of its debugging protocol.
//!
//! Pages come in as files; what a page does comes out: what it logs, asks the network for, or asks the user, and the
//! value of any expression in it. Nothing listens on a port.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A loaded machine is slow, and a browser on it slower.
const PATIENCE: Duration = Duration::from_secs(120);

const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// The browser to test with: that of the variable CHROMIUM, else the first that is installed.
pub fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories)
        .flat_map(|directory| NAMES.iter().map(move |name| directory.join(name)))
        .find(|path| path.is_file())
}

/// A running browser; it ends with this value.
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    /// Events not yet looked at: session, method, parameters.
    events: Vec<(String, String, Value)>,
    _profile: tempfile::TempDir,
}

/// One tab.
pub struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
    target: String,
}

/// What a page did besides showing itself.
#[derive(Debug, Default, PartialEq)]
pub struct Deeds {
    /// Errors and warnings, of scripts and of the browser about the page.
    pub complaints: Vec<String>,
    /// Addresses that were asked for, but for the page itself and what is inside it.
    pub requests: Vec<String>,
    /// Dialogs, new windows and the like.
    pub intrusions: Vec<String>,
}

impl Browser {
    /// Starts a browser with a profile of its own.
    pub fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().expect("a directory can be made");
        let user_data = format!("--user-data-dir={}", profile.path().display());
        // The protocol is spoken over the descriptors 3 and 4.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#])
            .arg(program)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-gpu",
                &user_data,
            ])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions"])
            // Containers have no sandbox for their superuser; the pages are our own.
            .args(["--no-sandbox", "--window-size=1280,900"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser can be started");
        let commands = process.stdin.take().expect("stdin is piped");
        let mut answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while answers.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
                bytes.pop();
                let message = serde_json::from_slice(&bytes).expect("the browser speaks JSON");
                if sender.send(message).is_err() {
                    return;
                }
                bytes.clear();
            }
        });
        Self { process, commands, messages, last_id: 0, events: Vec::new(), _profile: profile }
    }

    fn call(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("the browser listens");
        loop {
            let message =
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        self.events.push((text("sessionId"), text("method"), message["params"].clone()));
    }

    /// Opens an empty tab.
    pub fn page(&mut self) -> Page<'_> {
        let target = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let target = target["targetId"].as_str().expect("a target").to_owned();
        let attached =
            self.call(None, "Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(Some(&session), &format!("{domain}.enable"), &json!({}));
        }
        Page { browser: self, session, target }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have gone by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Page<'_> {
    /// A command of the protocol.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.browser.call(Some(&self.session), method, parameters)
    }

    /// Opens a file, and waits until it is there and its script is done with the beginning.
    pub fn open(&mut self, file: &Path) {
        self.load(file);
        self.wait_for("document.documentElement.classList.contains('ready')");
    }

    /// Opens a file, and waits until it is there.
    pub fn load(&mut self, file: &Path) {
        self.browser.events.clear();
        self.call("Page.navigate", &json!({ "url": format!("file://{}", file.display()) }));
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'");
    }

    /// The value of an expression.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let start = Instant::now();
        while self.value(expression) != true {
            assert!(start.elapsed() < PATIENCE, "never true: {expression}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Moves the pointer to the middle of an element.
    pub fn hover(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        ));
        let parameters = json!({ "type": "mouseMoved", "x": place[0], "y": place[1] });
        self.call("Input.dispatchMouseEvent", &parameters);
    }

    /// What the page did so far, beginning with its opening.
    pub fn deeds(&mut self) -> Deeds {
        // Everything that happened before the answer has been noted then.
        let own = self.value("location.href.split('#')[0]");
        let own = own.as_str().unwrap_or_default().to_owned();
        let mut deeds = Deeds::default();
        for (session, method, parameters) in &self.browser.events {
            let is_own = *session == self.session;
            match method.as_str() {
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" if is_own => {
                    deeds.complaints.push(parameters.to_string());
                }
                "Network.requestWillBeSent" if is_own => {
                    let address = parameters["request"]["url"].as_str().unwrap_or_default();
                    if address.split('#').next() != Some(&own) && !address.starts_with("data:") {
                        deeds.requests.push(address.to_owned());
                    }
                }
                "Page.javascriptDialogOpening" | "Page.windowOpen" | "Page.fileChooserOpened" if is_own => {
                    deeds.intrusions.push(format!("{method} {parameters}"));
                }
                _ => {}
            }
        }
        deeds
    }

    /// A picture of the page as PNG, in base64.
    #[allow(dead_code, reason = "not every target takes pictures")]
    pub fn picture(&mut self) -> String {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        picture["data"].as_str().expect("a picture").to_owned()
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let target = self.target.clone();
            self.browser.call(None, "Target.closeTarget", &json!({ "targetId": target }));
        }
    }
}
