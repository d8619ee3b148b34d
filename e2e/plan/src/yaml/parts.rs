//! The documents of a text. Main function: [`parts`].

use serde::de::IgnoredAny;

/// The documents of a text, each with the number of lines before it.
pub(super) fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(0, String::new())];
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_separator = line.strip_prefix("---").is_some_and(|rest| rest.starts_with(char::is_whitespace));
        if is_separator {
            parts.push((number, String::new()));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
        }
    }
    parts
}

/// The same of a text of JSON that follows on JSON without a separator, which kubectl takes.
pub(super) fn json_parts(text: &str) -> Option<Vec<(usize, String)>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut parts, mut start) = (Vec::new(), 0);
    while let Some(value) = values.next() {
        value.ok()?;
        let end = values.byte_offset();
        parts.push((text[..start].matches('\n').count(), text[start..end].to_owned()));
        start = end;
    }
    (parts.len() > 1).then_some(parts)
}
