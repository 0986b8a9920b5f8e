//! The font of plots: widths and outlines.

use std::sync::OnceLock;

use tiny_skia::{Path, PathBuilder, Transform};
use ttf_parser::{Face, OutlineBuilder};

/// Width of a letter, in sizes, where the font cannot be read or lacks it.
const USUAL: f64 = 0.6;

/// The font's files, regular and bold: plots within a page are laid out for them.
pub const FONTS: [&[u8]; 2] = [
    include_bytes!("../font/Inter-Regular.otf"),
    include_bytes!("../font/Inter-SemiBold.otf"),
];

fn face(bold: bool) -> Option<&'static Face<'static>> {
    static FACES: [OnceLock<Option<Face<'static>>>; 2] = [const { OnceLock::new() }; 2];
    let bytes = FONTS[usize::from(bold)];
    FACES[usize::from(bold)]
        .get_or_init(|| Face::parse(bytes, 0).ok())
        .as_ref()
}

/// Width of a text in pixels.
#[must_use]
pub fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    text.chars().map(|c| advance(c, size, bold)).sum()
}

fn advance(c: char, size: f64, bold: bool) -> f64 {
    let width = face(bold).and_then(|face| {
        let advance = face.glyph_hor_advance(face.glyph_index(c)?)?;
        Some(f64::from(advance) / f64::from(face.units_per_em()))
    });
    size * width.unwrap_or(USUAL)
}

/// Collects a glyph's outline.
struct Outline(PathBuilder);

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}

/// The outlines of a text whose baseline begins at (`x`, `y`); letters that the font lacks are left out.
pub(super) fn outlines(text: &str, x: f64, y: f64, size: f64, bold: bool) -> Vec<Path> {
    let Some(face) = face(bold) else {
        return vec![];
    };
    let scale = size / f64::from(face.units_per_em());
    let mut at = x;
    let mut paths = vec![];
    for c in text.chars() {
        let mut outline = Outline(PathBuilder::new());
        let drawn = face
            .glyph_index(c)
            .and_then(|glyph| face.outline_glyph(glyph, &mut outline));
        if drawn.is_some() {
            let place = Transform::from_row(
                single(scale),
                0.0,
                0.0,
                single(-scale),
                single(at),
                single(y),
            );
            paths.extend(outline.0.finish().and_then(|path| path.transform(place)));
        }
        at += advance(c, size, bold);
    }
    paths
}

/// A place as the rasteriser has it.
#[expect(clippy::cast_possible_truncation, reason = "pixels")]
pub(super) const fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_fonts_and_bold_is_wider() {
        let (thin, bold) = (
            text_width("benign", 12.0, false),
            text_width("benign", 12.0, true),
        );
        assert!(bold > thin && thin > 30.0 && thin < 50.0, "{thin} {bold}");
        assert!((text_width("88", 12.0, false) - 2.0 * text_width("8", 12.0, false)).abs() < 1e-9);
        // A letter that the subset lacks takes the usual room.
        assert!((text_width("\u{4e00}", 10.0, false) - 6.0).abs() < 1e-9);
    }

    #[test]
    fn a_text_has_an_outline_a_letter() {
        assert_eq!(outlines("a b", 0.0, 0.0, 12.0, false).len(), 2);
        let bounds = outlines("l", 10.0, 20.0, 12.0, false)[0].bounds();
        assert!(bounds.left() >= 10.0 && bounds.bottom() <= 20.5 && bounds.top() > 5.0);
    }
}
