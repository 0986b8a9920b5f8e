//! What the detectors found, and what near-dedup made of it.

use std::fmt::Write as _;

use super::chart::axes::{About, Histogram, Series, histogram, stacked};
use super::chart::rows::{Row, bars};
use super::chart::scale::{full, percent, rows};
use super::chart::sets::{Intersection, upset};
use super::chart::{Figure, Paint};
use super::data::{Distributions, SCORED};
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
        "kmeans" => "k-means",
        "dbscan" => "DBSCAN",
        "ocsvm" => "One-class SVM",
        _ => "Autoencoder",
    }
}

/// What a detector's score says.
fn meaning(detector: &str) -> &'static str {
    match detector {
        "iforest" => "isolation forest: few random cuts set it apart",
        "pca" => "PCA: reconstruction error",
        "kmeans" => "k-means: distance to the nearest large cluster",
        "dbscan" => "DBSCAN: distance to the nearest core row",
        "ocsvm" => "one-class SVM: how far outside of what is usual",
        _ => "autoencoder: reconstruction error",
    }
}

pub(super) fn scores(report: &Report, page: &mut Page) {
    let Some(found) = &report.data.distributions else {
        page.section("scores", "Scores and the quota", "");
        page.missing(
            "No day of this report has anomalies and the models that scored them. A day that runs through the stage <code>anomalies</code> has both.",
            &report.command("--through anomalies "),
        );
        return;
    };
    let [_, units] = report.subject().unit;
    let scored = found.scores.first().map_or(0, |s| s.sample.len() as u64);
    let drawn = if scored < found.lines {
        format!(
            "{} of its {} unique {units}, drawn by hash,",
            full(scored),
            full(found.lines)
        )
    } else {
        format!("all of its {} unique {units}", full(found.lines))
    };
    page.section(
        "scores",
        "Scores and the quota",
        &format!(
            "How unusual the {units} of {} are to each detector, and where its quota cuts. A run keeps scores of anomalies alone, so {drawn} were scored again for this page, with the day's own models \
             (at most {}). Counts are on a logarithmic axis: the tail is what matters here.",
            escape(&found.date),
            full(SCORED)
        ),
    );
    let unit = format!("{units}, logarithmic");
    let unit = unit.as_str();
    let drawn: Vec<Box<dyn Fn(f64) -> Figure + '_>> = found
        .scores
        .iter()
        .filter_map(|one| {
            let of = Histogram::of(&one.sample, BINS)?;
            let title = format!("{}, {}", called(one.detector), found.date);
            let border = format!("quota: {}", full(one.quota));
            let draw = move |width: f64| {
                let description = format!(
                    "{}. The quota takes {} {units}, from a score of {:.4} on.",
                    meaning(one.detector),
                    full(one.quota),
                    one.border
                );
                let name = format!("scores-{}", one.detector);
                let about = About {
                    name: &name,
                    title: &title,
                    description: &description,
                    unit,
                };
                histogram(&about, &of, Some((&border, one.border)), width)
            };
            Some(Box::new(draw) as Box<dyn Fn(f64) -> Figure>)
        })
        .collect();
    let drawn: Vec<&dyn Fn(f64) -> Figure> = drawn.iter().map(AsRef::as_ref).collect();
    page.row(&drawn, THIRD);
    quantiles(found, units, page);
    thresholds(report, page);
}

/// The table behind the distributions.
fn quantiles(found: &Distributions, units: &str, page: &mut Page) {
    let within = format!("{units} within");
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
        &within,
    ];
    page.details(
        "Scores in numbers",
        &table(
            "Quantiles of scores, and the quota's border",
            &heads,
            &body,
            2,
        ),
    );
}

/// What thresholds that scores set promised, and what came of it.
fn thresholds(report: &Report, page: &mut Page) {
    let mut body = vec![];
    for run in report.data.runs.iter().filter(|r| r.stage == "anomalies") {
        for (detector, outcome) in run.thresholds() {
            let [low, high] = outcome.expected_interval;
            let cut = if outcome.cut() {
                format!(
                    "{} <small>of {} or more: the quota cut</small>",
                    full(outcome.anomalies),
                    full(outcome.at_least)
                )
            } else {
                full(outcome.anomalies)
            };
            body.push(vec![
                escape(&run.date),
                escape(&detector),
                escape(&outcome.promise.method),
                format!("{:.4}", outcome.promise.threshold),
                format!(
                    "{:.1} <small>({low:.1}–{high:.1})</small>",
                    outcome.expected
                ),
                cut,
            ]);
        }
    }
    if body.is_empty() {
        return;
    }
    let heads = [
        "day",
        "detector",
        "set by",
        "threshold",
        "expected (95%)",
        "came",
    ];
    page.raw(&table(
        "Thresholds that scores set: what was expected of the day, and what came",
        &heads,
        &body,
        3,
    ));
}

pub(super) fn detectors(report: &Report, page: &mut Page) {
    page.section(
        "detectors",
        "What each detector finds",
        &format!(
            "A {} counts once, under all the detectors that chose it. Columns of one dot are what a detector finds alone.",
            report.subject().unit[0]
        ),
    );
    if report.data.chosen.is_empty() {
        page.missing("There are no anomalies yet.", "");
        return;
    }
    let held = |chosen: &str, detector: &str| chosen.split('+').any(|d| d == detector);
    let detectors = &report.data.detectors;
    let sets: Vec<(&str, u64)> = detectors
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
            of: detectors.iter().map(|(d, _)| held(&c.name, d)).collect(),
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
    let product = report.subject().product;
    let body: Vec<Vec<String>> = report
        .data
        .chosen
        .iter()
        .map(|c| {
            let mut cells = vec![
                escape(&c.name.replace('+', " and ")),
                full(c.n),
                percent(rows(c.n) / rows(all.max(1))),
            ];
            if product.is_some() {
                cells.push(full(benign(&c.name)));
                cells.push(percent(rows(benign(&c.name)) / rows(c.n.max(1))));
            }
            cells
        })
        .collect();
    let mut heads = vec!["chosen by", "anomalies", "share"];
    if let Some(product) = product {
        heads.extend([product, "of these anomalies"]);
    }
    page.raw(&table(
        if product.is_some() {
            "Exclusive intersections, and what came of them"
        } else {
            "Exclusive intersections"
        },
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
    let described = |name: &str| (report.subject().family)(name);
    let title = format!(
        "What made {} stand out: features among an anomaly's reasons",
        report.subject().unit[1]
    );
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
        title: &title,
        description: "A bar a feature: anomalies that name it among their reasons.",
        unit: "",
    };
    page.figure(|width| bars(&about, &rows_of, width));
}

pub(super) fn near_duplicates(report: &Report, page: &mut Page) {
    page.section(
        "near-duplicates",
        "Near-duplicates",
        "An anomaly is dropped when a kept line of the same template, or of the same guard key and within the cosine threshold, covers it: of the same day, or of any day before.",
    );
    if report.data.dedup.is_empty() {
        page.missing(
            "No day of this report went through near-dedup.",
            &report.command("--through candidates "),
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
            report.line(&c.command_line, c.user.as_deref().as_slice()),
            counted(c.covered, "line", "lines"),
            counted(c.days, "day", "days"),
            escape(&c.date),
            escape(&c.hash)
        );
    }
    list.push_str("</ol>");
    page.raw(&list);
}
