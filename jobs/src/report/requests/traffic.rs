//! Traffic by hour with what stood out of it, and the endpoints and actors of that.

use super::data::{Actor, Hour};
use super::{actor, endpoint};
use crate::report::chart::Paint;
use crate::report::chart::axes::{About, Series, stacked};
use crate::report::chart::scale::{full, percent, rows};
use crate::report::html::{escape, table};
use crate::report::page::Page;
use crate::report::{Report, short_day};

/// Days up to which hours follow one another; of more, hours of the day are summed up.
const DAYS: usize = 7;

pub(in crate::report) fn by_hour(report: &Report, page: &mut Page) {
    let days = &report.data.days;
    let summed = days.len() > DAYS;
    page.section(
        "traffic",
        "Traffic by hour",
        if summed {
            "Requests by the hour of the day, UTC, summed over the days; below them those that stood out, on an axis of their own."
        } else {
            "Requests by the hour, UTC; below them those that stood out, on an axis of their own."
        },
    );
    let hours = placed(days, &report.data.requests.hours, summed);
    if hours.iter().all(|h| h.n == 0) {
        page.missing("No request of these days was read.", &report.command(""));
        return;
    }
    let labels: Vec<String> = hours.iter().map(|h| label(&h.hour, summed)).collect();
    let of = |count: &dyn Fn(&Hour) -> u64| hours.iter().map(|h| rows(count(h))).collect();
    let sum = |count: &dyn Fn(&Hour) -> u64| hours.iter().map(count).sum::<u64>();
    let description = format!(
        "{} requests, of which {} failed.",
        full(sum(&|h| h.n)),
        full(sum(&|h| h.failed))
    );
    let about = About {
        name: "traffic",
        title: "Requests by hour",
        description: &description,
        unit: "requests",
    };
    let series = [
        Series::new(
            "answered",
            Paint::Series(0),
            of(&|h| h.n - h.failed.min(h.n)),
        ),
        Series::new("failed", Paint::Series(1), of(&|h| h.failed)),
    ];
    page.figure(|width| stacked(&about, &labels, &series, width));
    let description = format!(
        "{} anomalous requests, of which {} failed.",
        full(sum(&|h| h.anomalous)),
        full(sum(&|h| h.anomalous_failed))
    );
    let about = About {
        name: "traffic-anomalous",
        title: "Anomalous requests by hour",
        description: &description,
        unit: "requests",
    };
    let series = [
        Series::new(
            "anomalous, answered",
            Paint::Series(5),
            of(&|h| h.anomalous - h.anomalous_failed.min(h.anomalous)),
        ),
        Series::new(
            "anomalous, failed",
            Paint::Series(3),
            of(&|h| h.anomalous_failed),
        ),
    ];
    page.figure(|width| stacked(&about, &labels, &series, width));
    let body: Vec<Vec<String>> = hours
        .iter()
        .filter(|h| h.n > 0)
        .map(|h| {
            vec![
                escape(&h.hour),
                full(h.n),
                full(h.failed),
                percent(rows(h.failed) / rows(h.n)),
                full(h.anomalous),
                percent(rows(h.anomalous) / rows(h.n)),
            ]
        })
        .collect();
    let heads = ["hour", "requests", "failed", "share", "anomalous", "share"];
    page.details(
        "All hours in numbers",
        &table("Hours with requests, UTC", &heads, &body, 1),
    );
}

/// Every hour of the days, or of the day, those without requests too.
fn placed(days: &[String], found: &[Hour], summed: bool) -> Vec<Hour> {
    let of = |hour: String, matches: &dyn Fn(&str) -> bool| {
        let mut sum = Hour {
            hour,
            ..Hour::default()
        };
        for one in found.iter().filter(|h| matches(&h.hour)) {
            sum.n += one.n;
            sum.failed += one.failed;
            sum.anomalous += one.anomalous;
            sum.anomalous_failed += one.anomalous_failed;
        }
        sum
    };
    let clock = (0..24).map(|hour| format!("{hour:02}"));
    if summed {
        return clock
            .map(|hour| of(hour.clone(), &|found| found.ends_with(&format!(" {hour}"))))
            .collect();
    }
    let hours: Vec<String> = clock.collect();
    let all = days
        .iter()
        .flat_map(|day| hours.iter().map(move |hour| format!("{day} {hour}")));
    all.map(|hour| of(hour.clone(), &|found| found == hour))
        .collect()
}

