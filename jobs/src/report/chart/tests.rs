//! Every plot, on a desk and on a phone, of nothing, one day and many.

use super::axes::{APART, About, Curve, Histogram, Series, histogram, lines, roc, spread, stacked};
use super::rows::{Row, bars};
use super::scale::count;
use super::{Anchor, Figure, Mark, Paint, text_width};

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
            (-1.0..=figure.width + 1.0).contains(&x) && (-1.0..=figure.height + 1.0).contains(&y),
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
