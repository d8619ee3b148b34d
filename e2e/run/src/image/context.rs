//! What an image is built from, as bytes that are the same wherever and whenever they are made.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use e2e_report::run_dir::holds_runs;
use sha2::{Digest, Sha256};

use super::{
    Cause,
    dockerignore::{self, Ignored},
};

/// A tar of a directory without what its `.dockerignore` names and without the directory of runs: sorted, without times and owners, and
/// with no more of a file's mode than whether it can be run.
pub(super) fn of_directory(directory: &Path) -> Result<Vec<u8>, Cause> {
    let mut tar = tar::Builder::new(Vec::new());
    let ignored = Ignored::of(directory).map_err(|error| unreadable(&directory.join(dockerignore::FILE), error))?;
    append_directory(&mut tar, directory, Path::new(""), &ignored)?;
    tar.into_inner().map_err(|error| unreadable(directory, error))
}

/// The context of an image that holds one static binary and nothing else but empty directories, which everybody may write to.
pub(super) fn of_binary(name: &str, binary: &[u8], directories: &[String]) -> Vec<u8> {
    of_program(name, binary, &[], "", directories)
}

/// The context of an image that holds one program, other files that it needs, and empty directories, which everybody may write to.
/// `instructions` are further lines of the Dockerfile.
pub(super) fn of_program(
    name: &str,
    program: &[u8],
    files: &[(PathBuf, Vec<u8>)],
    instructions: &str,
    directories: &[String],
) -> Vec<u8> {
    // The name stays, so that process lists and manifests show what runs. 65534 is the user without any rights.
    let dockerfile = format!("FROM scratch\nCOPY root /\nUSER 65534:65534\n{instructions}ENTRYPOINT [\"/{name}\"]\n");
    let root = Path::new("root");
    let mut tar = tar::Builder::new(Vec::new());
    append_file(&mut tar, Path::new("Dockerfile"), dockerfile.as_bytes(), 0o644)
        .and_then(|()| append_file(&mut tar, &root.join(name), program, 0o755))
        .and_then(|()| {
            files.iter().try_for_each(|(path, content)| append_file(&mut tar, &root.join(path), content, 0o755))
        })
        .and_then(|()| directories.iter().try_for_each(|path| append_empty(&mut tar, &root.join(path), 0o777)))
        .and_then(|()| tar.into_inner())
        .expect("writing to memory does not fail")
}

/// A tar of a directory that everybody may write to, with those above it. `path` is relative.
pub(crate) fn directories(path: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let above: Vec<&Path> = Path::new(path).ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    let appended = above.into_iter().rev().try_for_each(|path| append_empty(&mut tar, path, 0o777));
    appended.and_then(|()| tar.into_inner()).expect("writing to memory does not fail")
}

/// SHA-256 of parts, in hexadecimal. The parts' lengths count, so that moving a byte from one to the next shows.
pub(super) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Cause> {
    fs::read(path).map_err(|error| unreadable(path, error))
}

fn append_directory(
    tar: &mut tar::Builder<Vec<u8>>,
    directory: &Path,
    inside: &Path,
    ignored: &Ignored,
) -> Result<(), Cause> {
    for path in entries(directory).map_err(|error| unreadable(directory, error))? {
        let Some(name) = path.file_name() else { continue };
        let name = inside.join(name);
        // Runs hold secrets, and differ each time.
        if holds_runs(&path) {
            continue;
        }
        let is_sent = !ignored.has(&name);
        if is_sent {
            append_entry(tar, &path, &name).map_err(|error| unreadable(&path, error))?;
        }
        // Something in an ignored directory may be wanted all the same.
        if path.is_dir() && !path.is_symlink() && (is_sent || ignored.has_exceptions()) {
            append_directory(tar, &path, &name, ignored)?;
        }
    }
    Ok(())
}

fn append_entry(tar: &mut tar::Builder<Vec<u8>>, path: &Path, name: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_file() {
        let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        return append_file(tar, name, &fs::read(path)?, mode);
    }
    if metadata.is_symlink() {
        let mut header = header(0, 0o755);
        header.set_entry_type(tar::EntryType::Symlink);
        tar.append_link(&mut header, name, fs::read_link(path)?)
    } else if metadata.is_dir() {
        append_empty(tar, name, 0o755)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a directory nor a link"))
    }
}

