//! Whether it was worth it: classifiers with and without the benign set, and how far the days have moved.

use std::collections::BTreeSet;

use super::chart::axes::{About, Curve, Series, lines, roc, stacked};
use super::chart::rows::{Row, bars};
use super::chart::scale::{full, rows};
use super::chart::sets::{Estimate, intervals};
use super::chart::{Figure, Paint};
use super::data::DETECTORS;
use super::evaluation::Measured;
use super::html::{escape, table};
use super::page::{HALF, Page};
use super::{Report, counted};

/// Features that are listed by how far they moved.
const LISTED: usize = 12;

/// An AUC below which a classifier has hardly learned what a test asks.
const LITTLE: f64 = 0.65;

pub(super) fn lift(report: &Report, page: &mut Page) {
    page.section(
        "worth",
        "Was it worth it?",
        "A classifier of command lines, trained on your training set with and without the benign set, on tests of your own. Lines that a test knows are left out of training.",
    );
    if report.evaluation.is_empty() {
        page.missing(
            "Not measured for this report: training sets and tests are files of yours, which no warehouse holds. Measure, and name the result:",
            "gleaner evaluate lift --baseline train.parquet --benign PATH --test time=test.parquet --json > lift.ndjson\n\
             gleaner report --warehouse PATH --evaluation lift.ndjson -o report.html",
        );
        return;
    }
    let gains: Vec<&Measured> = report
        .evaluation
        .iter()
        .filter(|m| !m.is_baseline())
        .collect();
    let sure = gains
        .iter()
        .filter(|m| m.auc_gain_low.is_some_and(|low| low > 0.0))
        .count() as u64;
    let worse = gains
        .iter()
        .filter(|m| m.auc_gain_high.is_some_and(|high| high < 0.0))
        .count() as u64;
    if !gains.is_empty() {
        let of = counted(gains.len() as u64, "comparison", "comparisons");
        page.prose(&format!(
            "Of {of}, <b>{}</b> show a gain that chance does not explain (95% interval above 0), <b>{}</b> a loss, and {} neither.",
            full(sure),
            full(worse),
            full(gains.len() as u64 - sure - worse)
        ));
        let estimates: Vec<Estimate> = gains.iter().map(|m| gain(m)).collect();
        let about = About {
            name: "auc-gain",
            title: "AUC gained with the benign set, in points, with 95% intervals",
            description: "A row a test, family and training set; the dashed line is no change.",
            unit: "points of AUC",
        };
        page.figure(|width| intervals(&about, &estimates, Some(0.0), None, width));
    }
    hard_tests(report, page);
    auc_table(report, page);
    curves(report, page);
}

/// Says of which tests even the best classifier knows little: a gain there is a gain of little.
fn hard_tests(report: &Report, page: &mut Page) {
    let tests: BTreeSet<&str> = report.evaluation.iter().map(|m| m.test.as_str()).collect();
    for test in tests {
        let aucs = report.evaluation.iter().filter(|m| m.test == test);
        let best = aucs.map(|m| m.auc).fold(0.0, f64::max);
        if best < LITTLE {
            page.raw(&format!(
                "<div class=\"notes\"><p>On <b>{}</b> no classifier does much better than chance (AUC at best {best:.3}): it is unlike what they were trained on, and gains there say little.</p></div>",
                escape(test)
            ));
        }
    }
}

fn gain(m: &Measured) -> Estimate {
    let points = |v: Option<f64>| 100.0 * v.unwrap_or(0.0);
    let (low, high) = (points(m.auc_gain_low), points(m.auc_gain_high));
    let paint = if low > 0.0 {
        2
    } else if high < 0.0 {
        1
    } else {
        4
    };
    let scale = if m.scale == "reduced" {
        ", same size"
    } else {
        ""
    };
    Estimate {
        name: format!("{}, {}{scale}", m.test, m.family),
        value: m.auc_gain.map(|v| 100.0 * v),
        low,
        high,
        shown: format!("{:+.2}", points(m.auc_gain)),
        paint: Paint::Series(paint),
    }
}

