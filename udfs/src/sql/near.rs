//! Near-dedup within one guard key, as an aggregate: `GROUP BY guard`.
//!
//! Lines with one template are one line; of each template the first (events descending, then hash) stands for it and
//! goes through [`near_duplicates`] with its lexical embedding. What stands for nothing is covered by what covers its
//! template's first. History is the kept lines of earlier days and is never reconsidered.
//!
//! Cost: a group is held until its end, as text; vectors (2 kB a template) exist while it is evaluated.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Date32Builder, Float32Builder, Int64Builder, ListArray, StringBuilder,
    StructArray,
};
use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use prost::Message;

use super::arguments::{float_column, int_column, text_column};
use super::function::Kind::{Bool, Date, Float, Int, Text};
use super::function::{Aggregate, Doc, State, failed};
use crate::text::canonical::canonical;
use crate::text::lexical::{DIM, Lexical};
use crate::vector::near_duplicates::{Candidate, Cover, Fate, near_duplicates};

const NAME: &str = "cmd_near_duplicates";

/// The functions of this file.
pub static AGGREGATES: &[Aggregate] = &[Aggregate {
    name: NAME,
    arguments: &[
        ("hash", Text),
        ("line", Text),
        ("template", Text),
        ("events", Int),
        ("day", Date),
        ("earlier", Bool),
        ("cosine", Float),
    ],
    returns: || {
        DataType::List(Arc::new(Field::new(
            "item",
            DataType::Struct(decision_fields()),
            true,
        )))
    },
    state: || Box::new(Group::default()),
    doc: Doc {
        what: "Decides, for the lines of one guard key, which are kept and which are covered by a kept one (of an \
               earlier day where `earlier`): one struct a line that is not of an earlier day.",
        example: "SELECT array_length(cmd_near_duplicates(cmd_hash(l), l, cmd_template(l), 1, DATE '2025-01-01', false, \
                  CAST(0.75 AS FLOAT))) FROM (VALUES ('ping -n 1 10.0.0.7'), ('ping -n 2 10.0.0.8')) AS t (l)",
        result: "2",
    },
}];

fn decision_fields() -> Fields {
    Fields::from(vec![
        Field::new("hash", DataType::Utf8, true),
        Field::new("covered_by", DataType::Utf8, true),
        Field::new("covered_day", DataType::Date32, true),
        Field::new("covered_how", DataType::Utf8, true),
        Field::new("cosine", DataType::Float32, true),
        Field::new("covers", DataType::Int64, true),
    ])
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(string, tag = "1")]
    hash: String,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    template: String,
    #[prost(int64, tag = "4")]
    events: i64,
    #[prost(int32, tag = "5")]
    day: i32,
    #[prost(bool, tag = "6")]
    earlier: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(message, repeated, tag = "1")]
    lines: Vec<Line>,
    #[prost(float, tag = "2")]
    threshold: f32,
}

impl State for Group {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let text = |i| text_column(NAME, values, i);
        let (hashes, lines, templates) = (text(0)?, text(1)?, text(2)?);
        let (events, thresholds) = (int_column(NAME, values, 3)?, float_column(NAME, values, 6)?);
        let days = values
            .get(4)
            .and_then(|d| d.as_primitive_opt::<Date32Type>());
        let days = days.ok_or_else(|| failed(NAME, "argument 5 must be a date"))?;
        let earlier: &BooleanArray = values
            .get(5)
            .and_then(|e| e.as_boolean_opt())
            .ok_or_else(|| failed(NAME, "argument 6 must be a boolean"))?;
        for row in 0..hashes.len() {
            let texts = [hashes, lines, templates];
            let missing = texts.iter().any(|column| column.is_null(row))
                || events.is_null(row)
                || days.is_null(row)
                || earlier.is_null(row)
                || thresholds.is_null(row);
            if missing {
                return Err(failed(NAME, "no argument may be NULL"));
            }
            self.threshold = thresholds.value(row);
            self.lines.push(Line {
                hash: hashes.value(row).to_owned(),
                text: lines.value(row).to_owned(),
                template: templates.value(row).to_owned(),
                events: events.value(row),
                day: days.value(row),
                earlier: earlier.value(row),
            });
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let other = Self::decode(bytes).map_err(|e| failed(NAME, e))?;
        if !other.lines.is_empty() {
            self.threshold = other.threshold;
            self.lines.extend(other.lines);
        }
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.encode_to_vec()))
    }

    fn evaluate(&self) -> Result<ScalarValue> {
        decisions(self.decide())
    }

    fn size(&self) -> usize {
        self.lines
            .iter()
            .map(|l| size_of::<Line>() + l.hash.len() + l.text.len() + l.template.len())
            .sum()
    }
}

