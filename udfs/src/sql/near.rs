//! Near-dedup within one guard key, as an aggregate: `GROUP BY guard`.
//!
//! Lines with one template are one line; of each template the first (events descending, then hash) stands for it and
//! goes through near-dedup ([`Leader`]) with its vector: the one given, else the lexical embedding. What stands for nothing is
//! covered by what covers its template's first. History is the lines of earlier days and is never reconsidered; those that were not
//! kept cover nothing, and are only told as similar.
//!
//! Cost: a group is held until its end, as text; the vectors of the day's templates exist while it is evaluated, those of history in
//! pieces. Vectors that are given are held with their lines. A group of one line without history needs no vector.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::GroupsAccumulator;
use prost::Message;

use super::function::Kind::{Bool, Date, Float, Int, Text, Vector};
use super::function::{Aggregate, Doc, State, failed};
use super::groups::{self, Groups};
use crate::text::canonical::{canonical, comparable};
use crate::text::lexical::{DIM, Lexical};
use crate::vector::near_duplicates::{Candidate, Cover, Fate, Leader, Verdict};

mod columns;
mod decision;
#[cfg(test)]
mod groups_tests;

use self::columns::Columns;
use self::decision::{Decision, Decisions, Near, decisions_type};

const NAME: &str = "cmd_near_duplicates";
/// Lines of history that are embedded and compared together.
const PIECE: usize = 1024;

const HASH: super::function::Argument = ("hash", Text);
const LINE: super::function::Argument = ("line", Text);
const TEMPLATE: super::function::Argument = ("template", Text);
const EVENTS: super::function::Argument = ("events", Int);
const DAY: super::function::Argument = ("day", Date);
const EARLIER: super::function::Argument = ("earlier", Bool);
const COSINE: super::function::Argument = ("cosine", Float);
const KEPT: super::function::Argument = ("kept", Bool);

/// The functions of this file.
pub static AGGREGATES: &[Aggregate] = &[Aggregate {
    name: NAME,
    forms: &[
        &[HASH, LINE, TEMPLATE, EVENTS, DAY, EARLIER, COSINE],
        &[HASH, LINE, TEMPLATE, EVENTS, DAY, EARLIER, COSINE, KEPT],
        &[
            HASH,
            LINE,
            TEMPLATE,
            EVENTS,
            DAY,
            EARLIER,
            COSINE,
            KEPT,
            ("vector", Vector),
        ],
    ],
    returns: decisions_type,
    state: || Box::new(Group::default()),
    doc: Doc {
        what: "Decides, for the lines of one guard key, which are kept and which are covered by a kept one (of an \
               earlier day where `earlier`; there only where `kept`, if that is given): one struct a line that is not of an earlier \
               day, with its most similar predecessors. `vector` has length 1; where it is NULL or not given, the lexical \
               embedding is used.",
        example: "SELECT array_length(cmd_near_duplicates(cmd_hash(l), l, cmd_template(l), 1, DATE '2025-01-01', false, \
                  CAST(0.75 AS FLOAT))) FROM (VALUES ('ping -n 1 10.0.0.7'), ('ping -n 2 10.0.0.8')) AS t (l)",
        result: "2",
    },
}];

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
    /// Of an earlier day, and not kept.
    #[prost(bool, tag = "7")]
    dropped: bool,
    /// As given; empty where the lexical embedding is meant.
    #[prost(float, repeated, tag = "8")]
    vector: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(message, repeated, tag = "1")]
    lines: Vec<Line>,
    #[prost(float, tag = "2")]
    threshold: f32,
    /// Bytes held: see [`State::size`].
    #[prost(uint64, tag = "3")]
    held: u64,
}

impl State for Group {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = Columns::of(values)?;
        for row in 0..columns.rows() {
            groups::Group::add(self, &columns, row)?;
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let other = Self::decode(bytes).map_err(|e| failed(NAME, e))?;
        if !other.lines.is_empty() {
            self.threshold = other.threshold;
            for line in other.lines {
                self.push(line);
            }
        }
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.encode_to_vec()))
    }

    fn evaluate(&self) -> Result<ScalarValue> {
        let mut decisions = Decisions::default();
        decisions.push(self.decide()?);
        Ok(ScalarValue::List(Arc::new(decisions.finish()?)))
    }

    fn groups(&self) -> Option<Box<dyn GroupsAccumulator>> {
        Some(Groups::<Self>::boxed())
    }

    fn size(&self) -> usize {
        usize::try_from(self.held).unwrap_or(usize::MAX)
    }
}

impl groups::Group for Group {
    const NAME: &'static str = NAME;
    type Rows<'a> = Columns<'a>;

