//! Settings that have no value, for who looks at all there are: the names a type is read by, written as comments among those that have one.

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

/// The names by which the fields of a type are read, secrets among them.
pub fn names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // It ends with an error, once it has said what it wants.
    let _ = T::deserialize(Asked(&mut found));
    found
}

struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// A table's text, and at the end of each section what has no value there. A section is named as in the text; what stands before all of them is "".
pub fn shown(text: &str, table: &toml::Table, sections: &[(&str, &[&str])]) -> String {
    let unset = |section: &str| -> String {
        let mut path = section.split('.').filter(|name| !name.is_empty());
        let there = path.try_fold(table, |table, name| table.get(name)?.as_table());
        let names = sections.iter().filter(|(name, _)| *name == section).flat_map(|(_, names)| names.iter());
        let mut names: Vec<&&str> =
            names.filter(|name| there.is_none_or(|there| !there.contains_key(**name))).collect();
        names.sort_unstable();
        names.iter().map(|name| format!("# {name} =\n")).collect()
    };
    let mut lines = "# Where # is before a name, nothing is set, or a secret.\n".to_owned();
    let mut section = Some("");
    for line in text.lines() {
        if line.starts_with('[') {
            // Before the empty line between two sections.
            lines.truncate(lines.trim_end().len() + 1);
            lines.push_str(&section.map(unset).unwrap_or_default());
            lines.push('\n');
            // Not those of arrays.
            section =
                line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).filter(|name| !name.starts_with('['));
        }
        lines.push_str(line);
        lines.push('\n');
    }
    lines + &section.map(unset).unwrap_or_default()
}
