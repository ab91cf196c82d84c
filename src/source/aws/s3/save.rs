//! Keeps downloaded objects in a directory, in the bucket's own layout, for reading without a network.
//!
//! Names of buckets and keys, and bytes, come in; files below the directory come into being, whole or not at all. No
//! key, however hostile, names a file outside of the directory.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::source::INCOMPLETE_DIRECTORY;

/// Longest name of a file or directory, in bytes: what file systems allow, less what others may add.
const NAME_BYTES_MAX: usize = 200;

/// A directory that objects are saved to.
#[derive(Debug)]
pub struct SaveDirectory {
    root: PathBuf,
    failures: Mutex<Option<SaveFailures>>,
}

/// Objects that could not be saved.
#[derive(Debug, thiserror::Error)]
#[error("{count} objects could not be saved; the first of them as {}: {source}", path.display())]
pub struct SaveFailures {
    /// How many.
    pub count: u64,
    /// The file of the first.
    pub path: PathBuf,
    /// What the system said of the first.
    #[source]
    pub source: io::Error,
}

impl SaveDirectory {
    /// Makes the directory, where it does not exist, and clears what an interrupted run left unfinished.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn create(root: &Path) -> io::Result<Self> {
        let incomplete = root.join(INCOMPLETE_DIRECTORY);
        match fs::remove_dir_all(&incomplete) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&incomplete)?,
        }
        Ok(Self { root: root.to_owned(), failures: Mutex::new(None) })
    }

    /// Ends the saving.
    ///
    /// # Errors
    /// When objects could not be saved.
    pub fn finish(&self) -> Result<(), SaveFailures> {
        // Left behind, an empty directory does no harm.
        let _ = fs::remove_dir(self.root.join(INCOMPLETE_DIRECTORY));
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Begins a file for an object.
    pub(super) fn begin(self: &Arc<Self>, bucket: &str, key: &str) -> Saving {
        let path = self.root.join(relative_path(bucket, key));
        let mut saving = Saving { directory: Arc::clone(self), path, file: None };
        let file = tempfile::Builder::new().tempfile_in(self.root.join(INCOMPLETE_DIRECTORY));
        match file {
            Ok(file) => saving.file = Some(file),
            Err(error) => saving.fail(error),
        }
        saving
    }
}

/// A file that is being written.
pub(super) struct Saving {
    directory: Arc<SaveDirectory>,
    path: PathBuf,
    /// `None` once it is finished, or has failed.
    file: Option<NamedTempFile>,
}

impl Saving {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.fail(error);
        }
    }

    /// Puts the whole file in its place; replaces one that is there.
    pub(super) fn finish(&mut self) {
        let Some(file) = self.file.take() else { return };
        let parent = self.path.parent().unwrap_or(&self.directory.root);
        let outcome = fs::create_dir_all(parent)
            .and_then(|()| file.persist(&self.path).map(drop).map_err(|error| error.error));
        if let Err(error) = outcome {
            self.fail(error);
        }
    }

    fn fail(&mut self, source: io::Error) {
        self.file = None;
        let mut failures = self.directory.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *failures {
            Some(failures) => failures.count += 1,
            None => *failures = Some(SaveFailures { count: 1, path: self.path.clone(), source }),
        }
    }
}

/// Path of an object below the directory: the bucket, then the key. Different objects have different paths.
fn relative_path(bucket: &str, key: &str) -> PathBuf {
    std::iter::once(bucket).chain(key.split('/')).map(file_name).collect()
}

/// A name that every file system takes literally. What may mean something else is written as `%` and two digits.
fn file_name(component: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.+=@,!() ".contains(letter);
    // Windows drops dots and blanks at the end, and `.` and `..` are directories.
    let kept = component.trim_end_matches(['.', ' ']).len();
    let mut name = String::with_capacity(component.len());
    for (at, letter) in component.char_indices() {
        let is_kept = at < kept && (!letter.is_ascii() || is_plain(letter)) && !letter.is_control();
        if is_kept {
            name.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                name.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    if name.is_empty() {
        // No other component gives a single `%`.
        return "%".to_owned();
    }
    if name.len() > NAME_BYTES_MAX {
        let digest = Sha256::digest(component.as_bytes());
        let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let begin: String = name
            .chars()
            .scan(0, |length, letter| {
                *length += letter.len_utf8();
                (*length <= NAME_BYTES_MAX / 2).then_some(letter)
            })
            .collect();
        return format!("{begin}%{digest}");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Component, Path};
    use std::sync::Arc;

    use super::{SaveDirectory, file_name, relative_path};

    #[test]
    fn an_ordinary_key_keeps_its_path() {
        let key = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/05/06/a_b-c.json.gz";
        assert_eq!(relative_path("my.logs", key), Path::new("my.logs").join(key));
    }

    #[test]
    fn no_key_leads_out_of_the_directory() {
        for key in [
            "../../etc/passwd",
            "/etc/passwd",
            "a/../../b",
            "..",
            ".",
            "a//b",
            "",
            "C:\\x\\..\\y",
            "a\0b/\u{1b}[2J/\u{85}",
            "... /.. /. ",
            "nul:stream",
            "~/x",
            "%2E%2E/%",
        ] {
            let path = relative_path("..", key);
            for component in path.components() {
                let Component::Normal(name) = component else { panic!("{key}: {path:?}") };
                let name = name.to_str().expect("UTF-8");
                assert!(
                    !name.chars().any(|letter| letter.is_control() || "\\:~".contains(letter)),
                    "{key}: {name:?}"
                );
                assert!(!name.ends_with(['.', ' ']), "{key}: {name:?}");
            }
            assert_eq!(path.components().count(), 1 + key.split('/').count(), "{key}");
        }
    }

    #[test]
    fn different_names_stay_different() {
        let long = "x".repeat(300);
        let names = [
            "..",
            "%2E%2E",
            ".",
            "%2E",
            "",
            "%",
            "a b",
            "a%20b",
            "a:b",
            "a%3Ab",
            "a.",
            "a",
            &long,
            &long[..299],
        ];
        let mut written: Vec<String> = names.iter().map(|name| file_name(name)).collect();
        assert!(written.iter().all(|name| name.len() <= 200));
        written.sort();
        written.dedup();
        assert_eq!(written.len(), names.len(), "{written:?}");
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let save = Arc::new(SaveDirectory::create(directory.path()).expect("created"));
        let file = directory.path().join("logs/a/b.json");
        let mut unfinished = save.begin("logs", "a/b.json");
        unfinished.write(b"{\"Rec");
        assert!(!file.exists());
        drop(unfinished);
        let mut saving = save.begin("logs", "a/b.json");
        saving.write(b"{}");
        saving.finish();
        assert_eq!(fs::read(&file).expect("the file"), b"{}");
        save.finish().expect("all was saved");
        assert_eq!(fs::read_dir(directory.path()).expect("a listing").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_saved_is_told_at_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let save = Arc::new(SaveDirectory::create(directory.path()).expect("created"));
        for key in ["a", "a/b", "a/c"] {
            let mut saving = save.begin("logs", key);
            saving.write(b"{}");
            saving.finish();
        }
        let failures = save.finish().expect_err("a file is where a directory should be");
        assert_eq!(failures.count, 2);
        assert!(failures.path.ends_with("logs/a/b"), "{failures}");
    }
}
