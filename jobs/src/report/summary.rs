//! The headline, what wants attention, the funnel, and what each day added.

use chrono::NaiveDate;

use super::chart::axes::{About, Series, lines, stacked};
use super::chart::scale::{full, percent, rows};
use super::chart::sets::{Step, funnel};
use super::chart::{Figure, Paint};
use super::html::{escape, table};
use super::page::{HALF, Page};
use super::subject::{Account, Counts, Growth};
use super::{Report, counted, running};

pub(super) fn write(report: &Report, page: &mut Page) {
    page.section("summary", "Summary", "");
    if report.data.days.is_empty() {
        page.missing(
            "This warehouse holds no finished day (of those asked for), so there is nothing to report yet.",
            &report.command(""),
        );
        return;
    }
    let lead = (report.subject().lead)(report);
    page.raw(&format!("<p class=\"lead\">{lead}</p>"));
    cards(report, page);
    attention(report, page);
}

fn cards(report: &Report, page: &mut Page) {
    let last = report.subject().last_stage();
    let step = |(stage, name): &(&str, &str)| {
        let class = if *stage == last { " class=\"key\"" } else { "" };
        let n = full(report.total(stage, |r| r.rows_kept));
        (class.to_owned(), n, (*name).to_owned())
    };
    let mut cards: Vec<(String, String, String)> =
        report.subject().cards.iter().map(step).collect();
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
    let unfinished = report.unfinished();
    if !unfinished.is_empty() {
        notes.push(format!(
            "{} went not all the way to <code>{}</code>: {}. <code>gleaner run {}--date …</code> carries on where they ended.",
            counted(unfinished.len() as u64, "day", "days"),
            report.subject().last_stage(),
            escape(&unfinished.join(", ")),
            report.subject().flags
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
    notes.extend((report.subject().remarks)(report));
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

pub(super) fn by_step(report: &Report, page: &mut Page) {
    let subject = report.subject();
    page.section(
        "funnel",
        "The funnel",
        &format!(
            "Every step throws most of its input away. The axis is logarithmic, as the steps differ by orders of magnitude; {} and what follows are counted by day and summed up.",
            subject.steps.get(1).map_or("units", |(_, name)| *name)
        ),
    );
    let steps: Vec<Step> = subject
        .steps
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
        title: subject.funnel,
        description: &description,
        unit: "",
    };
    page.figure(|width| funnel(&about, &steps, width));
    let days = report.shown_days();
    if days.len() > 1 {
        let paints = [4, 0, 5, 1, 3, 2];
        let mut series: Vec<Series> = subject
            .steps
            .iter()
            .zip(paints)
            .map(|((stage, name), paint)| Series {
                name: (*name).to_owned(),
                paint: Paint::Series(paint),
                values: report.by_day(stage, |r| r.rows_kept),
            })
            .collect();
        // Everything that is kept is labelled, unless a budget or lists say otherwise, and no two requests may be alike: one line under another says nothing.
        series.dedup_by(|later, earlier| later.values == earlier.values);
        let unit = format!("{} (events), logarithmic", subject.unit[1]);
        let about = About {
            name: "funnel-by-day",
            title: "The same, day by day",
            description: "A line a step over the days, on a logarithmic axis; the table below has the numbers.",
            unit: &unit,
        };
        page.figure(|width| lines(&about, &days, &series, None, true, width));
    }
    accounts(report, page);
}

/// The table of the funnel by day, whose sums balance.
fn accounts(report: &Report, page: &mut Page) {
    let subject = report.subject();
    let columns = subject.accounts.iter();
    let heads: Vec<&str> = std::iter::once("day")
        .chain(columns.map(|(head, _)| *head))
        .collect();
    let shown = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), full);
    let mut body = vec![];
    for day in &report.data.days {
        let of_day = || report.data.runs.iter().filter(|r| r.date == *day);
        let of = |stage: &str| of_day().find(|r| r.stage == stage);
        let cell = |account: &Account| match account {
            Account::Kept(stage) => shown(of(stage).map(|r| r.rows_kept)),
            Account::Quarantined(stage) => shown(of(stage).map(|r| r.rows_quarantined)),
            Account::Dropped(stage) => shown(of(stage).map(|r| r.rows_dropped)),
            Account::Cost => {
                let cost: f64 = of_day().filter_map(|r| r.cost_usd).sum();
                if cost > 0.0 {
                    format!("${cost:.4}")
                } else {
                    "–".to_owned()
                }
            }
            Account::Secs => format!("{:.1}", of_day().map(|r| r.secs).sum::<f64>()),
        };
        let cells = subject.accounts.iter().map(|(_, account)| cell(account));
        body.push(std::iter::once(escape(day)).chain(cells).collect());
    }
    let markup = table(subject.accounts_caption, &heads, &body, 1);
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

pub(super) fn by_day(report: &Report, page: &mut Page) {
    let days = report.shown_days();
    let growth = report.subject().growth;
    let shared = |g: &Growth| matches!(g.counts, Counts::New { share: true, .. });
    let names = growth.iter().filter(|g| shared(g)).map(|g| g.column);
    let names: Vec<&str> = names.collect();
    let estimated = if report.data.counted_share < 1.0 && !names.is_empty() {
        format!(
            " Estimated from {} of all, drawn by hash: {}.",
            percent(report.data.counted_share),
            names.join(", ")
        )
    } else {
        String::new()
    };
    let lead = report.subject().growth_lead;
    page.section(
        "growth",
        "What each day adds",
        &format!("{lead}{estimated}"),
    );
    let added: Vec<Vec<f64>> = growth
        .iter()
        .enumerate()
        .map(|(place, g)| match g.counts {
            Counts::Kept(stage) => {
                let kept = report.by_day(stage, |r| r.rows_kept).into_iter();
                kept.map(Option::unwrap_or_default).collect()
            }
            Counts::New { share, .. } => {
                let counted = if share {
                    report.data.counted_share
                } else {
                    1.0
                };
                let new = report.data.new.get(place).map_or(&[][..], Vec::as_slice);
                let values = report.values(new, "");
                values.iter().map(|v| v / counted).collect()
            }
        })
        .collect();
    if days.len() > 1 {
        cumulative(&days, growth, &added, page);
        let (place, name, title) = report.subject().growth_by_day;
        let of = growth[place].column.trim_start_matches("new ");
        let description = format!("A bar a day: {of} that no earlier day of the report has.");
        let about = About {
            name,
            title,
            description: &description,
            unit: of,
        };
        let paint = Paint::Series(growth[place].paint);
        let series = [Series::new(
            growth[place].column,
            paint,
            added[place].clone(),
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
            let cells = added.iter().map(|values| full_of(values.get(at)));
            std::iter::once(escape(day)).chain(cells).collect()
        })
        .collect();
    let columns = growth.iter().map(|g| g.column);
    let heads: Vec<&str> = std::iter::once("day").chain(columns).collect();
    page.details(
        "What each day added, in numbers",
        &table("First seen on the day", &heads, &body, 1),
    );
}

/// Curves of what is new on a day, summed up.
fn cumulative(days: &[String], growth: &[Growth], added: &[Vec<f64>], page: &mut Page) {
    let drawn: Vec<Box<dyn Fn(f64) -> Figure + '_>> = growth
        .iter()
        .zip(added)
        .map(|(g, added)| {
            let values = running(added);
            let draw = move |width: f64| {
                let description = format!("{} after the last day.", full_of(values.last()));
                let about = About {
                    name: g.plot,
                    title: g.title,
                    description: &description,
                    unit: g.column.trim_start_matches("new "),
                };
                let series = [Series::new(g.title, Paint::Series(g.paint), values.clone())];
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
