//! Manifests on standard input can be read once, and are needed more often: by each of several runs, and by the process that `up`
//! leaves behind. Main function: [`path`].

use std::{
    fs::{File, metadata},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    stdio::dup2_stdin,
};

/// How standard input is named on a command line.
const NAME: &str = "-";
/// The file that stands for it in this process, and in those that inherit it.
const FILE: &str = "/dev/stdin";

/// Whether a path of the command line means standard input.
pub(crate) fn is_meant(path: &Path) -> bool {
    path.as_os_str() == NAME
}

/// A file with what stands on standard input, from its beginning each time that it is opened. It is in memory alone, for manifests hold
/// Secrets.
pub(crate) fn path() -> Result<PathBuf> {
    if !metadata(FILE).with_context(|| format!("cannot read {FILE}"))?.is_file() {
        spool().context("cannot keep a copy of standard input; write it to a file and name that")?;
    }
    Ok(FILE.into())
}

fn spool() -> io::Result<()> {
    let mut copy = File::from(memfd_create("manifests", MemfdFlags::empty())?);
    io::copy(&mut io::stdin().lock(), &mut copy)?;
    Ok(dup2_stdin(&copy)?)
}