    fn rows(values: &[ArrayRef]) -> Result<Columns<'_>> {
        Columns::of(values)
    }

    fn add(&mut self, rows: &Columns<'_>, row: usize) -> Result<()> {
        let (line, threshold) = rows.line(row)?;
        self.threshold = threshold;
        self.push(line);
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        State::merge(self, bytes)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    fn held(&self) -> usize {
        State::size(self)
    }

    fn results(groups: Vec<Self>) -> Result<ArrayRef> {
        let mut decisions = Decisions::default();
        for group in groups {
            decisions.push(group.decide()?);
        }
        Ok(Arc::new(decisions.finish()?))
    }
}

/// The line that covers, how, and the cosine.
type Covered<'a> = (&'a Line, &'static str, f32);

impl Group {
    fn push(&mut self, line: Line) {
        let texts = line.hash.len() + line.text.len() + line.template.len();
        self.held += (size_of::<Line>() + texts + size_of_val(line.vector.as_slice())) as u64;
        self.lines.push(line);
    }

    fn decide(&self) -> Result<Vec<Decision>> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        // The order of near-dedup; earlier days first, in the order of days.
        lines.sort_by(|a, b| {
            let day = |l: &Line| if l.earlier { l.day } else { i32::MAX };
            (day(a), Reverse(a.events), &a.hash).cmp(&(day(b), Reverse(b.events), &b.hash))
        });
        let (earlier, today): (Vec<&Line>, Vec<&Line>) = lines.into_iter().partition(|l| l.earlier);
        let mut known: BTreeMap<&str, &Line> = BTreeMap::new();
        for line in earlier.iter().filter(|line| !line.dropped) {
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
        let verdicts = judge(&leaders, &earlier, self.threshold)?;
        let place = |by: Cover| match by {
            Cover::History(i) => earlier[i],
            Cover::Candidate(i) => leaders[i],
        };
        let decided: Vec<(&Line, Option<Covered<'_>>)> = today
            .iter()
            .map(|&line| {
                let cover = match (
                    known.get(line.template.as_str()),
                    first.get(line.template.as_str()),
                ) {
                    (Some(&by), _) => Some((by, "template", 1.0)),
                    (None, Some(&leader)) => match verdicts[leader].fate {
                        Fate::Covered { by, cosine } => Some((place(by), "cosine", cosine)),
                        Fate::Kept if leaders[leader].hash == line.hash => None,
                        Fate::Kept => Some((leaders[leader], "template", 1.0)),
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
        let near = |line: &Line| {
            let leader = first
                .get(line.template.as_str())
                .filter(|leader| leaders[**leader].hash == line.hash);
            let nearest = leader.map_or(&[][..], |leader| &verdicts[*leader].nearest);
            let near = |(by, cosine): &(Cover, f32)| Near {
                hash: place(*by).hash.clone(),
                day: place(*by).day,
                cosine: cosine.min(1.0),
            };
            nearest.iter().map(near).collect()
        };
        let decided = decided.into_iter().map(|(line, cover)| Decision {
            hash: line.hash.clone(),
            covers: if cover.is_none() {
                covers.get(line.hash.as_str()).copied().unwrap_or_default()
            } else {
                0
            },
            cover: cover.map(|(by, how, cosine)| (by.hash.clone(), by.day, how, cosine.min(1.0))),
            near: near(line),
        });
        Ok(decided.collect())
    }
}

/// Near-dedup of the lines that stand for a template.
fn judge(leaders: &[&Line], earlier: &[&Line], threshold: f32) -> Result<Vec<Verdict>> {
    let kept = Verdict {
        fate: Fate::Kept,
        nearest: vec![],
    };
    if leaders.is_empty() || (leaders.len() == 1 && earlier.is_empty()) {
        return Ok(vec![kept; leaders.len()]);
    }
    let given = leaders[0].vector.len();
    if leaders
        .iter()
        .chain(earlier)
        .any(|l| l.vector.len() != given)
    {
        let why = "the vectors of a guard key are of different widths, or some are NULL: embed all lines, those of earlier \
                   days too, with one embedder";
        return Err(failed(NAME, why));
    }
    let vectors = embedded(leaders);
    let d = if given > 0 { given } else { DIM };
    let candidates: Vec<Candidate<'_>> = leaders
        .iter()
        .zip(vectors.chunks_exact(d))
        .map(|(l, vector)| Candidate {
            events: u64::try_from(l.events).unwrap_or_default(),
            hash: l.hash.as_bytes(),
            vector,
        })
        .collect();
    let mut leader = Leader::new(&candidates, threshold);
    drop(candidates);
    drop(vectors);
    for (piece, first) in earlier.chunks(PIECE).zip((0..).step_by(PIECE)) {
        let kept: Vec<bool> = piece.iter().map(|line| !line.dropped).collect();
        leader.history(first, &embedded(piece), &kept);
    }
    Ok(leader.finish())
}

/// The vectors of lines, row-major: those given, else of the lexical embedding.
fn embedded(lines: &[&Line]) -> Vec<f32> {
    let lexical = Lexical::default();
    let (mut text, mut vector) = (String::new(), Box::new([0.0; DIM]));
    let mut vectors = vec![];
    for line in lines {
        if line.vector.is_empty() {
            canonical(&line.text, &mut text);
            lexical.embed(&comparable(&text), &mut vector);
            vectors.extend_from_slice(vector.as_slice());
        } else {
            vectors.extend_from_slice(&line.vector);
        }
    }
    vectors
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
            ..Line::default()
        }
    }

    fn decide(lines: Vec<Line>) -> BTreeMap<String, Decision> {
        let decided = Group {
            lines,
            threshold: 0.75,
            held: 0,
        }
        .decide()
        .unwrap();
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
            "robocopy c:\\data2\\alpha d:\\backup\\alpha /mir",
            "robocopy c:\\database\\alpha d:\\backup\\alpha /mir",
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
            held: 0,
        };
        let bytes = group.bytes().ok().flatten().unwrap_or_default();
        let mut other = Group::default();
        assert!(State::merge(&mut other, &bytes).is_ok());
        assert_eq!(other.decide().unwrap(), group.decide().unwrap());
        assert!(other.size() > 0);
    }

    #[test]
    fn a_line_tells_what_is_similar_to_it_kept_or_not() {
        let mut old = line("type C:\\data\\app\\a.txt", 1, true);
        old.dropped = true;
        let new = line("type C:\\data\\applications\\a.txt", 1, false);
        let decided = decide(vec![old.clone(), new.clone()]);
        let decision = &decided[&new.hash];
        assert_eq!(decision.cover, None);
        assert_eq!(decision.near.len(), 1);
        assert_eq!(
            (&decision.near[0].hash, decision.near[0].day),
            (&old.hash, 1)
        );
        assert!(decision.near[0].cosine > 0.6, "{:?}", decision.near);
    }

    #[test]
    fn vectors_that_are_given_decide_and_must_be_of_one_width() {
        let with = |text: &str, vector: &[f32]| Line {
            vector: vector.to_vec(),
            ..line(text, 1, false)
        };
        let (a, b) = (with("type a", &[1.0, 0.0]), with("copy b c", &[0.6, 0.8]));
        assert!(
            decide(vec![a.clone(), b.clone()])
                .values()
                .all(|d| d.cover.is_none())
        );
        let b = with("copy b c", &[0.8, 0.6]);
        let covered = |d: &&Decision| d.cover.is_some();
        assert_eq!(
            decide(vec![a.clone(), b]).values().filter(covered).count(),
            1
        );
        let group = Group {
            lines: vec![a, line("copy b c", 1, false)],
            threshold: 0.75,
            held: 0,
        };
        let error = group.decide().map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains("different widths") && !error.contains("copy b"),
            "{error}"
        );
    }

    #[test]
    fn a_column_of_vectors_of_several_widths_is_refused_rather_than_left_out() {
        use datafusion::arrow::array::{
            BooleanArray, Date32Array, Float32Array, Int64Array, ListArray, StringArray,
        };
        use datafusion::arrow::datatypes::Float32Type;
        use std::sync::Arc;

        let update = |vectors: [Option<Vec<Option<f32>>>; 2]| {
            let texts = |a: &str, b: &str| Arc::new(StringArray::from(vec![a, b])) as ArrayRef;
            let mut group = Group::default();
            let columns: Vec<ArrayRef> = vec![
                texts("h1", "h2"),
                texts("type a", "copy b c"),
                texts("type a", "copy b c"),
                Arc::new(Int64Array::from(vec![1, 1])),
                Arc::new(Date32Array::from(vec![1, 1])),
                Arc::new(BooleanArray::from(vec![false, false])),
                Arc::new(Float32Array::from(vec![0.75, 0.75])),
                Arc::new(BooleanArray::from(vec![true, true])),
                Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(vectors)),
            ];
            group.update(&columns).map(|()| group.lines)
        };
        let wide = |width: usize| Some(vec![Some(0.5_f32); width]);
        let error = update([wide(2), wide(3)]).map(|_| ()).unwrap_err();
        assert!(
            error.to_string().contains("vectors of one width"),
            "{error}"
        );
        let widths = |lines: Vec<Line>| lines.iter().map(|l| l.vector.len()).collect::<Vec<_>>();
        assert_eq!(widths(update([wide(2), None]).unwrap()), [2, 0]);
        assert_eq!(
            widths(update([None, None]).unwrap()),
            [0, 0],
            "as of the lexical embedder"
        );
    }
}
