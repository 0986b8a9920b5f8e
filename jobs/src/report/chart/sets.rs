//! Plots of steps, of sets that overlap, and of estimates with their intervals.

use super::axes::About;
use super::rows::Rows;
use super::scale::{Scale, count, full, percent, rows, short};
use super::{Anchor, Figure, Paint, SMALL, text_width};

/// A step of the funnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is counted.
    pub name: String,
    /// How many.
    pub rows: u64,
}

/// The steps of a funnel as dots on a logarithmic axis: bars of a thousandth's length would not be seen, and bars on such an axis would lie about shares.
#[must_use]
pub fn funnel(about: &About<'_>, steps: &[Step], width: f64) -> Figure {
    const ROW: f64 = 34.0;
    let mut figure = Figure::new(
        about.name,
        about.title,
        about.description,
        width,
        ROW * count(steps.len()) + 34.0,
    );
    let names = steps.iter().map(|s| text_width(&s.name, SMALL, false));
    let narrow = width < 520.0;
    let left = names.fold(0.0, f64::max) + 22.0;
    // On a phone counts stand above the dots' line, within it; on a desk there is room behind.
    let right = width - if narrow { 26.0 } else { 210.0 };
    let bottom = ROW * count(steps.len()) + 6.0;
    let x = Scale::log(steps.iter().map(|s| rows(s.rows)), (left, right));
    for tick in &x.ticks {
        figure.line(
            vec![(x.at(*tick), 4.0), (x.at(*tick), bottom)],
            Paint::Grid,
            1.0,
        );
        figure.text(
            x.at(*tick),
            bottom + 18.0,
            &short(*tick),
            Anchor::Middle,
            Paint::Muted,
        );
    }
    let mut before: Option<u64> = None;
    for (place, step) in steps.iter().enumerate() {
        let y = ROW * (count(place) + 0.5) + 4.0;
        figure.text(left - 16.0, y + 4.0, &step.name, Anchor::End, Paint::Ink);
        let at = (x.at(rows(step.rows)), y);
        figure.line(vec![(left, y), at], Paint::Grid, 2.0);
        let share = before.filter(|n| *n > 0).map(|n| {
            let share = percent(rows(step.rows) / rows(n));
            format!("{share} of the step before")
        });
        let shown = match share {
            Some(share) if !narrow => format!("{}  ·  {share}", full(step.rows)),
            _ => full(step.rows),
        };
        let room = text_width(&shown, SMALL, true);
        if at.0 + 12.0 + room < width {
            figure.label(at.0 + 12.0, y + 4.0, &shown, Anchor::Start, Paint::Ink);
        } else {
            figure.label(at.0 - 12.0, y + 4.0, &shown, Anchor::End, Paint::Ink);
        }
        before = Some(step.rows);
    }
    for (place, step) in steps.iter().enumerate() {
        let y = ROW * (count(place) + 0.5) + 4.0;
        let paint = if step.rows == 0 {
            Paint::Series(4)
        } else {
            Paint::Series(0)
        };
        figure.dot(x.at(rows(step.rows)), y, 6.0, paint);
    }
    figure
}

/// An exclusive intersection: rows that these sets hold, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intersection {
    /// Whether each set is a part of it, in the order of the sets.
    pub of: Vec<bool>,
    /// How many rows.
    pub rows: u64,
}

