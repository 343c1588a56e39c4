//! Days: civil dates in whole numbers, and which of them are worked on.
//!
//! Periods of law are counted in days, not in milliseconds: the day of the event does not count, the last day counts to its end
//! (Civil Code of the PRC, articles 201 to 204). Dates follow the proleptic Gregorian calendar; the conversion is that of H. Hinnant,
//! "chrono-compatible low-level date algorithms", days_from_civil. No clock is read here.

use std::collections::BTreeMap;
use std::fmt;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Minutes that clocks are ahead of UTC unless it is said otherwise: Beijing's.
pub const OFFSET_MINUTES_DEFAULT: i64 = 480;
/// Days that a period may run at most: a hundred years.
pub const PERIOD_DAYS_MAX: i64 = 36_525;
/// Months that a period may run at most: a hundred years.
pub const PERIOD_MONTHS_MAX: i64 = 1200;

/// [`OFFSET_MINUTES_DEFAULT`], as serde asks for it.
pub(crate) const fn offset_default() -> i64 {
    OFFSET_MINUTES_DEFAULT
}

/// Minutes that a clock may be from UTC at most.
pub const OFFSET_MAX: i64 = 840;

/// A civil date, as the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Day(pub i64);

impl Day {
    /// The day of a moment, in ms since the Unix epoch, where clocks are so many minutes ahead of UTC.
    pub const fn of(time_ms: i64, offset_minutes: i64) -> Self {
        Self(time_ms.saturating_add(offset_minutes * 60_000).div_euclid(DAY_MS))
    }

    /// The first moment after the day, in ms since the Unix epoch.
    pub const fn end_ms(self, offset_minutes: i64) -> i64 {
        (self.0 + 1).saturating_mul(DAY_MS) - offset_minutes * 60_000
    }

    /// The date of a year, a month from 1 and a day from 1; none if there is no such date.
    pub fn from_civil(year: i64, month: i64, day: i64) -> Option<Self> {
        if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let date = Self(era * 146_097 + day_of_era - 719_468);
        (date.civil() == (year, month, day)).then_some(date)
    }

    /// Year, month and day.
    pub const fn civil(self) -> (i64, i64, i64) {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400;
        (if month <= 2 { year + 1 } else { year }, month, day)
    }

    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let number = |digits: &str, width: usize| {
            let all_digits = digits.len() == width && digits.bytes().all(|byte| byte.is_ascii_digit());
            all_digits.then(|| digits.parse().ok()).flatten()
        };
        Self::from_civil(number(year, 4)?, number(month, 2)?, number(day, 2)?)
    }

    const fn is_weekend(self) -> bool {
        // 1970-01-01 was a Thursday.
        matches!((self.0 + 4).rem_euclid(7), 0 | 6)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

/// A moment as people of an offset read it: `2025-03-04 10:05:00 +08:00`.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Ms since the Unix epoch.
    pub time_ms: i64,
    /// Minutes that clocks are ahead of UTC.
    pub offset_minutes: i64,
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time_ms, offset_minutes } = *self;
        let local = time_ms.saturating_add(offset_minutes * 60_000).rem_euclid(DAY_MS) / 1000;
        let (hour, minute, second) = (local / 3600, local / 60 % 60, local % 60);
        let (sign, ahead) = (if offset_minutes < 0 { '-' } else { '+' }, offset_minutes.abs());
        let day = Day::of(time_ms, offset_minutes);
        write!(formatter, "{day} {hour:02}:{minute:02}:{second:02} {sign}{:02}:{:02}", ahead / 60, ahead % 60)
    }
}

/// Reads a time of day, `HH:MM` or `HH:MM:SS`, as ms since its beginning.
pub fn clock_ms(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':').map(|part| {
        let is_pair = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_pair { part.parse::<i64>().ok() } else { None }
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let is_time = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_time.then_some(((hour * 60 + minute) * 60 + second) * 1000)
}

/// Which days are worked on: weekdays, but for the holidays and make-up days that calendar records name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Calendar {
    /// Days that differ from what their weekday says; true = worked on.
    exceptions: BTreeMap<Day, bool>,
}

impl Calendar {
    /// Adds a day without work.
    pub fn add_holiday(&mut self, day: Day) {
        self.exceptions.insert(day, false);
    }

    /// Adds a weekend's day with work (调休).
    pub fn add_workday(&mut self, day: Day) {
        self.exceptions.insert(day, true);
    }

    /// Whether the day is worked on.
    pub fn is_workday(&self, day: Day) -> bool {
        self.exceptions.get(&day).copied().unwrap_or_else(|| !day.is_weekend())
    }

