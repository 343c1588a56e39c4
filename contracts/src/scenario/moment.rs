//! Moments in scenarios: RFC 3339 with an offset, and moments told from the clock, as `@now-50m`.

use super::report::Unlike;
use crate::days::{DAY_MS, Day, clock_ms};
use crate::value::Value;
use std::collections::BTreeMap;

/// Reads RFC 3339 in whole seconds with an offset; ms since the Unix epoch.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let (clock, offset) = (rest.get(..8)?, rest.get(8..)?);
    let offset_minutes = match offset.split_at_checked(1)? {
        ("Z", "") => 0,
        ("+", ahead) => minutes(ahead)?,
        ("-", behind) => -minutes(behind)?,
        _ => return None,
    };
    Some(Day::parse(date)?.0 * DAY_MS + clock_ms(clock)? - offset_minutes * 60_000)
}

/// Reads a moment that may be left out; a misspelt one is a fault, not one left out.
pub(super) fn parse_or(text: Option<&str>, unless_said: i64) -> Result<i64, Unlike> {
    let Some(text) = text else { return Ok(unless_said) };
    let wrong = || Unlike::form(format!("{text:?} is no moment; write it as 2025-03-04T09:00:00+08:00"));
    parse(text).ok_or_else(wrong)
}

/// Reads `hh:mm` as minutes.
fn minutes(text: &str) -> Option<i64> {
    if text.len() == 5 { Some(clock_ms(text)? / 60_000) } else { None }
}

/// Reads `@now`, `@now-50m`, `@now+2h`, `@now-1d`, or `@` and a moment.
pub(super) fn parse_told(text: &str, now_ms: i64) -> Option<i64> {
    let text = text.strip_prefix('@')?;
    let Some(shift) = text.strip_prefix("now") else { return parse(text) };
    if shift.is_empty() {
        return Some(now_ms);
    }
    let (sign, rest) = shift.split_at_checked(1)?;
    let (count, unit) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        _ => return None,
    };
    let shift_ms = count.parse::<u16>().ok().map(|count| i64::from(count) * unit_ms)?;
    match sign {
        "+" => Some(now_ms + shift_ms),
        "-" => Some(now_ms - shift_ms),
        _ => None,
    }
}

/// Puts moments in the place of the texts that tell them.
pub(super) fn fill(value: &Value, now_ms: i64) -> Value {
    match value {
        Value::Text(text) => parse_told(text, now_ms).map_or_else(|| value.clone(), Value::Integer),
        Value::List(items) => Value::List(items.iter().map(|item| fill(item, now_ms)).collect()),
        Value::Map(fields) => Value::Map(fill_fields(fields, now_ms)),
        Value::Bool(_) | Value::Integer(_) => value.clone(),
    }
}

/// The same for fields.
pub(super) fn fill_fields(fields: &BTreeMap<String, Value>, now_ms: i64) -> BTreeMap<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), fill(value, now_ms))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_rfc_3339() {
        for (text, time_ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2025-03-04T10:05:00+08:00", Some(1_741_053_900_000)),
            ("2025-03-03T21:35:00-04:30", Some(1_741_053_900_000)),
            ("2025-03-04T10:05:00", None),
            ("2025-03-04 10:05:00Z", None),
            ("2025-02-29T10:05:00Z", None),
            ("2025-03-04T24:00:00Z", None),
            ("2025-03-04T1:05:00+08:00", None),
            ("", None),
        ] {
            assert_eq!(parse(text), time_ms, "{text}");
        }
        let hour = 3_600_000;
        for (text, time_ms) in [
            ("@now", Some(hour)),
            ("@now-50m", Some(10 * 60_000)),
            ("@now+2h", Some(3 * hour)),
            ("@now-1d", Some(hour - 24 * hour)),
            ("@1970-01-01T00:00:00Z", Some(0)),
            ("@now*2h", None),
            ("@nowhere", None),
            ("now", None),
            ("@now-", None),
        ] {
            assert_eq!(parse_told(text, hour), time_ms, "{text}");
        }
    }
}
