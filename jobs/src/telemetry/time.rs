//! Event times of any sensor, as microseconds since 1970-01-01T00:00:00Z, and the UTC day they are held against.

use chrono::NaiveDate;

use super::value::Node;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds of a UTC day (leap seconds are folded into the second before them).
pub(super) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Midnight UTC that begins a day.
pub(super) fn start_of(day: NaiveDate) -> i64 {
    day.signed_duration_since(NaiveDate::default())
        .num_days()
        .saturating_mul(MICROS_PER_DAY)
}

/// The time that a value means; the error says what is wrong with it, without its text.
///
/// Accepted: a Parquet timestamp of any unit; RFC 3339; the same without a zone (then UTC), with a blank for the `T`,
/// and with 0 to 9 or more digits of fraction; the Common Log Format's `10/Oct/2000:13:55:36 -0700`; a Unix time in seconds, milliseconds, microseconds or nanoseconds, told
/// apart by size (seconds up to the year 5138), as an integer, a float or decimal digits.
pub(super) fn parse(value: &Node) -> Result<i64, String> {
    match value {
        Node::Time(micros) => Ok(*micros),
        Node::Int(number) => of_number(*number).ok_or_else(|| "a number out of range".to_owned()),
        Node::Float(number) => of_float(*number).ok_or_else(|| "a number out of range".to_owned()),
        Node::Text(text) => {
            let text = text.trim();
            of_text(text).ok_or_else(|| format!("text of {} bytes in no known form", text.len()))
        }
        Node::List(values) if values.len() == 1 => parse(&values[0]),
        Node::Bytes(_) => Err("not UTF-8".to_owned()),
        _ => Err("neither text nor a number".to_owned()),
    }
}

/// Magnitudes: 1e11 s is the year 5138, 1e11 ms is 1973.
fn of_number(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..100_000_000_000 => number.checked_mul(MICROS_PER_SECOND),
        100_000_000_000..100_000_000_000_000 => number.checked_mul(1_000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(number),
        _ => Some(number.div_euclid(1_000)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be below 1e18, which i64 holds"
)]
fn of_float(number: f64) -> Option<i64> {
    let size = number.abs();
    let micros = match size {
        _ if !number.is_finite() || size >= 1e18 => return None,
        _ if size < 1e11 => number * 1e6,
        _ if size < 1e14 => number * 1e3,
        _ if size < 1e17 => number,
        _ => number / 1e3,
    };
    Some(micros.round() as i64)
}

fn of_text(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.get(2) == Some(&b'/') {
        return of_log(bytes);
    }
    if bytes.get(4) != Some(&b'-') {
        if let Ok(number) = text.parse::<i64>() {
            return of_number(number);
        }
        // "1735689600.25", as auditd and Zeek write it; words such as "NaN" and "inf" parse as floats too.
        return bytes
            .iter()
            .all(|b| b.is_ascii_digit() || *b == b'.')
            .then(|| text.parse().ok().and_then(of_float))?;
    }
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T' | b't' | b' ',
        clock @ ..,
    ] = bytes
    else {
        return None;
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2, rest @ ..] = clock else {
        return None;
    };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let (hour, minute, second) = (
        number(&[*h1, *h2])?,
        number(&[*n1, *n2])?,
        number(&[*s1, *s2])?,
    );
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = fraction(rest)?;
    let offset_secs = zone_secs(zone)?;
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    let seconds = hour * 3_600 + minute * 60 + second.min(59) - offset_secs;
    start_of(date)
        .checked_add(seconds * MICROS_PER_SECOND)?
        .checked_add(micros)
}

