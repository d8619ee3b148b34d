//! Where this machine has programs. Main function: [`find`].

use std::{env, path::PathBuf};

/// The directories in which a shell looks for programs.
#[must_use]
pub fn path() -> Vec<PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect()
}

/// The file of a program in the first directory that has it.
pub fn find(program: &str, directories: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    directories.into_iter().map(|directory| directory.join(program)).find(|file| file.is_file())
}