fn auc_table(report: &Report, page: &mut Page) {
    let rates: Vec<&str> = {
        let all: BTreeSet<&str> = report
            .evaluation
            .iter()
            .flat_map(|m| {
                m.tpr_at_fpr
                    .iter()
                    .filter(|(_, v)| v.is_some())
                    .map(|(k, _)| k.as_str())
            })
            .collect();
        let mut all: Vec<&str> = all.into_iter().collect();
        let number = |rate: &&str| rate.parse::<f64>().unwrap_or(0.0);
        all.sort_by(|a, b| number(b).total_cmp(&number(a)));
        all
    };
    let mut heads = vec![
        "test".to_owned(),
        "classifier".to_owned(),
        "trained on".to_owned(),
        "AUC (95%)".to_owned(),
        "gain, points".to_owned(),
        "p".to_owned(),
    ];
    heads.extend(rates.iter().map(|rate| format!("TPR at FPR {rate}")));
    heads.extend(["false alarms a day".to_owned(), "lines added".to_owned()]);
    let body: Vec<Vec<String>> = report
        .evaluation
        .iter()
        .map(|m| {
            let class = match (m.auc_gain_low, m.auc_gain_high) {
                (Some(low), _) if low > 0.0 => "good",
                (_, Some(high)) if high < 0.0 => "bad",
                _ => "",
            };
            let mut row = vec![
                escape(&m.test),
                escape(&m.family),
                escape(&m.trained_on()),
                format!(
                    "{:.4} <small>({:.4}–{:.4})</small>",
                    m.auc, m.auc_low, m.auc_high
                ),
                m.auc_gain.map_or_else(
                    || "–".to_owned(),
                    |v| format!("<span class=\"{class}\">{:+.2}</span>", 100.0 * v),
                ),
                m.p_value
                    .map_or_else(|| "–".to_owned(), |p| format!("{p:.3}")),
            ];
            row.extend(rates.iter().map(|rate| {
                let found = m.tpr_at_fpr.get(*rate).copied().flatten();
                found.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
            }));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 50 million"
            )]
            row.push(
                m.false_alarms_a_day
                    .map_or_else(|| "–".to_owned(), |v| full(v.max(0.0).round() as u64)),
            );
            row.push(full(m.rows_added));
            row
        })
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    page.raw(&table("Every model on every test; false alarms at the threshold that was measured, of 50 million lines a day", &heads, &body, 3));
}