fn append_file(tar: &mut tar::Builder<Vec<u8>>, name: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    tar.append_data(&mut header(content.len() as u64, mode), name, content)
}

fn append_empty(tar: &mut tar::Builder<Vec<u8>>, name: &Path, mode: u32) -> io::Result<()> {
    let mut header = header(0, mode);
    header.set_entry_type(tar::EntryType::Directory);
    tar.append_data(&mut header, name, io::empty())
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: io::Error) -> Cause {
    Cause::Read { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, content).expect("a file");
        }
        directory
    }

    fn digest_of(directory: &tempfile::TempDir) -> String {
        digest(&[&of_directory(directory.path()).expect("a readable directory")])
    }

    #[test]
    fn the_same_content_has_the_same_digest_wherever_it_lies() {
        let one = context(&[("Dockerfile", "FROM scratch"), ("etc/a.conf", "x"), ("b", "y")]);
        let other = context(&[("b", "y"), ("etc/a.conf", "x"), ("Dockerfile", "FROM scratch")]);
        // Times and a group's rights differ between checkouts.
        let earlier = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options()
            .write(true)
            .open(other.path().join("b"))
            .and_then(|f| f.set_modified(earlier))
            .expect("a time");
        fs::set_permissions(other.path().join("b"), fs::Permissions::from_mode(0o600)).expect("a mode");
        assert_eq!(digest_of(&one), digest_of(&other));
    }

    #[test]
    fn what_changes_the_image_changes_the_digest() {
        let files = [("Dockerfile", "FROM scratch"), ("run.sh", "x")];
        let before = digest_of(&context(&files));
        assert_ne!(before, digest_of(&context(&[files[0], ("run.sh", "y")])), "content");
        assert_ne!(before, digest_of(&context(&[files[0], ("walk.sh", "x")])), "name");
        let runnable = context(&files);
        fs::set_permissions(runnable.path().join("run.sh"), fs::Permissions::from_mode(0o755)).expect("a mode");
        assert_ne!(before, digest_of(&runnable), "whether it can be run");
    }

    #[test]
    fn runs_are_no_part_of_an_image() {
        let directory = context(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
        let before = digest_of(&directory);
        let runs = directory.path().join("reports");
        e2e_report::run_dir::RunDir::create(&runs, "one", |run| run.write_private("secrets.json", "{}").map(drop))
            .expect("a run");
        assert_eq!(digest_of(&directory), before);
    }

    #[test]
    fn digests_are_sha_256_of_lengths_and_parts() {
        // printf '\x03\0\0\0\0\0\0\0abc' | sha256sum
        assert_eq!(digest(&[b"abc"]), "ce91dc5eec0139adf091900d225971d6ad246a845bad791b5693a9d0d55dd391");
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }

    #[test]
    fn links_stay_links_and_directories_are_entries() {
        let directory = context(&[("etc/a.conf", "x")]);
        std::os::unix::fs::symlink("etc/a.conf", directory.path().join("link")).expect("a link");
        let bytes = of_directory(directory.path()).expect("a readable directory");
        let mut archive = tar::Archive::new(bytes.as_slice());
        let seen: Vec<(String, tar::EntryType)> = archive
            .entries()
            .expect("entries")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| (entry.path().expect("a path").display().to_string(), entry.header().entry_type()))
            .collect();
        let expected = [
            ("etc", tar::EntryType::Directory),
            ("etc/a.conf", tar::EntryType::Regular),
            ("link", tar::EntryType::Symlink),
        ];
        assert_eq!(seen, expected.map(|(path, kind)| (path.to_owned(), kind)));
    }

    #[test]
    fn an_unreadable_context_is_named() {
        let error = of_directory(Path::new("/no/such/context")).expect_err("not there");
        assert!(error.to_string().starts_with("cannot read /no/such/context: "), "{error}");
    }
}
