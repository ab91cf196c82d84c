//! Files and directories on disk, and `-` for standard input.
//!
//! A path comes in, its files go out, sorted by path. Nothing is opened here. A directory that cannot be
//! read on the way is an error: silently missing logs would turn into false conclusions.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{INCOMPLETE_DIRECTORY, SourceObject};

/// Why a path gives no objects.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Nothing is at the path.
    #[error("{}: no such file or directory", path.display())]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The path, or a directory below it, cannot be read.
    #[error("{}: cannot be read: {source}{}", path.display(), way_out(source))]
    Unreadable {
        /// The path at fault.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory holds no file at any depth.
    #[error("{}: the directory holds no files", path.display())]
    EmptyDirectory {
        /// The path as given.
        path: PathBuf,
    },
}

/// What can be done: logs that are left out in silence would turn into false conclusions.
fn way_out(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "; make it readable, or name each part that is readable as SOURCE"
    } else {
        ""
    }
}

/// Lists `path`: every file below a directory at any depth, the file itself, or standard input for `-`.
///
/// Symbolic links are followed; a loop of them, or a link that leads nowhere, is left out. The listing is
/// sorted by the bytes of the path, so it is the same on every file system.
///
/// # Errors
/// When nothing is at the path, a directory cannot be read, or no file is found.
pub fn list(path: &Path) -> Result<Vec<SourceObject>, ListError> {
    if path.as_os_str() == "-" {
        return Ok(vec![SourceObject::standard_input()]);
    }
    let metadata = path.metadata().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ListError::NotFound { path: path.to_owned() },
        _ => ListError::Unreadable { path: path.to_owned(), source },
    })?;
    if !metadata.is_dir() {
        // A pipe or device has no size worth telling.
        let size = metadata.is_file().then_some(metadata.len());
        let mut object = SourceObject::file(path.to_owned(), size);
        object.is_named_as_log = true;
        return Ok(vec![object]);
    }
    let mut objects = Vec::new();
    let walk = WalkDir::new(path).follow_links(true).into_iter();
    for entry in walk.filter_entry(|entry| entry.file_name() != INCOMPLETE_DIRECTORY) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) if is_dangling_link(&error) => continue,
            Err(error) => {
                let path = error.path().unwrap_or(path).to_owned();
                let source = error.into_io_error().unwrap_or_else(|| io::Error::other("unreadable"));
                return Err(ListError::Unreadable { path, source });
            }
        };
        if entry.file_type().is_file() {
            // A file that vanishes between walk and stat is found unreadable when it is opened.
            let size = entry.metadata().ok().map(|metadata| metadata.len());
            objects.push((entry.into_path(), size));
        }
    }
    if objects.is_empty() {
        return Err(ListError::EmptyDirectory { path: path.to_owned() });
    }
    objects.sort_unstable_by(|(one, _), (two, _)| one.as_os_str().cmp(two.as_os_str()));
    Ok(objects.into_iter().map(|(path, size)| SourceObject::file(path, size)).collect())
}

fn is_dangling_link(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
        && error.path().is_some_and(Path::is_symlink)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{ListError, list};

    fn names(path: &Path) -> Vec<String> {
        let objects = list(path).expect("a listing");
        objects.iter().map(|object| object.uri.rsplit('/').next().expect("a name").to_owned()).collect()
    }

    #[test]
    fn a_directory_lists_its_files_sorted_at_any_depth() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["b/2.json", "b/1.json", "a.json", "c/d/e/0.json.gz"] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, name).expect("a file");
        }
        assert_eq!(names(directory.path()), ["a.json", "1.json", "2.json", "0.json.gz"]);
        let objects = list(directory.path()).expect("a listing");
        assert_eq!(objects[1].size, Some("b/1.json".len() as u64));
        let read: Vec<String> = objects
            .iter()
            .map(|object| std::io::read_to_string(object.open().expect("opens")).expect("reads"))
            .collect();
        assert_eq!(read, ["a.json", "b/1.json", "b/2.json", "c/d/e/0.json.gz"]);
    }

    #[test]
    fn downloads_that_an_interrupted_run_left_unfinished_are_no_logs() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join(".keytrail-incomplete")).expect("a directory");
        fs::write(directory.path().join(".keytrail-incomplete/1"), "{").expect("a file");
        fs::write(directory.path().join("a.json"), "{}").expect("a file");
        assert_eq!(names(directory.path()), ["a.json"]);
    }

    #[test]
    fn a_file_named_by_the_user_claims_to_be_a_log_whatever_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("notes.txt"), "x").expect("a file");
        assert!(list(&directory.path().join("notes.txt")).expect("a listing")[0].is_named_as_log);
        assert!(!list(directory.path()).expect("a listing")[0].is_named_as_log);
    }

    #[test]
    fn wrong_paths_and_empty_directories_are_told_apart() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = list(&directory.path().join("none")).expect_err("nothing there");
        assert!(matches!(&missing, ListError::NotFound { .. }), "{missing}");
        fs::create_dir(directory.path().join("empty")).expect("a directory");
        let empty = list(directory.path()).expect_err("no files");
        assert!(matches!(&empty, ListError::EmptyDirectory { .. }), "{empty}");
    }

    #[cfg(unix)]
    #[test]
    fn loops_of_links_and_dangling_links_do_not_hang_or_hide_files() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("a")).expect("a directory");
        fs::write(directory.path().join("a/1.json"), "{}").expect("a file");
        std::os::unix::fs::symlink(directory.path(), directory.path().join("a/loop")).expect("a link");
        std::os::unix::fs::symlink("/nonexistent/x", directory.path().join("dangling")).expect("a link");
        assert_eq!(names(directory.path()), ["1.json"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_no_utf8_is_shown_lossily_and_opened_exactly() {
        use std::os::unix::ffi::OsStrExt;

        let directory = tempfile::tempdir().expect("a directory");
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.json");
        fs::write(directory.path().join(name), "content").expect("a file");
        let objects = list(directory.path()).expect("a listing");
        assert!(objects[0].uri.ends_with("caf\u{fffd}.json"), "{}", objects[0].uri);
        assert!(objects[0].is_named_as_log);
        let text = std::io::read_to_string(objects[0].open().expect("opens")).expect("reads");
        assert_eq!(text, "content");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_cannot_be_read_is_an_error() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("1.json"), "{}").expect("a file");
        let closed = directory.path().join("closed");
        fs::create_dir(&closed).expect("a directory");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("permissions");
        // Root reads it all the same; then there is nothing to see.
        if fs::read_dir(&closed).is_err() {
            let error = list(directory.path()).expect_err("a closed directory");
            assert!(matches!(&error, ListError::Unreadable { path, .. } if *path == closed), "{error}");
            assert!(error.to_string().contains("make it readable"), "{error}");
        }
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("permissions");
    }
}
