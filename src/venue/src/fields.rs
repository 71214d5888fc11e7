//! Lenient reading of one JSON object of the exchange: `""`, `null` and absent are `None`; a
//! number may come as text or as a number; what is there but malformed is an error with its name.

use crate::Error;
use fusebox_domain::Decimal;
use serde_json::{Map, Value};
use std::str::FromStr;

/// One object, and where it stands, for error messages.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    call: &'a str,
    place: Place<'a>,
    map: &'a Map<String, Value>,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Top,
    In(&'a str, usize),
}

impl<'a> Row<'a> {
    /// The answer's `result`, or a message's whole object.
    pub(crate) fn top(call: &'a str, value: &'a Value) -> Result<Self, Error> {
        let map = value
            .as_object()
            .ok_or_else(|| Error::not_understood(call, "expected an object"))?;
        Ok(Self {
            call,
            place: Place::Top,
            map,
        })
    }

    /// The objects of a list; an absent list is an error, an empty one is not.
    pub(crate) fn rows(&self, name: &'a str) -> Result<Vec<Row<'a>>, Error> {
        let list = match self.map.get(name) {
            Some(Value::Array(list)) => list,
            Some(_) => return Err(self.wrong(name, "is not a list")),
            None => return Err(self.wrong(name, "is missing")),
        };
        list.iter()
            .enumerate()
            .map(|(index, value)| {
                let map = value
                    .as_object()
                    .ok_or_else(|| self.wrong(name, "contains something else than objects"))?;
                Ok(Row {
                    call: self.call,
                    place: Place::In(name, index),
                    map,
                })
            })
            .collect()
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.as_str().filter(|text| !text.is_empty())
    }

    pub(crate) fn need_text(&self, name: &str) -> Result<&'a str, Error> {
        self.text(name).ok_or_else(|| self.missing(name))
    }

    /// Text that may also come as a number: ids.
    pub(crate) fn need_id(&self, name: &str) -> Result<String, Error> {
        match self.value(name) {
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => self.need_text(name).map(str::to_owned),
        }
    }

    pub(crate) fn decimal(&self, name: &str) -> Result<Option<Decimal>, Error> {
        let text = match self.value(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(self.wrong(name, "is not a number")),
        };
        Decimal::from_str(&text)
            .or_else(|_| Decimal::from_scientific(&text))
            .map(Some)
            .map_err(|_| self.wrong(name, "is not a number"))
    }

    pub(crate) fn need_decimal(&self, name: &str) -> Result<Decimal, Error> {
        self.decimal(name)?.ok_or_else(|| self.missing(name))
    }

    /// A whole number, as text or number: times, sequence numbers.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => text
                .parse()
                .map(Some)
                .map_err(|_| self.wrong(name, "is not a whole number")),
            Some(Value::Number(number)) => number
                .as_i64()
                .map(Some)
                .ok_or_else(|| self.wrong(name, "is not a whole number")),
            Some(_) => Err(self.wrong(name, "is not a whole number")),
        }
    }

    pub(crate) fn need_integer(&self, name: &str) -> Result<i64, Error> {
        self.integer(name)?.ok_or_else(|| self.missing(name))
    }

    /// Yes or no: a bool here, 0 and 1 there.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => match self.integer(name)? {
                Some(0) => Ok(Some(false)),
                Some(1) => Ok(Some(true)),
                _ => Err(self.wrong(name, "is neither yes nor no")),
            },
        }
    }

    /// A list of texts; absent is empty.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.value(name)
            .and_then(Value::as_array)
            .map(|list| {
                list.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default()
    }

    pub(crate) fn missing(&self, name: &str) -> Error {
        self.wrong(name, "is missing or empty")
    }

    pub(crate) fn wrong(&self, name: &str, why: &str) -> Error {
        let place = match self.place {
            Place::Top => String::new(),
            Place::In(list, index) => format!("{list}[{index}]."),
        };
        Error::not_understood(self.call, format!("{place}{name} {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_is_none_and_missing_is_not_zero() {
        let value = json!({"a": "", "b": null, "d": "1.50", "n": 2, "t": "17"});
        let row = Row::top("x", &value).unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(row.decimal(name).unwrap(), None);
            assert_eq!(row.text(name), None);
        }
        assert_eq!(row.decimal("d").unwrap(), Some(Decimal::new(15, 1)));
        assert_eq!(row.decimal("n").unwrap(), Some(Decimal::from(2)));
        assert_eq!(row.integer("t").unwrap(), Some(17));
    }

    #[test]
    fn what_is_needed_and_absent_is_named_with_its_row() {
        let value = json!({"list": [{"size": "1"}, {"size": ""}]});
        let row = Row::top("GET /x", &value).unwrap();
        let rows = row.rows("list").unwrap();
        let error = rows[1].need_decimal("size").unwrap_err();
        assert_eq!(
            error.to_string(),
            "GET /x: the answer was not understood: list[1].size is missing or empty"
        );
        assert!(row.rows("other").is_err());
    }

    #[test]
    fn malformed_is_an_error_and_not_a_default() {
        let value = json!({"d": "1,5", "i": 1.5, "f": "maybe", "o": {}});
        let row = Row::top("x", &value).unwrap();
        assert!(row.decimal("d").is_err());
        assert!(row.decimal("o").is_err());
        assert!(row.integer("i").is_err());
        assert!(row.flag("f").is_err());
    }
}
