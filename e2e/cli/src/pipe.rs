//! A command whose reader goes away, as in `status | head -1`, ends as other programs do: without a word. Main function: [`quietly`].

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

/// A shell's exit status for a program that SIGPIPE ended. The signal itself would leave a running system behind.
const CLOSED: u8 = 128 + 13;

/// Runs a command. Printing to a closed pipe panics, so that unwinding removes everything started; this catches the panic.
pub(crate) fn quietly(command: impl FnOnce() -> ExitCode) -> ExitCode {
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !is_closed_pipe(panic.payload()) {
            otherwise(panic);
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(command)) {
        Ok(code) => code,
        Err(panic) if is_closed_pipe(&*panic) => ExitCode::from(CLOSED),
        Err(panic) => panic::resume_unwind(panic),
    }
}

/// Whether a panic comes from `println!` and similar macros, by its text.
fn is_closed_pipe(panic: &(dyn Any + Send)) -> bool {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.is_some_and(|text| text.starts_with("failed printing to std") && text.contains("Broken pipe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_caught() {
        let closed: Box<dyn Any + Send> = Box::new("failed printing to stdout: Broken pipe (os error 32)".to_owned());
        let full: Box<dyn Any + Send> = Box::new("failed printing to stdout: No space left on device".to_owned());
        assert!(is_closed_pipe(&*closed) && !is_closed_pipe(&*full));
    }
}