/// `10/Oct/2000:13:55:36 -0700`, the time of a web server's log.
fn of_log(bytes: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let [
        d1,
        d2,
        b'/',
        m1,
        m2,
        m3,
        b'/',
        y1,
        y2,
        y3,
        y4,
        b':',
        clock @ ..,
    ] = bytes
    else {
        return None;
    };
    let named = [*m1, *m2, *m3].map(|letter| letter.to_ascii_lowercase());
    let month = 1 + MONTHS.iter().position(|month| **month == named)?;
    let mut iso = Vec::with_capacity(40);
    iso.extend([*y1, *y2, *y3, *y4, b'-']);
    iso.extend(format!("{month:02}").bytes());
    iso.extend([b'-', *d1, *d2, b'T']);
    iso.extend(clock);
    of_text(std::str::from_utf8(&iso).ok()?)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

/// The fraction in microseconds (further digits are cut, not rounded: a rounded one could leave the day) and the rest.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', digits @ ..] = rest else {
        return Some((0, rest));
    };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let kept = count.min(6);
    let scale = 10_i64.pow(u32::try_from(6 - kept).ok()?);
    (count > 0).then(|| Some((number(&digits[..kept])? * scale, &digits[count..])))?
}

/// Seconds east of UTC; no zone is UTC.
fn zone_secs(zone: &[u8]) -> Option<i64> {
    let zone = zone.trim_ascii();
    let (sign, hours, minutes) = match zone {
        b"" | b"Z" | b"z" | b"UTC" => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            (*sign, number(&[*h1, *h2])?, number(&[*m1, *m2])?)
        }
        [sign @ (b'+' | b'-'), h1, h2] => (*sign, number(&[*h1, *h2])?, 0),
        _ => return None,
    };
    let seconds = hours * 3_600 + minutes * 60;
    (hours <= 23 && minutes <= 59).then_some(if sign == b'-' { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn micros(text: &str) -> Option<i64> {
        parse(&Node::Text(Cow::Borrowed(text))).ok()
    }

    #[test]
    fn every_common_form_of_one_moment_is_the_same_time() {
        let moment = Some(1_735_725_296_789_000);
        for text in [
            "2025-01-01T09:54:56.789Z",
            "2025-01-01t09:54:56.789z",
            "2025-01-01 09:54:56.789",
            "2025-01-01T09:54:56.789000000",
            "2025-01-01T11:54:56.789+02:00",
            "2025-01-01T04:24:56.789-0530",
            "2025-01-01 09:54:56.789 UTC",
            "2025-01-01T10:54:56,789+01",
            "1735725296.789",
            "1735725296789",
            "1735725296789000",
            "1735725296789000000",
        ] {
            assert_eq!(micros(text), moment, "{text}");
        }
        assert_eq!(parse(&Node::Float(1_735_725_296.789)).ok(), moment);
        assert_eq!(parse(&Node::Int(1_735_725_296_789)).ok(), moment);
    }

    #[test]
    fn a_web_servers_time_is_moved_to_utc() {
        // The example of Apache's documentation.
        let moment = micros("2000-10-10T20:55:36Z");
        assert_eq!(micros("10/Oct/2000:13:55:36 -0700"), moment);
        assert_eq!(micros("10/oct/2000:20:55:36 +0000"), moment);
        assert_eq!(
            micros("10/Oct/2000:20:55:36.25 +0000"),
            moment.map(|m| m + 250_000)
        );
        for text in [
            "10/Okt/2000:13:55:36 -0700",
            "31/Feb/2000:13:55:36 -0700",
            "10/Oct/2000",
            "1/2/2025",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01",
            "2025-01-01T00:00:00X",
            "2025-01-01T00:00:00.Z",
            "NaN",
            "inf",
            "2025-01-01T00:00:00+25:00",
            "1/2/2025",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
        assert!(parse(&Node::Float(f64::NAN)).is_err());
        assert!(parse(&Node::Bool(true)).is_err());
    }

    #[test]
    fn a_leap_second_stays_in_its_day() {
        let day = start_of(NaiveDate::from_ymd_opt(2016, 12, 31).unwrap());
        assert_eq!(
            micros("2016-12-31T23:59:60Z"),
            Some(day + MICROS_PER_DAY - MICROS_PER_SECOND)
        );
    }

    #[test]
    fn digits_beyond_the_microsecond_are_cut_so_that_no_event_leaves_its_day() {
        let day = start_of(NaiveDate::from_ymd_opt(2025, 1, 1).unwrap());
        assert_eq!(
            micros("2025-01-01T23:59:59.9999999Z"),
            Some(day + MICROS_PER_DAY - 1)
        );
    }
}
