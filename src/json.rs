//! Reading JSON, with errors that say what is wrong, where, and what is allowed.
//!
//! Reading itself is `serde_json`'s. What it cannot read is read once more, as a tree, to find the
//! place and to describe the problem.

use std::fmt::{self, Display, Write as _};

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::error::Category;
use serde_json::{Map, Value};

/// The longest text that is quoted, in characters.
const MAX_QUOTED: usize = 60;

/// A problem with a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Fields and places in lists, such as `hosts[1]`; empty for the whole.
    path: String,
    what: String,
}

impl Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.what),
            path => write!(f, "{path}: {}", self.what),
        }
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    fn new(what: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            what: what.into(),
        }
    }

    fn in_field(mut self, name: &str) -> Self {
        let name = quotable(name);
        self.path = match self.path.as_str() {
            "" => name,
            path if path.starts_with('[') => name + path,
            path => format!("{name}.{path}"),
        };
        self
    }

    fn in_item(mut self, place: usize) -> Self {
        self.path = match self.path.as_str() {
            path if path.is_empty() || path.starts_with('[') => format!("[{place}]{path}"),
            path => format!("[{place}].{path}"),
        };
        self
    }

    /// A text that is not JSON at all.
    fn syntax(error: &serde_json::Error) -> Self {
        let place = match error.line() {
            0 | 1 => format!("column {}", error.column()),
            line => format!("line {line}, column {}", error.column()),
        };
        Self::new(match error.classify() {
            Category::Eof => format!("incomplete JSON: it ends at {place}"),
            Category::Syntax | Category::Data | Category::Io => format!("invalid JSON at {place}"),
        })
    }
}

/// Reads a value from a JSON text.
///
/// # Errors
/// The text is not JSON, or not of this type.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    serde_json::from_slice(text).map_err(|error| {
        match serde_json::from_slice::<Value>(text) {
            Err(error) => JsonError::syntax(&error),
            Ok(tree) => match T::deserialize(Node(&tree)) {
                Err(error) => error,
                // A tree keeps the last of several fields of one name.
                Ok(_) => JsonError::new(format!(
                    "a field appears twice before line {}, column {}",
                    error.line(),
                    error.column()
                )),
            },
        }
    })
}

/// Reads a value from a JSON tree.
///
/// # Errors
/// It is not of this type.
pub fn from_value<T: DeserializeOwned>(tree: &Value) -> Result<T, JsonError> {
    T::deserialize(tree).map_err(|_| match T::deserialize(Node(tree)) {
        Err(error) => error,
        Ok(_) => JsonError::new("not understood"),
    })
}

/// The kind of a JSON value, as in "found a list".
#[must_use]
pub fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", quotable(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A text of a peer, escaped and cut.
fn quotable(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().take(MAX_QUOTED) {
        if c == '"' || c == '\\' || c.is_control() || !c.is_ascii() {
            short.extend(c.escape_default());
        } else {
            short.push(c);
        }
    }
    if text.chars().nth(MAX_QUOTED).is_some() {
        short.push('…');
    }
    short
}

/// Words with commas and a last `or`.
fn any_of(words: &[&str]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        let between = match at {
            0 => "",
            _ if at + 1 == words.len() => " or ",
            _ => ", ",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{between}{word}");
    }
    text
}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(flag) => flag.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Char(c) => format!("\"{}\"", c.escape_default()),
        Unexpected::Str(text) => format!("\"{}\"", quotable(text)),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        _ => "something else".to_owned(),
    }
}

/// The description that a type gives of itself to serde, in words for people.
fn wanted(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "a string" | "a borrowed string" | "a character" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => whole(u64::MAX),
        "a sequence" | "a set" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "unit" => "null".to_owned(),
        words if words.starts_with("struct ") => "an object".to_owned(),
        words if words.contains("enum ") || words == "variant identifier" => "a text".to_owned(),
        words => words.to_owned(),
    }
}

fn whole(max: u64) -> String {
    format!("a whole number from 0 to {max}")
}

impl serde::de::Error for JsonError {
    fn custom<M: Display>(message: M) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (wanted, found) = (wanted(expected), found(unexpected));
        Self::new(format!("expected {wanted}, found {found}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, _: &dyn Expected) -> Self {
        Self::new(format!("a list of {length} is too short or too long here"))
    }

    fn unknown_variant(word: &str, allowed: &'static [&'static str]) -> Self {
        let (word, allowed) = (quotable(word), any_of(allowed));
        Self::new(format!("invalid value \"{word}\": use {allowed}"))
    }