/// Sets and their exclusive intersections: a column an intersection, bars above a matrix of dots (Lex et al., "`UpSet`", IEEE TVCG 2014). A Venn diagram's areas would not be right for
/// three sets.
#[must_use]
pub fn upset(
    about: &About<'_>,
    sets: &[(&str, u64)],
    intersections: &[Intersection],
    width: f64,
) -> Figure {
    const ROW: f64 = 28.0;
    const BARS: f64 = 150.0;
    let mut figure = Figure::new(
        about.name,
        about.title,
        about.description,
        width,
        24.0 + BARS + 14.0 + ROW * count(sets.len()) + 6.0,
    );
    let labels: Vec<String> = sets
        .iter()
        .map(|(name, n)| format!("{name}  {}", full(*n)))
        .collect();
    let widths = labels.iter().map(|l| text_width(l, SMALL, false));
    let left = widths.fold(0.0, f64::max) + 16.0;
    let (top, bottom) = (24.0, 24.0 + BARS);
    let highest = intersections.iter().map(|i| i.rows).max().unwrap_or(0);
    let band = ((width - left) / count(intersections.len().max(1))).min(96.0);
    let all: u64 = intersections.iter().map(|i| i.rows).sum();
    for (place, name) in labels.iter().enumerate() {
        let y = bottom + 14.0 + ROW * (count(place) + 0.5);
        figure.text(0.0, y + 4.0, name, Anchor::Start, Paint::Ink);
    }
    for (column, one) in intersections.iter().enumerate() {
        let x = left + band * (count(column) + 0.5);
        let high = if highest > 0 {
            (BARS - 20.0) * rows(one.rows) / rows(highest)
        } else {
            0.0
        };
        let alone = one.of.iter().filter(|of| **of).count() == 1;
        let paint = Paint::Series(if alone { 0 } else { 5 });
        figure.bar(
            x - 0.3 * band,
            bottom - high,
            0.6 * band,
            high.max(1.0),
            paint,
        );
        let shown = if band > 84.0 && all > 0 {
            format!(
                "{} ({})",
                full(one.rows),
                percent(rows(one.rows) / rows(all))
            )
        } else {
            short(rows(one.rows))
        };
        figure.text(
            x,
            (bottom - high - 6.0).max(top),
            &shown,
            Anchor::Middle,
            Paint::Ink,
        );
        let y = |place: usize| bottom + 14.0 + ROW * (count(place) + 0.5);
        let held: Vec<usize> = (0..sets.len())
            .filter(|p| one.of.get(*p) == Some(&true))
            .collect();
        for place in 0..sets.len() {
            if !held.contains(&place) {
                figure.dot(x, y(place), 6.0, Paint::Grid);
            }
        }
        if let (Some(first), Some(last)) = (held.first(), held.last()) {
            figure.line(vec![(x, y(*first)), (x, y(*last))], paint, 3.0);
        }
        for place in held {
            figure.dot(x, y(place), 6.0, paint);
        }
    }
    figure
}

/// An estimate with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Of what.
    pub name: String,
    /// The estimate; `None` where there is an interval alone.
    pub value: Option<f64>,
    /// Ends of its interval.
    pub low: f64,
    /// As above.
    pub high: f64,
    /// What is written behind it, where there is room.
    pub shown: String,
    /// Its colour.
    pub paint: Paint,
}

