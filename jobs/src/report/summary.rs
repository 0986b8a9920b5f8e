//! The headline, what wants attention, the funnel, and what each day added.

use chrono::NaiveDate;

use super::chart::axes::{About, Series, lines, stacked};
use super::chart::scale::{full, percent, rows};
use super::chart::sets::{Step, funnel};
use super::chart::{Figure, Paint};
use super::html::{escape, table};
use super::page::{HALF, Page};
use super::{Report, counted, running};

/// The steps of the funnel: stage, name.
const STEPS: [(&str, &str); 6] = [
    ("telemetry", "events"),
    ("commands", "unique lines"),
    ("anomalies", "anomalies"),
    ("candidates", "kept after near-dedup"),
    ("labels", "labelled"),
    ("benign", "benign, emitted"),
];

pub(super) fn write(report: &Report, page: &mut Page) {
    summary(report, page);
    if report.data.days.is_empty() {
        return;
    }
    by_step(report, page);
    by_day(report, page);
}

fn summary(report: &Report, page: &mut Page) {
    page.section("summary", "Summary", "");
    if report.data.days.is_empty() {
        page.missing(
            "This warehouse holds no finished day (of those asked for), so there is nothing to report yet.",
            "gleaner run --date YYYY-MM-DD --telemetry PATH --warehouse PATH",
        );
        return;
    }
    let of = |stage: &str| report.total(stage, |r| r.rows_kept);
    let (events, unique, benign) = (of("telemetry"), of("commands"), of("benign"));
    let worth = if benign > 0 {
        let one_in = full(events / benign.max(1));
        format!(
            "<b>{}</b> were emitted as benign training data, one for every {one_in} events.",
            counted(benign, "line", "lines")
        )
    } else {
        "<b>none</b> was emitted as benign training data yet.".to_owned()
    };
    page.raw(&format!(
        "<p class=\"lead\">In {}, {} held {}{}. The detectors chose {} of them, near-dedup kept {}, and {worth}</p>",
        counted(report.data.days.len() as u64, "day", "days"),
        counted(events, "event", "events"),
        counted(unique, "unique command line", "unique command lines"),
        if report.data.days.len() > 1 { ", each day counted by itself" } else { "" },
        full(of("anomalies")),
        full(of("candidates")),
    ));
    cards(report, page);
    attention(report, page);
}

fn cards(report: &Report, page: &mut Page) {
    let of = |stage: &str| report.total(stage, |r| r.rows_kept);
    let mut cards = vec![
        (
            String::new(),
            full(of("telemetry")),
            "events read".to_owned(),
        ),
        (
            String::new(),
            full(of("commands")),
            "unique lines".to_owned(),
        ),
        (String::new(), full(of("anomalies")), "anomalies".to_owned()),
        (
            String::new(),
            full(of("candidates")),
            "kept after near-dedup".to_owned(),
        ),
        (
            " class=\"key\"".to_owned(),
            full(of("benign")),
            "benign lines emitted".to_owned(),
        ),
    ];
    if report.reviewed.reviewed_benign > 0 {
        let r = &report.reviewed;
        let value = r.precision.map_or_else(|| "–".to_owned(), percent);
        cards.push((
            String::new(),
            value,
            format!(
                "right by analysts, at least {} (95%), of {} looked at",
                percent(r.precision_low),
                full(r.reviewed_benign)
            ),
        ));
    } else if let Some(set) = report.overall.first() {
        let value = set.precision.map_or_else(|| "unknown".to_owned(), percent);
        cards.push((
            String::new(),
            value,
            format!(
                "right by canaries, at least {} (95%)",
                percent(set.precision_low)
            ),
        ));
    }
    let gains = || {
        report
            .evaluation
            .iter()
            .filter_map(|m| Some(100.0 * m.auc_gain?))
    };
    let (low, high) = (gains().reduce(f64::min), gains().reduce(f64::max));
    if let (Some(low), Some(high)) = (low, high) {
        // All of them: the best of many is no measure.
        let n = gains().count() as u64;
        let value = if n == 1 {
            format!("{low:+.2}")
        } else {
            format!("{low:+.2} to {high:+.2}")
        };
        cards.push((
            String::new(),
            value,
            format!(
                "points of AUC gained, in {}",
                counted(n, "comparison", "comparisons")
            ),
        ));
    }
    let cost: f64 = report.data.runs.iter().filter_map(|r| r.cost_usd).sum();
    if cost > 0.0 {
        cards.push((
            String::new(),
            format!("${cost:.2}"),
            "paid for labels".to_owned(),
        ));
    }
    let items: Vec<String> = cards
        .iter()
        .map(|(class, value, name)| format!("<li{class}><b>{value}</b><span>{name}</span></li>"))
        .collect();
    page.raw(&format!("<ul class=\"cards\">{}</ul>", items.concat()));
}

