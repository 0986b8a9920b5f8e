//! What the detectors found, and what near-dedup made of it.

use std::fmt::Write as _;

use super::chart::axes::{About, Histogram, Series, histogram, stacked};
use super::chart::rows::{Row, bars};
use super::chart::scale::{full, percent, rows};
use super::chart::sets::{Intersection, upset};
use super::chart::{Figure, Paint};
use super::data::{DETECTORS, Distributions, SCORED};
use super::html::{escape, table};
use super::page::{Page, THIRD};
use super::{Report, counted};

/// Bins of a histogram.
const BINS: usize = 60;

/// A detector's name in words.
fn called(detector: &str) -> &'static str {
    match detector {
        "iforest" => "Isolation forest",
        "pca" => "PCA",
        _ => "k-means",
    }
}

/// What a detector's score says.
fn meaning(detector: &str) -> &'static str {
    match detector {
        "iforest" => "isolation forest: few random cuts set the line apart",
        "pca" => "PCA: reconstruction error",
        _ => "k-means: distance to the nearest large cluster",
    }
}

pub(super) fn write(report: &Report, page: &mut Page) {
    if report.data.days.is_empty() {
        return;
    }
    scores(report, page);
    detectors(report, page);
    near_duplicates(report, page);
}

fn scores(report: &Report, page: &mut Page) {
    let Some(found) = &report.data.distributions else {
        page.section("scores", "Scores and the quota", "");
        page.missing(
            "No day of this report has anomalies and the models that scored them. A day that runs through the stage <code>anomalies</code> has both.",
            "gleaner run --date YYYY-MM-DD --through anomalies --telemetry PATH --warehouse PATH",
        );
        return;
    };
    let scored = found.scores.first().map_or(0, |s| s.sample.len() as u64);
    let drawn = if scored < found.lines {
        format!(
            "{} of its {} unique lines, drawn by hash,",
            full(scored),
            full(found.lines)
        )
    } else {
        format!("all of its {} unique lines", full(found.lines))
    };
    page.section(
        "scores",
        "Scores and the quota",
        &format!(
            "How unusual the lines of {} are to each detector, and where its quota cuts. A run keeps scores of anomalies alone, so {drawn} were scored again for this page, with the day's own models \
             (at most {}). Counts are on a logarithmic axis: the tail is what matters here.",
            escape(&found.date),
            full(SCORED)
        ),
    );
    let drawn: Vec<Box<dyn Fn(f64) -> Figure + '_>> = found
        .scores
        .iter()
        .filter_map(|one| {
            let of = Histogram::of(&one.sample, BINS)?;
            let title = format!("{}, {}", called(one.detector), found.date);
            let border = format!("quota: {}", full(one.quota));
            let draw = move |width: f64| {
                let description = format!(
                    "{}. The quota takes {} lines, from a score of {:.4} on.",
                    meaning(one.detector),
                    full(one.quota),
                    one.border
                );
                let name = format!("scores-{}", one.detector);
                let about = About {
                    name: &name,
                    title: &title,
                    description: &description,
                    unit: "lines, logarithmic",
                };
                histogram(&about, &of, Some((&border, one.border)), width)
            };
            Some(Box::new(draw) as Box<dyn Fn(f64) -> Figure>)
        })
        .collect();
    let drawn: Vec<&dyn Fn(f64) -> Figure> = drawn.iter().map(AsRef::as_ref).collect();
    page.row(&drawn, THIRD);
    quantiles(found, page);
}

/// The table behind the distributions.
fn quantiles(found: &Distributions, page: &mut Page) {
    let body: Vec<Vec<String>> = found
        .scores
        .iter()
        .map(|one| {
            let mut sorted = one.sample.clone();
            sorted.sort_by(f64::total_cmp);
            let at = |share: f64| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "an index"
                )]
                let place = (share * rows(sorted.len().saturating_sub(1) as u64)).round() as usize;
                sorted
                    .get(place)
                    .map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"))
            };
            vec![
                escape(one.detector),
                escape(meaning(one.detector)),
                at(0.5),
                at(0.9),
                at(0.99),
                format!("{:.4}", one.border),
                full(one.quota),
            ]
        })
        .collect();
    let heads = [
        "detector",
        "its score",
        "median",
        "90%",
        "99%",
        "border",
        "lines within",
    ];
    page.details(
        "Scores in numbers",
        &table(
            "Quantiles of the lines' scores, and the quota's border",
            &heads,
            &body,
            2,
        ),
    );
}

