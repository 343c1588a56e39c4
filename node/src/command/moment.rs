//! Moments as people write them: ms since the Unix epoch, dates, and dates with a time of day.

use annals_contracts::days::{Day, clock_ms};

/// Which moment of a day a date means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Edge {
    /// Its first.
    Begin,
    /// The first after it: a day that is named as the last one counts to its end.
    End,
}

/// What is told if a text is no moment.
pub(super) const FORMS: &str = "write ms since the Unix epoch, a date as 2026-03-04, or 2026-03-04T10:05:00+08:00";

/// Reads a moment, in ms since the Unix epoch; a time without an offset is that of clocks so many minutes ahead of UTC.
pub(super) fn parse(text: &str, edge: Edge, offset_minutes: i64) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Some(day) = Day::parse(text) {
        return Some(match edge {
            Edge::Begin => Day(day.0 - 1).end_ms(offset_minutes),
            Edge::End => day.end_ms(offset_minutes),
        });
    }
    let (date, time) = text.split_once(['T', ' '])?;
    let (day, (clock, offset)) = (Day::parse(date)?, split_offset(time, offset_minutes)?);
    Some(Day(day.0 - 1).end_ms(offset) + clock_ms(clock)?)
}

/// A time of day without its offset, and the offset in minutes.
fn split_offset(time: &str, offset_minutes: i64) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, offset_minutes)) };
    let (clock, offset) = time.split_at_checked(at)?;
    let minutes = clock_ms(offset.get(1..)?)? / 60_000;
    Some((clock.trim_end(), if offset.starts_with('-') { -minutes } else { minutes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-03-04 10:05:00 in Beijing is 1741053900 s, as `date -d '2025-03-04 10:05 +0800' +%s` prints it.
    #[test]
    fn moments_are_read_as_they_are_written() {
        for (text, edge, expected) in [
            ("1741053900000", Edge::Begin, Some(1_741_053_900_000)),
            ("2025-03-04T10:05:00+08:00", Edge::Begin, Some(1_741_053_900_000)),
            ("2025-03-04T10:05", Edge::End, Some(1_741_053_900_000)),
            ("2025-03-04 10:05:00", Edge::End, Some(1_741_053_900_000)),
            ("2025-03-04 10:05:00 +08:00", Edge::End, Some(1_741_053_900_000)),
            ("2025-03-04T02:05:00Z", Edge::Begin, Some(1_741_053_900_000)),
            ("2025-03-03T21:05:00-05:00", Edge::Begin, Some(1_741_053_900_000)),
            ("2025-03-04", Edge::Begin, Some(1_741_017_600_000)),
            ("2025-03-04", Edge::End, Some(1_741_104_000_000)),
            ("2025-02-29", Edge::Begin, None),
            ("2025-03-04T24:00", Edge::Begin, None),
            ("2025-03-04T1:00", Edge::Begin, None),
            ("2025-03-04T10:05:00:00", Edge::Begin, None),
            ("2025-03-04T+08:00", Edge::Begin, None),
            ("tomorrow", Edge::Begin, None),
            ("", Edge::Begin, None),
        ] {
            assert_eq!(parse(text, edge, 480), expected, "{text}");
        }
    }
}
