//! The fields of one record, by a small machine that can wait for another line.

use crate::telemetry::lines::content;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// At the first byte of a field.
    #[default]
    Start,
    /// In a field without quotes; a quote here is a character.
    Bare,
    Quoted,
    /// After a quote in a quoted field: its end, or half of a doubled one.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    Whole,
    Open,
    Stray,
}

/// The fields of one record, unquoted; fed line by line so that a long record is scanned once.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: Vec<u8>,
    ends: Vec<usize>,
    state: State,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.state = State::Start;
    }

    pub(super) fn feed(&mut self, line: &[u8], delimiter: u8) -> Shape {
        let body = content(line);
        let mut rest = body;
        while let Some((&byte, after)) = rest.split_first() {
            match self.state {
                State::Start if byte == b'"' => {
                    self.state = State::Quoted;
                    rest = after;
                }
                State::Start | State::Bare => {
                    let end = rest.iter().position(|byte| *byte == delimiter);
                    self.text
                        .extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
                    self.state = State::Bare;
                    rest = match end {
                        Some(end) => {
                            self.end_field();
                            &rest[end + 1..]
                        }
                        None => &[],
                    };
                }
                State::Quoted => {
                    let end = rest.iter().position(|byte| *byte == b'"');
                    self.text
                        .extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
                    rest = match end {
                        Some(end) => {
                            self.state = State::Closed;
                            &rest[end + 1..]
                        }
                        None => &[],
                    };
                }
                State::Closed if byte == b'"' => {
                    self.text.push(b'"');
                    self.state = State::Quoted;
                    rest = after;
                }
                State::Closed if byte == delimiter => {
                    self.end_field();
                    rest = after;
                }
                State::Closed => return Shape::Stray,
            }
        }
        if self.state == State::Quoted {
            self.text.extend_from_slice(&line[body.len()..]);
            return Shape::Open;
        }
        self.end_field();
        Shape::Whole
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
        self.state = State::Start;
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field's text. The record's bytes are UTF-8 before anyone asks, and fields are cut at ASCII.
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        std::str::from_utf8(self.text.get(start..end)?).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(record: &str) -> Option<Vec<String>> {
        let mut fields = Fields::default();
        let mut shape = Shape::Open;
        for line in record.split_inclusive('\n') {
            shape = fields.feed(line.as_bytes(), b',');
        }
        (shape == Shape::Whole).then(|| fields.iter().map(str::to_owned).collect())
    }

    /// What csv-core makes of one record.
    fn oracle(record: &str) -> Vec<String> {
        let (mut text, mut ends) = ([0; 256], [0; 64]);
        let mut reader = csv_core::Reader::new();
        let (_, read, written, fields) =
            reader.read_record(record.as_bytes(), &mut text, &mut ends);
        let mut count = fields;
        if read == record.len() {
            let (_, _, _, more) =
                reader.read_record(b"", &mut text[written..], &mut ends[fields..]);
            count += more;
        }
        let mut start = 0;
        let cut = |end: &usize| {
            let field = String::from_utf8(text[start..*end].to_vec()).unwrap();
            start = *end;
            field
        };
        ends[..count].iter().map(cut).collect()
    }

    #[test]
    fn well_formed_records_are_split_as_csv_core_splits_them() {
        for record in [
            "a,b,c\n",
            "a,,c\n",
            ",,\n",
            "\"a\",\"b\"\n",
            "\"a,b\",c\r\n",
            "\"say \"\"hi\"\"\",x\n",
            "\"two\nlines\",x\n",
            "\"\",\"\"\n",
            "a\"b,c\n",
            "\"\"\"\",é\n",
            "\"a\r\nb\",c\r\n",
            "last,line",
        ] {
            assert_eq!(split(record), Some(oracle(record)), "{record:?}");
        }
    }

    #[test]
    fn text_after_a_closing_quote_is_no_field() {
        assert_eq!(split("\"C:\\a.exe\" -x,b\n"), None);
    }
}