/// An hour as the axis has it: the day at its beginning.
fn label(hour: &str, summed: bool) -> String {
    match hour.split_once(' ') {
        Some((day, "00")) if !summed => short_day(day),
        Some((_, hour)) => format!("{hour}:00"),
        None => format!("{hour}:00"),
    }
}

pub(in crate::report) fn by_endpoint(report: &Report, page: &mut Page) {
    page.section(
        "endpoints",
        "Endpoints",
        "Those with most anomalous requests. What stood out is <a href=\"#sample\">below</a> and under <a href=\"#incidents\">Incidents</a>.",
    );
    let found = &report.data.requests.endpoints;
    if found.is_empty() {
        page.prose("No request stood out in these days.");
        return;
    }
    let body: Vec<Vec<String>> = found
        .iter()
        .map(|e| {
            vec![
                wrapped(&endpoint(report, &e.name)),
                full(e.requests),
                full(e.anomalous),
                percent(rows(e.anomalous) / rows(e.requests.max(1))),
                full(e.failed),
                full(e.actors),
            ]
        })
        .collect();
    let heads = [
        "endpoint",
        "requests",
        "anomalous",
        "share",
        "of them failed",
        "actors of them",
    ];
    page.raw(&table(
        "Endpoints by anomalous requests, all days",
        &heads,
        &body,
        1,
    ));
}

pub(in crate::report) fn by_actor(report: &Report, page: &mut Page) {
    page.section(
        "actors",
        "Actors",
        "Those with most anomalous requests: a user where the log names one, else a session, else an address.",
    );
    let found = &report.data.requests.actors;
    if found.is_empty() {
        page.prose("No request stood out in these days.");
        return;
    }
    let body: Vec<Vec<String>> = found
        .iter()
        .map(|b| {
            let who = Actor {
                name: b.name.clone(),
                kind: b.kind.clone(),
            };
            vec![
                wrapped(&actor(report, &who)),
                full(b.requests),
                percent(rows(b.failed) / rows(b.requests.max(1))),
                full(b.anomalous),
                percent(rows(b.anomalous) / rows(b.requests.max(1))),
                full(b.endpoints),
                full(b.days),
            ]
        })
        .collect();
    let heads = [
        "actor",
        "requests",
        "failed",
        "anomalous",
        "share",
        "at endpoints",
        "on days",
    ];
    page.raw(&table(
        "Actors by anomalous requests, all days",
        &heads,
        &body,
        1,
    ));
}

/// A cell that may be long.
fn wrapped(markup: &str) -> String {
    format!("<div class=\"long\">{markup}</div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: &str, n: u64) -> Hour {
        Hour {
            hour: hour.to_owned(),
            n,
            ..Hour::default()
        }
    }

    #[test]
    fn hours_without_requests_have_their_place() {
        let days = ["2025-01-01", "2025-01-02"].map(str::to_owned);
        let found = [hour("2025-01-01 03", 5), hour("2025-01-02 03", 7)];
        let placed_all = placed(&days, &found, false);
        assert_eq!(placed_all.len(), 48);
        assert_eq!(
            (placed_all[3].n, placed_all[4].n, placed_all[27].n),
            (5, 0, 7)
        );
        let of_day = placed(&days, &found, true);
        assert_eq!((of_day.len(), of_day[3].n, of_day[0].n), (24, 12, 0));
    }

    #[test]
    fn a_day_is_named_where_it_begins() {
        assert_eq!(label("2025-01-02 00", false), "Jan 2");
        assert_eq!(label("2025-01-02 07", false), "07:00");
        assert_eq!(label("07", true), "07:00");
    }
}