/// A pair of plots for each test and family: all of the curve, and its beginning.
fn curves(report: &Report, page: &mut Page) {
    let mut pairs: Vec<(&str, &str)> = vec![];
    for m in &report.evaluation {
        let pair = (m.test.as_str(), m.family.as_str());
        if !m.roc.is_empty() && !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    if pairs.is_empty() {
        page.missing(
            "The ROC curves are not in this evaluation: an earlier version of gleaner measured it. Measure again for curves:",
            "gleaner evaluate lift … --json > lift.ndjson",
        );
        return;
    }
    page.heading("ROC curves");
    page.prose("First the whole curve, then the same over the logarithm of the false-positive rate, as what a detector can afford lies at its beginning. The dashed line is chance.");
    for (test, family) in pairs {
        let models: Vec<&Measured> = report
            .evaluation
            .iter()
            .filter(|m| m.test == test && m.family == family && !m.roc.is_empty())
            .collect();
        let curves: Vec<Curve> = models
            .iter()
            .map(|m| {
                let (paint, dashed) = match (m.is_baseline(), m.scale.as_str()) {
                    (true, _) => (4, false),
                    (false, "reduced") => (1, true),
                    (false, _) => (0, false),
                };
                Curve {
                    name: format!("{} {:.3}", m.trained_on(), m.auc),
                    paint: Paint::Series(paint),
                    dashed,
                    points: m.roc.clone(),
                }
            })
            .collect();
        let benign = models.iter().map(|m| m.test_benign).max().unwrap_or(0);
        let lowest = (1.0 / rows(benign.max(10))).max(1e-6);
        let title = format!("{test}, {family}");
        let description = curves
            .iter()
            .map(|c| format!("AUC {}", c.name))
            .collect::<Vec<_>>()
            .join("; ");
        let draw = |low: Option<f64>| {
            let (curves, title, description) = (&curves, &title, &description);
            move |width: f64| {
                let name = format!(
                    "roc-{}-{}{}",
                    stem(test),
                    stem(family),
                    if low.is_some() { "-low" } else { "" }
                );
                let title = if low.is_some() {
                    format!("{title}: low rates")
                } else {
                    title.clone()
                };
                let about = About {
                    name: &name,
                    title: &title,
                    description,
                    unit: "true-positive rate",
                };
                roc(&about, curves, low, width)
            }
        };
        let (all, low) = (draw(None), draw(Some(lowest)));
        page.row(&[&all as &dyn Fn(f64) -> Figure, &low], HALF);
    }
}

/// A name as a part of a file's: letters, digits and dashes.
fn stem(name: &str) -> String {
    let part = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars().take(40).map(part).collect()
}

pub(super) fn drift(report: &Report, page: &mut Page) {
    page.section(
        "drift",
        "Drift",
        "How far scores and features moved from the day whose models could have been used: the population stability index over deciles. Over its limit (0.25; more in small samples) a day gets models of its own.",
    );
    if report.data.drift.is_empty() {
        page.missing(
            "Not measured: by default every day is scored with models fitted on the day itself, which nothing has to be held against.",
            &report.command("--models refit-if-drifted "),
        );
        return;
    }
    let days = report.shown_days();
    let of = |name: &str| -> Vec<Option<f64>> {
        let on = |day: &String| {
            let mut rows = report
                .data
                .drift
                .iter()
                .filter(|d| d.date == *day && d.kind == "score" && d.name == name);
            rows.next().map(|d| d.psi)
        };
        report.data.days.iter().map(on).collect()
    };
    let series: Vec<Series> = DETECTORS
        .iter()
        .zip([0, 1, 5, 2, 3, 4])
        .map(|((name, _), paint)| Series {
            name: (*name).to_owned(),
            paint: Paint::Series(paint),
            values: of(name),
        })
        .filter(|s| s.values.iter().any(Option::is_some))
        .collect();
    let limits = report
        .data
        .drift
        .iter()
        .filter(|d| d.kind == "score")
        .map(|d| d.psi_limit);
    let limit = limits.fold(f64::INFINITY, f64::min);
    let limit = limit.is_finite().then_some(("limit", limit));
    let about = About {
        name: "drift-scores",
        title: "Drift of the detectors' scores",
        description: "A line a detector over the days; the dashed line is the lowest limit.",
        unit: "population stability index",
    };
    page.figure(|width| lines(&about, &days, &series, limit, false, width));
    features_over(report, &days, page);
    moved_most(report, page);
}

/// How many features went over their limits, by day.
fn features_over(report: &Report, days: &[String], page: &mut Page) {
    let moved = |day: &String| {
        let of_day = report
            .data
            .drift
            .iter()
            .filter(|d| d.date == *day && d.drifted && d.kind != "score");
        rows(of_day.count() as u64)
    };
    let counts: Vec<f64> = report.data.days.iter().map(moved).collect();
    if counts.iter().any(|n| *n > 0.0) {
        let about = About {
            name: "drift-features",
            title: "Features over their limit, by day",
            description: "A bar a day.",
            unit: "features",
        };
        let series = [Series::new("features", Paint::Series(1), counts)];
        page.figure(|width| stacked(&about, days, &series, width));
    } else {
        page.prose("No feature went over its limit.");
    }
}

/// The largest indices.
fn moved_most(report: &Report, page: &mut Page) {
    let mut most: Vec<&super::data::Drift> = report.data.drift.iter().collect();
    most.sort_by(|a, b| {
        b.psi
            .total_cmp(&a.psi)
            .then_with(|| (&a.date, &a.name).cmp(&(&b.date, &b.name)))
    });
    most.truncate(LISTED);
    let bars_of: Vec<Row> = most
        .iter()
        .map(|d| Row {
            name: format!("{} {}", super::short_day(&d.date), d.name),
            value: d.psi,
            shown: format!("{:.2}", d.psi),
            paint: Paint::Series(if d.drifted { 1 } else { 4 }),
        })
        .collect();
    let about = About {
        name: "drift-largest",
        title: "What moved most",
        description: "A bar a day and score or feature, by its population stability index.",
        unit: "",
    };
    page.figure(|width| bars(&about, &bars_of, width));
    let body: Vec<Vec<String>> = most
        .iter()
        .map(|d| {
            vec![
                escape(&d.date),
                format!("{} {}", escape(&d.kind), escape(&d.name)),
                d.trained_on
                    .as_deref()
                    .map_or_else(|| "–".to_owned(), escape),
                format!("{:.3}", d.psi),
                format!("{:.3}", d.psi_limit),
                if d.drifted {
                    "yes".to_owned()
                } else {
                    "no".to_owned()
                },
            ]
        })
        .collect();
    let heads = ["day", "what", "against", "index", "limit", "over it"];
    page.details(
        "What moved most, in numbers",
        &table("The largest indices", &heads, &body, 3),
    );
}
