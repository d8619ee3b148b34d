//! The time that a container declares for its shutdown.

use std::time::Duration;

use e2e_plan::{Container, Object, Value};

/// Words in the names of variables that hold a drain time.
const WORDS: [&str; 3] = ["DRAIN", "SHUTDOWN", "GRACEFUL"];

/// The time from the start of a termination to the end of the program.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drain {
    pub(super) time: Duration,
    /// The source of the time.
    pub(super) what: String,
}

/// The longest declared time, from a preStop hook that sleeps or a variable with a telling name.
pub(super) fn longest(container: &Container, object: Option<&Object>) -> Option<Drain> {
    let hook = object.and_then(|object| pre_stop(object, &container.name));
    let hook = hook.map(|time| Drain { time, what: "the preStop hook".to_owned() });
    let variables = container.env.iter().filter_map(|variable| {
        let Value::Plain(text) = &variable.value else { return None };
        let name = variable.name.to_uppercase();
        let is_drain = name.split('_').any(|word| WORDS.contains(&word));
        let time = is_drain.then(|| duration(&variable.name, text)).flatten()?;
        Some(Drain { time, what: format!("{} in the environment", variable.name) })
    });
    variables.chain(hook).max_by_key(|drain| drain.time)
}

/// `sleep` of a preStop hook, or its command `sleep N`.
fn pre_stop(object: &Object, container: &str) -> Option<Duration> {
    let containers = object.json.pointer("/spec/template/spec/containers")?.as_array()?;
    let named = containers.iter().find(|c| c.get("name").and_then(|name| name.as_str()) == Some(container))?;
    let hook = named.pointer("/lifecycle/preStop")?;
    if let Some(seconds) = hook.pointer("/sleep/seconds").and_then(serde_json::Value::as_u64) {
        return Some(Duration::from_secs(seconds));
    }
    let command = hook.pointer("/exec/command")?.as_array()?;
    let line: Vec<&str> = command.iter().filter_map(|word| word.as_str()).collect();
    let line = line.join(" ");
    let mut words = line.split_whitespace().skip_while(|word| *word != "sleep").skip(1);
    let time = words.next()?;
    // `sleep` of coreutils takes seconds where there is no unit.
    time.parse().map(Duration::from_secs).ok().or_else(|| e2e_plan::duration::parse_positive(time).ok())
}

/// Ends of names that say what a bare number counts.
const UNITS: [(&str, Duration); 7] = [
    ("MS", Duration::from_millis(1)),
    ("MILLIS", Duration::from_millis(1)),
    ("MILLISECONDS", Duration::from_millis(1)),
    ("S", Duration::from_secs(1)),
    ("SEC", Duration::from_secs(1)),
    ("SECS", Duration::from_secs(1)),
    ("SECONDS", Duration::from_secs(1)),
];

/// `10s`, `500ms`, `1m`, or a number whose unit the variable's name ends with: 15000 may be milliseconds, and 8005 a port.
fn duration(name: &str, text: &str) -> Option<Duration> {
    if let Ok(number) = text.parse::<u32>() {
        let end = name.rsplit('_').next()?.to_uppercase();
        let (_, unit) = UNITS.into_iter().find(|(word, _)| *word == end)?;
        return Some(unit * number);
    }
    e2e_plan::duration::parse_positive(text).ok()
}
