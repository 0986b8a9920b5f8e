//! Functions over the text of a command line.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float32Builder, Int64Array,
    ListBuilder, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;

use super::arguments::Args;
use super::function::Kind::{Bool, Int, Text, Vector};
use super::function::{Doc, Scalar, failed, texts_type, vector_type};
use crate::model_cache;
use crate::sketch::document_frequency::{CorpusModel, DocumentFrequencies};
use crate::text::canonical;
use crate::text::catalog::{CATALOG, N_FEATURES};
use crate::text::features::{self, Context, Featurizer};
use crate::text::lexical::{DIM, Lexical};
use crate::text::{decode, guard};
use crate::vector::cosine;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a few hundred features"
)]
const WIDTH: i32 = N_FEATURES as i32;
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "512 dimensions"
)]
const EMBEDDING: i32 = DIM as i32;

const LINE: super::function::Argument = ("line", Text);

/// The functions of this file.
pub static SCALARS: &[Scalar] = &[
    Scalar {
        name: "cmd_hash",
        forms: &[&[LINE]],
        returns: || DataType::Utf8,
        call: |args| map_text(args, |line| Some(content_hash(line))),
        doc: Doc {
            what: "The first 128 bits of the line's BLAKE3 hash, as 32 hex digits: its name in every table.",
            example: "SELECT cmd_hash('whoami')",
            result: "8360800091ae2b739478f5ce76723cdc",
        },
    },
    Scalar {
        name: "cmd_bucket",
        forms: &[&[("text", Text), ("buckets", Int)]],
        returns: || DataType::Int64,
        call: bucket,
        doc: Doc {
            what: "Which of `buckets` (a power of two) a text belongs to, by the leading bits of its hash: buckets in \
                   order hold hashes in order. NULL for NULL.",
            example: "SELECT cmd_bucket('whoami', 16)",
            result: "8",
        },
    },
    Scalar {
        name: "cmd_entropy",
        forms: &[&[LINE]],
        returns: || DataType::Float32,
        call: |args| {
            let lines = args.text(0)?;
            Ok(Arc::new(
                lines
                    .iter()
                    .map(|l| l.map(features::entropy))
                    .collect::<Float32Array>(),
            ))
        },
        doc: Doc {
            what: "Shannon entropy of the line, in bits a character.",
            example: "SELECT cmd_entropy('aabb')",
            result: "1.0",
        },
    },
    Scalar {
        name: "cmd_normalize",
        forms: &[&[LINE]],
        returns: || DataType::Utf8,
        call: |args| {
            map_text(args, |line| {
                let mut out = String::new();
                canonical::canonical(line, &mut out);
                Some(out)
            })
        },
        doc: Doc {
            what: "The canonical text of a line: numbers, GUIDs, hashes, hosts, users, temporary paths and other \
                   volatile parts are placeholders.",
            example: "SELECT cmd_normalize('ping -n 4 10.0.0.7')",
            result: "ping -n <num> <ip>",
        },
    },
    Scalar {
        name: "cmd_comparable",
        forms: &[&[LINE]],
        returns: || DataType::Utf8,
        call: |args| {
            map_text(args, |line| {
                let mut out = String::new();
                canonical::canonical(line, &mut out);
                Some(canonical::comparable(&out).into_owned())
            })
        },
        doc: Doc {
            what: "The canonical text as lines are compared by it: a host is a host by name or by address, a number a number \
                   with hexadecimal letters or without. Its hash is the template, its vector the line's.",
            example: "SELECT cmd_comparable('ping -n 4 10.0.0.7') = cmd_comparable('ping -n 4 db1.corp.local')",
            result: "true",
        },
    },
    Scalar {
        name: "cmd_template",
        forms: &[&[LINE]],
        returns: || DataType::Utf8,
        call: |args| map_text(args, |line| Some(canonical::template_hash(line))),
        doc: Doc {
            what: "Hash of the comparable canonical text: equal for lines that differ only in volatile parts.",
            example: "SELECT cmd_template('ping -n 4 10.0.0.7') = cmd_template('ping -n 9 10.0.0.8')",
            result: "true",
        },
    },
    Scalar {
        name: "cmd_guard",
        forms: &[&[LINE]],
        returns: || DataType::Utf8,
        call: |args| map_text(args, |line| Some(guard::guard_key(line).text)),
        doc: Doc {
            what: "The guard key: binary, verbs, flags, operators and sensitive targets. Lines of different guard keys \
                   are never near-duplicates.",
            example: "SELECT cmd_guard('git push --force') = cmd_guard('git pull --force')",
            result: "false",
        },
    },
    Scalar {
        name: "cmd_tokens",
        forms: &[&[LINE]],
        returns: texts_type,
        call: |args| {
            map_texts(args, |line| {
                features::tokens(line)
                    .into_iter()
                    .map(str::to_owned)
                    .collect()
            })
        },
        doc: Doc {
            what: "The words of a line, in order.",
            example: "SELECT cmd_tokens('reg add HKLM\\Software')",
            result: "[reg, add, HKLM, Software]",
        },
    },
    Scalar {
        name: "cmd_behaviors",
        forms: &[&[LINE]],
        returns: texts_type,
        call: |args| {
            let mut featurizer = Featurizer::new();
            map_texts(args, |line| {
                featurizer
                    .behaviors(line)
                    .into_iter()
                    .map(str::to_owned)
                    .collect()
            })
        },
        doc: Doc {
            what: "The behavioural tags of a line (obfuscation, data transfer, credential dumping …): see \
                   `gleaner functions --behaviors`.",
            example: "SELECT cmd_behaviors('history -c')",
            result: "[history_c]",
        },
    },
    Scalar {
        name: "cmd_decode",
        forms: &[&[LINE]],
        returns: texts_type,
        call: |args| map_texts(args, |line| decode::decode(line).texts),
        doc: Doc {
            what: "What is encoded in a line (base64, hex, casts, carets …), decoded, up to three levels deep.",
            example: "SELECT cmd_decode('echo d2hvYW1p | base64 -d')",
            result: "[whoami]",
        },
    },
    Scalar {
        name: "cmd_embed",
        forms: &[&[LINE]],
        returns: || vector_type(EMBEDDING),
        call: embed,
        doc: Doc {
            what: "The built-in lexical embedding of the line's canonical text: hashed words and character 3–5-grams, \
                   512 dimensions, length 1.",
            example: "SELECT round(vec_cosine(cmd_embed('git push origin main'), cmd_embed('git push origin main')), 3)",
            result: "1.0",
        },
    },
    Scalar {
        name: "vec_cosine",
        forms: &[&[("a", Vector), ("b", Vector)]],
        returns: || DataType::Float32,
        call: cosine_of,
        doc: Doc {
            what: "Cosine of the angle between two vectors of one width; 0 where one of them is 0.",
            example: "SELECT vec_cosine(cmd_embed('ls'), cmd_embed('ls')) > 0.99",
            result: "true",
        },
    },
    Scalar {
        name: "cmd_features",
        forms: &[
            &[LINE],
            &[LINE, ("frequencies", Text)],
            &[
                LINE,
                ("image", Text),
                ("parent_image", Text),
                ("original_file_name", Text),
                ("user_sid", Text),
                ("integrity_level", Text),
                ("signed", Bool),
                ("signer_trusted", Bool),
                ("frequencies", Text),
            ],
        ],
        returns: || vector_type(WIDTH),
        call: compute_features,
        doc: Doc {
            what: "The features of the catalog, in its order (`gleaner functions --features`). `frequencies` is the URI \
                   of a day's token frequencies (table `models`); without it the corpus features are NULL, as context \
                   features are without their column.",
            example: "SELECT array_length(cmd_features('whoami')) = array_length(cmd_feature_names())",
            result: "true",
        },
    },
    Scalar {
        name: "cmd_feature_names",
        forms: &[&[]],
        returns: texts_type,
        call: |args| {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for _ in 0..args.rows() {
                for feature in CATALOG {
                    builder.values().append_value(feature.name);
                }
                builder.append(true);
            }
            Ok(Arc::new(builder.finish()))
        },
        doc: Doc {
            what: "The names of the features, in the order of `cmd_features`.",
            example: "SELECT cmd_feature_names()[1]",
            result: "commandline_len",
        },
    },
    Scalar {
        name: "cmd_feature",
        forms: &[&[LINE, ("name", Text)]],
        returns: || DataType::Float32,
        call: one_feature,
        doc: Doc {
            what: "One feature of a line, by name.",
            example: "SELECT cmd_feature('a | b', 'pipe_count')",
            result: "1.0",
        },
    },
];

