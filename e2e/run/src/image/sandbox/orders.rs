//! What a run and the program of a sandbox agree on: both are compiled with this file.

/// How many volumes a sandbox has room for.
pub(crate) const VOLUMES: usize = 64;

/// Messages for netfilter, such as rules.
pub(crate) const RULES: u32 = 0;
/// The names of `/etc/hosts`.
pub(crate) const NAMES: u32 = 1;
/// A message for netfilter's queue, which from then on gives the program packets. Each goes on after as many microseconds as its mark.
pub(crate) const HOLD: u32 = 2;
/// Four bytes of a number and a path that ends with a zero: takes all that is left of the volume there.
pub(crate) const FILL: u32 = 3;
/// Four bytes of a number: gives it back.
pub(crate) const RELEASE: u32 = 4;
