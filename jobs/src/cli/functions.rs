//! `gleaner functions`.

use gleaner_udfs::api::API_CATALOG;
use gleaner_udfs::text::behaviors;
use gleaner_udfs::text::catalog::CATALOG;
use serde_json::json;

use super::output;
use crate::categorical::CategoricalBy;
use crate::error::JobError;

/// Flags of `gleaner functions`.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only names that contain this.
    name: Option<String>,
    /// The features of `cmd_features` instead.
    #[arg(long, conflicts_with = "behaviors")]
    features: bool,
    /// The tags of `cmd_behaviors` instead.
    #[arg(long)]
    behaviors: bool,
    /// The features of requests to APIs instead.
    #[arg(long, conflicts_with_all = ["features", "behaviors"])]
    api_features: bool,
    /// With the columns of this encoding of categorical values.
    #[arg(long, value_enum, default_value_t, requires = "api_features")]
    categorical: CategoricalBy,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When nothing has that name, or standard output is closed.
pub fn main(args: &Args) -> Result<(), JobError> {
    let wanted = |name: &str| {
        args.name
            .as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    };
    let mut shown = 0;
    let mut show = |name: &str, object: serde_json::Value, text: String| {
        if !wanted(name) {
            return Ok(());
        }
        shown += 1;
        output::line(&if args.json { object.to_string() } else { text })
    };
    if args.features {
        for f in CATALOG {
            let family = format!("{:?}", f.family).to_lowercase();
            let technique = f.technique.unwrap_or("");
            let object = json!({
                "name": f.name, "family": family, "formula": f.formula, "unit": f.unit,
                "low": f.low.is_finite().then_some(f.low), "high": f.high.is_finite().then_some(f.high),
                "technique": f.technique, "source": f.source,
            });
            let text = format!(
                "{:<36} {family:<11} {technique:<10} {} [{}]",
                f.name, f.formula, f.unit
            );
            show(f.name, object, text)?;
        }
    } else if args.api_features {
        for f in API_CATALOG {
            let family = format!("{:?}", f.family).to_lowercase();
            let object =
                json!({ "name": f.name, "family": family, "formula": f.formula, "unit": f.unit });
            let text = format!("{:<36} {family:<11} {} [{}]", f.name, f.formula, f.unit);
            show(f.name, object, text)?;
        }
        for c in args.categorical.choice().columns() {
            let family = format!("{:?}", c.family).to_lowercase();
            let object =
                json!({ "name": c.name, "family": family, "formula": c.formula, "unit": c.unit });
            let text = format!("{:<36} {family:<11} {} [{}]", c.name, c.formula, c.unit);
            show(&c.name, object, text)?;
        }
    } else if args.behaviors {
        for b in behaviors::all() {
            let group = format!("{:?}", b.group).to_lowercase();
            let object = json!({ "name": b.name, "group": group, "technique": b.technique });
            show(
                b.name,
                object,
                format!("{:<36} {group:<24} {}", b.name, b.technique),
            )?;
        }
    } else {
        for f in gleaner_udfs::described() {
            let returns = f.returns.to_string();
            let object = json!({
                "name": f.name, "kind": f.kind, "signatures": f.signatures, "returns": returns,
                "what": f.doc.what, "example": f.doc.example, "result": f.doc.result,
            });
            let signatures = f.signatures.join("\n");
            let text = format!(
                "{signatures}\n    {} ({}, returns {returns})\n    {}  -->  {}\n",
                f.doc.what, f.kind, f.doc.example, f.doc.result
            );
            show(f.name, object, text)?;
        }
    }
    if shown == 0 {
        return Err(JobError::Usage(format!(
            "nothing is named {:?}",
            args.name.as_deref().unwrap_or("")
        )));
    }
    Ok(())
}