/// See `cmd_hash`.
#[must_use]
pub fn content_hash(text: &str) -> String {
    let hash = blake3::hash(text.as_bytes());
    hash.to_hex()[..32].to_owned()
}

fn map_text(args: &Args<'_>, f: impl Fn(&str) -> Option<String>) -> Result<ArrayRef> {
    Ok(Arc::new(
        args.text(0)?
            .iter()
            .map(|text| text.and_then(&f))
            .collect::<StringArray>(),
    ))
}

fn map_texts(args: &Args<'_>, mut f: impl FnMut(&str) -> Vec<String>) -> Result<ArrayRef> {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for text in args.text(0)? {
        match text {
            Some(text) => {
                for item in f(text) {
                    builder.values().append_value(item);
                }
                builder.append(true);
            }
            None => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn bucket(args: &Args<'_>) -> Result<ArrayRef> {
    let (texts, counts) = (args.text(0)?, args.int(1)?);
    let mut out = Vec::with_capacity(texts.len());
    for (text, count) in texts.iter().zip(counts) {
        let (Some(text), Some(count)) = (text, count) else {
            out.push(None);
            continue;
        };
        let bits = match u64::try_from(count) {
            Ok(count) if count.is_power_of_two() && count <= 1 << 32 => count.trailing_zeros(),
            _ => {
                return Err(failed(
                    "cmd_bucket",
                    format!("buckets must be a power of two up to 2^32, got {count}"),
                ));
            }
        };
        let hash = blake3::hash(text.as_bytes());
        let head = u64::from_be_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default());
        out.push(Some(if bits == 0 {
            0
        } else {
            i64::try_from(head >> (64 - bits)).unwrap_or_default()
        }));
    }
    Ok(Arc::new(Int64Array::from(out)))
}

fn embed(args: &Args<'_>) -> Result<ArrayRef> {
    let lexical = Lexical::default();
    let mut values = Float32Builder::with_capacity(args.rows() * DIM);
    let mut valid = Vec::with_capacity(args.rows());
    let (mut text, mut vector) = (String::new(), Box::new([0.0f32; DIM]));
    for line in args.text(0)? {
        valid.push(line.is_some());
        canonical::canonical(line.unwrap_or_default(), &mut text);
        lexical.embed(&canonical::comparable(&text), &mut vector);
        values.append_slice(vector.as_slice());
    }
    list(EMBEDDING, values.finish(), valid)
}

fn cosine_of(args: &Args<'_>) -> Result<ArrayRef> {
    let (a, b) = (args.vector(0)?, args.vector(1)?);
    if a.width() != b.width() {
        return Err(failed(
            "vec_cosine",
            format!(
                "the vectors have {} and {} dimensions",
                a.width(),
                b.width()
            ),
        ));
    }
    let (mut x, mut y) = (vec![0.0; a.width()], vec![0.0; a.width()]);
    let cosines = (0..args.rows()).map(|row| {
        if a.is_null(row) || b.is_null(row) {
            return None;
        }
        a.copy(row, &mut x);
        b.copy(row, &mut y);
        Some(cosine::cosine(&x, &y))
    });
    Ok(Arc::new(cosines.collect::<Float32Array>()))
}

/// A fixed-size list column of `width`.
pub(super) fn list(width: i32, values: Float32Array, valid: Vec<bool>) -> Result<ArrayRef> {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Ok(Arc::new(FixedSizeListArray::try_new(
        item,
        width,
        Arc::new(values),
        Some(valid.into()),
    )?))
}

fn compute_features(args: &Args<'_>) -> Result<ArrayRef> {
    let lines = args.text(0)?;
    let frequencies = match args.count() {
        1 => None,
        n => Some(args.literal_text(n - 1)?),
    };
    let frequencies = frequencies
        .map(|uri| {
            model_cache::load(uri, |bytes| {
                let frequencies = DocumentFrequencies::from_bytes(bytes);
                frequencies
                    .map(CorpusModel::from)
                    .map_err(|e| e.to_string())
            })
            .map_err(|e| failed("cmd_features", e))
        })
        .transpose()?;
    let context = if args.count() == 9 {
        Some(Columns::new(args)?)
    } else {
        None
    };
    let mut featurizer = Featurizer::new();
    let mut row = [0.0f32; N_FEATURES];
    let mut values = Float32Builder::with_capacity(lines.len() * N_FEATURES);
    let mut valid = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        valid.push(line.is_some());
        let context = context
            .as_ref()
            .map_or_else(Context::default, |columns| columns.at(i));
        featurizer.compute(
            line.unwrap_or_default(),
            &context,
            frequencies.as_deref(),
            &mut row,
        );
        for &value in &row {
            values.append_option((!value.is_nan()).then_some(value));
        }
    }
    list(WIDTH, values.finish(), valid)
}