/// The line that covers, how, and the cosine.
type Covered<'a> = (&'a Line, &'static str, f32);

#[derive(Debug, Clone, PartialEq)]
struct Decision {
    hash: String,
    cover: Option<(String, i32, &'static str, f32)>,
    covers: i64,
}

impl Group {
    fn decide(&self) -> Vec<Decision> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        // The order of near-dedup; earlier days first, in the order of days.
        lines.sort_by(|a, b| {
            let day = |l: &Line| if l.earlier { l.day } else { i32::MAX };
            (day(a), Reverse(a.events), &a.hash).cmp(&(day(b), Reverse(b.events), &b.hash))
        });
        let (earlier, today): (Vec<&Line>, Vec<&Line>) = lines.into_iter().partition(|l| l.earlier);
        let mut known: BTreeMap<&str, &Line> = BTreeMap::new();
        for line in &earlier {
            known.entry(&line.template).or_insert(line);
        }
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        let mut leaders: Vec<&Line> = vec![];
        for &line in &today {
            if !known.contains_key(line.template.as_str()) {
                first.entry(&line.template).or_insert_with(|| {
                    leaders.push(line);
                    leaders.len() - 1
                });
            }
        }
        let history: Vec<Box<[f32; DIM]>> = if leaders.is_empty() {
            vec![]
        } else {
            earlier.iter().map(|l| embedding(&l.text)).collect()
        };
        let vectors: Vec<Box<[f32; DIM]>> = leaders.iter().map(|l| embedding(&l.text)).collect();
        let candidates: Vec<Candidate<'_>> = leaders
            .iter()
            .zip(&vectors)
            .map(|(l, vector)| Candidate {
                events: u64::try_from(l.events).unwrap_or_default(),
                hash: l.hash.as_bytes(),
                vector: vector.as_slice(),
            })
            .collect();
        let history: Vec<&[f32]> = history.iter().map(|v| v.as_slice()).collect();
        let fates = near_duplicates(&candidates, &history, self.threshold);
        let near = |leader: usize| match fates[leader] {
            Fate::Kept => None,
            Fate::Covered {
                by: Cover::History(i),
                cosine,
            } => Some((earlier[i], cosine)),
            Fate::Covered {
                by: Cover::Candidate(i),
                cosine,
            } => Some((leaders[i], cosine)),
        };
        let decided: Vec<(&Line, Option<Covered<'_>>)> = today
            .iter()
            .map(|&line| {
                let cover = match (
                    known.get(line.template.as_str()),
                    first.get(line.template.as_str()),
                ) {
                    (Some(&by), _) => Some((by, "template", 1.0)),
                    (None, Some(&leader)) => match near(leader) {
                        Some((by, cosine)) => Some((by, "cosine", cosine)),
                        None if leaders[leader].hash == line.hash => None,
                        None => Some((leaders[leader], "template", 1.0)),
                    },
                    (None, None) => None,
                };
                (line, cover)
            })
            .collect();
        let mut covers: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, cover) in &decided {
            if let Some((by, _, _)) = cover {
                *covers.entry(by.hash.as_str()).or_default() += 1;
            }
        }
        decided
            .into_iter()
            .map(|(line, cover)| Decision {
                hash: line.hash.clone(),
                covers: if cover.is_none() {
                    covers.get(line.hash.as_str()).copied().unwrap_or_default()
                } else {
                    0
                },
                cover: cover.map(|(by, how, cosine)| (by.hash.clone(), by.day, how, cosine)),
            })
            .collect()
    }
}

