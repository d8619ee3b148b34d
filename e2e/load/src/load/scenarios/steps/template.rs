//! Texts with placeholders, taken apart once so that filling them copies bytes and allocates nothing: [`Template`].

/// A text with placeholders such as `${client}`. `$${` stands for `${` itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Slot { slot: usize, encoding: Encoding },
}

/// How a value is written where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    /// In a path: spaces and other languages' letters are encoded (RFC 3986, section 2.1).
    Path,
    /// Within a string of JSON.
    Json,
}

/// The names of values. `run` is the same for all clients and has its value here, any other has a slot in [`Values`].
#[derive(Debug, Clone)]
pub(super) struct Names {
    run: String,
    slots: Vec<String>,
}

impl Names {
    /// The value of `run`, and the names that have the first slots.
    pub(super) fn new(run: &str, slots: &[&str]) -> Self {
        Self { run: run.to_owned(), slots: slots.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// The slot of a name, which is new if it has none.
    pub(super) fn add(&mut self, name: &str) -> usize {
        self.slot(name).unwrap_or_else(|| {
            self.slots.push(name.to_owned());
            self.slots.len() - 1
        })
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|known| known == name)
    }

    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn listed(&self) -> String {
        let names = self.slots.iter().map(String::as_str).chain(["run"]);
        let mut names: Vec<String> = names.map(|name| format!("${{{name}}}")).collect();
        names.sort();
        names.join(", ")
    }
}

/// The values of one client, by slot. Each keeps its memory when it changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(Vec<Value>);

#[derive(Debug, Clone, Default)]
struct Value {
    text: Vec<u8>,
    is_set: bool,
    /// The text that follows if nothing speaks against it.
    next: Vec<u8>,
}

impl Values {
    pub(super) fn new(slots: usize) -> Self {
        Self(vec![Value::default(); slots])
    }

    pub(super) fn get(&self, slot: usize) -> Option<&[u8]> {
        let value = &self.0[slot];
        value.is_set.then_some(&value.text)
    }

    pub(super) fn unset(&mut self, slot: usize) {
        self.0[slot].is_set = false;
    }

    /// The space for a new value, which is empty and set.
    pub(super) fn space(&mut self, slot: usize) -> &mut Vec<u8> {
        let value = &mut self.0[slot];
        value.is_set = true;
        value.text.clear();
        &mut value.text
    }

    /// The space for a value that becomes the slot's by [`Values::adopt`]; empty.
    pub(super) fn next(&mut self, slot: usize) -> &mut Vec<u8> {
        let next = &mut self.0[slot].next;
        next.clear();
        next
    }

    /// Gives a slot its next value.
    pub(super) fn adopt(&mut self, slot: usize) {
        let value = &mut self.0[slot];
        value.is_set = true;
        std::mem::swap(&mut value.text, &mut value.next);
    }
}

impl Template {
    /// Takes a text apart.
    ///
    /// # Errors
    ///
    /// The name of a placeholder that nothing fills.
    pub(super) fn parse(text: &str, encoding: Encoding, names: &Names) -> Result<Self, String> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                template.push(before);
                template.push("${");
                rest = after;
                continue;
            }
            let Some((name, behind)) = after.split_once('}') else { break };
            template.push(before);
            if name == "run" {
                template.push_encoded(encoding, &names.run);
            } else {
                let slot = names.slot(name).ok_or_else(|| name.to_owned())?;
                template.0.push(Piece::Slot { slot, encoding });
            }
            rest = behind;
        }
        template.push(rest);
        Ok(template)
    }

    /// Adds a text without placeholders.
    pub(super) fn push(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    fn push_bytes(&mut self, text: &[u8]) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(bytes)) => bytes.extend_from_slice(text),
            _ => self.0.push(Piece::Text(text.to_vec())),
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        for piece in other.0 {
            match piece {
                Piece::Text(text) => self.push_bytes(&text),
                slot => self.0.push(slot),
            }
        }
    }

    fn push_encoded(&mut self, encoding: Encoding, value: &str) {
        let mut encoded = Vec::new();
        encoding.write(value.as_bytes(), &mut encoded);
        self.push_bytes(&encoded);
    }

    /// The text, when it has no placeholder.
    pub(super) fn as_text(&self) -> Option<String> {
        self.slots().next().is_none().then(|| self.sample())
    }

    /// The text with each placeholder filled with a harmless value.
    pub(super) fn sample(&self) -> String {
        let mut sample = String::new();
        self.append_to(&mut sample, |_, text| text.push('0'));
        sample
    }

    /// What the text looks like, as SQL's LIKE writes it.
    pub(super) fn pattern(&self) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(bytes) => {
                let text = String::from_utf8_lossy(bytes).replace('\\', "\\\\");
                text.replace('%', "\\%").replace('_', "\\_")
            }
            Piece::Slot { .. } => "%".to_owned(),
        });
        pieces.collect()
    }

    /// The slots of its placeholders.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Slot { slot, .. } => Some(*slot),
            Piece::Text(_) => None,
        })
    }

    pub(super) fn is_filled(&self, values: &Values) -> bool {
        self.slots().all(|slot| values.get(slot).is_some())
    }

    /// Writes the text with its placeholders filled; one without a value is left out.
    pub(super) fn write(&self, values: &Values, text: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(bytes) => text.extend_from_slice(bytes),
                Piece::Slot { slot, encoding } => encoding.write(values.get(*slot).unwrap_or_default(), text),
            }
        }
    }

    /// Appends the text to another, with its placeholders filled by a function.
    pub(super) fn append_to(&self, text: &mut String, mut fill: impl FnMut(usize, &mut String)) {
        for piece in &self.0 {
            match piece {
                Piece::Text(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                Piece::Slot { slot, .. } => fill(*slot, text),
            }
        }
    }

    /// Whether this is the text with its placeholders filled.
    pub(super) fn is(&self, values: &Values, text: &[u8]) -> bool {
        let rest = self.0.iter().try_fold(text, |rest, piece| {
            rest.strip_prefix(match piece {
                Piece::Text(bytes) => bytes.as_slice(),
                Piece::Slot { slot, .. } => values.get(*slot)?,
            })
        });
        rest == Some(&[])
    }
}