/// The columns of process context.
struct Columns<'a> {
    texts: [&'a StringArray; 5],
    flags: [&'a BooleanArray; 2],
}

impl<'a> Columns<'a> {
    fn new(args: &'a Args<'_>) -> Result<Self> {
        Ok(Self {
            texts: [
                args.text(1)?,
                args.text(2)?,
                args.text(3)?,
                args.text(4)?,
                args.text(5)?,
            ],
            flags: [args.boolean(6)?, args.boolean(7)?],
        })
    }

    fn at(&self, row: usize) -> Context<'a> {
        let text = |i: usize| {
            self.texts[i]
                .is_valid(row)
                .then(|| self.texts[i].value(row))
        };
        let flag = |i: usize| {
            self.flags[i]
                .is_valid(row)
                .then(|| self.flags[i].value(row))
        };
        Context {
            image: text(0),
            parent_image: text(1),
            original_file_name: text(2),
            user_sid: text(3),
            integrity_level: text(4),
            signed: flag(0),
            signer_trusted: flag(1),
        }
    }
}

fn one_feature(args: &Args<'_>) -> Result<ArrayRef> {
    let name = args.literal_text(1)?;
    let position = crate::text::catalog::position(name).ok_or_else(|| {
        failed(
            "cmd_feature",
            format!("no feature is named {name:?}; `gleaner functions --features` lists them"),
        )
    })?;
    let mut featurizer = Featurizer::new();
    let mut row = [0.0f32; N_FEATURES];
    let values = args.text(0)?.iter().map(|line| {
        featurizer.compute(line?, &Context::default(), None, &mut row);
        Some(row[position]).filter(|value| !value.is_nan())
    });
    Ok(Arc::new(values.collect::<Float32Array>()))
}
