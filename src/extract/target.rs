//! Where an extract goes, and what is there already.
//!
//! A path comes in; what to write, and where its pieces are on the way, goes out. Nothing that keytrail did not
//! write is ever removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::manifest;
use super::{Existing, ExtractError};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Many objects and a manifest.
    Directory,
    /// One `.json.gz`, and a manifest beside it.
    Gzip,
    /// One Parquet file, and a manifest beside it.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// What is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing, or nothing that is to stay.
    None,
    /// An extract in a directory: it can be continued.
    Interrupted,
    /// A file that is whole.
    Complete,
}

/// Where an extract goes.
#[derive(Debug)]
pub(super) struct Target {
    pub form: Form,
    /// As the user named it.
    pub out: PathBuf,
    /// Where parts are written: the target itself, or a directory beside it until the file is whole.
    pub directory: PathBuf,
    /// The manifest of that directory.
    pub working_manifest: PathBuf,
    /// The manifest in the end.
    pub manifest: PathBuf,
}

impl Target {
    pub(super) fn of(out: &Path) -> Result<Self, ExtractError> {
        let name =
            out.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let form = if name.ends_with(".json.gz") {
            Form::Gzip
        } else if name.ends_with(".parquet") {
            #[cfg(feature = "parquet")]
            {
                Form::Parquet
            }
            #[cfg(not(feature = "parquet"))]
            return Err(ExtractError::Form { path: out.to_owned() });
        } else if FOREIGN_EXTENSIONS.iter().any(|extension| name.ends_with(extension)) {
            return Err(ExtractError::Form { path: out.to_owned() });
        } else {
            Form::Directory
        };
        let beside = |extension: &str| {
            let mut path = out.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        let (directory, manifest) = match form {
            Form::Directory => (out.to_owned(), manifest::path_in(out)),
            _ => (beside(".partial"), beside(".manifest.jsonl")),
        };
        let working_manifest = manifest::path_in(&directory);
        Ok(Self { form, out: out.to_owned(), directory, working_manifest, manifest })
    }

    /// What is there; an error if it must not be touched.
    pub(super) fn state(&self, existing: Existing) -> Result<State, ExtractError> {
        let exists = || Err(ExtractError::Exists { path: self.out.clone() });
        let has_file = self.form != Form::Directory && self.out.exists();
        if has_file && self.out.is_dir() {
            return Err(ExtractError::Form { path: self.out.clone() });
        }
        if has_file && !self.out.is_file() {
            return Err(ExtractError::NoFile { path: self.out.clone() });
        }
        if existing == Existing::Resume && has_file && self.is_put_together() {
            self.remove_working_directory()?;
        }
        let state = match (self.working_manifest.exists(), has_file) {
            (true, _) => State::Interrupted,
            (false, true) => State::Complete,
            (false, false) => State::None,
        };
        if state == State::None || (state == State::Complete && existing == Existing::Overwrite) {
            return if self.is_directory_free()? {
                Ok(State::None)
            } else {
                Err(ExtractError::NoExtract { path: self.directory.clone() })
            };
        }
        match existing {
            Existing::Refuse => exists(),
            Existing::Resume if state == State::Complete && !self.manifest.exists() => exists(),
            Existing::Resume => Ok(state),
            // Whose manifest cannot be read may not be ours.
            Existing::Overwrite => manifest::read(&self.working_manifest).map(|_| State::Interrupted),
        }
    }

    /// Whether a run was interrupted after the file was whole, and before its pieces were gone.
    fn is_put_together(&self) -> bool {
        let whole = |path: &Path| manifest::read(path).ok().filter(|manifest| manifest.is_ended);
        match (whole(&self.working_manifest), whole(&self.manifest)) {
            (Some(working), Some(whole)) => working.begin == whole.begin,
            _ => false,
        }
    }

    /// Whether the directory is absent, or holds nothing but what a run leaves that is interrupted before it
    /// has a manifest.
    fn is_directory_free(&self) -> Result<bool, ExtractError> {
        let failed = |source| ExtractError::Write { path: self.directory.clone(), source };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(source) => return Err(failed(source)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let is_empty_records = entry.file_name() == RECORDS
                && fs::read_dir(entry.path()).is_ok_and(|mut entries| entries.next().is_none());
            if !is_empty_records && !is_left_over(&entry) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An extract inside a source would be read by the next run.
    pub(super) fn check_outside(&self, sources: &[String]) -> Result<(), ExtractError> {
        // What does not exist yet is where its nearest directory is.
        let out = std::path::absolute(&self.out).unwrap_or_else(|_| self.out.clone());
        let Some(place) = out.ancestors().find_map(|above| above.canonicalize().ok()) else { return Ok(()) };
        for source in sources {
            let is_within = Path::new(source)
                .canonicalize()
                .is_ok_and(|source| source.is_dir() && (place == source || place.starts_with(&source)));
            if is_within {
                return Err(ExtractError::InsideSource {
                    path: self.out.clone(),
                    source_path: source.into(),
                });
            }
        }
        Ok(())
    }

    /// Where a part is, by its number: names are never taken from a manifest.
    pub(super) fn part(&self, number: u32) -> PathBuf {
        self.directory.join(part_name(number))
    }

    /// Removes the parts for which `is_kept` says no, and what interrupted runs left of files.
    pub(super) fn remove_parts(&self, is_kept: impl Fn(u32) -> bool) -> Result<(), ExtractError> {
        for directory in [&self.directory, &self.directory.join(RECORDS)] {
            let failed = |source| ExtractError::Write { path: directory.clone(), source };
            let entries = match fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let number = part_number(&entry.file_name().to_string_lossy());
                let is_dropped = directory != &self.directory && number.is_some_and(|part| !is_kept(part));
                if is_dropped || is_left_over(&entry) {
                    fs::remove_file(entry.path()).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the directories, and removes an earlier extract from them.
    pub(super) fn clear(&self) -> Result<(), ExtractError> {
        self.remove_parts(|_| false)?;
        if self.form != Form::Directory && self.manifest.exists() {
            // It tells that a file is whole, which it is not for long.
            let failed = |source| ExtractError::Write { path: self.manifest.clone(), source };
            fs::remove_file(&self.manifest).map_err(failed)?;
        }
        let records = self.directory.join(RECORDS);
        fs::create_dir_all(&records).map_err(|source| ExtractError::Write { path: records, source })
    }

    /// Removes the directory beside a file that is whole.
    pub(super) fn remove_working_directory(&self) -> Result<(), ExtractError> {
        let failed = |source| ExtractError::Write { path: self.directory.clone(), source };
        self.remove_parts(|_| false)?;
        fs::remove_dir(self.directory.join(RECORDS)).map_err(failed)?;
        // Without it nobody would know whose directory that is: so it goes last.
        fs::remove_file(&self.working_manifest).map_err(failed)?;
        fs::remove_dir(&self.directory).map_err(failed)
    }
}

/// Of files that an extract is never.
const FOREIGN_EXTENSIONS: [&str; 12] =
    [".gz", ".json", ".jsonl", ".ndjson", ".zst", ".zip", ".tar", ".tgz", ".bz2", ".xz", ".csv", ".html"];

const RECORDS: &str = "records";

/// Whether an interrupted run left this file before it was whole.
fn is_left_over(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(manifest::TEMPORARY_PREFIX)
        && entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// A part's name, relative to the manifest.
pub(super) fn part_name(number: u32) -> String {
    format!("{RECORDS}/part-{number:06}.json.gz")
}

fn part_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("part-")?.strip_suffix(".json.gz")?;
    digits.parse().ok().filter(|number| part_name(*number).ends_with(name))
}

#[cfg(test)]
mod tests {
    use super::{part_name, part_number};

    #[test]
    fn a_part_is_told_by_its_name_alone() {
        assert_eq!(part_number("part-000007.json.gz"), Some(7));
        assert_eq!(part_name(1_234_567), "records/part-1234567.json.gz");
        assert_eq!(part_number("part-1234567.json.gz"), Some(1_234_567));
        for name in
            ["part-7.json.gz", "part-000007.json", "part-+00007.json.gz", "notes.txt", "part--1.json.gz"]
        {
            assert_eq!(part_number(name), None, "{name}");
        }
    }
}
