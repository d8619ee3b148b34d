//! Which keys clients were told are stored, against those that are. Main types: [`ClientLedger`], [`StoredKeys`].
//!
//! A key that follows from a client's number and round is kept as a range of rounds, so that a million of them take as much memory as
//! one; any other is kept as its text. Of the stored keys only a hash of 64 bits is kept: with ten million keys the chance that it hides
//! a missing one is below 10⁻¹².

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use e2e_figures::Outcome;
use e2e_figures::scenario::LedgerResult;

/// The keys of one client, by what it was told of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClientLedger {
    /// Each must be stored, once.
    #[serde(skip_serializing_if = "Keys::is_empty")]
    pub acknowledged: Keys,
    /// The server refused each attempt.
    #[serde(skip_serializing_if = "Keys::is_empty")]
    pub refused: Keys,
    /// An attempt may have been applied, and none was acknowledged.
    #[serde(skip_serializing_if = "Keys::is_empty")]
    pub unknown: Keys,
}

impl ClientLedger {
    /// Whether the client sent nothing that has a key.
    pub fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.refused.is_empty() && self.unknown.is_empty()
    }
}

/// What an answer says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    Acknowledged,
    /// Nothing was done.
    Refused,
    /// It may be stored.
    Unknown,
}

impl Fate {
    /// 503 and 4xx say that nothing was done, and so does a connection that never came about. After anything else the request may
    /// have been applied.
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Acknowledged,
            Outcome::Status(400..=499 | 503) => Self::Refused,
            Outcome::Failure(failure) if failure.is_before_sending() => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// A set of keys of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Keys {
    /// How many there are, those without a name included: a key that the server gives has none until it is given.
    pub count: u64,
    /// Keys that follow from the client and the round, as first and last round of each range.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<(u64, u64)>,
    /// Other keys, one a line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub texts: String,
}

impl Keys {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the key of a round. Rounds are added in order; one that is there already changes nothing.
    pub fn add_round(&mut self, round: u64) {
        match self.rounds.last_mut() {
            Some((_, last)) if *last >= round => return,
            Some((_, last)) if *last + 1 == round => *last = round,
            _ => self.rounds.push((round, round)),
        }
        self.count += 1;
    }

    /// Adds a key without line breaks. One that was added just before changes nothing.
    pub fn add(&mut self, key: &str) {
        if self.texts.lines().next_back() == Some(key) {
            return;
        }
        self.texts.push_str(key);
        self.texts.push('\n');
        self.count += 1;
    }

    /// Counts a key whose name is not known.
    pub fn add_unnamed(&mut self) {
        self.count += 1;
    }

    /// Hands every key that has a name to `see`; `name` makes that of a round.
    fn each(&self, mut name: impl FnMut(u64, &mut String), mut see: impl FnMut(&str)) {
        let mut key = String::new();
        for round in self.rounds.iter().flat_map(|(first, last)| *first..=*last) {
            key.clear();
            name(round, &mut key);
            see(&key);
        }
        self.texts.lines().for_each(see);
    }
}

/// The keys that a system stores, added one by one so that they need not all be in memory.
#[derive(Debug, Clone, Default)]
pub struct StoredKeys {
    rows: u64,
    /// The rows of each pod, in the order in which they were added.
    rows_by_pod: Vec<(String, u64)>,
    keys: HashMap<u64, Entry>,
    duplicate_keys: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    rows: u64,
    is_acknowledged: bool,
}

/// As many keys as a person looks at.
const SHOWN_KEYS: usize = 10;

impl StoredKeys {
    /// Has the rows that are added from now on count for a pod too. A key in two pods is stored twice.
    pub fn begin_pod(&mut self, pod: &str) {
        self.rows_by_pod.push((pod.to_owned(), 0));
    }

    /// Adds rows of a key.
    pub fn add(&mut self, key: &str, rows: u64) {
        let entry = self.keys.entry(hash(key)).or_default();
        if entry.rows < 2 && entry.rows + rows > 1 && self.duplicate_keys.len() < SHOWN_KEYS {
            self.duplicate_keys.push(key.to_owned());
        }
        entry.rows += rows;
        self.rows += rows;
        if let Some((_, of_pod)) = self.rows_by_pod.last_mut() {
            *of_pod += rows;
        }
    }

