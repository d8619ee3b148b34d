//! The time that a container declares for its shutdown.

use std::time::Duration;

use e2e_plan::{Container, Hook, ProbeAction, Value};

use e2e_plan::shell::base;

/// Words in the names of variables that hold a drain time.
const WORDS: [&str; 3] = ["DRAIN", "SHUTDOWN", "GRACEFUL"];

/// How long a container takes from the start of a termination to the end of its program, as far as it is declared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drain {
    /// The sleep of the preStop hook, before SIGTERM.
    hook: Duration,
    /// The variable with the longest shutdown, and that time, after SIGTERM: usually a limit.
    own: Option<(String, Duration)>,
}

/// The declared time of a container, from a preStop hook that sleeps and a variable with a telling name.
pub(super) fn of(container: &Container) -> Option<Drain> {
    let hook = container.hooks.pre_stop.as_ref().and_then(length);
    let variables = container.env.iter().filter_map(|variable| {
        let Value::Plain(text) = &variable.value else { return None };
        let name = variable.name.to_uppercase();
        let is_drain = name.split('_').any(|word| WORDS.contains(&word));
        let time = is_drain.then(|| duration(&variable.name, text)).flatten()?;
        Some((variable.name.clone(), time))
    });
    let own = variables.max_by_key(|(_, time)| *time);
    (hook.is_some() || own.is_some()).then(|| Drain { hook: hook.unwrap_or_default(), own })
}

impl Drain {
    fn own_time(&self) -> Duration {
        self.own.as_ref().map(|(_, time)| *time).unwrap_or_default()
    }

    pub(super) fn total(&self) -> Duration {
        self.hook + self.own_time()
    }

    /// Whether it is the hook's time alone, which always passes.
    pub(super) fn is_certain(&self) -> bool {
        self.own.is_none()
    }

    /// Whether one of its parts leaves nothing of the grace period, or needs more.
    pub(super) fn exceeds(&self, grace: Duration) -> bool {
        self.hook >= grace || self.own_time() > grace
    }

    /// The source of the time.
    pub(super) fn what(&self) -> String {
        match &self.own {
            None => "the preStop hook".to_owned(),
            Some((name, _)) if self.hook.is_zero() => format!("{name} in the environment"),
            Some((name, _)) => format!("the preStop hook with {name} in the environment after it"),
        }
    }
}

/// How long a hook sleeps: by itself, or with a command `sleep N`.
fn length(hook: &Hook) -> Option<Duration> {
    let command = match hook {
        Hook::Sleep(time) => return Some(*time),
        Hook::Run(ProbeAction::Exec { command }) => command,
        Hook::Run(_) => return None,
    };
    let line = command.join(" ");
    let mut words = line.split_whitespace().skip_while(|word| base(word) != "sleep").skip(1);
    let time = words.next()?.trim_end_matches([';', ')']);
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
