//! Compiles the program of a pod's sandbox, which the crate embeds: a run needs no compiler.

use std::{env, path::PathBuf, process::Command};

const SOURCE: &str = "src/image/sandbox/pause.rs";

fn main() {
    println!("cargo::rerun-if-changed=src/image/sandbox");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let program = PathBuf::from(variable("OUT_DIR")).join("pause");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "-C", "opt-level=s", "-C", "strip=symbols", "-C", "panic=abort"]);
    // It needs no C library, which machines seldom have in its static form.
    rustc.args(["-C", "relocation-model=static", "-C", "link-arg=-nostdlib", "-C", "link-arg=-static"]);
    rustc.args(["--target", &variable("TARGET")]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    rustc.arg("-o").args([&program, &PathBuf::from(SOURCE)]);
    let status = rustc.status().expect("cargo's rustc starts");
    assert!(status.success(), "cannot compile {SOURCE}: {status}");
}
