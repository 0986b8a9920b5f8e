//! Text that becomes a page: nothing that a command line holds is markup, moves other text about, or hides.

use std::fmt::Write as _;

/// Characters of a command line that are shown.
pub const SHOWN: usize = 400;
/// A line that is longer by less is shown whole: a cut says more than it spares.
const SLACK: usize = 60;

/// Text as markup shows it, for contents and quoted attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character is not seen, or changes how others are: controls, directions, joiners, line separators, fillers, variation selectors, tags, and what Unicode calls no
/// character.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{e0000}'..='\u{e0fff}'
                | '\u{f0000}'..='\u{10ffff}'
        )
}

/// A command line as markup: what is invisible as an escape that is marked as one, long lines cut with a word on how much is missing.
#[must_use]
pub fn command(line: &str) -> String {
    let mut out = String::new();
    let mut shown = 0;
    let mut rest = line.chars();
    let longest = if line.chars().nth(SHOWN + SLACK).is_none() {
        SHOWN + SLACK
    } else {
        SHOWN
    };
    for c in rest.by_ref() {
        if is_invisible(c) {
            let escaped = match c {
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                c => c.escape_unicode().to_string(),
            };
            out.push_str("<span class=\"esc\">");
            out.push_str(&escaped);
            out.push_str("</span>");
            shown += escaped.len();
        } else {
            out.push_str(&escape(c.encode_utf8(&mut [0; 4])));
            shown += 1;
        }
        if shown >= longest {
            break;
        }
    }
    let missing = rest.count();
    if missing > 0 {
        let n = super::chart::scale::full(missing as u64);
        let _ = write!(out, "<span class=\"esc\">… cut: {n} characters more</span>");
    }
    out
}

/// A table: a row of heads, then rows of cells that are markup. `left` says how many columns hold text; the others are numbers.
#[must_use]
pub fn table(caption: &str, heads: &[&str], rows: &[Vec<String>], left: usize) -> String {
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption><span>{0}</span></caption><thead><tr>",
        escape(caption)
    );
    for (place, head) in heads.iter().enumerate() {
        let class = if place < left { "" } else { " class=\"n\"" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(head));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let class = if place < left { "" } else { " class=\"n\"" };
            if place == 0 {
                let _ = write!(out, "<th scope=\"row\"{class}>{cell}</th>");
            } else {
                let _ = write!(out, "<td{class}>{cell}</td>");
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_no_markup_whatever_it_holds() {
        let line = "</script><script>alert(1)</script><img src=x onerror='alert(1)'>&#60;\"";
        let shown = command(line);
        assert!(
            !shown.contains('<') && shown.contains("&lt;script&gt;"),
            "{shown}"
        );
        assert!(shown.contains("onerror=&#39;alert(1)&#39;&gt;&amp;#60;&quot;"));
    }

    #[test]
    fn what_is_not_seen_is_shown() {
        let shown = command("a\0b\u{202e}c\u{2066}d\n\u{feff}\u{e0041}\u{85}\u{ad}");
        for escaped in [
            "\\u{0}",
            "\\u{202e}",
            "\\u{2066}",
            "\\n",
            "\\u{feff}",
            "\\u{e0041}",
            "\\u{85}",
            "\\u{ad}",
        ] {
            assert!(shown.contains(escaped), "{escaped} in {shown}");
        }
        assert!(shown.chars().all(|c| !is_invisible(c)));
        assert_eq!(command("é 漢 😀"), "é 漢 😀");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let shown = command(&"x".repeat(100_000));
        assert!(
            shown.len() < 500 && shown.ends_with("… cut: 99,600 characters more</span>"),
            "{shown}"
        );
        // Escapes count by their length: a line of controls is no longer than others.
        assert!(command(&"\0".repeat(100_000)).len() < 4000);
        assert!(!command(&"x".repeat(SHOWN + SLACK)).contains("cut"));
        assert!(command(&"x".repeat(SHOWN + SLACK + 1)).contains("cut: 61 characters more"));
    }
}
