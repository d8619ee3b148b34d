//! What to do about a cause, as a sentence and as YAML that can be applied. Main type: [`Fix`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Axis, Case, Cause, Flip};
use crate::plan::ProbeAction;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fix {
    /// In a sentence or two.
    pub summary: String,
    /// A strategic-merge patch for the workload, where a change of the manifest helps.
    pub patch: Option<String>,
}

impl Fix {
    /// The fix of a proven cause.
    pub(super) fn of(case: &Case, cause: Cause, flip: Option<&Flip>) -> Self {
        let to = |axis: Axis| flip.filter(|flip| flip.axis == axis).map(|flip| flip.to.as_str());
        let patch = match cause {
            Cause::HostAllowList => to(Axis::Host).map(|host| merge_patch(case, &http_headers(case, host))),
            Cause::TooSlow => to(Axis::Timeout)
                .map(|to| merge_patch(case, &[format!("timeoutSeconds: {}", to.trim_end_matches('s'))])),
            Cause::WrongPort => {
                to(Axis::Port).map(|to| merge_patch(case, &["httpGet:".to_owned(), format!("  port: {to}")]))
            }
            Cause::MethodOrPath | Cause::DependencyDown => None,
        };
        Self { summary: cause.remedy(case.which.field()), patch }
    }
}

impl Cause {
    /// What to do about it, for a probe of the given field or for several.
    #[must_use]
    pub fn remedy(self, field: &str) -> String {
        match self {
            Self::HostAllowList => format!(
                "exempt the health path from the app's Host check, or send a Host that it knows with httpHeaders of the {field}"
            ),
            Self::TooSlow => format!("make the health path answer at once, or raise timeoutSeconds of the {field}"),
            Self::WrongPort => format!("let the {field} ask the port on which the app listens"),
            Self::MethodOrPath => format!("let the {field} ask a path that the app serves to GET"),
            Self::DependencyDown => {
                "bring back what the app depends on; a liveness probe should not look at dependencies".to_owned()
            }
        }
    }
}

/// Two patches of the same container as one; `None` when they are for different containers.
pub(crate) fn joined(first: &str, second: &str) -> Option<String> {
    let probe = second.match_indices('\n').nth(HEADER_LINES - 1).map(|(end, _)| end + 1)?;
    first.starts_with(&second[..probe]).then(|| format!("{first}{}", &second[probe..]))
}

/// Lines of a patch up to the container's name; see [`merge_patch`].
const HEADER_LINES: usize = 9;

/// A list of httpHeaders replaces the old one when it is merged, so it names those that the probe has already.
fn http_headers(case: &Case, host: &str) -> Vec<String> {
    let declared = match &case.probe.action {
        ProbeAction::HttpGet { headers, .. } => headers.as_slice(),
        ProbeAction::TcpSocket { .. } | ProbeAction::Exec { .. } | ProbeAction::Grpc { .. } => &[],
    };
    let others = declared.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    let others = others.map(|(name, value)| (name.as_str(), value.as_str()));
    let mut lines = vec!["httpGet:".to_owned(), "  httpHeaders:".to_owned()];
    for (name, value) in std::iter::once(("Host", host)).chain(others) {
        lines.push(format!("    - name: {}", quoted(name)));
        lines.push(format!("      value: {}", quoted(value)));
    }
    lines
}

/// The lines of one probe within the workload that has it.
fn merge_patch(case: &Case, probe: &[String]) -> String {
    let Case { kind, component, container, which, .. } = case;
    let (component, container, field) = (quoted(component), quoted(container), which.field());
    let mut yaml = format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {component}\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: {container}\n          {field}:\n"
    );
    for line in probe {
        yaml.extend(["            ", line, "\n"]);
    }
    yaml
}

/// Text as a YAML scalar: plain where nothing can be misread, else in double quotes, whose escapes are JSON's.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