fn detectors(report: &Report, page: &mut Page) {
    page.section(
        "detectors",
        "What each detector finds",
        "A line counts once, under all the detectors that chose it. Columns of one dot are what a detector finds alone.",
    );
    if report.data.chosen.is_empty() {
        page.missing("There are no anomalies yet.", "");
        return;
    }
    let held = |chosen: &str, detector: &str| chosen.split('+').any(|d| d == detector);
    let sets: Vec<(&str, u64)> = DETECTORS
        .iter()
        .map(|(detector, _)| {
            let of = report
                .data
                .chosen
                .iter()
                .filter(|c| held(&c.name, detector));
            (*detector, of.map(|c| c.n).sum())
        })
        .collect();
    let mut intersections: Vec<Intersection> = report
        .data
        .chosen
        .iter()
        .map(|c| Intersection {
            of: DETECTORS.iter().map(|(d, _)| held(&c.name, d)).collect(),
            rows: c.n,
        })
        .collect();
    intersections.sort_by_key(|i| std::cmp::Reverse(i.rows));
    let all: u64 = report.data.chosen.iter().map(|c| c.n).sum();
    let several: u64 = report
        .data
        .chosen
        .iter()
        .filter(|c| c.name.contains('+'))
        .map(|c| c.n)
        .sum();
    let description = format!(
        "{} of {} anomalies were chosen by more than one detector.",
        full(several),
        full(all)
    );
    let about = About {
        name: "detector-overlap",
        title: "Anomalies by the detectors that chose them, and no other",
        description: &description,
        unit: "",
    };
    page.figure(|width| upset(&about, &sets, &intersections, width));
    outcomes(report, all, page);
    reasons(report, all, page);
}

/// What came of the anomalies of each intersection; `all`: how many anomalies there are.
fn outcomes(report: &Report, all: u64, page: &mut Page) {
    let benign = |name: &str| {
        let found = report.data.chosen_benign.iter().find(|c| c.name == name);
        found.map_or(0, |c| c.n)
    };
    let body: Vec<Vec<String>> = report
        .data
        .chosen
        .iter()
        .map(|c| {
            vec![
                escape(&c.name.replace('+', " and ")),
                full(c.n),
                percent(rows(c.n) / rows(all.max(1))),
                full(benign(&c.name)),
                percent(rows(benign(&c.name)) / rows(c.n.max(1))),
            ]
        })
        .collect();
    let heads = [
        "chosen by",
        "anomalies",
        "share",
        "emitted as benign",
        "of these anomalies",
    ];
    page.raw(&table(
        "Exclusive intersections, and what came of them",
        &heads,
        &body,
        1,
    ));
}

/// The features that made most anomalies stand out.
fn reasons(report: &Report, all: u64, page: &mut Page) {
    if report.data.features.is_empty() {
        return;
    }
    let described = |name: &str| {
        gleaner_udfs::text::catalog::CATALOG
            .iter()
            .find(|f| f.name == name)
            .map(|f| format!("{:?}", f.family).to_lowercase())
    };
    let rows_of: Vec<Row> = report
        .data
        .features
        .iter()
        .map(|f| Row {
            name: described(&f.name)
                .map_or_else(|| f.name.clone(), |family| format!("{} ({family})", f.name)),
            value: rows(f.n),
            shown: format!("{} ({})", full(f.n), percent(rows(f.n) / rows(all.max(1)))),
            paint: Paint::Series(0),
        })
        .collect();
    let about = About {
        name: "reasons",
        title: "What made lines stand out: features among an anomaly's reasons",
        description: "A bar a feature: anomalies that name it among their reasons.",
        unit: "",
    };
    page.figure(|width| bars(&about, &rows_of, width));
}

