//! Days: how a date is written, the hours' rhythm, and which version of a product is out.
//!
//! Three sites (America, Europe, India) work from 8 to 18 of their own time, so the UTC day has a double hump with a
//! night that is never still. At weekends people rest and servers do not. A day's number of rows is what the caller
//! asked for: the rhythm moves rows between hours and roles.

use chrono::{Datelike, Days, NaiveDate};

use super::fleet::Role;
use super::prng::{mix2, unit_of};
use super::render::decimal;

/// A product whose versions follow a calendar.
#[derive(Debug, Clone)]
pub(super) struct Product {
    /// `{M}` major, `{m}` minor (0 to 11), `{Q}` month (01 to 12), `{B}` and `{E}` build (Chrome's and Edge's count),
    /// `{P}` and `{p}` patch (of three digits or one); the rest as it is.
    pub(super) form: String,
    /// Major number on 2025-01-01.
    pub(super) major: i64,
    /// Days from one release to the next.
    pub(super) cadence_days: i64,
}

/// Releases of a product that are in use at the same time.
const IN_USE: usize = 4;
/// Days from 1970-01-01 to 2025-01-01.
const ANCHOR_DAY: i64 = 20_089;

/// One day.
#[derive(Debug, Clone)]
pub(super) struct Day {
    /// Days since 1970-01-01.
    pub(super) number: i64,
    pub(super) epoch_secs: u64,
    /// `2025-01-31`.
    pub(super) dashed: String,
    pub(super) yesterday: String,
    /// `20250131`.
    pub(super) digits: String,
    pub(super) weekend: bool,
    versions: Vec<[String; IN_USE]>,
}

impl Day {
    pub(super) fn new(date: NaiveDate, products: &[Product], seed: u64) -> Self {
        let number = i64::from(date.to_epoch_days());
        let yesterday = date.checked_sub_days(Days::new(1)).unwrap_or(date);
        let versions = products.iter().enumerate().map(|(i, p)| {
            let newest = (number - ANCHOR_DAY).div_euclid(p.cadence_days.max(1));
            [0, 1, 2, 3].map(|lag| release(p, newest - lag, mix2(seed, i as u64)))
        });
        Self {
            number,
            epoch_secs: u64::try_from(number.saturating_mul(86_400)).unwrap_or(0),
            dashed: date.to_string(),
            yesterday: yesterday.to_string(),
            digits: date.format("%Y%m%d").to_string(),
            weekend: date.weekday().number_from_monday() > 5,
            versions: versions.collect(),
        }
    }

    /// The version of a product that the holder of `key` has: most have the newest, some lag.
    pub(super) fn version(&self, product: usize, key: u64) -> &str {
        let lag = match key % 100 {
            0..62 => 0,
            62..85 => 1,
            85..95 => 2,
            _ => 3,
        };
        self.versions.get(product).map_or("1.0.0", |v| &v[lag])
    }
}

