//! Precision-recall curves, and several plots as one.

use super::axes::{About, Curve, FOOT, LINE, legend, steps, vertical};
use super::scale::{Scale, short};
use super::{Anchor, Figure, Mark, Paint};

/// Room above a row of plots for its name.
const HEAD: f64 = 34.0;
/// Room between plots.
const GAP: f64 = 24.0;

/// Precision-recall curves, and the precision that chance has: the share of rows that are to be found.
#[must_use]
pub fn precision_recall(about: &About<'_>, curves: &[Curve], chance: f64, width: f64) -> Figure {
    let mut figure = about.figure(width, 100.0);
    let entries: Vec<(&str, Paint)> = curves.iter().map(|c| (c.name.as_str(), c.paint)).collect();
    let top = 30.0 + legend(&mut figure, &entries);
    figure.height = top + (width - 60.0).min(320.0) + FOOT + LINE;
    let bottom = figure.height - FOOT - LINE;
    let ticks = vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
    let right = width - 14.0;
    let y = Scale::exact(0.0, 1.0, (bottom, top), ticks.clone());
    let left = vertical(&mut figure, &y, about.unit, top, right);
    let x = Scale::exact(0.0, 1.0, (left, right), ticks);
    for tick in &x.ticks {
        let text = short(*tick);
        figure.text(
            x.at(*tick),
            bottom + 17.0,
            &text,
            Anchor::Middle,
            Paint::Muted,
        );
    }
    figure.text(
        f64::midpoint(left, right),
        figure.height - 8.0,
        "recall",
        Anchor::Middle,
        Paint::Muted,
    );
    figure.dashes(
        vec![(left, y.at(chance)), (right, y.at(chance))],
        Paint::Muted,
    );
    for curve in curves {
        // Average precision is the area under these steps: a gain in recall has the precision at its end.
        let mut points: Vec<(f64, f64)> = vec![];
        for (recall, precision) in &curve.points {
            let at = (x.at(*recall), y.at(*precision));
            let before = points.last().map_or(left, |before| before.0);
            points.push((before, at.1));
            points.push(at);
        }
        steps(&mut figure, curve, points);
    }
    figure
}

/// Plots as one: each entry is a row with its name, its plots from left to right.
#[must_use]
pub fn panels(
    name: &str,
    title: &str,
    description: &str,
    rows: &[(String, Vec<Figure>)],
) -> Figure {
    let mut all = Figure::new(name, title, description, 0.0, 0.0);
    let mut y = 0.0;
    for (row, figures) in rows {
        all.label(GAP, y + 20.0, row, Anchor::Start, Paint::Ink);
        let (mut x, mut height) = (GAP, 0.0_f64);
        for figure in figures {
            let title = &figure.title;
            all.text(x, y + 40.0, title, Anchor::Start, Paint::Muted);
            let marks = figure.marks.iter().cloned();
            all.marks
                .extend(marks.map(|mark| moved(mark, x, y + HEAD + 10.0)));
            x += figure.width + GAP;
            height = height.max(figure.height);
        }
        all.width = all.width.max(x);
        y += HEAD + 10.0 + height + GAP;
    }
    all.width = all.width.max(320.0);
    all.height = y.max(LINE);
    all
}

fn moved(mut mark: Mark, right: f64, down: f64) -> Mark {
    match &mut mark {
        Mark::Line { points, .. } | Mark::Area { points, .. } => {
            for (x, y) in points {
                *x += right;
                *y += down;
            }
        }
        Mark::Bar { x, y, .. } | Mark::Dot { x, y, .. } | Mark::Text { x, y, .. } => {
            *x += right;
            *y += down;
        }
    }
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About<'static> {
        About {
            name: "n",
            title: "t",
            description: "d",
            unit: "precision",
        }
    }

    fn plot() -> Figure {
        let curve = Curve {
            name: "one".to_owned(),
            paint: Paint::Series(0),
            dashed: false,
            points: vec![(0.5, 1.0), (1.0, 0.5)],
        };
        precision_recall(&about(), &[curve], 0.25, 400.0)
    }

    #[test]
    fn precision_falls_before_recall_rises() {
        let figure = plot();
        let line = figure.marks.iter().find_map(|mark| match mark {
            Mark::Line { points, paint, .. } if *paint == Paint::Series(0) => Some(points),
            _ => None,
        });
        let line = line.unwrap();
        // From the axis at full precision to half of the recall, down, and on.
        assert_eq!(line.len(), 4);
        assert!(line[0].1 < line[2].1 && line[0].0 < line[1].0, "{line:?}");
        let (first, second) = (line[1].0 - line[0].0, line[3].0 - line[2].0);
        assert!((line[1].0 - line[2].0).abs() < 1e-9 && (first - second).abs() < 1e-6);
    }

    #[test]
    fn plots_side_by_side_do_not_overlap_and_fit_within() {
        let one = plot();
        let rows = [
            ("http".to_owned(), vec![one.clone(), one.clone()]),
            ("param".to_owned(), vec![one.clone()]),
        ];
        let all = panels("n", "t", "d", &rows);
        assert!(all.width >= 2.0 * one.width && all.height >= 2.0 * one.height);
        let ends: Vec<(f64, f64)> = all
            .marks
            .iter()
            .filter_map(|mark| match mark {
                Mark::Line { points, paint, .. } if *paint == Paint::Series(0) => {
                    points.last().copied()
                }
                _ => None,
            })
            .collect();
        assert_eq!(ends.len(), 3);
        assert!((ends[1].0 - ends[0].0) > one.width && ends[2].1 - ends[0].1 > one.height);
        assert!(ends.iter().all(|(x, y)| *x < all.width && *y < all.height));
        assert!(all.svg().contains("http") && all.svg().contains("param"));
    }
}