/// Estimates with intervals, one a row, and a line at a value that they are to be held against. `domain` widens the axis.
#[must_use]
pub fn intervals(
    about: &About<'_>,
    of: &[Estimate],
    against: Option<f64>,
    domain: Option<(f64, f64)>,
    width: f64,
) -> Figure {
    let layout = Rows::of(of.iter().map(|e| e.name.as_str()), width);
    let bottom = layout.each * count(of.len()) + 6.0;
    let mut figure = Figure::new(
        about.name,
        about.title,
        about.description,
        width,
        bottom + 40.0,
    );
    let left = layout.left + 6.0;
    let behind = of.iter().map(|e| text_width(&e.shown, SMALL, false));
    let behind = behind.fold(0.0, f64::max) + 14.0;
    let shown = width - left - behind > 160.0;
    let right = width - if shown { behind } else { 14.0 };
    let ends = of.iter().flat_map(|e| [e.low, e.high]).chain(against);
    let ends = ends.chain(domain.iter().flat_map(|(low, high)| [*low, *high]));
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let x = match domain {
        Some(_) => {
            let around = Scale::between(low, high, (0.0, 1.0), 4);
            let ticks = around
                .ticks
                .iter()
                .copied()
                .filter(|t| (low..=high).contains(t));
            Scale::exact(low, high, (left, right), ticks.collect())
        }
        None => Scale::between(low, high, (left, right), if width < 520.0 { 3 } else { 5 }),
    };
    for tick in &x.ticks {
        let text = short(*tick);
        let half = text_width(&text, SMALL, false) / 2.0;
        figure.line(
            vec![(x.at(*tick), 4.0), (x.at(*tick), bottom)],
            Paint::Grid,
            1.0,
        );
        figure.text(
            x.at(*tick).min(width - half),
            bottom + 16.0,
            &text,
            Anchor::Middle,
            Paint::Muted,
        );
    }
    figure.text(
        f64::midpoint(left, right),
        figure.height - 6.0,
        about.unit,
        Anchor::Middle,
        Paint::Muted,
    );
    if let Some(value) = against {
        figure.dashes(vec![(x.at(value), 4.0), (x.at(value), bottom)], Paint::Ink);
    }
    for (place, one) in of.iter().enumerate() {
        let y = layout.name(&mut figure, place, &one.name);
        let (from, to) = (x.at(one.low), x.at(one.high));
        figure.line(vec![(from, y), (to, y)], one.paint, 2.0);
        for end in [from, to] {
            figure.line(vec![(end, y - 4.0), (end, y + 4.0)], one.paint, 2.0);
        }
        if let Some(value) = one.value {
            figure.dot(x.at(value), y, 5.0, one.paint);
        }
        if shown {
            figure.text(
                right + 12.0,
                y + 4.0,
                &one.shown,
                Anchor::Start,
                Paint::Muted,
            );
        }
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
        unit: "points",
    };

    fn texts(figure: &Figure) -> Vec<&str> {
        let text = |m: &'_ Mark| matches!(m, Mark::Text { .. });
        let marks = figure.marks.iter().filter(|m| text(m));
        marks
            .map(|m| match m {
                Mark::Text { text, .. } => text.as_str(),
                _ => "",
            })
            .collect()
    }

    #[test]
    fn a_funnel_says_counts_and_shares_also_when_nothing_is_left() {
        let steps = [("events", 12_000), ("unique lines", 3000), ("benign", 0)];
        let steps = steps.map(|(name, rows)| Step {
            name: name.into(),
            rows,
        });
        for width in [720.0, 330.0] {
            let figure = funnel(&ABOUT, &steps, width);
            let dots: Vec<f64> = figure
                .marks
                .iter()
                .filter_map(|m| match m {
                    Mark::Dot { x, .. } => Some(*x),
                    _ => None,
                })
                .collect();
            assert!(dots[0] > dots[1] && dots[1] > dots[2] && dots.iter().all(|x| x.is_finite()));
        }
        let figure = funnel(&ABOUT, &steps, 720.0);
        assert!(
            texts(&figure).contains(&"3,000  ·  25.0% of the step before"),
            "{:?}",
            texts(&figure)
        );
        assert!(funnel(&ABOUT, &[], 330.0).height > 0.0);
    }

    #[test]
    fn the_tallest_bar_is_the_largest_intersection() {
        let one = |of: [bool; 2], rows| Intersection {
            of: of.to_vec(),
            rows,
        };
        let found = [one([true, false], 30), one([true, true], 10)];
        let figure = upset(&ABOUT, &[("iforest", 40), ("pca", 10)], &found, 720.0);
        let bars: Vec<f64> = figure
            .marks
            .iter()
            .filter_map(|m| match m {
                Mark::Bar {
                    height,
                    paint: Paint::Series(_),
                    ..
                } => Some(*height),
                _ => None,
            })
            .collect();
        assert!((bars[0] / bars[1] - 3.0).abs() < 1e-9, "{bars:?}");
        // A column of each, with a dot a set.
        let dots = figure
            .marks
            .iter()
            .filter(|m| matches!(m, Mark::Dot { .. }));
        assert_eq!(dots.count(), 4);
    }

    #[test]
    fn an_interval_without_an_estimate_has_no_dot() {
        let of = [Estimate {
            name: "a".into(),
            value: None,
            low: 0.0,
            high: 1.0,
            shown: "unknown".into(),
            paint: Paint::Series(0),
        }];
        let figure = intervals(&ABOUT, &of, Some(0.0), None, 720.0);
        assert!(!figure.marks.iter().any(|m| matches!(m, Mark::Dot { .. })));
        assert!(texts(&figure).contains(&"unknown"));
        assert!(intervals(&ABOUT, &[], None, Some((0.9, 1.0)), 330.0).height > 0.0);
    }
}
