//! The page that sections are put on, and what surrounds them.
//!
//! No script at all: the content policy allows none, nor anything from elsewhere, so that a line which got past [`super::html`] still could not run. What folds is `details`, which browsers fold
//! themselves.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::chart::{FONTS, Figure, svg};
use super::html::escape;

/// Width of plots on a desk.
pub(super) const WIDE: f64 = 760.0;
/// Of plots that stand two in a row.
pub(super) const HALF: f64 = 366.0;
/// Of plots that stand three in a row.
pub(super) const THIRD: f64 = 238.0;
/// On a phone.
const NARROW: f64 = 316.0;

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    body: String,
    sections: Vec<(&'static str, &'static str)>,
    /// The plots, as on a desk.
    pub(super) figures: Vec<Figure>,
}

impl Page {
    /// Begins a section: its name in addresses, its heading, and a sentence on what is to be seen, as markup.
    pub(super) fn section(&mut self, id: &'static str, title: &'static str, lead: &str) {
        if !self.sections.is_empty() {
            self.body.push_str("</section>");
        }
        self.sections.push((id, title));
        let _ = write!(self.body, "<section id=\"{id}\"><h2>{}</h2>", escape(title));
        self.prose(lead);
    }

    /// A heading within a section.
    pub(super) fn heading(&mut self, title: &str) {
        let _ = write!(self.body, "<h3>{}</h3>", escape(title));
    }

    /// A paragraph, as markup.
    pub(super) fn prose(&mut self, markup: &str) {
        if !markup.is_empty() {
            let _ = write!(self.body, "<p>{markup}</p>");
        }
    }

    /// What is missing, and how to get it.
    pub(super) fn missing(&mut self, markup: &str, command: &str) {
        let _ = write!(self.body, "<div class=\"missing\"><p>{markup}</p>");
        if !command.is_empty() {
            let _ = write!(self.body, "<pre tabindex=\"0\">{}</pre>", escape(command));
        }
        self.body.push_str("</div>");
    }

    /// Markup as it is.
    pub(super) fn raw(&mut self, markup: &str) {
        self.body.push_str(markup);
    }

    /// What unfolds when asked.
    pub(super) fn details(&mut self, summary: &str, markup: &str) {
        let _ = write!(
            self.body,
            "<details><summary>{}</summary>{markup}</details>",
            escape(summary)
        );
    }

    fn drawn(&mut self, draw: &dyn Fn(f64) -> Figure, width: f64) -> String {
        let (wide, narrow) = (draw(width), draw(NARROW));
        let n = self.figures.len();
        let markup = format!(
            "<figure><figcaption>{}</figcaption>{}{}</figure>",
            escape(&wide.title),
            wide.inline(&format!("f{n}w"), "wide"),
            narrow.inline(&format!("f{n}n"), "narrow")
        );
        self.figures.push(wide);
        markup
    }

    /// A plot, laid out for a desk and for a phone.
    pub(super) fn figure(&mut self, draw: impl Fn(f64) -> Figure) {
        let markup = self.drawn(&draw, WIDE);
        self.body.push_str(&markup);
    }

    /// Plots of a width side by side, where there is room.
    pub(super) fn row(&mut self, plots: &[&dyn Fn(f64) -> Figure], width: f64) {
        let class = if width < HALF { "row three" } else { "row" };
        let _ = write!(self.body, "<div class=\"{class}\">");
        for draw in plots {
            let markup = self.drawn(draw, width);
            self.body.push_str(&markup);
        }
        self.body.push_str("</div>");
    }

    /// The whole page: title, what stands above the sections as markup, and a last line.
    pub(super) fn finish(mut self, title: &str, head: &str, foot: &str) -> (String, Vec<Figure>) {
        if !self.sections.is_empty() {
            self.body.push_str("</section>");
        }
        let style = style();
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        let links: Vec<String> = self
            .sections
            .iter()
            .map(|(id, title)| format!("<a href=\"#{id}\">{}</a>", escape(title)))
            .collect();
        let links = links.concat();
        let title = escape(title);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
             <meta name=\"referrer\" content=\"no-referrer\"><meta name=\"robots\" content=\"noindex\"><link rel=\"icon\" href=\"data:,\"><title>{title}</title><style>{style}</style></head>\
             <body><a class=\"skip\" href=\"#summary\">Skip to the summary</a><header><h1>{title}</h1>{head}<nav aria-label=\"Sections\">{links}</nav></header>\
             <main>{}</main><footer>{foot}</footer></body></html>\n",
            self.body
        );
        (html, self.figures)
    }
}

fn style() -> String {
    let font = |weight: u16, bytes: &[u8]| {
        format!(
            "@font-face{{font-family:\"Inter Gleaner\";font-weight:{weight};src:url(data:font/otf;base64,{}) format(\"opentype\")}}",
            STANDARD.encode(bytes)
        )
    };
    format!(
        "{}{}:root{{{}}}@media (prefers-color-scheme:dark){{:root{{{}}}}}{}{}",
        font(400, FONTS[0]),
        font(600, FONTS[1]),
        svg::variables(false)
            + "--raised:#f5f7f9;--link:#0062a0;--warn:#fff4e5;--warn-edge:#d98200;",
        svg::variables(true)
            + "--raised:#1d242d;--link:#6cbcf5;--warn:#33270f;--warn-edge:#e0a040;",
        svg::classes(),
        include_str!("style.css").replace('\n', "")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_style_that_is_there_and_allows_no_script() {
        let mut page = Page::default();
        page.section("a", "A & B", "lead");
        let (html, _) = page.finish("t", "", "");
        let style = html
            .split("<style>")
            .nth(1)
            .unwrap()
            .split("</style>")
            .next()
            .unwrap();
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        assert!(html.contains(&format!("style-src 'sha256-{hash}'")));
        assert!(
            html.contains("default-src 'none'")
                && !html.contains("script-src")
                && !html.contains("<script")
        );
        assert!(
            html.contains("A &amp; B")
                && html.matches("<section").count() == html.matches("</section>").count()
        );
    }
}