/// What a reader should know before believing the rest.
fn attention(report: &Report, page: &mut Page) {
    let mut notes = vec![];
    let missing = missing_days(&report.data.days);
    if !missing.is_empty() {
        let shown: Vec<&str> = missing.iter().take(8).map(String::as_str).collect();
        let more = if missing.len() > 8 { " …" } else { "" };
        notes.push(format!(
            "{} between the first and the last without a run: {}{more}.",
            counted(missing.len() as u64, "day", "days"),
            escape(&shown.join(", "))
        ));
    }
    let unbalanced = report
        .data
        .runs
        .iter()
        .filter(|r| r.rows_in != r.rows_kept + r.rows_quarantined + r.rows_dropped);
    let unbalanced: Vec<String> = unbalanced
        .map(|r| format!("{} of {}", r.stage, r.date))
        .collect();
    if !unbalanced.is_empty() {
        notes.push(format!(
            "<span class=\"bad\">The accounts do not balance</span>: {}.",
            escape(&unbalanced.join(", "))
        ));
    }
    let unfinished = report.data.days.iter().filter(|day| {
        !report
            .data
            .runs
            .iter()
            .any(|r| r.date == **day && r.stage == "benign")
    });
    let unfinished: Vec<&str> = unfinished.map(String::as_str).collect();
    if !unfinished.is_empty() {
        notes.push(format!(
            "{} went not all the way to the benign set: {}. <code>gleaner run --date …</code> carries on where they ended.",
            counted(unfinished.len() as u64, "day", "days"),
            escape(&unfinished.join(", "))
        ));
    }
    let quarantined = report.total("telemetry", |r| r.rows_quarantined);
    let read = quarantined + report.total("telemetry", |r| r.rows_kept);
    if read > 0 && rows(quarantined) / rows(read) > 0.01 {
        notes.push(format!(
            "{} of what was read ({} rows) could not be read and lies in <code>quarantine</code>.",
            percent(rows(quarantined) / rows(read)),
            full(quarantined)
        ));
    }
    let missed: u64 = report.overall.iter().map(|set| set.error.count).sum();
    if missed > 0 {
        notes.push(format!(
            "The labeller called {} benign. Calls in which that happened were rejected whole; see <a href=\"#labels\">Labels</a>.",
            counted(missed, "malicious canary", "malicious canaries")
        ));
    }
    if let Some(last) = report.data.days.last() {
        let drifted = report
            .data
            .drift
            .iter()
            .filter(|d| d.date == *last && d.drifted)
            .count();
        if drifted > 0 {
            notes.push(format!(
                "The last day is not like the day its models could have come from: {} moved; see <a href=\"#drift\">Drift</a>.",
                counted(drifted as u64, "score or feature", "scores and features")
            ));
        }
    }
    if report.total("benign", |r| r.rows_kept) == 0 && unfinished.is_empty() {
        notes.push("Nothing was emitted. The rule labeller is careful: it calls benign only what is ordinary and widespread. Analysts' verdicts (<code>gleaner labels audit</code>), a language \
                    model (<code>--labeller llm</code>) or lists (<code>--lists</code>) emit more.".to_owned());
    }
    if notes.is_empty() {
        let stages = report.data.runs.len() as u64;
        page.prose(&format!(
            "<span class=\"good\">Nothing wants attention</span>: no day is missing, and the accounts of all {} balance (rows in = kept + quarantined + dropped).",
            counted(stages, "stage run", "stage runs")
        ));
        return;
    }
    page.raw(&format!(
        "<div class=\"notes\"><h3>Worth knowing</h3><ul><li>{}</li></ul></div>",
        notes.join("</li><li>")
    ));
}

