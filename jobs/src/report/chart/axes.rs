//! Plots over days and over numbers: lines, stacked bars, histograms, curves. All take the width they are drawn at, so that a phone has its own layout.

use super::scale::{Scale, count, short};
use super::{Anchor, Figure, NORMAL, Paint, SMALL, text_width};

/// From this width on lines are labelled at their ends; narrower plots have a legend.
const WIDE: f64 = 520.0;
/// Room below a plot for its axis.
const FOOT: f64 = 28.0;
/// Room above a plot for the unit of its axis.
const HEAD: f64 = 28.0;
/// Height of a line of a legend.
const LINE: f64 = 18.0;
/// Least distance between labels at lines' ends.
const APART: f64 = 15.0;

/// What is plotted in one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its label.
    pub name: String,
    /// Its colour.
    pub paint: Paint,
    /// One a place of the axis; `None` where there is none.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// With a value at every place.
    #[must_use]
    pub fn new(name: &str, paint: Paint, values: Vec<f64>) -> Self {
        let values = values.into_iter().map(Some).collect();
        Self {
            name: name.to_owned(),
            paint,
            values,
        }
    }
}

/// What all plots have.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Name of its files.
    pub name: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// In a sentence, for who does not see it.
    pub description: &'a str,
    /// What the vertical axis counts.
    pub unit: &'a str,
}

impl About<'_> {
    fn figure(&self, width: f64, height: f64) -> Figure {
        Figure::new(self.name, self.title, self.description, width, height)
    }
}

/// The height of a plot of a width.
fn height(width: f64) -> f64 {
    (0.42 * width).clamp(200.0, 320.0)
}

/// Writes a legend in as many lines as it takes; returns their height.
fn legend(figure: &mut Figure, entries: &[(&str, Paint)]) -> f64 {
    let (mut x, mut y) = (2.0, 14.0);
    for (name, paint) in entries {
        let room = 18.0 + text_width(name, SMALL, false) + 14.0;
        if x > 2.0 && x + room - 14.0 > figure.width {
            x = 2.0;
            y += LINE;
        }
        figure.bar(x, y - 9.0, 12.0, 10.0, *paint);
        figure.text(x + 18.0, y, name, Anchor::Start, Paint::Ink);
        x += room;
    }
    y + 4.0
}

/// The vertical axis with its grid; returns the x at which the plot begins.
fn vertical(figure: &mut Figure, scale: &Scale, unit: &str, top: f64, right: f64) -> f64 {
    let widths = scale
        .ticks
        .iter()
        .map(|t| text_width(&short(*t), SMALL, false));
    let left = widths.fold(0.0, f64::max) + 10.0;
    figure.text(0.0, top - 10.0, unit, Anchor::Start, Paint::Muted);
    for tick in &scale.ticks {
        let y = scale.at(*tick);
        figure.line(vec![(left, y), (right, y)], Paint::Grid, 1.0);
        figure.text(
            left - 6.0,
            y + 4.0,
            &short(*tick),
            Anchor::End,
            Paint::Muted,
        );
    }
    left
}

/// Labels of places that do not touch: the first, and every n-th.
fn places(figure: &mut Figure, labels: &[String], at: impl Fn(usize) -> f64) {
    let y = figure.height - 8.0;
    let widest = labels.iter().map(|l| text_width(l, SMALL, false));
    let widest = widest.fold(0.0, f64::max) + 12.0;
    let Some(last) = labels.len().checked_sub(1) else {
        return;
    };
    let apart = if last == 0 {
        f64::INFINITY
    } else {
        (at(last) - at(0)) / count(last)
    };
    let mut every = 1;
    while count(every) * apart < widest {
        every += 1;
    }
    for (place, label) in labels.iter().enumerate().step_by(every) {
        // The first and the last stay within the figure.
        let half = text_width(label, SMALL, false) / 2.0;
        let x = at(place).clamp(half, (figure.width - half).max(half));
        figure.text(x, y, label, Anchor::Middle, Paint::Muted);
    }
}

/// Pushes labels apart that are nearer than a line; keeps their order.
fn spread(wanted: &[f64], low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut out = wanted.to_vec();
    let mut least = low;
    for place in &order {
        out[*place] = out[*place].max(least);
        least = out[*place] + APART;
    }
    let mut most = high;
    for place in order.iter().rev() {
        out[*place] = out[*place].min(most);
        most = out[*place] - APART;
    }
    out
}

