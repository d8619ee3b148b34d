//! The generators that `bench load` compares with: their command lines and the patterns of their output.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Args, Says};

/// A generator.
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Connections, seconds.
    load: fn(u32, u32) -> String,
    /// The flags for a POST, and the file of [`write_files`] behind them.
    post: (&'static [&'static str], &'static str),
    pub(super) says: Says,
}

pub(super) const PEERS: [Peer; 4] = [
    Peer {
        name: "wrk",
        load: |connections, seconds| format!("-t1 -c{connections} -d{seconds}s"),
        post: (&["-s"], SCRIPT),
        says: Says { count: r"(\d+) requests in", errors: r"Non-2xx or 3xx responses: (\d+)", codes: &[0] },
    },
    Peer {
        name: "ab",
        load: |connections, seconds| format!("-q -k -c {connections} -t {seconds} -n 100000000"),
        post: (&["-T", "application/json", "-p"], BODY),
        says: Says { count: r"Complete requests:\s+(\d+)", errors: r"Non-2xx responses:\s+(\d+)", codes: &[0] },
    },
    Peer {
        name: "hey",
        load: |connections, seconds| format!("-c {connections} -z {seconds}s"),
        post: POST_FILE,
        says: Says { count: r"\[200\]\s+(\d+) responses", errors: r"\[[^2]\d\d\]\s+(\d+) responses", codes: &[0] },
    },
    Peer {
        name: "oha",
        load: |connections, seconds| format!("--no-tui -c {connections} -z {seconds}s"),
        post: POST_FILE,
        says: Says { count: r"\[200\] (\d+) responses", errors: r"\[[^2]\d\d\] (\d+) responses", codes: &[0] },
    },
];

/// hey and oha agree on this.
const POST_FILE: (&[&str], &str) = (&["-m", "POST", "-T", "application/json", "-D"], BODY);

/// The body, and wrk's script.
pub(super) const BODY: &str = "body.json";
const SCRIPT: &str = "post.lua";

/// Writes the peers' input files.
pub(super) fn write_files(directory: &Path) -> Result<()> {
    let body = format!(r#"{{"operation":"op-0-1","amount":5,"padding":"{}"}}"#, "0123456789".repeat(15));
    let script =
        format!("wrk.method = \"POST\"\nwrk.body = [[{body}]]\nwrk.headers[\"Content-Type\"] = \"application/json\"\n");
    for (name, text) in [(BODY, body), (SCRIPT, script)] {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Peer {
    pub(super) fn get(&self, args: &Args, url: &str) -> Vec<String> {
        self.get_with(args.connections, super::TURN_SECONDS, url)
    }

    pub(super) fn get_with(&self, connections: u32, seconds: u32, url: &str) -> Vec<String> {
        let load = (self.load)(connections, seconds);
        load.split_ascii_whitespace().chain([url]).map(str::to_owned).collect()
    }

    pub(super) fn post(&self, args: &Args, url: &str, directory: &Path) -> Vec<String> {
        let mut arguments = self.get(args, url);
        let (flags, name) = self.post;
        let file = directory.join(name).display().to_string();
        // Before the URL, which comes last.
        let at = arguments.len() - 1;
        arguments.splice(at..at, flags.iter().map(|flag| (*flag).to_owned()).chain([file]));
        arguments
    }
}
