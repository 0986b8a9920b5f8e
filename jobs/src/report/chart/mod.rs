//! Plots: a small list of marks, laid out once, and written as SVG within a page, as SVG of its own, and as PNG.
//!
//! **Why our own.** `plotters` draws with fixed colours and places labels by guess; `charming` wants a browser's JavaScript. What a report needs is few marks, direct labels,
//! colours that follow the reader's light or dark mode and that colour-blind people tell apart, and a layout for a phone beside that for a desk. `resvg` (with `usvg`) would make PNG of our SVG
//! with some thirty crates beside it; `tiny-skia`, which it draws with, and `ttf-parser` need four.
//!
//! **Text** in PNG, and the widths that labels are placed by, are those of a subset of Inter (SIL Open Font License, `font/OFL.txt`) of 30 kB: a server has no fonts.

pub mod axes;
mod font;
pub mod panels;
mod png;
pub mod rows;
pub mod scale;
pub mod sets;
pub mod svg;
#[cfg(test)]
mod tests;

pub use font::{FONTS, text_width};

/// A colour by what it is for; the page has one for light and one for dark mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Text.
    Ink,
    /// Text beside the point, axes.
    Muted,
    /// Lines of the grid.
    Grid,
    /// The page itself.
    Surface,
    /// One of six colours that colour-blind people tell apart (after Okabe and Ito 2008).
    Series(u8),
}

/// Colours of [`Paint::Series`].
pub const SERIES: u8 = 6;

impl Paint {
    /// Name of its CSS class and variable.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Ink => "ink".to_owned(),
            Self::Muted => "muted".to_owned(),
            Self::Grid => "grid".to_owned(),
            Self::Surface => "surface".to_owned(),
            Self::Series(n) => format!("s{}", n % SERIES),
        }
    }

    /// Red, green and blue in light mode and of files.
    #[must_use]
    pub const fn light(self) -> [u8; 3] {
        match self {
            Self::Ink => [0x1b, 0x24, 0x30],
            Self::Muted => [0x5a, 0x67, 0x75],
            Self::Grid => [0xe3, 0xe7, 0xec],
            Self::Surface => [0xff, 0xff, 0xff],
            Self::Series(n) => match n % SERIES {
                0 => [0x00, 0x72, 0xb2],
                1 => [0xd5, 0x5e, 0x00],
                2 => [0x00, 0x8f, 0x68],
                3 => [0xb0, 0x4f, 0x8a],
                4 => [0x8a, 0x93, 0x9e],
                _ => [0x6a, 0x4f, 0xb3],
            },
        }
    }

    /// In dark mode.
    #[must_use]
    pub const fn dark(self) -> [u8; 3] {
        match self {
            Self::Ink => [0xe8, 0xec, 0xf1],
            Self::Muted => [0xa3, 0xae, 0xbb],
            Self::Grid => [0x2c, 0x35, 0x40],
            Self::Surface => [0x16, 0x1b, 0x22],
            Self::Series(n) => match n % SERIES {
                0 => [0x5a, 0xb4, 0xf0],
                1 => [0xff, 0x9a, 0x52],
                2 => [0x3c, 0xc9, 0x9c],
                3 => [0xe7, 0x9c, 0xc6],
                4 => [0x83, 0x8f, 0x9c],
                _ => [0xb3, 0x9d, 0xf2],
            },
        }
    }
}

/// Where a text's place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

/// One thing drawn; places and sizes in pixels from the upper left corner.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A straight or broken line.
    Line {
        /// Through these.
        points: Vec<(f64, f64)>,
        /// Its colour.
        paint: Paint,
        /// Its width.
        width: f64,
        /// Whether it is dashed.
        dashed: bool,
    },
    /// A filled shape.
    Area {
        /// Through these.
        points: Vec<(f64, f64)>,
        /// Its colour.
        paint: Paint,
        /// 0 (unseen) to 1.
        opacity: f64,
    },
    /// A filled rectangle.
    Bar {
        /// Place.
        x: f64,
        /// Place.
        y: f64,
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
        /// Its colour.
        paint: Paint,
    },
    /// A filled circle.
    Dot {
        /// Place.
        x: f64,
        /// Place.
        y: f64,
        /// Its radius.
        radius: f64,
        /// Its colour.
        paint: Paint,
    },
    /// A line of text; `y` is its baseline.
    Text {
        /// Place.
        x: f64,
        /// Place.
        y: f64,
        /// What is written.
        text: String,
        /// What of the text lies at its place.
        anchor: Anchor,
        /// Height of the letters.
        size: f64,
        /// Its colour.
        paint: Paint,
        /// Whether it is bold.
        bold: bool,
    },
}

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name of its files.
    pub name: String,
    /// What it shows, in some words.
    pub title: String,
    /// What is to be seen, in a sentence, for who does not see it.
    pub description: String,
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// In the order in which they are drawn.
    pub marks: Vec<Mark>,
}

/// Size of text on axes.
pub const SMALL: f64 = 12.0;
/// Size of other text.
pub const NORMAL: f64 = 13.0;

impl Figure {
    /// Without marks.
    #[must_use]
    pub fn new(name: &str, title: &str, description: &str, width: f64, height: f64) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            description: description.to_owned(),
            width,
            height,
            marks: vec![],
        }
    }

    /// Draws a broken line.
    pub fn line(&mut self, points: Vec<(f64, f64)>, paint: Paint, width: f64) {
        self.marks.push(Mark::Line {
            points,
            paint,
            width,
            dashed: false,
        });
    }

    /// Draws a dashed line.
    pub fn dashes(&mut self, points: Vec<(f64, f64)>, paint: Paint) {
        self.marks.push(Mark::Line {
            points,
            paint,
            width: 1.5,
            dashed: true,
        });
    }

    /// Draws a rectangle.
    pub fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, paint: Paint) {
        self.marks.push(Mark::Bar {
            x,
            y,
            width,
            height: height.max(0.0),
            paint,
        });
    }

    /// Draws a circle.
    pub fn dot(&mut self, x: f64, y: f64, radius: f64, paint: Paint) {
        self.marks.push(Mark::Dot {
            x,
            y,
            radius,
            paint,
        });
    }

    /// Writes small text.
    pub fn text(&mut self, x: f64, y: f64, text: &str, anchor: Anchor, paint: Paint) {
        self.marks.push(Mark::Text {
            x,
            y,
            text: text.to_owned(),
            anchor,
            size: SMALL,
            paint,
            bold: false,
        });
    }

    /// Writes bold text.
    pub fn label(&mut self, x: f64, y: f64, text: &str, anchor: Anchor, paint: Paint) {
        self.marks.push(Mark::Text {
            x,
            y,
            text: text.to_owned(),
            anchor,
            size: SMALL,
            paint,
            bold: true,
        });
    }
}