    /// What the clients were told, by client, against these keys. `name` makes the key of a client's round.
    pub fn check<'a>(
        mut self,
        ledgers: impl IntoIterator<Item = (u32, &'a ClientLedger)>,
        name: impl Fn(u32, u64, &mut String),
    ) -> LedgerResult {
        let stored_by_pod = std::mem::take(&mut self.rows_by_pod).into_iter().collect();
        let mut result = LedgerResult { stored: self.rows, stored_by_pod, ..LedgerResult::default() };
        result.duplicate = self.keys.values().filter(|entry| entry.rows > 1).count() as u64;
        for (client, ledger) in ledgers {
            result.refused += ledger.refused.count;
            result.unknown += ledger.unknown.count;
            ledger.acknowledged.each(
                |round, key| name(client, round, key),
                |key| {
                    let entry = self.keys.entry(hash(key)).or_default();
                    if std::mem::replace(&mut entry.is_acknowledged, true) {
                        // Two clients were told of one key: it is stored if it is stored once.
                        return;
                    }
                    result.acknowledged += 1;
                    if entry.rows == 0 {
                        result.missing += 1;
                        if result.missing_keys.len() < SHOWN_KEYS {
                            result.missing_keys.push(key.to_owned());
                        }
                    }
                },
            );
        }
        result.unacknowledged = self.keys.values().filter(|entry| !entry.is_acknowledged).count() as u64;
        result.duplicate_keys = self.duplicate_keys;
        result
    }
}

impl<K: AsRef<str>> FromIterator<(K, u64)> for StoredKeys {
    fn from_iter<I: IntoIterator<Item = (K, u64)>>(keys: I) -> Self {
        let mut stored = Self::default();
        keys.into_iter().for_each(|(key, rows)| stored.add(key.as_ref(), rows));
        stored
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use e2e_figures::Failure;

    #[test]
    fn rounds_are_kept_as_ranges() {
        let mut keys = Keys::default();
        (1..=1_000_000).filter(|round| *round != 7).for_each(|round| keys.add_round(round));
        keys.add_round(1_000_000);
        assert_eq!((keys.count, &keys.rounds), (999_999, &vec![(1, 6), (8, 1_000_000)]));
    }

    #[test]
    fn pods_that_store_a_part_each_are_checked_as_one() {
        let mut told = ClientLedger::default();
        ["a", "b", "c"].into_iter().for_each(|key| told.acknowledged.add(key));
        let mut stored = StoredKeys::default();
        stored.begin_pod("db-0");
        ["a", "b"].into_iter().for_each(|key| stored.add(key, 1));
        stored.begin_pod("db-1");
        stored.add("b", 1);
        let found = stored.check([(0, &told)], |_, _, _| {});
        let expected = LedgerResult {
            acknowledged: 3,
            stored: 3,
            stored_by_pod: [("db-0".to_owned(), 2), ("db-1".to_owned(), 1)].into(),
            missing: 1,
            duplicate: 1,
            missing_keys: vec!["c".to_owned()],
            duplicate_keys: vec!["b".to_owned()],
            ..LedgerResult::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_an_answer_says_of_its_key() {
        let fate = |outcome| Fate::of(outcome);
        assert_eq!(fate(Outcome::Ok), Fate::Acknowledged);
        for outcome in [Outcome::Status(400), Outcome::Status(429), Outcome::Status(503)] {
            assert_eq!(fate(outcome), Fate::Refused);
        }
        assert_eq!(fate(Outcome::Failure(Failure::ConnectionRefused)), Fate::Refused);
        for outcome in [Outcome::Status(200), Outcome::Status(500), Outcome::Status(504), Outcome::UnexpectedBody] {
            assert_eq!(fate(outcome), Fate::Unknown, "{outcome}");
        }
        assert_eq!(fate(Outcome::Failure(Failure::TimedOut)), Fate::Unknown);
    }
}
