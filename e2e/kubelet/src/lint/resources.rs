//! Amounts of memory and CPU whose unit is a slip: `128m` of memory is less than a byte, and `500` of CPU are cores.

use e2e_plan::{Container, Resources};

use super::{Remarks, Severity, place};

/// No program runs in less; somebody who asks for little may write 100 KiB.
const LEAST_MEMORY_BYTES: u64 = 64 << 10;
/// The largest machines to rent have fewer than a thousand cores, and their pods ask for a share of them.
const MOST_CPU_MILLIS: u64 = 400_000;

impl Remarks<'_> {
    pub(super) fn units(&mut self, container: &Container) {
        let Resources { memory_request_bytes, memory_limit_bytes, cpu_request_millis, cpu_limit_millis, .. } =
            container.resources;
        let of = |list: &str, name: &str| format!("{}.resources.{list}.{name}", place(container));
        for (list, bytes, severity) in
            [("limits", memory_limit_bytes, Severity::Error), ("requests", memory_request_bytes, Severity::Warning)]
        {
            // A request of zero is none.
            if let Some(bytes) = bytes.filter(|bytes| (1..LEAST_MEMORY_BYTES).contains(bytes)) {
                let reason =
                    format!("{bytes} B of memory is too little for any program; `m` means thousandths of a byte");
                self.add("memory-unit", severity, of(list, "memory"), reason, "write the unit you mean: `128Mi`");
            }
        }
        for (list, millis) in [("requests", cpu_request_millis), ("limits", cpu_limit_millis)] {
            if let Some(millis) = millis.filter(|millis| *millis >= MOST_CPU_MILLIS) {
                let reason =
                    format!("{} cores are more than any node has; without `m` the number counts cores", millis / 1000);
                let fix = format!("write `{}m` if thousandths of a core are meant", millis / 1000);
                self.add("cpu-unit", Severity::Warning, of(list, "cpu"), reason, fix);
            }
        }
    }
}