fn near_duplicates(report: &Report, page: &mut Page) {
    page.section(
        "near-duplicates",
        "Near-duplicates",
        "An anomaly is dropped when a kept line of the same template, or of the same guard key and within the cosine threshold, covers it: of the same day, or of any day before.",
    );
    if report.data.dedup.is_empty() {
        page.missing(
            "No day of this report went through near-dedup.",
            "gleaner run --date YYYY-MM-DD --through candidates --telemetry PATH --warehouse PATH",
        );
        return;
    }
    let kinds = [
        ("kept", "kept", 2),
        ("history", "covered by an earlier day", 4),
        ("template", "same template, same day", 0),
        ("cosine", "similar, same day", 5),
        ("budget", "beyond the label budget", 1),
        ("known", "labelled elsewhere", 3),
        ("other", "other", 1),
    ];
    let series: Vec<Series> = kinds
        .iter()
        .map(|(key, name, paint)| {
            Series::new(
                name,
                Paint::Series(*paint),
                report.values(&report.data.dedup, key),
            )
        })
        .filter(|s| s.values.iter().flatten().any(|v| *v > 0.0))
        .collect();
    let days = report.shown_days();
    let total: u64 = report.data.dedup.iter().map(|d| d.n).sum();
    let kept: u64 = report
        .data
        .dedup
        .iter()
        .filter(|d| d.name == "kept")
        .map(|d| d.n)
        .sum();
    let description = format!("{} of {} anomalies were kept.", full(kept), full(total));
    let about = About {
        name: "near-dedup",
        title: "What became of each day's anomalies",
        description: &description,
        unit: "anomalies",
    };
    page.figure(|width| stacked(&about, &days, &series, width));
    clusters(report, page);
}

/// Kept lines by how many they cover, and those that cover most.
fn clusters(report: &Report, page: &mut Page) {
    let covered: u64 = report
        .data
        .cluster_sizes
        .iter()
        .map(|(covered, n)| covered * n)
        .sum();
    if covered == 0 {
        page.prose("No line covered another one.");
        return;
    }
    let classes: [(&str, std::ops::RangeInclusive<u64>); 6] = [
        ("covers 1 line", 1..=1),
        ("2 to 4", 2..=4),
        ("5 to 9", 5..=9),
        ("10 to 24", 10..=24),
        ("25 to 99", 25..=99),
        ("100 and more", 100..=u64::MAX),
    ];
    let rows_of: Vec<Row> = classes
        .iter()
        .map(|(name, range)| {
            let n: u64 = report
                .data
                .cluster_sizes
                .iter()
                .filter(|(covered, _)| range.contains(covered))
                .map(|(_, n)| n)
                .sum();
            Row {
                name: (*name).to_owned(),
                value: rows(n),
                shown: counted(n, "line", "lines"),
                paint: Paint::Series(0),
            }
        })
        .collect();
    let clusters: u64 = report.data.cluster_sizes.iter().map(|(_, n)| n).sum();
    let description = format!(
        "{} cover {}.",
        counted(clusters, "kept line", "kept lines"),
        counted(covered, "other", "others")
    );
    let about = About {
        name: "cluster-sizes",
        title: "Clusters: kept lines by how many they cover",
        description: &description,
        unit: "",
    };
    page.prose(&format!(
        "{description} The rest of what was kept stands alone."
    ));
    page.figure(|width| bars(&about, &rows_of, width));
    page.heading("The largest clusters");
    let mut list = String::from("<ol class=\"lines\">");
    for c in &report.data.clusters {
        let _ = write!(
            list,
            "<li>{}<small><b>covers {}</b>, on {} · kept on {} · {}</small></li>",
            report.line(&c.command_line, c.user.as_deref()),
            counted(c.covered, "line", "lines"),
            counted(c.days, "day", "days"),
            escape(&c.date),
            escape(&c.hash)
        );
    }
    list.push_str("</ol>");
    page.raw(&list);
}
