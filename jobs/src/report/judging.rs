//! What lines were labelled as, how right that is, what it cost, and some of what was emitted.

use std::fmt::Write as _;

use super::chart::Paint;
use super::chart::axes::{About, Series, stacked};
use super::chart::scale::{full, percent, rows};
use super::chart::sets::{Estimate, intervals};
use super::html::{escape, table};
use super::page::Page;
use super::{Lines, Report, counted, short_day};
use crate::labels::precision::{SetPrecision, Share};

/// Verdicts, in the order in which they are stacked.
const VERDICTS: [(&str, u8); 4] = [
    ("benign", 2),
    ("uncertain", 4),
    ("suspicious", 3),
    ("malicious", 1),
];

pub(super) fn labels(report: &Report, page: &mut Page) {
    page.section(
        "labels",
        "Labels",
        "What became of the lines that near-dedup kept. Benign must be earned; what is uncertain is not emitted.",
    );
    if report.data.verdicts.is_empty() {
        page.missing("No line of these days is labelled.", &report.command(""));
        return;
    }
    let days = report.shown_days();
    let mut series: Vec<Series> = VERDICTS
        .iter()
        .map(|(name, paint)| {
            Series::new(
                name,
                Paint::Series(*paint),
                report.values(&report.data.verdicts, name),
            )
        })
        .collect();
    // A line may have no verdict: the labeller did not answer, or was not asked.
    let known = |name: &str| VERDICTS.iter().any(|(v, _)| *v == name);
    let of_others = |day: &String| {
        let others = report
            .data
            .verdicts
            .iter()
            .filter(|d| d.date == *day && !known(&d.name));
        rows(others.map(|d| d.n).sum())
    };
    series.push(Series::new(
        "no verdict",
        Paint::Series(5),
        report.data.days.iter().map(of_others).collect(),
    ));
    series.retain(|s| s.values.iter().flatten().any(|v| *v > 0.0));
    let sum = |name: &str| -> u64 {
        report
            .data
            .verdicts
            .iter()
            .filter(|d| d.name == name)
            .map(|d| d.n)
            .sum()
    };
    let all: u64 = report.data.verdicts.iter().map(|d| d.n).sum();
    let description = VERDICTS
        .map(|(name, _)| format!("{} {name}", full(sum(name))))
        .join(", ");
    let about = About {
        name: "labels",
        title: "Verdicts by day",
        description: &description,
        unit: "lines",
    };
    page.figure(|width| stacked(&about, &days, &series, width));
    let body: Vec<Vec<String>> = VERDICTS
        .iter()
        .map(|(name, _)| {
            vec![
                (*name).to_owned(),
                full(sum(name)),
                percent(rows(sum(name)) / rows(all.max(1))),
            ]
        })
        .collect();
    page.raw(&table(
        "Verdicts, all days",
        &["verdict", "lines", "share"],
        &body,
        1,
    ));
    let mut who: Vec<Vec<String>> = report
        .data
        .labellers
        .iter()
        .map(|l| vec![escape(&l.name), full(l.n)])
        .collect();
    who.extend(
        report
            .data
            .unlabelled
            .iter()
            .map(|u| vec![format!("not labelled: {}", escape(&u.name)), full(u.n)]),
    );
    page.details(
        "Who labelled, and why lines were not",
        &table("Lines by labeller and by reason", &["", "lines"], &who, 1),
    );
    precision(report, page);
    cost(report, page);
}

fn precision(report: &Report, page: &mut Page) {
    page.heading("How right is it?");
    let r = &report.reviewed;
    if let Some(right) = r.precision {
        page.prose(&format!(
            "<b>By analysts: {}</b> of what was called benign is benign (95%: {} to {}): {} of {} looked at were wrong. This outranks what canaries say.",
            percent(right),
            percent(r.precision_low),
            percent(r.precision_high),
            full(r.wrong),
            full(r.reviewed_benign)
        ));
    } else {
        page.missing(
            "No analyst has judged a sample of the set yet. A few hundred verdicts give its precision with an exact interval:",
            "gleaner labels audit --sample 200 --out audit --warehouse PATH\ngleaner labels import audit.csv --warehouse PATH",
        );
    }
    if report.by_day.is_empty() {
        page.prose("No language model labelled these days, so there are no canaries: the built-in rules and lists decide by themselves.");
        return;
    }
    for set in &report.overall {
        overall(set, page);
    }
    let estimates: Vec<Estimate> = report
        .by_day
        .iter()
        .map(|set| estimate(report, set))
        .collect();
    let about = About {
        name: "canary-precision",
        title: "Precision of what the model called benign, by day, as its canaries say (95%)",
        description: "A row a day: the estimate and its interval.",
        unit: "share of benign verdicts that are right",
    };
    let low = estimates.iter().map(|e| e.low).fold(1.0, f64::min);
    // From the next tenth, hundredth or thousandth below the lowest, up to 1.
    let floor = [0.999, 0.99, 0.9, 0.8, 0.5]
        .into_iter()
        .find(|f| *f <= low)
        .unwrap_or(0.0);
    page.figure(|width| intervals(&about, &estimates, None, Some((floor, 1.0)), width));
}

