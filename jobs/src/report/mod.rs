//! `gleaner report`: what came in, what came out, and whether it was worth it, as one HTML page that a person would rather look at than read logs.
//!
//! ```text
//! data        queries over the warehouse's tables, of one snapshot
//! evaluation  what `gleaner evaluate lift --json` printed
//! subject     what differs between command lines and requests to APIs: names, orders, counts
//! summary     the headline, what wants attention, the funnel, curves by day
//! finding     scores, detectors, near-duplicates
//! requests    of API telemetry: incidents, traffic by hour, endpoint and actor
//! judging     labels, their precision and cost, the lines themselves
//! worth       AUC and ROC curves with and without the set, drift
//! chart       plots: SVG within the page and of its own, PNG
//! html, page  escaping, tables, the page and its policy
//! ```
//!
//! **A page that can be mailed.** One file, no script, nothing fetched; its content policy says so too. What a command line holds is hostile: it is escaped, and what cannot be seen is made visible.
//! By default lines are redacted as for a language model ([`gleaner_udfs::text::redact`]), as a report leaves the hands that may read the warehouse.
//!
//! **Read-only.** Nothing is written to the warehouse, not even the key of pseudonyms where it has none.

pub mod chart;
pub mod data;
pub mod evaluation;
mod finding;
pub mod html;
mod judging;
mod page;
pub mod requests;
pub mod subject;
mod summary;
mod worth;

use chrono::NaiveDate;
use gleaner_udfs::text::decode::decode;
use gleaner_udfs::text::redact::{PseudonymKey, redact};

use crate::labels::precision::SetPrecision;
use crate::labels::review;
use crate::telemetry::Kind;
use chart::Figure;
use data::Data;
use evaluation::Measured;
use page::Page;
use subject::Subject;

/// How command lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lines {
    /// Without secrets; users and internal hosts as pseudonyms. A line of which that cannot be shown is left out.
    Redacted,
    /// As they were recorded.
    Whole,
    /// Not at all.
    None,
}

/// What a report says, and how.
#[derive(Debug)]
pub struct Report {
    /// What the warehouse holds.
    pub kind: Kind,
    /// The warehouse, as it was named.
    pub warehouse: String,
    /// What its tables say.
    pub data: Data,
    /// How right the set is, by day and model, as the canaries say.
    pub by_day: Vec<SetPrecision>,
    /// All days together.
    pub overall: Vec<SetPrecision>,
    /// As analysts say.
    pub reviewed: review::Precision,
    /// The lift.
    pub evaluation: Vec<Measured>,
    /// How lines are shown.
    pub lines: Lines,
    /// Of pseudonyms.
    pub key: PseudonymKey,
}

impl Report {
    /// The page, and its plots as on a desk.
    #[must_use]
    pub fn render(&self) -> (String, Vec<Figure>) {
        let mut page = Page::default();
        summary::write(self, &mut page);
        let subject = self.subject();
        let sections = if self.data.days.is_empty() {
            subject.sections_without_days
        } else {
            subject.sections
        };
        for section in sections {
            section(self, &mut page);
        }
        let days = &self.data.days;
        let of = match (days.first(), days.last()) {
            (Some(first), Some(last)) if first == last => first.clone(),
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => "no day yet".to_owned(),
        };
        let head = format!(
            "<p class=\"sub\">{} · {} · warehouse <code>{}</code></p>",
            html::escape(&of),
            counted(days.len() as u64, "day", "days"),
            html::command(&self.warehouse)
        );
        let foot = format!(
            "<p>Gleaner {}. The same warehouse and flags give the same page (but for pseudonyms, where the warehouse has no key of its own); every number is a query over its tables (<code>gleaner sql</code>). {}</p>",
            env!("CARGO_PKG_VERSION"),
            match self.lines {
                Lines::Redacted =>
                    "What was recorded is redacted: secrets are cut, users, sessions and internal hosts are pseudonyms.",
                Lines::Whole => "What was recorded is shown as it is and may hold secrets.",
                Lines::None => "Command lines and requests are left out.",
            }
        );
        page.finish(self.subject().title, &head, &foot)
    }

