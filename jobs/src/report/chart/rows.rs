//! Plots of a row each: a name, and a bar or an interval.

use super::axes::About;
use super::scale::count;
use super::{Anchor, Figure, NORMAL, Paint, SMALL, text_width};

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