fn embedding(line: &str) -> Box<[f32; DIM]> {
    let mut text = String::new();
    canonical(line, &mut text);
    let mut vector = Box::new([0.0; DIM]);
    Lexical::default().embed(&text, &mut vector);
    vector
}

fn decisions(decided: Vec<Decision>) -> Result<ScalarValue> {
    let rows = decided.len();
    let (mut hash, mut by, mut how) = (
        StringBuilder::new(),
        StringBuilder::new(),
        StringBuilder::new(),
    );
    let (mut day, mut cosine, mut covers) = (
        Date32Builder::new(),
        Float32Builder::new(),
        Int64Builder::new(),
    );
    for decision in decided {
        hash.append_value(&decision.hash);
        covers.append_value(decision.covers);
        let cover = decision.cover.as_ref();
        by.append_option(cover.map(|c| c.0.as_str()));
        day.append_option(cover.map(|c| c.1));
        how.append_option(cover.map(|c| c.2));
        cosine.append_option(cover.map(|c| c.3));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(hash.finish()),
        Arc::new(by.finish()),
        Arc::new(day.finish()),
        Arc::new(how.finish()),
        Arc::new(cosine.finish()),
        Arc::new(covers.finish()),
    ];
    let structs = StructArray::try_new(decision_fields(), columns, None)?;
    let item = Arc::new(Field::new(
        "item",
        DataType::Struct(decision_fields()),
        true,
    ));
    let list = ListArray::try_new(
        item,
        OffsetBuffer::from_lengths([rows]),
        Arc::new(structs),
        None,
    )?;
    Ok(ScalarValue::List(Arc::new(list)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, events: i64, earlier: bool) -> Line {
        let mut template = String::new();
        canonical(text, &mut template);
        let hash = crate::sql::text::content_hash(text);
        Line {
            hash,
            text: text.to_owned(),
            template,
            events,
            day: if earlier { 1 } else { 2 },
            earlier,
        }
    }

    fn decide(lines: Vec<Line>) -> BTreeMap<String, Decision> {
        let decided = Group {
            lines,
            threshold: 0.75,
        }
        .decide();
        decided.into_iter().map(|d| (d.hash.clone(), d)).collect()
    }

    #[test]
    fn the_most_frequent_line_of_a_template_covers_the_others() {
        let (rare, common) = (
            line("ping -n 1 10.0.0.7", 1, false),
            line("ping -n 2 10.0.0.8", 9, false),
        );
        let decided = decide(vec![rare.clone(), common.clone()]);
        assert_eq!(decided[&common.hash].cover, None);
        assert_eq!(decided[&common.hash].covers, 1);
        assert_eq!(
            decided[&rare.hash].cover,
            Some((common.hash, 2, "template", 1.0))
        );
    }

    #[test]
    fn a_line_of_an_earlier_day_covers_and_is_not_decided_again() {
        let (old, new) = (
            line("ping -n 1 10.0.0.7", 1, true),
            line("ping -n 2 10.0.0.8", 9, false),
        );
        let decided = decide(vec![new.clone(), old.clone()]);
        assert_eq!(decided.len(), 1);
        assert_eq!(
            decided[&new.hash].cover,
            Some((old.hash, 1, "template", 1.0))
        );
    }

    #[test]
    fn what_covers_is_kept_itself() {
        let texts = [
            "robocopy c:\\data\\alpha d:\\backup\\alpha /mir",
            "robocopy c:\\data\\alpha d:\\backup\\alpha2 /mir",
            "robocopy c:\\data\\alphabet d:\\backup\\alpha /mir",
            "robocopy x:\\other\\thing y:\\elsewhere\\entirely /mir",
        ];
        let decided = decide(texts.iter().map(|t| line(t, 1, false)).collect());
        for decision in decided.values() {
            if let Some((by, ..)) = &decision.cover {
                assert_eq!(decided[by].cover, None);
            }
        }
    }

    #[test]
    fn the_state_survives_its_bytes() {
        let group = Group {
            lines: vec![line("a b", 1, false)],
            threshold: 0.5,
        };
        let bytes = group.bytes().ok().flatten().unwrap_or_default();
        let mut other = Group::default();
        assert!(State::merge(&mut other, &bytes).is_ok());
        assert_eq!(other.decide(), group.decide());
    }
}