/// Days between the first and the last that are not there.
fn missing_days(days: &[String]) -> Vec<String> {
    let parsed: Vec<NaiveDate> = days.iter().filter_map(|d| d.parse().ok()).collect();
    let (Some(first), Some(last)) = (parsed.first(), parsed.last()) else {
        return vec![];
    };
    let all = first.iter_days().take_while(|d| d <= last);
    all.filter(|d| !parsed.contains(d))
        .map(|d| d.to_string())
        .collect()
}

fn by_step(report: &Report, page: &mut Page) {
    page.section(
        "funnel",
        "The funnel",
        "Every step throws most of its input away. The axis is logarithmic, as the steps differ by orders of magnitude; unique lines and what follows are counted by day and summed up.",
    );
    let steps: Vec<Step> = STEPS
        .iter()
        .map(|(stage, name)| Step {
            name: (*name).to_owned(),
            rows: report.total(stage, |r| r.rows_kept),
        })
        .collect();
    let description = steps
        .iter()
        .map(|s| format!("{}: {}", s.name, full(s.rows)))
        .collect::<Vec<_>>()
        .join("; ");
    let about = About {
        name: "funnel",
        title: "From events to benign training lines, all days",
        description: &description,
        unit: "",
    };
    page.figure(|width| funnel(&about, &steps, width));
    let days = report.shown_days();
    if days.len() > 1 {
        let paints = [4, 0, 5, 1, 3, 2];
        let series: Vec<Series> = STEPS
            .iter()
            .zip(paints)
            .map(|((stage, name), paint)| Series {
                name: (*name).to_owned(),
                paint: Paint::Series(paint),
                values: report.by_day(stage, |r| r.rows_kept),
            })
            .collect();
        // Everything that is kept is labelled, unless a budget or lists say otherwise: one line under another says nothing.
        let labelled = series[4].values == series[3].values;
        let series: Vec<Series> = series
            .into_iter()
            .filter(|s| !(labelled && s.name == "labelled"))
            .collect();
        let about = About {
            name: "funnel-by-day",
            title: "The same, day by day",
            description: "A line a step over the days, on a logarithmic axis; the table below has the numbers.",
            unit: "lines (events), logarithmic",
        };
        page.figure(|width| lines(&about, &days, &series, None, true, width));
    }
    accounts(report, page);
}

/// The table of the funnel by day, whose sums balance.
fn accounts(report: &Report, page: &mut Page) {
    let heads = [
        "day",
        "events",
        "quarantined",
        "unique lines",
        "anomalies",
        "near-duplicates",
        "kept",
        "labelled",
        "benign",
        "cost",
        "seconds",
    ];
    let cell = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), full);
    let mut body = vec![];
    for day in &report.data.days {
        let of = |stage: &str| {
            report
                .data
                .runs
                .iter()
                .find(|r| r.date == *day && r.stage == stage)
        };
        let kept = |stage: &str| of(stage).map(|r| r.rows_kept);
        let runs = report.data.runs.iter().filter(|r| r.date == *day);
        let (cost, secs) = runs.fold((0.0, 0.0), |(cost, secs), r| {
            (cost + r.cost_usd.unwrap_or(0.0), secs + r.secs)
        });
        body.push(vec![
            escape(day),
            cell(kept("telemetry")),
            cell(of("telemetry").map(|r| r.rows_quarantined)),
            cell(kept("commands")),
            cell(kept("anomalies")),
            cell(of("candidates").map(|r| r.rows_dropped)),
            cell(kept("candidates")),
            cell(kept("labels")),
            cell(kept("benign")),
            if cost > 0.0 {
                format!("${cost:.4}")
            } else {
                "–".to_owned()
            },
            format!("{secs:.1}"),
        ]);
    }
    let markup = table(
        "By day; anomalies = near-duplicates (and what a label budget left out) + kept",
        &heads,
        &body,
        1,
    );
    if report.data.days.len() > 7 {
        page.details("All days in numbers", &markup);
    } else {
        page.raw(&markup);
    }
    if !report.data.quarantine.is_empty() {
        let body: Vec<Vec<String>> = report
            .data
            .quarantine
            .iter()
            .map(|q| vec![escape(&q.name), full(q.n)])
            .collect();
        page.details(
            "Why rows were quarantined",
            &table("Rows by reason", &["reason", "rows"], &body, 1),
        );
    }
}

