//! Plots as SVG: within a page, where colours are the page's, and as files of their own.

use std::fmt::Write as _;

use super::{Anchor, Figure, Mark, Paint, SERIES};
use crate::report::html::escape;

/// Room above a file's plot for its title.
pub(super) const HEAD: f64 = 40.0;

/// A number with a tenth of a pixel.
fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let command = if place == 0 { 'M' } else { 'L' };
        let _ = write!(out, "{command}{} {}", px(*x), px(*y));
    }
    out
}

fn mark(out: &mut String, mark: &Mark) {
    match mark {
        Mark::Line {
            points,
            paint,
            width,
            dashed,
        } => {
            let dashes = if *dashed {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            let _ = write!(
                out,
                "<path class=\"l-{}\" stroke-width=\"{}\"{dashes} d=\"{}\"/>",
                paint.name(),
                px(*width),
                path(points)
            );
        }
        Mark::Area {
            points,
            paint,
            opacity,
        } => {
            let _ = write!(
                out,
                "<path class=\"f-{}\" fill-opacity=\"{opacity}\" d=\"{}Z\"/>",
                paint.name(),
                path(points)
            );
        }
        Mark::Bar {
            x,
            y,
            width,
            height,
            paint,
        } => {
            let _ = write!(
                out,
                "<rect class=\"f-{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                paint.name(),
                px(*x),
                px(*y),
                px(*width),
                px(*height)
            );
        }
        Mark::Dot {
            x,
            y,
            radius,
            paint,
        } => {
            let _ = write!(
                out,
                "<circle class=\"f-{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>",
                paint.name(),
                px(*x),
                px(*y),
                px(*radius)
            );
        }
        Mark::Text {
            x,
            y,
            text,
            anchor,
            size,
            paint,
            bold,
        } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let bold = if *bold { " font-weight=\"600\"" } else { "" };
            let _ = write!(
                out,
                "<text class=\"f-{}\" x=\"{}\" y=\"{}\" font-size=\"{}\"{anchor}{bold}>{}</text>",
                paint.name(),
                px(*x),
                px(*y),
                px(*size),
                escape(text)
            );
        }
    }
}

fn color([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// All colours.
fn paints() -> impl Iterator<Item = Paint> {
    [Paint::Ink, Paint::Muted, Paint::Grid, Paint::Surface]
        .into_iter()
        .chain((0..SERIES).map(Paint::Series))
}

/// Variables of the colours, for a page's style sheet: light or dark.
#[must_use]
pub fn variables(dark: bool) -> String {
    let one = |p: Paint| {
        let rgb = if dark { p.dark() } else { p.light() };
        format!("--{}:{};", p.name(), color(rgb))
    };
    paints().map(one).collect()
}

/// Classes of the colours, for a page's style sheet.
#[must_use]
pub fn classes() -> String {
    let one = |p: Paint| {
        let name = p.name();
        format!(".f-{name}{{fill:var(--{name})}}.l-{name}{{stroke:var(--{name});fill:none}}")
    };
    paints().map(one).collect()
}

impl Figure {
    /// As a part of a page, whose style sheet has [`variables`] and [`classes`]. `id` is the page's name for it.
    #[must_use]
    pub fn inline(&self, id: &str, class: &str) -> String {
        let mut out = format!(
            "<svg class=\"{class}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" viewBox=\"0 0 {} {}\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            px(self.width),
            px(self.height),
            escape(&self.title),
            escape(&self.description)
        );
        for one in &self.marks {
            mark(&mut out, one);
        }
        out.push_str("</svg>");
        out
    }

    /// With its title drawn above it.
    pub(super) fn titled(&self) -> Self {
        let mut out = Self {
            height: self.height + HEAD,
            marks: vec![Mark::Text {
                x: 16.0,
                y: 26.0,
                text: self.title.clone(),
                anchor: Anchor::Start,
                size: 16.0,
                paint: Paint::Ink,
                bold: true,
            }],
            ..self.clone()
        };
        out.marks.extend(self.marks.iter().cloned().map(lowered));
        out
    }

    /// As a file of its own: title, colours and background within.
    #[must_use]
    pub fn svg(&self) -> String {
        let titled = self.titled();
        let rule = |p: Paint| {
            let (name, color) = (p.name(), color(p.light()));
            format!(".f-{name}{{fill:{color}}}.l-{name}{{stroke:{color};fill:none}}")
        };
        let style: String = paints().map(rule).collect();
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"Inter, system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\"><title>{}</title><desc>{}</desc><style>{style}</style>\
             <rect class=\"f-surface\" width=\"100%\" height=\"100%\"/>",
            escape(&self.title),
            escape(&self.description),
            w = px(titled.width),
            h = px(titled.height),
        );
        for one in &titled.marks {
            mark(&mut out, one);
        }
        out.push_str("</svg>\n");
        out
    }
}

/// A mark, lower by the room for a title.
fn lowered(mark: Mark) -> Mark {
    let all = |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x, y + HEAD)).collect();
    let mut mark = mark;
    match &mut mark {
        Mark::Line { points, .. } | Mark::Area { points, .. } => {
            *points = all(std::mem::take(points));
        }
        Mark::Bar { y, .. } | Mark::Dot { y, .. } | Mark::Text { y, .. } => *y += HEAD,
    }
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_says_is_no_markup() {
        let mut figure = Figure::new("n", "<t>", "a & b", 100.0, 50.0);
        figure.text(1.0, 2.0, "</svg><script>", Anchor::End, Paint::Ink);
        for svg in [figure.inline("x", "wide"), figure.svg()] {
            assert!(!svg.contains("<script>") && svg.contains("&lt;/svg&gt;&lt;script&gt;"));
            assert!(svg.contains("&lt;t&gt;") && svg.contains("a &amp; b"));
        }
    }

    #[test]
    fn a_file_has_its_own_colours_and_a_page_has_variables() {
        let mut figure = Figure::new("n", "t", "d", 100.0, 50.0);
        figure.bar(0.0, 0.0, 10.0, 10.0, Paint::Series(1));
        assert!(figure.svg().contains(".f-s1{fill:#d55e00}"));
        assert!(!figure.inline("x", "wide").contains('#'));
        assert!(variables(false).contains("--s1:#d55e00;"));
        assert_ne!(variables(false), variables(true));
    }

    /// Contrast after WCAG 2.2: of relative luminances.
    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let luminance = |c: [u8; 3]| {
            let part = |v: u8| {
                let v = f64::from(v) / 255.0;
                if v <= 0.04045 {
                    v / 12.92
                } else {
                    ((v + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2])
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_has_a_contrast_of_4_5_and_marks_of_3_in_light_and_dark() {
        for dark in [false, true] {
            let of = |p: Paint| if dark { p.dark() } else { p.light() };
            let surface = of(Paint::Surface);
            for paint in paints().filter(|p| !matches!(p, Paint::Grid | Paint::Surface)) {
                let least = if matches!(paint, Paint::Series(_)) {
                    3.0
                } else {
                    4.5
                };
                let found = contrast(of(paint), surface);
                assert!(found >= least, "{paint:?}, dark {dark}: {found:.2}");
            }
        }
    }
}