    /// The last day of a period of `days` working days after an event's day.
    pub fn after_working_days(&self, event: Day, days: i64) -> Day {
        let (mut day, mut left) = (event, days.clamp(0, PERIOD_DAYS_MAX));
        while 0 < left {
            day = Day(day.0 + 1);
            left -= i64::from(self.is_workday(day));
        }
        day
    }

    /// The last day of a period of `days` calendar days after an event's day: the next working day, if that one is none
    /// (Civil Code of the PRC, article 203).
    pub fn after_calendar_days(&self, event: Day, days: i64) -> Day {
        let mut day = Day(event.0 + days.clamp(0, PERIOD_DAYS_MAX));
        while !self.is_workday(day) {
            day = Day(day.0 + 1);
        }
        day
    }

    /// The last day of a period of `months` months after an event's day: the day of that number, or the month's last, and the
    /// next working day if that one is none (Civil Code of the PRC, articles 202 and 203).
    pub fn after_months(&self, event: Day, months: i64) -> Day {
        let (year, month, day) = event.civil();
        let months = year * 12 + month - 1 + months.clamp(0, PERIOD_MONTHS_MAX);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let last = (1..=day).rev().find_map(|day| Day::from_civil(year, month, day));
        self.after_calendar_days(last.unwrap_or(event), 0)
    }

    /// Working days after `event` up to and with `last`.
    pub fn working_days_between(&self, event: Day, last: Day) -> i64 {
        let days = (event.0 + 1..=last.0).take(usize::try_from(PERIOD_DAYS_MAX).unwrap_or(usize::MAX));
        days.map(|day| i64::from(self.is_workday(Day(day)))).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    /// The holidays of October 2025 as the State Council announced them (国办发明电〔2024〕12号).
    fn october() -> Calendar {
        let mut calendar = Calendar::default();
        (1..=8).for_each(|number| calendar.add_holiday(Day::from_civil(2025, 10, number).unwrap()));
        calendar.add_workday(day("2025-09-28"));
        calendar.add_workday(day("2025-10-11"));
        calendar
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(day("1970-01-01"), Day(0));
        assert_eq!(day("2000-03-01"), Day(11_017));
        assert_eq!(day("2025-10-01").to_string(), "2025-10-01");
        for wrong in ["2025-02-29", "2025-13-01", "2025-1-1", "2025-00-10", "+025-01-01", "", "2025-04-31"] {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
        let moment = Moment { time_ms: 1_741_053_900_000, offset_minutes: 480 };
        assert_eq!(moment.to_string(), "2025-03-04 10:05:00 +08:00");
        assert_eq!(day("2025-03-04").end_ms(480), 1_741_104_000_000, "16:00 of that day in Greenwich");
    }

    #[test]
    fn holidays_and_make_up_days_count_as_announced() {
        let calendar = october();
        // Sunday the 28th is worked on; then 29, 30, and after the holidays 9, 10 and Saturday the 11th.
        assert_eq!(calendar.after_working_days(day("2025-09-26"), 3), day("2025-09-30"));
        assert_eq!(calendar.after_working_days(day("2025-09-26"), 6), day("2025-10-11"));
        assert_eq!(calendar.after_calendar_days(day("2025-09-26"), 7), day("2025-10-09"));
        assert_eq!(calendar.after_calendar_days(day("2025-10-10"), 1), day("2025-10-11"));
        assert_eq!(calendar.after_calendar_days(day("2025-10-11"), 1), day("2025-10-13"));
        assert_eq!(calendar.working_days_between(day("2025-09-26"), day("2025-10-11")), 6);
        assert_eq!(calendar.after_months(day("2025-07-03"), 3), day("2025-10-09"), "the third is a holiday");
        assert_eq!(calendar.after_months(day("2024-11-30"), 3), day("2025-02-28"), "February has no thirtieth");
        assert_eq!(calendar.after_months(day("2025-03-31"), 6), day("2025-09-30"));
    }

    proptest! {
        #[test]
        fn every_day_has_one_date(number in 0..2_000_000_i64) {
            let (year, month, date) = Day(number).civil();
            if year <= 9999 {
                prop_assert_eq!(Day::from_civil(year, month, date), Some(Day(number)));
                prop_assert_eq!(Day::parse(&Day(number).to_string()), Some(Day(number)));
            }
        }

        #[test]
        fn a_period_ends_on_a_working_day(event in 20_000..21_000_i64, days in 1..400_i64) {
            let calendar = october();
            let last = calendar.after_working_days(Day(event), days);
            prop_assert!(calendar.is_workday(last));
            prop_assert_eq!(calendar.working_days_between(Day(event), last), days);
            prop_assert!(calendar.is_workday(calendar.after_calendar_days(Day(event), days)));
        }
    }
}
