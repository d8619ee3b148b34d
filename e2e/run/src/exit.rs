//! Exit codes of every command, in one place. Main type: [`ExitCode`].

/// How a command ended, as a process exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The verdict is pass.
    Pass = 0,
    /// The verdict is fail: a check failed, a threshold was crossed or the snapshot changed.
    Fail = 1,
    /// The input is wrong: a flag, `e2e.toml`, a manifest.
    BadInput = 2,
    /// The environment could not be brought up, or not be removed: no engine, no image, no binary, no port, no disk.
    NotUp = 3,
    /// A signal stopped the run; everything that was started has been removed.
    Interrupted = 4,
    /// Something that should have been measured was not.
    Incomplete = 5,
}

impl ExitCode {
    /// Of `doctor` alone, which uses the others as they are but for this: 0 the probe succeeds, 1 it fails and the cause is
    /// known, 4 it fails and no single cause explains it. A signal ends `doctor` as it ends any program.
    pub const UNEXPLAINED: Self = Self::Interrupted;
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