fn estimate(report: &Report, set: &SetPrecision) -> Estimate {
    let several = report.overall.len() > 1;
    let day = set.day.as_deref().map_or_else(String::new, short_day);
    let value = set.precision.map_or_else(|| "unknown".to_owned(), percent);
    Estimate {
        name: if several {
            format!("{day}, {}", set.model)
        } else {
            day
        },
        value: set.precision,
        low: set.precision_low,
        high: set.precision_high,
        shown: format!("{value} of {}", full(set.benign)),
        paint: Paint::Series(2),
    }
}

fn overall(set: &SetPrecision, page: &mut Page) {
    let value = set.precision.map_or_else(|| "unknown".to_owned(), percent);
    page.prose(&format!(
        "<b>By canaries: {value}</b> of what <code>{}</code> called benign in all days of the warehouse ({}) is benign (95%: {} to {}), if attacks are like the canaries.",
        escape(&set.model),
        counted(set.benign, "line", "lines"),
        percent(set.precision_low),
        percent(set.precision_high)
    ));
    let part = |name: &str, share: &Share| {
        vec![
            name.to_owned(),
            share.share.map_or_else(|| "unknown".to_owned(), percent),
            format!("{} of {}", full(share.count), full(share.of)),
            format!("{} to {}", percent(share.low), percent(share.high)),
        ]
    };
    let who = if set.prevalence_by == "reviews" {
        "π: lines that are malicious or suspicious, by analysts"
    } else {
        "π: lines that are malicious or suspicious, by the model itself (circular)"
    };
    let body = [
        part("e: malicious canaries called benign", &set.error),
        part("r: benign canaries called benign", &set.recall),
        part(who, &set.prevalence),
    ];
    page.details(
        "The parts of that number",
        &table(
            "precision = 1 − e·π / ((1 − π)·r + e·π)",
            &["part", "share", "of", "95% interval"],
            &body,
            1,
        ),
    );
}

fn cost(report: &Report, page: &mut Page) {
    let cost: Vec<f64> = report
        .data
        .days
        .iter()
        .map(|day| {
            let of_day = report.data.runs.iter().filter(|r| r.date == *day);
            of_day.filter_map(|r| r.cost_usd).sum()
        })
        .collect();
    let total: f64 = cost.iter().sum();
    page.heading("What it cost");
    if total <= 0.0 {
        page.prose("Nothing was paid for labels in these days.");
        return;
    }
    let benign = report.total("benign", |r| r.rows_kept);
    let each = if benign > 0 {
        format!(", <b>${:.4}</b> a benign line", total / rows(benign))
    } else {
        String::new()
    };
    page.prose(&format!("<b>${total:.4}</b> in all{each}."));
    if report.data.days.len() > 1 {
        let about = About {
            name: "cost",
            title: "Cost of labels by day",
            description: "A bar a day, in US dollars.",
            unit: "US dollars",
        };
        let series = [Series::new("cost", Paint::Series(3), cost)];
        let days = report.shown_days();
        page.figure(|width| stacked(&about, &days, &series, width));
    }
}

pub(super) fn emitted(report: &Report, page: &mut Page) {
    page.section("emitted", "Some of what was emitted", "");
    if report.data.emitted.is_empty() {
        page.prose("No benign line was emitted in these days.");
        return;
    }
    if report.lines == Lines::None {
        page.prose("Lines are left out of this report (<code>--lines none</code>).");
        return;
    }
    page.prose(&format!(
        "{}, drawn by hash, one of a template.",
        counted(
            report.data.emitted.len() as u64,
            "benign line",
            "benign lines"
        )
    ));
    let mut list = String::from("<ol class=\"lines\">");
    for line in &report.data.emitted {
        let reasons = line
            .reasons
            .iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ");
        let why = line.reason.as_deref().unwrap_or_default();
        let _ = write!(
            list,
            "<li>{}<small>{} · {} on {} · stood out by {} · {}</small></li>",
            report.line(&line.command_line, line.user.as_deref().as_slice()),
            escape(&line.date),
            counted(line.events, "event", "events"),
            counted(line.hosts, "host", "hosts"),
            escape(&reasons),
            super::html::command(why)
        );
    }
    list.push_str("</ol>");
    page.raw(&list);
}
