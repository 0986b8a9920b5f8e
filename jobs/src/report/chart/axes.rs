//! Plots over days and over numbers: lines, stacked bars, histograms, curves. All take the width they are drawn at, so that a phone has its own layout.

use super::scale::{Scale, count, short};
use super::{Anchor, Figure, Paint, SMALL, text_width};

/// From this width on lines are labelled at their ends; narrower plots have a legend.
const WIDE: f64 = 520.0;
/// Room below a plot for its axis.
pub(super) const FOOT: f64 = 28.0;
/// Room above a plot for the unit of its axis.
const HEAD: f64 = 28.0;
/// Height of a line of a legend.
pub(super) const LINE: f64 = 18.0;
/// Least distance between labels at lines' ends.
pub(super) const APART: f64 = 15.0;

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
    pub(super) fn figure(&self, width: f64, height: f64) -> Figure {
        Figure::new(self.name, self.title, self.description, width, height)
    }
}

/// The height of a plot of a width.
fn height(width: f64) -> f64 {
    (0.42 * width).clamp(200.0, 320.0)
}

/// Writes a legend in as many lines as it takes; returns their height.
pub(super) fn legend(figure: &mut Figure, entries: &[(&str, Paint)]) -> f64 {
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
pub(super) fn vertical(
    figure: &mut Figure,
    scale: &Scale,
    unit: &str,
    top: f64,
    right: f64,
) -> f64 {
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
pub(super) fn spread(wanted: &[f64], low: f64, high: f64) -> Vec<f64> {
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
        steps(&mut figure, curve, points);
    }
    figure
}

/// Draws a curve's steps.
pub(super) fn steps(figure: &mut Figure, curve: &Curve, mut points: Vec<(f64, f64)>) {
    points.dedup();
    if curve.dashed {
        figure.dashes(points, curve.paint);
    } else {
        figure.line(points, curve.paint, 2.0);
    }
}