    fn unknown_field(name: &str, allowed: &'static [&'static str]) -> Self {
        let name = quotable(name);
        Self::new(match allowed {
            [] => format!("unknown field \"{name}\": no field is allowed here"),
            _ => format!("unknown field \"{name}\": use {}", any_of(allowed)),
        })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(format!("the field {name} is missing"))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::new(format!("the field {name} appears twice"))
    }
}

/// A part of a tree that is read.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Value);

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(n), _, _) => visitor.visit_u64(n),
                (_, Some(n), _) => visitor.visit_i64(n),
                (_, _, Some(n)) => visitor.visit_f64(n),
                _ => Err(JsonError::new("a number out of range")),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Value::Object(fields) => visitor.visit_map(Fields::new(fields)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self.0 {
            Value::String(text) => {
                let word: StrDeserializer<'de, JsonError> = text.as_str().into_deserializer();
                visitor.visit_enum(word)
            }
            other => Err(JsonError::new(format!(
                "expected a text, found {}",
                kind(other)
            ))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self.0 {
            Value::Object(fields) => visitor.visit_map(Fields::new(fields)),
            other => Err(JsonError::new(format!(
                "expected an object, found {}",
                kind(other)
            ))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Value>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, JsonError> {
        let Some((place, item)) = self.0.next() else {
            return Ok(None);
        };
        let item = seed.deserialize(Node(item)).map(Some);
        item.map_err(|error| error.in_item(place))
    }
}

struct Fields<'a> {
    left: serde_json::map::Iter<'a>,
    value: Option<(&'a str, &'a Value)>,
}

impl<'a> Fields<'a> {
    fn new(fields: &'a Map<String, Value>) -> Self {
        Self {
            left: fields.iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, JsonError> {
        let Some((name, value)) = self.left.next() else {
            return Ok(None);
        };
        self.value = Some((name, value));
        let name: StrDeserializer<'de, JsonError> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, JsonError> {
        let (name, value) = self
            .value
            .take()
            .ok_or_else(|| JsonError::custom("a value without a name"))?;
        let value = seed.deserialize(Node(value));
        value.map_err(|error| error.in_field(name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Drain,
        Keep,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    struct Outer {
        name: String,
        #[serde(default)]
        mode: Option<Mode>,
        #[serde(default)]
        max: Option<u16>,
        #[serde(default)]
        hosts: Vec<std::net::IpAddr>,
        #[serde(default)]
        inner: BTreeMap<String, Vec<bool>>,
    }

    #[test]
    fn errors_say_what_where_and_what_is_allowed() {
        for (text, error) in [
            ("", "incomplete JSON: it ends at column 0"),
            ("{\"name\"", "incomplete JSON: it ends at column 7"),
            ("{\"name\": nil}", "invalid JSON at column 11"),
            ("{\n\"name\": nil}", "invalid JSON at line 2, column 10"),
            ("{} {}", "invalid JSON at column 4"),
            ("[]", "expected an object, found a list"),
            ("7", "expected an object, found 7"),
            ("{}", "the field name is missing"),
            (
                r#"{"name":"a","nam":1}"#,
                "unknown field \"nam\": use name, mode, max, hosts or inner",
            ),
            (r#"{"name":7}"#, "name: expected a text, found 7"),
            (r#"{"name":null}"#, "name: expected a text, found null"),
            (
                r#"{"name":"a","mode":"kep"}"#,
                "mode: invalid value \"kep\": use drain or keep",
            ),
            (r#"{"name":"a","mode":1}"#, "mode: expected a text, found 1"),
            (
                r#"{"name":"a","max":70000}"#,
                "max: expected a whole number from 0 to 65535, found 70000",
            ),
            (
                r#"{"name":"a","max":-1}"#,
                "max: expected a whole number from 0 to 65535, found -1",
            ),
            (
                r#"{"name":"a","hosts":"b"}"#,
                "hosts: expected a list, found \"b\"",
            ),
            (
                r#"{"name":"a","hosts":["::1",false]}"#,
                "hosts[1]: expected IP address, found false",
            ),
            (
                r#"{"name":"a","inner":{"b":[true,"\u001b"]}}"#,
                "inner.b[1]: expected true or false, found \"\\u{1b}\"",
            ),
            (
                r#"{"name":"a","name":"b"}"#,
                "a field appears twice before line 1, column 18",
            ),
        ] {
            let said = from_slice::<Outer>(text.as_bytes())
                .unwrap_err()
                .to_string();
            assert_eq!(said, error, "{text}");
        }
    }
}
