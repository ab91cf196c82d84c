//! The HTML report in a real browser: every sample, an archive that attacks its reader, and 5,000 nodes.
//!
//! Where no Chromium is installed the tests say so and pass, but not with `CI=true`.

mod browser;
mod hostile;
mod samples;
mod size;
#[path = "../support/mod.rs"]
mod support;
mod usability;

use std::path::{Path, PathBuf};
use std::process::Command;

use browser::Browser;

/// A browser, or `None` where there is none and nobody insists.
#[allow(clippy::print_stderr, reason = "a test that is left out must say so")]
fn chromium() -> Option<Browser> {
    match browser::find() {
        Some(program) => Some(Browser::start(&program)),
        None => {
            assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "no Chromium is installed");
            eprintln!("left out: no Chromium is installed (apt-get install chromium)");
            None
        }
    }
}

/// Writes the report of a source into a directory, and says where.
fn report(source: &Path, directory: &Path, name: &str) -> PathBuf {
    let file = directory.join(format!("{name}.html"));
    let written = Command::new(env!("CARGO_BIN_EXE_keytrail"))
        .args(["--quiet", "analyze", "--output", "none", "--all-launches"])
        .arg(source)
        .arg(format!("--export=html={}", file.display()))
        .output()
        .expect("the command can be started");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    file
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs").join(name)
}