fn by_day(report: &Report, page: &mut Page) {
    let days = report.shown_days();
    let estimated = if report.data.counted_share < 1.0 {
        format!(
            " Unique lines and templates are estimated from {} of them, drawn by hash.",
            percent(report.data.counted_share)
        )
    } else {
        String::new()
    };
    page.section(
        "growth",
        "What each day adds",
        &format!("Does another day still bring something new? Lines and templates count on the first day of this report that has them; near-dedup holds candidates against all days before.{estimated}"),
    );
    let scaled = |of: &[super::data::Daily]| -> Vec<f64> {
        let values = report.values(of, "");
        values
            .iter()
            .map(|v| v / report.data.counted_share)
            .collect()
    };
    let (fresh, templates) = (
        scaled(&report.data.new_lines),
        scaled(&report.data.new_templates),
    );
    let kept: Vec<f64> = report
        .by_day("candidates", |r| r.rows_kept)
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect();
    let benign = report.values(&report.data.new_benign, "");
    if days.len() > 1 {
        cumulative(&days, [&fresh, &templates, &kept, &benign], page);
        let about = About {
            name: "new-templates",
            title: "New templates a day: returns diminish where this falls",
            description: "A bar a day: templates that no earlier day of the report has.",
            unit: "templates",
        };
        let series = [Series::new(
            "new templates",
            Paint::Series(5),
            templates.clone(),
        )];
        page.figure(|width| stacked(&about, &days, &series, width));
    } else {
        page.prose("One day has no curve yet: everything in it is new.");
    }
    let body: Vec<Vec<String>> = report
        .data
        .days
        .iter()
        .enumerate()
        .map(|(at, day)| {
            let cell = |values: &[f64]| full_of(values.get(at));
            vec![
                escape(day),
                cell(&fresh),
                cell(&templates),
                cell(&kept),
                cell(&benign),
            ]
        })
        .collect();
    let heads = [
        "day",
        "new lines",
        "new templates",
        "candidates kept",
        "new benign lines",
    ];
    page.details(
        "What each day added, in numbers",
        &table("First seen on the day", &heads, &body, 1),
    );
}

/// Curves of lines, templates, candidates and benign lines that are new on a day, summed up.
fn cumulative(days: &[String], new: [&[f64]; 4], page: &mut Page) {
    let plots = [
        ("cumulative-lines", "Unique lines, cumulative", 0),
        ("cumulative-templates", "Templates, cumulative", 5),
        ("cumulative-candidates", "Candidates kept, cumulative", 1),
        ("cumulative-benign", "Benign lines, cumulative", 2),
    ];
    let drawn: Vec<Box<dyn Fn(f64) -> Figure + '_>> = plots
        .into_iter()
        .zip(new)
        .map(|((name, title, paint), new)| {
            let values = running(new);
            let draw = move |width: f64| {
                let description = format!("{} after the last day.", full_of(values.last()));
                let about = About {
                    name,
                    title,
                    description: &description,
                    unit: "lines",
                };
                let series = [Series::new(title, Paint::Series(paint), values.clone())];
                lines(&about, days, &series, None, false, width)
            };
            Box::new(draw) as Box<dyn Fn(f64) -> Figure>
        })
        .collect();
    let drawn: Vec<&dyn Fn(f64) -> Figure> = drawn.iter().map(AsRef::as_ref).collect();
    page.row(&drawn, HALF);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of rows"
)]
fn full_of(value: Option<&f64>) -> String {
    full(value.copied().unwrap_or(0.0).round().max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_missing_are_named() {
        let days = ["2025-01-30", "2025-02-02"].map(str::to_owned);
        assert_eq!(missing_days(&days), ["2025-01-31", "2025-02-01"]);
        assert!(missing_days(&days[..1]).is_empty() && missing_days(&[]).is_empty());
    }
}