fn release(product: &Product, n: i64, seed: u64) -> String {
    let noise = mix2(seed, n.cast_unsigned());
    let major = (product.major + n).max(1).cast_unsigned();
    let turn = n.rem_euclid(12).cast_unsigned();
    let mut out = String::new();
    let mut rest = product.form.as_str();
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        match rest.get(at..at + 3) {
            Some("{M}") => decimal(major, &mut out),
            Some("{m}") => decimal(turn, &mut out),
            Some("{Q}") => {
                out.push_str(if turn < 9 { "0" } else { "" });
                decimal(turn + 1, &mut out);
            }
            Some("{B}") => decimal((6_778 + 55 * n).max(100).cast_unsigned(), &mut out),
            Some("{E}") => decimal((2_903 + 55 * n).max(100).cast_unsigned(), &mut out),
            Some("{P}") => decimal(1 + noise % 230, &mut out),
            Some("{p}") => decimal(1 + noise % 9, &mut out),
            _ => {}
        }
        rest = rest.get(at + 3..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// How busy a role is in an hour of the UTC day; 1 is a full office hour.
pub(super) fn activity(role: Role, hour: u32, weekend: bool) -> f64 {
    let office: f64 = [(-5_i32, 0.40), (1, 0.42), (5, 0.18)]
        .into_iter()
        .map(|(offset, share)| {
            let local = (i32::try_from(hour).unwrap_or(0) + offset).rem_euclid(24);
            share
                * match local {
                    8 | 17 => 0.6,
                    9..=11 | 13..=16 => 1.0,
                    12 => 0.7,
                    7 | 18 | 19 => 0.25,
                    _ => 0.04,
                }
        })
        .sum();
    let (people, rest, weekend_share) = match role {
        Role::WindowsWorkstation | Role::MacOffice => (1.0, 0.05, 0.15),
        Role::WindowsDeveloper | Role::LinuxDeveloper | Role::MacDeveloper => (1.0, 0.06, 0.22),
        Role::WindowsBuild | Role::LinuxBuild => (0.8, 0.15, 0.40),
        Role::DomainController => (0.3, 0.30, 0.80),
        Role::WindowsServer | Role::LinuxServer | Role::KubeNode => (0.15, 0.45, 0.92),
    };
    // Backups and patching run at night.
    let night = if matches!(role, Role::WindowsServer | Role::LinuxServer) && (1..4).contains(&hour)
    {
        0.2
    } else {
        0.0
    };
    (people * office + rest + night) * if weekend { weekend_share } else { 1.0 }
}

/// The factor on a template's weight on a day: two slow waves and a little noise, so that neighbours resemble each
/// other, and 0 for a seasonal template out of season.
pub(super) fn drift(template: u64, day: i64, seasonal: bool) -> f64 {
    let key = mix2(template, 17);
    if seasonal {
        // Blocks of five days, each template with its own start: in season in a third of them.
        let block = (day + i64::from(u32::try_from(key % 5).unwrap_or(0))).div_euclid(5);
        if !mix2(key, block.cast_unsigned()).is_multiple_of(3) {
            return 0.0;
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "days since 1970 are exact in an f64"
    )]
    let day_f = day as f64;
    let wave = |salt: u64, period: f64| {
        let phase = unit_of(mix2(key, salt));
        (std::f64::consts::TAU * (day_f / period + phase)).sin()
    };
    let noise = unit_of(mix2(key, day.cast_unsigned() ^ 0x5EED)) - 0.5;
    (0.22 * wave(1, 61.0) + 0.14 * wave(2, 23.0) + 0.16 * noise).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(y: i32, m: u32, d: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(y, m, d).unwrap_or_default()
    }

    #[test]
    fn versions_rise_with_the_calendar() {
        let chrome = Product {
            form: "{M}.0.{B}.{P}".into(),
            major: 131,
            cadence_days: 28,
        };
        let at = |d| {
            Day::new(d, std::slice::from_ref(&chrome), 1)
                .version(0, 0)
                .to_owned()
        };
        assert!(at(date(2025, 1, 1)).starts_with("131.0.6778."));
        assert!(at(date(2025, 3, 1)).starts_with("133.0."));
        assert_eq!(at(date(2025, 1, 1)), at(date(2025, 1, 2)));
    }

    #[test]
    fn people_rest_at_weekends_and_at_night_more_than_servers() {
        let ratio = |role| activity(role, 14, true) / activity(role, 14, false);
        assert!(ratio(Role::WindowsWorkstation) < 0.3 && ratio(Role::LinuxServer) > 0.8);
        assert!(
            activity(Role::WindowsWorkstation, 2, false)
                < 0.5 * activity(Role::WindowsWorkstation, 14, false)
        );
    }

    #[test]
    fn drift_is_small_from_day_to_day() {
        for t in 0..200 {
            let (a, b) = (drift(t, 20_100, false), drift(t, 20_101, false));
            assert!((a / b).ln().abs() < 0.3, "{a} {b}");
        }
    }
}
