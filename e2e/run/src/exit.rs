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
    /// The system could not be brought up or removed (no engine, image, binary, port or disk space), or is down.
    NotUp = 3,
    /// A signal stopped the run; everything that was started has been removed.
    Interrupted = 4,
    /// Something that should have been measured was not.
    Incomplete = 5,
    /// `doctor` only: a probe fails and no single cause explains it. With [`Fail`](Self::Fail) the cause is known.
    Unexplained = 6,
    /// `run --against` only: a loss was found and confirmed.
    Slower = 7,
}

impl ExitCode {
    /// The meaning of a process's exit code, if it is one of these.
    pub fn of(code: i32) -> Option<Self> {
        use ExitCode::*;
        [Pass, Fail, BadInput, NotUp, Interrupted, Incomplete, Unexplained, Slower]
            .into_iter()
            .find(|known| *known as i32 == code)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