/// Lines over days, on a logarithmic axis where counts differ by decades. A line that stands for a limit is dashed.
#[must_use]
pub fn lines(
    about: &About<'_>,
    days: &[String],
    series: &[Series],
    limit: Option<(&str, f64)>,
    log: bool,
    width: f64,
) -> Figure {
    let mut figure = about.figure(width, height(width));
    let direct = width >= WIDE && series.len() > 1;
    let mut top = HEAD;
    if !direct && series.len() > 1 {
        let entries: Vec<(&str, Paint)> =
            series.iter().map(|s| (s.name.as_str(), s.paint)).collect();
        top += legend(&mut figure, &entries);
        figure.height += top - HEAD;
    }
    let names = series.iter().map(|s| text_width(&s.name, SMALL, true));
    let right = if direct {
        width - names.fold(0.0, f64::max) - 12.0
    } else {
        width - 8.0
    };
    let bottom = figure.height - FOOT;
    let values = || {
        let of_series = series.iter().flat_map(|s| s.values.iter().flatten());
        of_series.copied().chain(limit.map(|(_, value)| value))
    };
    let y = if log {
        Scale::log(values(), (bottom, top))
    } else {
        Scale::linear(values(), (bottom, top), 4)
    };
    let left = vertical(&mut figure, &y, about.unit, top, right);
    let x = |place: usize| match days.len() {
        0 | 1 => f64::midpoint(left, right),
        n => left + 6.0 + (right - left - 12.0) * count(place) / count(n - 1),
    };
    places(&mut figure, days, x);
    if let Some((name, value)) = limit {
        figure.dashes(vec![(left, y.at(value)), (right, y.at(value))], Paint::Ink);
        figure.text(
            left + 6.0,
            y.at(value) - 5.0,
            name,
            Anchor::Start,
            Paint::Ink,
        );
    }
    let mut ends = vec![];
    for one in series {
        // A day without a value is a gap, not a line across it.
        for run in one
            .values
            .iter()
            .enumerate()
            .collect::<Vec<_>>()
            .split(|(_, v)| v.is_none())
        {
            let points: Vec<(f64, f64)> = run
                .iter()
                .filter_map(|(place, v)| Some((x(*place), y.at((**v)?))))
                .collect();
            if points.len() < 2 || days.len() <= 12 {
                for (px, py) in &points {
                    figure.dot(*px, *py, 3.0, one.paint);
                }
            }
            if points.len() > 1 {
                figure.line(points, one.paint, 2.0);
            }
        }
        let last = one.values.iter().rev().flatten().next();
        ends.push(last.map_or(bottom, |v| y.at(*v)) + 4.0);
    }
    if direct {
        for (one, at) in series.iter().zip(spread(&ends, top, bottom + 4.0)) {
            figure.label(right + 8.0, at, &one.name, Anchor::Start, one.paint);
        }
    }
    figure
}

/// Bars over days, the series on top of each other.
#[must_use]
pub fn stacked(about: &About<'_>, days: &[String], series: &[Series], width: f64) -> Figure {
    let mut figure = about.figure(width, height(width));
    let mut top = HEAD;
    if series.len() > 1 {
        let entries: Vec<(&str, Paint)> =
            series.iter().map(|s| (s.name.as_str(), s.paint)).collect();
        top += legend(&mut figure, &entries);
        figure.height += top - HEAD;
    }
    let bottom = figure.height - FOOT;
    let value = |one: &Series, day: usize| one.values.get(day).copied().flatten().unwrap_or(0.0);
    let sums = (0..days.len()).map(|day| series.iter().map(|s| value(s, day)).sum::<f64>());
    let y = Scale::linear(sums, (bottom, top), 4);
    let right = width - 4.0;
    let left = vertical(&mut figure, &y, about.unit, top, right);
    let band = (right - left) / count(days.len().max(1));
    let bar = (0.72 * band).min(64.0);
    let x = |day: usize| left + band * (count(day) + 0.5);
    places(&mut figure, days, x);
    for day in 0..days.len() {
        let mut below = 0.0;
        for one in series {
            let value = value(one, day);
            let (from, to) = (y.at(below), y.at(below + value));
            below += value;
            if value > 0.0 {
                figure.bar(x(day) - bar / 2.0, to, bar, from - to, one.paint);
            }
        }
    }
    figure
}

/// Numbers in bins of one width.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Where the first bin begins.
    pub low: f64,
    /// Where the last one ends.
    pub high: f64,
    /// How many are in each.
    pub bins: Vec<u64>,
}

