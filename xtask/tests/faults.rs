//! Each overlay of `fixtures/overlays/` on plain processes: its report must name the fault. A run takes the whole machine for half a
//! minute, so only the nextest profile `faults` runs them.

mod fault_cases;
mod fault_run;

use e2e::target::Target;

fault_run::fault_tests!(local_names_the_fault, local_tells_the_founding_story, Target::Local);