    /// What differs by what the warehouse holds.
    fn subject(&self) -> &'static Subject {
        Subject::of(self.kind)
    }

    /// The command that runs a day, as a reader would type it; `more` are flags before the others.
    fn command(&self, more: &str) -> String {
        let flags = self.subject().flags;
        format!("gleaner run {flags}{more}--date YYYY-MM-DD --telemetry PATH --warehouse PATH")
    }

    /// That days were counted by themselves, where there are several.
    fn each_day(&self) -> &'static str {
        if self.data.days.len() > 1 {
            ", each day counted by itself"
        } else {
            ""
        }
    }

    /// The days that did not get to the last stage.
    fn unfinished(&self) -> Vec<&str> {
        let last = self.subject().last_stage();
        let finished = |day: &str| {
            let mut runs = self.data.runs.iter();
            runs.any(|r| r.date == day && r.stage == last)
        };
        let days = self.data.days.iter().map(String::as_str);
        days.filter(|day| !finished(day)).collect()
    }

    /// A command line or a part of a request as markup; `names` are people that it may name.
    fn line(&self, line: &str, names: &[&str]) -> String {
        let shown = match self.lines {
            Lines::Whole => line.to_owned(),
            Lines::None => return "<small>left out (--lines none)</small>".to_owned(),
            Lines::Redacted => {
                let decoded = decode(line);
                if decoded.undecoded {
                    return "<small>left out: a part of it is encoded and could not be read, so that a secret may hide there (--lines whole shows it)</small>".to_owned();
                }
                match redact(line, &decoded.texts, names, &self.key) {
                    Ok(redacted) => redacted.text,
                    Err(why) => {
                        let why = html::escape(&why.to_string());
                        let long = chart::scale::full(line.chars().count() as u64);
                        return format!(
                            "<small>left out: {why} ({long} characters; --lines whole shows it)</small>"
                        );
                    }
                }
            }
        };
        format!("<code dir=\"ltr\">{}</code>", html::command(&shown))
    }

    /// Of a stage, a day each: `None` where the day did not get that far.
    fn by_day(&self, stage: &str, of: impl Fn(&data::Run) -> u64) -> Vec<Option<f64>> {
        let run = |day: &String| {
            let mut runs = self.data.runs.iter();
            runs.find(|r| r.date == *day && r.stage == stage)
        };
        let days = self.data.days.iter();
        days.map(|day| run(day).map(|r| chart::scale::rows(of(r))))
            .collect()
    }

    /// Of a stage, over all days.
    fn total(&self, stage: &str, of: impl Fn(&data::Run) -> u64) -> u64 {
        let runs = self.data.runs.iter().filter(|r| r.stage == stage);
        runs.map(of).sum()
    }

    /// The days as axes have them: Jan 5.
    fn shown_days(&self) -> Vec<String> {
        self.data.days.iter().map(|day| short_day(day)).collect()
    }

    /// What was counted by day and name, as values a day.
    fn values(&self, of: &[data::Daily], name: &str) -> Vec<f64> {
        let on = |day: &String| {
            let rows = of.iter().filter(|d| d.date == *day && d.name == name);
            chart::scale::rows(rows.map(|d| d.n).sum())
        };
        self.data.days.iter().map(on).collect()
    }
}

/// A day as axes have it.
fn short_day(day: &str) -> String {
    day.parse::<NaiveDate>()
        .map_or_else(|_| day.to_owned(), |d| d.format("%b %-d").to_string())
}

/// 1 day, 2 days.
fn counted(n: u64, one: &str, more: &str) -> String {
    let name = if n == 1 { one } else { more };
    format!("{} {name}", chart::scale::full(n))
}

/// Sums up to each place.
fn running(values: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |v: &f64| {
        sum += v;
        sum
    };
    values.iter().map(add).collect()
}