impl Histogram {
    /// Of numbers, in `n` bins between the lowest and the highest; `None` without any.
    #[must_use]
    pub fn of(values: &[f64], n: usize) -> Option<Self> {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let low = finite().reduce(f64::min)?;
        let high = finite().reduce(f64::max)?;
        let high = if high > low { high } else { low + 1.0 };
        let mut bins = vec![0; n.max(1)];
        for value in finite() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to the number of bins"
            )]
            let bin = ((value - low) / (high - low) * count(bins.len())) as usize;
            let last = bins.len() - 1;
            bins[bin.min(last)] += 1;
        }
        Some(Self { low, high, bins })
    }
}

/// A histogram on a logarithmic axis of counts, with a border beyond which bars have another colour.
#[must_use]
pub fn histogram(
    about: &About<'_>,
    of: &Histogram,
    border: Option<(&str, f64)>,
    width: f64,
) -> Figure {
    let mut figure = about.figure(width, height(width).min(240.0));
    let (top, right) = (48.0, width - 6.0);
    let bottom = figure.height - FOOT;
    let y = Scale::log(
        of.bins.iter().map(|n| super::scale::rows(*n)).chain([1.0]),
        (bottom, top),
    );
    let left = vertical(&mut figure, &y, "", top, right);
    figure.text(0.0, 12.0, about.unit, Anchor::Start, Paint::Muted);
    let x = Scale::between(
        of.low,
        of.high,
        (left, right),
        if width < 300.0 { 3 } else { 5 },
    );
    for tick in &x.ticks {
        let text = short(*tick);
        let half = text_width(&text, SMALL, false) / 2.0;
        figure.text(
            x.at(*tick).min(width - half),
            figure.height - 8.0,
            &text,
            Anchor::Middle,
            Paint::Muted,
        );
    }
    let step = (of.high - of.low) / count(of.bins.len().max(1));
    for (bin, n) in of.bins.iter().enumerate().filter(|(_, n)| **n > 0) {
        let from = of.low + step * count(bin);
        // A bin counts as beyond when its middle is.
        let beyond = border.is_some_and(|(_, border)| from + step / 2.0 >= border);
        let paint = Paint::Series(u8::from(beyond));
        // A bar for one line is still seen.
        let at = y.at(super::scale::rows(*n)).min(bottom - 2.0);
        let (x0, x1) = (x.at(from), x.at(from + step));
        figure.bar(x0 + 0.5, at, (x1 - x0 - 1.0).max(1.0), bottom - at, paint);
    }
    if let Some((name, border)) = border {
        let at = x.at(border);
        figure.dashes(vec![(at, top - 6.0), (at, bottom)], Paint::Ink);
        let room = text_width(name, SMALL, true);
        let (place, anchor) = if at + room + 6.0 < width {
            (at + 5.0, Anchor::Start)
        } else {
            (at - 5.0, Anchor::End)
        };
        figure.label(place, top - 10.0, name, anchor, Paint::Ink);
    }
    figure
}

/// A curve through points.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its label.
    pub name: String,
    /// Its colour.
    pub paint: Paint,
    /// Whether it is dashed.
    pub dashed: bool,
    /// False-positive and true-positive rates, rising.
    pub points: Vec<(f64, f64)>,
}

/// ROC curves; on a logarithmic axis from `lowest` where that is given, which shows what low false-positive rates cost.
#[must_use]
pub fn roc(about: &About<'_>, curves: &[Curve], lowest: Option<f64>, width: f64) -> Figure {
    let mut figure = about.figure(width, 100.0);
    let entries: Vec<(&str, Paint)> = curves.iter().map(|c| (c.name.as_str(), c.paint)).collect();
    let top = 30.0 + legend(&mut figure, &entries);
    figure.height = top + (width - 60.0).min(320.0) + FOOT + LINE;
    let bottom = figure.height - FOOT - LINE;
    let ticks = vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
    let right = width - 14.0;
    let y = Scale::exact(0.0, 1.0, (bottom, top), ticks.clone());
    let left = vertical(&mut figure, &y, about.unit, top, right);
    let x = match lowest {
        Some(lowest) => Scale::log([lowest, 1.0], (left, right)),
        None => Scale::exact(0.0, 1.0, (left, right), ticks),
    };
    for tick in &x.ticks {
        figure.text(
            x.at(*tick),
            bottom + 17.0,
            &short(*tick),
            Anchor::Middle,
            Paint::Muted,
        );
    }
    let middle = f64::midpoint(left, right);
    figure.text(
        middle,
        figure.height - 8.0,
        "false-positive rate",
        Anchor::Middle,
        Paint::Muted,
    );
    // Chance.
    let chance: Vec<(f64, f64)> = (0..=60)
        .map(|n| count(n) / 60.0)
        .map(|share| match lowest {
            Some(_) => x.low() * (1.0 / x.low()).powf(share),
            None => share,
        })
        .map(|fpr| (x.at(fpr), y.at(fpr)))
        .collect();
    figure.dashes(chance, Paint::Muted);
    for curve in curves {
        // Rates step: nothing is gained between two thresholds.
        let mut points: Vec<(f64, f64)> = vec![];
        for (fpr, tpr) in &curve.points {
            let at = (x.at(*fpr), y.at(*tpr));
            if let Some((_, before)) = points.last().copied() {
                points.push((at.0, before));
            }
            points.push(at);
        }
        points.dedup();
        if curve.dashed {
            figure.dashes(points, curve.paint);
        } else {
            figure.line(points, curve.paint, 2.0);
        }
    }
    figure
}

