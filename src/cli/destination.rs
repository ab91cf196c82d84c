//! Where a result file goes: a regular file appears whole or not at all, anything else is written to as it is.
//!
//! A path as the user named it comes in; bytes go to what is really there. Links are followed to their end, so that a
//! link stays a link. A device, a pipe or a socket is never replaced by a file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Links that are followed before they count as a loop, as in Linux.
const LINKS_MAX: usize = 40;

/// Says early, before hours of reading, that a file cannot be written. An empty file may be overwritten: CI makes one for a
/// job's summary.
pub(super) fn check(path: &Path, is_forced: bool) -> anyhow::Result<()> {
    let name = path.display();
    match metadata(path).with_context(|| format!("{name}: cannot be looked at"))? {
        Some(found) if found.is_dir() => bail!("{name}: is a directory; name a file in it"),
        Some(found) if is_kept(&found) && !is_forced => {
            bail!("{name}: exists already; name another file, or overwrite it with --force")
        }
        Some(found) if is_disk(&found) => bail!("{name}: is a disk; name a file"),
        _ => Ok(()),
    }
}

/// Writes a file that appears whole or not at all; to a device, a pipe or a socket as it comes.
pub(super) fn put_in_place(
    path: &Path,
    is_forced: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    check(path, is_forced)?;
    let name = path.display();
    let unwritten = || format!("{name}: cannot be written");
    let found = metadata(path).with_context(unwritten)?;
    if let Some(mut out) = open_as_it_is(path, found.as_ref()).with_context(unwritten)? {
        return write(&mut out).and_then(|()| out.flush()).with_context(unwritten);
    }
    let place = end_of_links(path).with_context(unwritten)?;
    let directory = match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).with_context(|| format!("{name}: its directory cannot be made"))?;
    // Written beside its place and renamed: nobody ever sees half a file.
    let mut file = tempfile::NamedTempFile::new_in(directory)
        .map_err(|error| io::Error::from(error.kind()))
        .with_context(|| format!("{name}: no file can be made in its directory"))?;
    let mut out = BufWriter::new(file.as_file_mut());
    write(&mut out).and_then(|()| out.flush()).with_context(unwritten)?;
    drop(out);
    make_readable(file.as_file());
    // Where nothing was, nothing that has come since is lost.
    let persisted =
        if is_forced || found.is_some() { file.persist(&place) } else { file.persist_noclobber(&place) };
    persisted.map_err(|error| error.error).with_context(|| format!("{name}: cannot be put in place"))?;
    Ok(())
}

/// What is at the end of the links; `None` if nothing is.
fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        // A place below a file is told by who makes directories.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether something would be lost.
fn is_kept(found: &Metadata) -> bool {
    found.is_file() && found.len() > 0
}

fn is_disk(found: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        found.file_type().is_block_device()
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        false
    }
}

/// What is no regular file is opened; `None` if a file is to be put in place.
fn open_as_it_is(path: &Path, found: Option<&Metadata>) -> io::Result<Option<Box<dyn Write>>> {
    // Opened by name, a file behind it would be written from its start once more.
    match path.to_str() {
        Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => return Ok(Some(Box::new(io::stdout()))),
        Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => return Ok(Some(Box::new(io::stderr()))),
        _ => {}
    }
    match found {
        Some(found) if !found.is_file() => {
            let file = OpenOptions::new().write(true).open(path)?;
            Ok(Some(Box::new(BufWriter::new(file))))
        }
        _ => Ok(None),
    }
}

/// Where a link leads, whether something is there or not; a path that is no link leads to itself.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut place = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&place) {
            Ok(target) => place = place.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("too many links"))
}

/// Temporary files are private; a report has the mode that any new file would have.
pub(super) fn make_readable(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // If that fails the report is private, which does no harm.
        let _ = file.set_permissions(fs::Permissions::from_mode(0o644));
    }
    #[cfg(not(unix))]
    let _ = file;
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::{self, Read as _};
    use std::os::unix::fs::{FileTypeExt as _, symlink};
    use std::path::Path;
    use std::process::Command;

    use super::{check, put_in_place};

    fn put(path: &Path, is_forced: bool, text: &str) -> anyhow::Result<()> {
        put_in_place(path, is_forced, |out| out.write_all(text.as_bytes()))
    }

    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        check(&pipe, false).expect("a pipe holds nothing to be lost");
        let reading = pipe.clone();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            fs::File::open(reading).and_then(|mut file| file.read_to_string(&mut text)).expect("a reader");
            text
        });
        put(&pipe, false, "result").expect("a pipe can be written");
        assert_eq!(reader.join().expect("the reader ends"), "result");
        assert!(fs::symlink_metadata(&pipe).expect("it is there").file_type().is_fifo());
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("reports")).expect("a directory");
        fs::write(at("reports/case.json"), "old").expect("a file");
        symlink("reports/case.json", at("latest")).expect("a link");
        symlink("latest", at("link")).expect("a link");
        let error = format!("{:#}", put(&at("link"), false, "new").expect_err("it is kept"));
        assert!(error.contains("exists already"), "{error}");
        put(&at("link"), true, "new").expect("it can be replaced");
        assert!(at("link").is_symlink() && at("latest").is_symlink());
        assert_eq!(fs::read_to_string(at("reports/case.json")).expect("a file"), "new");
        symlink("reports/other.json", at("dangling")).expect("a link");
        put(&at("dangling"), false, "first").expect("its end can be made");
        assert!(at("dangling").is_symlink());
        assert_eq!(fs::read_to_string(at("reports/other.json")).expect("a file"), "first");
        symlink("round", at("round")).expect("a link");
        put(&at("round"), true, "x").expect_err("a loop leads nowhere");
        assert!(at("round").is_symlink());
    }

    #[test]
    fn an_empty_file_may_be_overwritten_and_a_failure_leaves_what_was_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("summary.md");
        fs::write(&path, "").expect("a file");
        put(&path, false, "first").expect("nothing is lost");
        put(&path, false, "second").expect_err("something would be lost");
        let full = |_: &mut dyn io::Write| Err(io::Error::from(io::ErrorKind::StorageFull));
        put_in_place(&path, true, full).expect_err("the disk is full");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "first");
        assert_eq!(fs::read_dir(directory.path()).expect("a listing").count(), 1);
    }
}