impl Encoding {
    fn write(self, value: &[u8], text: &mut Vec<u8>) {
        // Nearly every value is written as it is.
        if !value.iter().any(|byte| self.is_special(*byte)) {
            text.extend_from_slice(value);
            return;
        }
        for byte in value {
            match (self, byte) {
                (_, byte) if !self.is_special(*byte) => text.push(*byte),
                (Self::Json, b'"' | b'\\') => text.extend_from_slice(&[b'\\', *byte]),
                (Self::Json, _) => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => text.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
    }

    /// Whether a byte cannot stand for itself.
    fn is_special(self, byte: u8) -> bool {
        match self {
            Self::Plain => false,
            Self::Path => !byte.is_ascii_graphic(),
            Self::Json => byte < b' ' || byte == b'"' || byte == b'\\',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, encoding: Encoding) -> Result<String, String> {
        let names = Names::new("r\"1", &["client", "name"]);
        let mut values = Values::new(names.slots());
        values.space(0).extend_from_slice(b"3");
        values.space(1).extend_from_slice("Jo \"é".as_bytes());
        let template = Template::parse(text, encoding, &names)?;
        let mut written = Vec::new();
        template.write(&values, &mut written);
        assert!(encoding != Encoding::Plain || template.is(&values, &written), "{text}");
        assert!(!template.is(&values, b"another"), "{text}");
        Ok(String::from_utf8(written).expect("text"))
    }

    #[test]
    fn placeholders_are_filled() {
        let plain = |text| filled(text, Encoding::Plain);
        assert_eq!(plain("${run}-${client}-${client}"), Ok("r\"1-3-3".to_owned()));
        assert_eq!(plain("${nobody}"), Err("nobody".to_owned()));
        assert_eq!(plain("no ${end"), Ok("no ${end".to_owned()));
        assert_eq!(plain("{\"plain\": 1}"), Ok("{\"plain\": 1}".to_owned()));
        assert_eq!(plain("$${client} ${client}"), Ok("${client} 3".to_owned()));
    }

    #[test]
    fn values_are_encoded_for_where_they_stand() {
        assert_eq!(filled("/of/${name}?a=1", Encoding::Path), Ok("/of/Jo%20\"%C3%A9?a=1".to_owned()));
        assert_eq!(filled("{\"${run}\":\"${name}\"}", Encoding::Json), Ok("{\"r\\\"1\":\"Jo \\\"é\"}".to_owned()));
    }

    #[test]
    fn a_value_that_is_missing_is_noticed() {
        let names = Names::new("a_1", &["round"]);
        let template = Template::parse("${run}-${round}", Encoding::Plain, &names).unwrap();
        let mut values = Values::new(1);
        assert!(!template.is_filled(&values));
        values.space(0).push(b'9');
        assert!(template.is_filled(&values) && template.is(&values, b"a_1-9"));
        values.unset(0);
        assert!(!template.is_filled(&values));
        assert_eq!((template.sample().as_str(), template.pattern().as_str()), ("a_1-0", "a\\_1-%"));
    }
}