/// A row of [`bars`].
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// How long its bar is.
    pub value: f64,
    /// What is written behind it.
    pub shown: String,
    /// Its colour.
    pub paint: Paint,
}

/// Cuts a text to a width.
fn fitted(text: &str, room: f64, bold: bool) -> String {
    if text_width(text, SMALL, bold) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if text_width(&out, SMALL, bold) + NORMAL > room {
            break;
        }
    }
    out + "…"
}

/// How rows of names and marks are laid out: where a row's name ends and its marks begin.
pub(super) struct Rows {
    /// Height of a row.
    pub(super) each: f64,
    /// Where marks begin.
    pub(super) left: f64,
    /// Whether names stand above their marks, as there is no room before them.
    above: bool,
}

impl Rows {
    /// For names on a figure of a width.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>, width: f64) -> Self {
        let widest = names
            .map(|name| text_width(name, SMALL, false))
            .fold(0.0, f64::max)
            + 10.0;
        if widest > 0.42 * width {
            Self {
                each: 42.0,
                left: 2.0,
                above: true,
            }
        } else {
            Self {
                each: 26.0,
                left: widest,
                above: false,
            }
        }
    }

    /// Writes a row's name; returns the middle of its marks.
    pub(super) fn name(&self, figure: &mut Figure, row: usize, name: &str) -> f64 {
        let top = 4.0 + self.each * count(row);
        if self.above {
            let name = fitted(name, figure.width - 4.0, false);
            figure.text(0.0, top + 13.0, &name, Anchor::Start, Paint::Ink);
            top + 28.0
        } else {
            figure.text(self.left - 8.0, top + 17.0, name, Anchor::End, Paint::Ink);
            top + 13.0
        }
    }
}

