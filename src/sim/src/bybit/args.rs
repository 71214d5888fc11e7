//! Parameters of a call: of the query on GET, of the JSON body on POST; and the paging all listings share.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::http::{Request, decode};

const DAY_MS: i64 = 86_400_000;
/// Figures beyond this are refused, so that no product of two of them can overflow.
const LARGEST: i64 = 1_000_000_000_000;

/// The parameters of one call. An empty string counts as absent, as it does on the real exchange.
#[derive(Debug, Clone, Default)]
pub(crate) struct Args(Map<String, Value>);

impl Args {
    /// Reads the query of a GET or the JSON object of a POST.
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        if request.method == "GET" {
            let pairs = request.params().into_iter();
            return Ok(Self(pairs.map(|(k, v)| (k, Value::String(v))).collect()));
        }
        if request.body.is_empty() {
            return Ok(Self::default());
        }
        match request.json() {
            Some(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(ApiError::params("the body is not a JSON object")),
        }
    }

    /// Arguments from a JSON object; anything else is no arguments.
    #[cfg(test)]
    pub(crate) fn from_value(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    /// The value as it came.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A text; numbers and flags are written out.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = match self.0.get(name)? {
            Value::String(s) => s.clone(),
            Value::Number(n) => n.to_string(),
            Value::Bool(b) => b.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A text that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<String, ApiError> {
        self.text(name)
            .ok_or_else(|| ApiError::params(format_args!("{name} is missing")))
    }

    /// A decimal figure.
    pub(crate) fn decimal(&self, name: &str) -> Result<Option<Decimal>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let wrong = || ApiError::params(format_args!("{name} invalid"));
        let figure: Decimal = text.parse().map_err(|_| wrong())?;
        if figure.abs() > Decimal::from(LARGEST) || figure.scale() > 12 {
            return Err(wrong());
        }
        Ok(Some(figure))
    }

    /// A whole number.
    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.text(name)
            .map(|t| {
                t.parse()
                    .map_err(|_| ApiError::params(format_args!("{name} invalid")))
            })
            .transpose()
    }

    /// A flag, false when absent.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|t| t == "true" || t == "1")
    }

    /// `startTime` and `endTime`, ms, both inclusive: at most seven days; `default_days` before now when neither is given.
    pub(crate) fn window(&self, now_ms: i64, default_days: i64) -> Result<(i64, i64), ApiError> {
        let week = 7 * DAY_MS;
        let window = match (self.int("startTime")?, self.int("endTime")?) {
            (None, None) => (now_ms - default_days * DAY_MS, i64::MAX),
            (Some(start), None) => (start, start.saturating_add(week)),
            (None, Some(end)) => (end.saturating_sub(week), end),
            (Some(start), Some(end)) if start > end => {
                return Err(ApiError::params("startTime should be earlier than endTime"));
            }
            (Some(start), Some(end)) if end.saturating_sub(start) > week => {
                return Err(ApiError::params(
                    "the time range between startTime and endTime cannot exceed 7 days",
                ));
            }
            (Some(start), Some(end)) => (start, end),
        };
        Ok(window)
    }
}

/// Where a row stands in a listing that is sorted newest first.
pub(crate) type Place = (i64, u64);

/// A place that sorts by position for listings that have no time of their own.
pub(crate) fn nth(index: usize) -> Place {
    (0, u64::MAX - index as u64)
}

/// One page of rows that come sorted newest first, and the cursor of the next page (empty at the end).
///
/// The cursor carries escapes of its own, as Bybit's do: it must be passed back unmodified. A limit above the
/// maximum is lowered to it (`Assumption`: the real exchange refuses some and lowers others).
pub(crate) fn page<T>(
    rows: Vec<(Place, T)>,
    args: &Args,
    default: usize,
    max: usize,
) -> Result<(Vec<T>, String), ApiError> {
    let limit = match args.int("limit")? {
        None => default,
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| ApiError::params("limit invalid"))?,
    };
    let limit = limit.min(max);
    let from = args.text("cursor").map(|c| parse_cursor(&c)).transpose()?;
    let mut rows: Vec<(Place, T)> = rows
        .into_iter()
        .filter(|(place, _)| from.is_none_or(|from| *place < from))
        .take(limit + 1)
        .collect();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = match rows.last() {
        Some(((time, seq), _)) if more => format!("{time}%3A{seq}%2C{time}%3A{seq}"),
        _ => String::new(),
    };
    Ok((rows.into_iter().map(|(_, row)| row).collect(), cursor))
}

fn parse_cursor(cursor: &str) -> Result<Place, ApiError> {
    // Once decoded or twice: some clients escape what is escaped already.
    let plain = decode(cursor);
    let place = plain.split(',').next().and_then(|p| p.split_once(':'));
    place
        .and_then(|(time, seq)| Some((time.parse().ok()?, seq.parse().ok()?)))
        .ok_or_else(|| ApiError::params("cursor invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn args(value: Value) -> Args {
        Args::from_value(value)
    }

    #[test]
    fn pages_join_to_the_whole_list_however_the_cursor_is_escaped() {
        let rows = || (0..5).map(|i| (nth(i), i)).collect::<Vec<_>>();
        let (first, cursor) = page(rows(), &args(json!({"limit": 2})), 20, 50).unwrap();
        let (second, cursor) = page(
            rows(),
            &args(json!({"limit": "2", "cursor": cursor})),
            20,
            50,
        )
        .unwrap();
        let (third, end) = page(
            rows(),
            &args(json!({"limit": 2, "cursor": decode(&cursor)})),
            20,
            50,
        )
        .unwrap();
        assert_eq!([first, second, third].concat(), [0, 1, 2, 3, 4]);
        assert_eq!(end, "");
    }

    #[test]
    fn windows_are_at_most_a_week() {
        let week = 7 * DAY_MS;
        assert!(
            args(json!({"startTime": 0, "endTime": week}))
                .window(0, 7)
                .is_ok()
        );
        assert!(
            args(json!({"startTime": 0, "endTime": week + 1}))
                .window(0, 7)
                .is_err()
        );
        assert_eq!(args(json!({})).window(week, 1).unwrap().0, 6 * DAY_MS);
    }

    #[test]
    fn figures_that_could_overflow_are_refused() {
        assert!(args(json!({"qty": "1e30"})).decimal("qty").is_err());
        assert!(
            args(json!({"qty": "9999999999999"}))
                .decimal("qty")
                .is_err()
        );
        assert_eq!(args(json!({"qty": ""})).decimal("qty").unwrap(), None);
        assert_eq!(
            args(json!({"qty": 0.5})).decimal("qty").unwrap(),
            Some(Decimal::new(5, 1))
        );
    }
}
