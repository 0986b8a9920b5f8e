//! Plots as PNG (ISO/IEC 15948), two pixels for one, in light colours.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use tiny_skia::{
    Color, FillRule, Paint as Brush, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use super::font::{outlines, single, text_width};
use super::{Anchor, Figure, Mark, Paint};
use crate::error::JobError;

/// Pixels for one of the plot's.
const SCALE: f64 = 2.0;

impl Figure {
    /// As a PNG file, its title above it.
    ///
    /// # Errors
    /// When the plot has no size, or one that memory does not hold.
    pub fn png(&self) -> Result<Vec<u8>, JobError> {
        let titled = self.titled();
        let size = |value: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "pixels, checked"
            )]
            let pixels = (value * SCALE).clamp(1.0, 20_000.0) as u32;
            pixels
        };
        let mut pixels = Pixmap::new(size(titled.width), size(titled.height))
            .ok_or_else(|| JobError::Internal(format!("plot {}: no such size", self.name)))?;
        pixels.fill(color(Paint::Surface, 1.0));
        for mark in &titled.marks {
            draw(&mut pixels, mark);
        }
        encode(&pixels).map_err(|e| JobError::io(std::path::Path::new(&self.name), e))
    }
}

fn color(paint: Paint, opacity: f64) -> Color {
    let [r, g, b] = paint.light();
    let alpha = (opacity.clamp(0.0, 1.0) * 255.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 255"
    )]
    Color::from_rgba8(r, g, b, alpha as u8)
}

fn brush(paint: Paint, opacity: f64) -> Brush<'static> {
    let mut brush = Brush::default();
    brush.set_color(color(paint, opacity));
    brush.anti_alias = true;
    brush
}

fn path(points: &[(f64, f64)], close: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let (x, y) = (single(*x), single(*y));
        if place == 0 {
            builder.move_to(x, y);
        } else {
            builder.line_to(x, y);
        }
    }
    if close {
        builder.close();
    }
    builder.finish()
}

fn draw(pixels: &mut Pixmap, mark: &Mark) {
    let scale = Transform::from_scale(single(SCALE), single(SCALE));
    let mut fill = |path: Option<Path>, paint: Paint, opacity: f64| {
        if let Some(path) = path {
            pixels.fill_path(
                &path,
                &brush(paint, opacity),
                FillRule::Winding,
                scale,
                None,
            );
        }
    };
    match mark {
        Mark::Area {
            points,
            paint,
            opacity,
        } => fill(path(points, true), *paint, *opacity),
        Mark::Bar {
            x,
            y,
            width,
            height,
            paint,
        } => {
            let rect = Rect::from_xywh(single(*x), single(*y), single(*width), single(*height));
            fill(rect.map(PathBuilder::from_rect), *paint, 1.0);
        }
        Mark::Dot {
            x,
            y,
            radius,
            paint,
        } => fill(
            PathBuilder::from_circle(single(*x), single(*y), single(*radius)),
            *paint,
            1.0,
        ),
        Mark::Text {
            x,
            y,
            text,
            anchor,
            size,
            paint,
            bold,
        } => {
            let back = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => 0.5,
                Anchor::End => 1.0,
            };
            let left = x - back * text_width(text, *size, *bold);
            for glyph in outlines(text, left, *y, *size, *bold) {
                fill(Some(glyph), *paint, 1.0);
            }
        }
        Mark::Line {
            points,
            paint,
            width,
            dashed,
        } => {
            let stroke = Stroke {
                width: single(*width),
                dash: dashed
                    .then(|| StrokeDash::new(vec![5.0, 4.0], 0.0))
                    .flatten(),
                ..Stroke::default()
            };
            if let Some(path) = path(points, false) {
                pixels.stroke_path(&path, &brush(*paint, 1.0), &stroke, scale, None);
            }
        }
    }
}

/// Eight bits a channel, red, green and blue: the background is opaque.
fn encode(pixels: &Pixmap) -> std::io::Result<Vec<u8>> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = pixels.width().to_be_bytes().to_vec();
    header.extend(pixels.height().to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut out, *b"IHDR", &header);
    let mut rows = ZlibEncoder::new(vec![], Compression::default());
    let mut line = vec![];
    for row in pixels.data().chunks_exact(4 * pixels.width() as usize) {
        // No filter.
        line.clear();
        line.push(0);
        line.extend(
            row.chunks_exact(4)
                .flat_map(|rgba| [rgba[0], rgba[1], rgba[2]]),
        );
        rows.write_all(&line)?;
    }
    chunk(&mut out, *b"IDAT", &rows.finish()?);
    chunk(&mut out, *b"IEND", &[]);
    Ok(out)
}

fn chunk(out: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    let start = out.len();
    out.extend(name);
    out.extend(data);
    out.extend(crc32fast::hash(&out[start..]).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn pixels_are_those_that_were_drawn() {
        let mut figure = Figure::new("n", "", "", 20.0, 10.0);
        figure.bar(10.0, 0.0, 10.0, 10.0, Paint::Series(0));
        let png = figure.png().unwrap();
        let (width, height) = (40, 100);
        assert_eq!(png[16..24], [0, 0, 0, width, 0, 0, 0, height]);
        let at = png.windows(4).position(|w| w == b"IDAT").unwrap();
        let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
        let mut rows = vec![];
        let data = &png[at + 4..at + 4 + length];
        flate2::read::ZlibDecoder::new(data)
            .read_to_end(&mut rows)
            .unwrap();
        let pixel = |x: usize, y: usize| {
            let start = y * (1 + 3 * usize::from(width)) + 1 + 3 * x;
            [rows[start], rows[start + 1], rows[start + 2]]
        };
        assert_eq!(pixel(5, 95), Paint::Surface.light());
        assert_eq!(pixel(30, 95), Paint::Series(0).light());
        // Above the plot there is room for its title.
        assert_eq!(pixel(30, 40), Paint::Surface.light());
    }
}