/// Bars side by side, one a row, with their names before (on a phone above) and their values behind them.
#[must_use]
pub fn bars(about: &About<'_>, rows: &[Row], width: f64) -> Figure {
    let layout = Rows::of(rows.iter().map(|r| r.name.as_str()), width);
    let mut figure = about.figure(width, 8.0 + layout.each * count(rows.len()));
    let behind = rows.iter().map(|r| text_width(&r.shown, SMALL, false));
    let room = (width - layout.left - behind.fold(0.0, f64::max) - 12.0).max(20.0);
    let highest = rows.iter().map(|r| r.value).fold(0.0, f64::max);
    for (place, row) in rows.iter().enumerate() {
        let y = layout.name(&mut figure, place, &row.name);
        let long = if highest > 0.0 {
            room * row.value / highest
        } else {
            0.0
        };
        // What is there is seen, however short its bar.
        let long = if row.value > 0.0 { long.max(1.5) } else { 0.0 };
        figure.bar(layout.left, y - 9.0, long, 18.0, row.paint);
        let x = layout.left + long + 6.0;
        figure.text(x, y + 4.0, &row.shown, Anchor::Start, Paint::Muted);
    }
    figure
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;

    const ABOUT: About<'_> = About {
        name: "n",
        title: "t",
        description: "d",
        unit: "lines",
    };

    fn days(n: usize) -> Vec<String> {
        (1..=n).map(|d| format!("Jan {d}")).collect()
    }

    /// Every place of every mark lies within the figure.
    fn within(figure: &Figure) {
        let inside = |x: f64, y: f64| {
            assert!(
                (-1.0..=figure.width + 1.0).contains(&x)
                    && (-1.0..=figure.height + 1.0).contains(&y),
                "({x}, {y}) of {} x {}",
                figure.width,
                figure.height
            );
        };
        for mark in &figure.marks {
            match mark {
                Mark::Line { points, .. } | Mark::Area { points, .. } => {
                    for (x, y) in points {
                        inside(*x, *y);
                    }
                }
                Mark::Bar {
                    x,
                    y,
                    width,
                    height,
                    ..
                } => {
                    inside(*x, *y);
                    inside(x + width, y + height);
                }
                Mark::Dot { x, y, .. } => inside(*x, *y),
                Mark::Text {
                    x,
                    y,
                    text,
                    anchor,
                    size,
                    bold,
                    ..
                } => {
                    let room = text_width(text, *size, *bold);
                    let start = match anchor {
                        Anchor::Start => *x,
                        Anchor::Middle => x - room / 2.0,
                        Anchor::End => x - room,
                    };
                    inside(start, *y);
                    inside(start + room, *y);
                }
            }
        }
    }

    #[test]
    fn every_mark_lies_within_its_figure_on_a_desk_and_on_a_phone() {
        for (n, width) in [
            (0, 720.0),
            (1, 720.0),
            (1, 330.0),
            (30, 720.0),
            (30, 330.0),
            (400, 330.0),
        ] {
            let values = |k: usize| (0..n).map(|d| count((d * k) % 97 + 1)).collect::<Vec<_>>();
            let series = [
                Series::new("unique lines", Paint::Series(0), values(1000)),
                Series::new("benign", Paint::Series(1), values(1)),
                Series::new("candidates kept", Paint::Series(2), values(2)),
            ];
            for log in [false, true] {
                within(&lines(
                    &ABOUT,
                    &days(n),
                    &series,
                    Some(("limit", 0.25)),
                    log,
                    width,
                ));
            }
            within(&stacked(&ABOUT, &days(n), &series, width));
            let values: Vec<f64> = (0..n).map(count).collect();
            if let Some(found) = Histogram::of(&values, 40) {
                within(&histogram(
                    &ABOUT,
                    &found,
                    Some(("quota 1%", count(n) * 0.99)),
                    width,
                ));
            }
            let curves = [Curve {
                name: "baseline+benign, reduced".into(),
                paint: Paint::Series(0),
                dashed: true,
                points: vec![(0.0, 0.0), (0.0, 0.4), (0.3, 0.9), (1.0, 1.0)],
            }];
            within(&roc(&ABOUT, &curves, None, width));
            within(&roc(&ABOUT, &curves, Some(1e-4), width));
            let rows = (0..n.min(9)).map(|k| Row {
                name: "a name that is rather long for a phone, and longer still".into(),
                value: count(k),
                shown: "1,234 (12%)".into(),
                paint: Paint::Series(0),
            });
            within(&bars(&ABOUT, &rows.collect::<Vec<_>>(), width));
        }
    }

    #[test]
    fn a_day_without_a_value_is_a_gap() {
        let series = [Series {
            name: "s".into(),
            paint: Paint::Series(0),
            values: vec![Some(1.0), Some(2.0), None, Some(3.0), Some(4.0)],
        }];
        let figure = lines(&ABOUT, &days(5), &series, None, false, 720.0);
        let drawn = figure.marks.iter().filter(|m| {
            matches!(
                m,
                Mark::Line {
                    paint: Paint::Series(0),
                    ..
                }
            )
        });
        assert_eq!(drawn.count(), 2);
    }

    #[test]
    fn stacked_bars_add_up() {
        let series = [
            Series::new("a", Paint::Series(0), vec![3.0]),
            Series::new("b", Paint::Series(1), vec![1.0]),
        ];
        let figure = stacked(&ABOUT, &days(1), &series, 720.0);
        let heights: Vec<f64> = figure
            .marks
            .iter()
            .filter_map(|m| match m {
                Mark::Bar { height, width, .. } if *width > 20.0 => Some(*height),
                _ => None,
            })
            .collect();
        assert_eq!(heights.len(), 2);
        assert!((heights[0] / heights[1] - 3.0).abs() < 1e-9, "{heights:?}");
    }

    #[test]
    fn a_histogram_counts_every_number_once() {
        let found = Histogram::of(&[0.0, 0.5, 1.0, 1.0, f64::NAN], 2).unwrap();
        assert_eq!(found.bins, [1, 3]);
        assert_eq!(Histogram::of(&[], 4), None);
        assert_eq!(Histogram::of(&[2.0, 2.0], 4).unwrap().bins, [2, 0, 0, 0]);
    }

    #[test]
    fn labels_keep_their_distance_and_their_order() {
        let at = spread(&[100.0, 98.0, 10.0], 0.0, 105.0);
        assert!(at[0] - at[1] >= APART - 1e-9 && at[1] > at[2] && at[0] <= 105.0);
    }
}
