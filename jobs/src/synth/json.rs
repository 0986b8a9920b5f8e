//! JSON objects put together by hand: a `serde_json` tree costs twenty allocations a row.

use super::render::decimal;

/// A JSON object under construction.
pub(super) struct Json<'a> {
    pub(super) out: &'a mut String,
}

impl Json<'_> {
    /// A comma where one is due, and the key.
    pub(super) fn key(&mut self, key: &str) {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(value, self.out);
    }

    pub(super) fn known(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }

    pub(super) fn number(&mut self, key: &str, value: i64) {
        self.key(key);
        decimal(value.unsigned_abs(), self.out);
    }

    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Json<'_>)) {
        self.key(key);
        root(self.out, fill);
    }
}

pub(super) fn root(out: &mut String, fill: impl FnOnce(&mut Json<'_>)) {
    out.push('{');
    fill(&mut Json { out });
    out.push('}');
}

/// A JSON string: runs without an escape are copied whole.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut from = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "\\u0020",
            _ => continue,
        };
        out.push_str(&text[from..i]);
        out.push_str(escape);
        from = i + 1;
    }
    out.push_str(&text[from..]);
    out.push('"');
}

/// `2025-01-31T09:30:00.123456Z`, with 3 or 6 digits of a second.
pub(super) fn rfc3339(time_us: i64, digits: usize, out: &mut String) {
    let Some(time) = chrono::DateTime::from_timestamp_micros(time_us) else {
        return;
    };
    let day = time.date_naive();
    let (year, month, date) = (
        chrono::Datelike::year(&day),
        chrono::Datelike::month(&day),
        chrono::Datelike::day(&day),
    );
    let second = time_us.rem_euclid(86_400_000_000).cast_unsigned();
    let two = |n: u64, out: &mut String| {
        if n < 10 {
            out.push('0');
        }
        decimal(n, out);
    };
    decimal(u64::from(year.unsigned_abs()), out);
    for (mark, part) in [
        ('-', u64::from(month)),
        ('-', u64::from(date)),
        ('T', second / 3_600_000_000),
        (':', second / 60_000_000 % 60),
        (':', second / 1_000_000 % 60),
    ] {
        out.push(mark);
        two(part, out);
    }
    out.push('.');
    let mut fraction = String::with_capacity(8);
    decimal(1_000_000 + second % 1_000_000, &mut fraction);
    out.push_str(fraction.get(1..=digits).unwrap_or("000"));
    out.push('Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_reads_back() -> Result<(), serde_json::Error> {
        for text in [
            "",
            "plain",
            "a\"b\\c\nd\te\r",
            "caf\u{e9} \u{1f600}",
            r"\??\C:\Windows",
        ] {
            let mut out = String::new();
            quote(text, &mut out);
            assert_eq!(serde_json::from_str::<String>(&out)?, text);
        }
        Ok(())
    }

    #[test]
    fn a_time_is_written_in_rfc_3339() {
        let mut out = String::new();
        rfc3339(1_735_723_805_001_002, 6, &mut out);
        assert_eq!(out, "2025-01-01T09:30:05.001002Z");
    }
}
