//! The image of load agents: this program itself, with the loader and the shared libraries that it runs with. The load inside comes
//! from the same program as outside, without a compiler or the framework's sources. Main function: [`context()`].

use std::path::{Path, PathBuf};

use e2e_load::agent::PROGRAM;
use object::{
    Endianness, FileKind,
    elf::{FileHeader64, PT_INTERP, PT_LOAD},
    read::elf::{FileHeader, ProgramHeader},
};
use tokio::process::Command;

use super::{Cause, context, process};

/// This program, even where its file was replaced since it started.
const THIS: &str = "/proc/self/exe";
/// Where the image has the libraries, a place that no machine's own libraries are in.
const LIBRARIES: &str = "lib/e2e";
/// What a C library before 2.34 opens by itself to look names up.
const NAME_SERVICE: [&str; 3] = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/// What the image is built from.
pub(super) async fn context() -> Result<Vec<u8>, Cause> {
    let bytes = context::read(Path::new(THIS))?;
    let elf = Elf::parse(&bytes).ok_or_else(|| Cause::Agent(format!("{THIS} is not a 64-bit ELF file")))?;
    let Some(loader) = elf.interpreter else {
        return Ok(context::of_binary(PROGRAM, &elf.loaded, &[]));
    };
    let mut files = vec![(relative(&loader), context::read(&loader)?)];
    for (name, path) in libraries(&loader).await? {
        files.push((Path::new(LIBRARIES).join(name), context::read(&path)?));
    }
    let instructions = format!("ENV LD_LIBRARY_PATH=/{LIBRARIES}\n");
    Ok(context::of_program(PROGRAM, &elf.loaded, &files, &instructions, &[]))
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

/// What an image needs of a program's file.
struct Elf {
    /// The loader that it names; a static program has none.
    interpreter: Option<PathBuf>,
    /// The file without what is never loaded: symbols and debugging information, which are most of a development build.
    loaded: Vec<u8>,
}

impl Elf {
    fn parse(bytes: &[u8]) -> Option<Self> {
        if !matches!(FileKind::parse(bytes), Ok(FileKind::Elf64)) {
            return None;
        }
        let header = FileHeader64::<Endianness>::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, bytes).ok()?;
        let interpreter = segments.iter().find(|segment| segment.p_type(endian) == PT_INTERP).and_then(|segment| {
            let text = segment.data(endian, bytes).ok()?;
            Some(PathBuf::from(std::str::from_utf8(text).ok()?.trim_end_matches('\0')))
        });
        let ends = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD).map(|segment| {
            usize::try_from(segment.p_offset(endian).saturating_add(segment.p_filesz(endian))).unwrap_or(usize::MAX)
        });
        let mut loaded = bytes[..ends.max()?.min(bytes.len())].to_vec();
        // e_shoff, then e_shnum and e_shstrndx: the table of sections stood behind what is loaded.
        for range in [0x28..0x30, 0x3c..0x40] {
            loaded.get_mut(range)?.fill(0);
        }
        Some(Self { interpreter, loaded })
    }
}

/// The shared libraries that the loader takes for this program, by the names that it looks for.
async fn libraries(loader: &Path) -> Result<Vec<(String, PathBuf)>, Cause> {
    let mut command = Command::new(loader);
    // For the loader, `self` would be the loader.
    command.arg("--list").arg(THIS.replace("self", &std::process::id().to_string()));
    let output = process::run(&mut command, &|_| {}).await;
    let output = output.map_err(|failed| Cause::Script { path: loader.to_owned(), failed })?;
    let mut found = listed(&String::from_utf8_lossy(&output));
    let beside: Option<PathBuf> =
        found.iter().find(|(name, _)| name.starts_with("libc.")).and_then(|(_, path)| Some(path.parent()?.to_owned()));
    for name in NAME_SERVICE {
        let path = beside.as_ref().map(|directory| directory.join(name)).filter(|path| path.is_file());
        if let Some(path) = path.filter(|_| !found.iter().any(|(known, _)| known == name)) {
            found.push((name.to_owned(), path));
        }
    }
    Ok(found)
}

/// The libraries of a loader's list: `libc.so.6 => /lib/libc.so.6 (0x00007f)`. The loader itself and the kernel's page have no arrow.
fn listed(output: &str) -> Vec<(String, PathBuf)> {
    let library = |line: &str| {
        let (name, rest) = line.trim().split_once(" => ")?;
        let path = rest.rsplit_once(" (").map_or(rest, |(path, _)| path);
        path.starts_with('/').then(|| (name.to_owned(), PathBuf::from(path)))
    };
    output.lines().filter_map(library).filter(|(name, _)| !name.starts_with('/')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaders_list_is_read() {
        let output = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibgcc_s.so.1 => /lib/x/libgcc_s.so.1 (0x00007f1)\n\
                      \tlibc.so.6 => /a b/libc.so.6 (0x00007f2)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f3)\n";
        let expected = [("libgcc_s.so.1", "/lib/x/libgcc_s.so.1"), ("libc.so.6", "/a b/libc.so.6")];
        assert_eq!(listed(output), expected.map(|(name, path)| (name.to_owned(), PathBuf::from(path))));
    }
}
