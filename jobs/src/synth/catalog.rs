//! Reads the grammar files into templates, parents, rules and products.
//!
//! The files under `grammar/` are data: a detection engineer extends the fleet without touching Rust. A block is
//!
//! ```text
//! @ name on=wd as=user churn=80 from=explorer,cmd
//! C:\path\of\the\image.exe
//! command line pattern
//! another pattern of the same template
//! ```
//!
//! - The image `auto` follows from the first word of the command line: `auto /opt/bin` says where a bare name lies.
//! - `on`: letters of the roles (`fleet.rs`); all of one system.
//! - `as`: `user`, `user-low`, `user-high`, `app`, `system`, `local`, `network`, or an account's name.
//! - `churn`: percentage of the template's events that are a new line; the others come from a small pool of variants
//!   that lives on from day to day.
//! - `from`: parents (`parents.txt`), the first more often.
//! - `weight`: factor on the popularity that its place in the file gives it (Zipf).
//! - `signed=no|untrusted`, `ofn=NAME`: where the file's signature or original name is not what its name says.
//! - `t=T1059.001 stage=1`: an attack, its technique and its stage in a campaign.
//!
//! The order of the blocks is their popularity: the order of the files in `BENIGN` and of the blocks within.

use std::collections::HashMap;

use super::SynthError;
use super::calendar::Product;
use super::fleet::{Os, ROLES};
use super::image::original_name;
use super::pattern::{self, Names, Op, Rule, Seq, Value};
use super::prng::hash_bytes;

const RULES: &[(&str, &str)] = &[
    ("rules_common.txt", include_str!("grammar/rules_common.txt")),
    (
        "rules_windows.txt",
        include_str!("grammar/rules_windows.txt"),
    ),
    ("rules_unix.txt", include_str!("grammar/rules_unix.txt")),
];
const PRODUCTS: (&str, &str) = ("products.txt", include_str!("grammar/products.txt"));
const PARENTS: (&str, &str) = ("parents.txt", include_str!("grammar/parents.txt"));
const BENIGN: &[(&str, &str)] = &[
    ("windows_head.txt", include_str!("grammar/windows_head.txt")),
    ("windows_tail.txt", include_str!("grammar/windows_tail.txt")),
    (
        "windows_admin.txt",
        include_str!("grammar/windows_admin.txt"),
    ),
    ("linux_head.txt", include_str!("grammar/linux_head.txt")),
    ("linux_tail.txt", include_str!("grammar/linux_tail.txt")),
    ("macos.txt", include_str!("grammar/macos.txt")),
];
const ATTACKS: &[(&str, &str)] = &[
    (
        "attacks_windows.txt",
        include_str!("grammar/attacks_windows.txt"),
    ),
    ("attacks_unix.txt", include_str!("grammar/attacks_unix.txt")),
];

/// From this place in a role's order on, a template lives on a few hosts only.
const TAIL_FROM: usize = 30;

/// The account that a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// The host's owner, with an integrity level on Windows.
    User(&'static str),
    System,
    LocalService,
    NetworkService,
    Named(String),
}

/// The path of the program.
#[derive(Debug)]
pub(super) enum Image {
    /// Written before the command line, which can refer to it as `«image»`.
    Pattern(Seq),
    /// Follows from the command line's first word; a bare name lies in the folder given, or in the system's.
    Auto(String),
}

/// Where a command line comes from.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: String,
    pub(super) key: u64,
    roles: Vec<usize>,
    pub(super) account: Account,
    pub(super) churn_percent: u64,
    pub(super) parents: Vec<usize>,
    pub(super) image: Image,
    pub(super) lines: Box<[Seq]>,
    /// `None`: nothing, or with `Image::Auto` what the image's name says.
    pub(super) original_file_name: Option<String>,
    pub(super) signed: Option<bool>,
    pub(super) signer_trusted: Option<bool>,
    /// `None` is benign. An attack that maps to no technique has an empty one.
    pub(super) technique: Option<String>,
    pub(super) stage: u64,
    weight: f64,
}

/// A process that starts others.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) image: Seq,
    pub(super) line: Seq,
}

/// A role's benign templates by popularity, each with its weight.
type Ranked = Vec<(usize, f64)>;

/// Everything that the grammar files say.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) rules: Vec<Rule>,
    pub(super) products: Vec<Product>,
    pub(super) parents: Vec<Parent>,
    pub(super) templates: Vec<Template>,
    /// For each role: its benign templates, the most popular first, with their weights.
    pub(super) benign: Vec<Ranked>,
    /// For each role: its attack templates.
    pub(super) attacks: Vec<Vec<usize>>,
}

impl Catalog {
    /// Reads the files that were built in.
    ///
    /// # Errors
    /// `SynthError::Grammar`, with the file and line of what is wrong.
    pub(super) fn load() -> Result<Self, SynthError> {
        let mut names = Names::default();
        let mut products = Vec::new();
        for (line, text) in meaningful(PRODUCTS.1) {
            let [name, form, major, cadence] =
                fields(text).ok_or_else(|| bad(PRODUCTS.0, line, "needs four fields"))?;
            let number = |t: &str| {
                t.parse()
                    .map_err(|_| bad(PRODUCTS.0, line, "needs numbers in fields 3 and 4"))
            };
            names.products.insert(name.to_owned(), products.len());
            products.push(Product {
                form: form.to_owned(),
                major: number(major)?,
                cadence_days: number(cadence)?,
            });
        }
        let rules = load_rules(&mut names)?;
        let mut parents = Vec::new();
        let mut parent_names = HashMap::new();
        for (line, text) in meaningful(PARENTS.1) {
            let [name, image, cmd] =
                fields(text).ok_or_else(|| bad(PARENTS.0, line, "needs three fields"))?;
            let compile = |p| pattern::compile(p, &names).map_err(|e| bad(PARENTS.0, line, &e));
            if parent_names.insert(name, parents.len()).is_some() {
                return Err(bad(PARENTS.0, line, "has the name of another parent"));
            }
            parents.push(Parent {
                image: compile(image)?,
                line: compile(cmd)?,
            });
        }
        let mut templates: Vec<Template> = Vec::new();
        for (is_attack, (file, text)) in BENIGN
            .iter()
            .map(|f| (false, f))
            .chain(ATTACKS.iter().map(|f| (true, f)))
        {
            for block in blocks(text) {
                let template = template(file, &block, &names, &parent_names)?;
                if template.technique.is_some() != is_attack {
                    return Err(bad(
                        file,
                        block.line,
                        "has a technique and should not, or the reverse",
                    ));
                }
                if templates.iter().any(|t| t.name == template.name) {
                    return Err(bad(file, block.line, "has the name of another template"));
                }
                if !is_attack && of_campaign(&template, &rules) {
                    return Err(bad(
                        file,
                        block.line,
                        "is benign and uses a value of a campaign",
                    ));
                }
                templates.push(template);
            }
        }
        let (benign, attacks) = by_role(&templates);
        Ok(Self {
            rules,
            products,
            parents,
            templates,
            benign,
            attacks,
        })
    }
}

/// True where a template of a role lives on a few hosts, by its place in the role's order.
pub(super) const fn is_tail(rank: usize) -> bool {
    rank >= TAIL_FROM
}

/// What each role draws from. The law is Zipf-Mandelbrot's: (rank + 2) to the power of -1.1.
fn by_role(templates: &[Template]) -> (Vec<Ranked>, Vec<Vec<usize>>) {
    let mut benign = vec![Ranked::new(); ROLES.len()];
    let mut attacks = vec![Vec::new(); ROLES.len()];
    for (i, t) in templates.iter().enumerate() {
        for &role in &t.roles {
            if t.technique.is_some() {
                attacks[role].push(i);
            } else {
                let ranked = &mut benign[role];
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a role has some hundred templates"
                )]
                let rank = ranked.len() as f64;
                ranked.push((i, t.weight * (rank + 2.0).powf(-1.1)));
            }
        }
    }
    (benign, attacks)
}

fn of_campaign(template: &Template, rules: &[Rule]) -> bool {
    let campaign = |op: &Op| {
        matches!(
            op,
            Op::Value(
                Value::C2Ip
                    | Value::C2Domain
                    | Value::C2Port
                    | Value::Tool
                    | Value::Stage
                    | Value::Victim
                    | Value::VictimUser
            )
        )
    };
    let image = match &template.image {
        Image::Pattern(seq) => Some(seq),
        Image::Auto(_) => None,
    };
    template
        .lines
        .iter()
        .chain(image)
        .any(|seq| pattern::any(seq, rules, &mut Vec::new(), &campaign))
}

/// Lines that are neither empty nor a comment, with their numbers from 1.
fn meaningful(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, l)| (i + 1, l))
        .filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'))
}

/// `a || b || c`, trimmed.
fn fields<const N: usize>(text: &str) -> Option<[&str; N]> {
    let parts: Vec<&str> = text.splitn(N, " || ").map(str::trim).collect();
    parts.try_into().ok()
}

fn bad(file: &str, line: usize, reason: &str) -> SynthError {
    SynthError::Grammar {
        file: file.to_owned(),
        line,
        reason: reason.to_owned(),
    }
}

/// `= name`, or `= name topic`, and its alternatives, one a line. A rule may use only rules that stand before it, so that none is circular.
fn load_rules(names: &mut Names) -> Result<Vec<Rule>, SynthError> {
    let mut rules: Vec<Rule> = Vec::new();
    for (file, text) in RULES {
        let mut open: Option<(usize, &str, Vec<Seq>)> = None;
        let mut close = |rule: Option<(usize, &str, Vec<Seq>)>, names: &mut Names| match rule {
            Some((line, _, parts)) if parts.is_empty() => {
                Err(bad(file, line, "has no alternatives"))
            }
            Some((line, name, parts)) => {
                let (name, topic) = name
                    .strip_suffix(" topic")
                    .map_or((name, false), |name| (name, true));
                let taken = names.rules.insert(name.to_owned(), rules.len()).is_some();
                rules.push(Rule {
                    parts: parts.into(),
                    topic,
                });
                if taken {
                    Err(bad(file, line, "has the name of another rule"))
                } else {
                    Ok(())
                }
            }
            None => Ok(()),
        };
        for (line, text) in meaningful(text) {
            if let Some(name) = text.strip_prefix("= ") {
                close(open.take(), names)?;
                open = Some((line, name.trim(), Vec::new()));
            } else if let Some((_, _, parts)) = &mut open {
                parts.push(pattern::compile(text.trim(), names).map_err(|e| bad(file, line, &e))?);
            } else {
                return Err(bad(file, line, "stands before the first rule"));
            }
        }
        close(open.take(), names)?;
    }
    Ok(rules)
}

/// A block of a template file.
struct Block<'a> {
    line: usize,
    header: &'a str,
    body: Vec<&'a str>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut out: Vec<Block<'_>> = Vec::new();
    for (line, text) in meaningful(text) {
        if let Some(header) = text.strip_prefix("@ ") {
            out.push(Block {
                line,
                header,
                body: Vec::new(),
            });
        } else if let Some(block) = out.last_mut() {
            block.body.push(text.trim());
        }
    }
    out
}

fn template(
    file: &str,
    block: &Block,
    names: &Names,
    parent_names: &HashMap<&str, usize>,
) -> Result<Template, SynthError> {
    let err = |reason: &str| bad(file, block.line, reason);
    let mut words = block.header.split_whitespace();
    let name = words.next().ok_or_else(|| err("has no name"))?;
    let options: HashMap<&str, &str> = words
        .map(|w| w.split_once('=').ok_or_else(|| err("has a word without =")))
        .collect::<Result<_, _>>()?;
    let known = [
        "on", "as", "churn", "from", "weight", "signed", "ofn", "t", "stage",
    ];
    if options.len() != known.iter().filter(|k| options.contains_key(**k)).count() {
        return Err(err("has an unknown option"));
    }
    let get = |key: &str| options.get(key).copied().unwrap_or("");
    let number = |key: &str, default: u64| match options.get(key) {
        Some(text) => text
            .parse()
            .map_err(|_| err("has an option that should be a number")),
        None => Ok(default),
    };
    let roles: Vec<usize> = get("on")
        .chars()
        .map(|c| {
            ROLES
                .iter()
                .position(|r| r.1 == c)
                .ok_or_else(|| err("has an unknown role"))
        })
        .collect::<Result<_, _>>()?;
    let os = roles
        .first()
        .map(|&r| ROLES[r].2)
        .ok_or_else(|| err("has no role"))?;
    if roles.iter().any(|&r| ROLES[r].2 != os) {
        return Err(err("mixes systems"));
    }
    let parents: Vec<usize> = get("from")
        .split(',')
        .map(|p| {
            parent_names
                .get(p)
                .copied()
                .ok_or_else(|| err("has an unknown parent"))
        })
        .collect::<Result<_, _>>()?;
    let [image, lines @ ..] = block.body.as_slice() else {
        return Err(err("has no image"));
    };
    if lines.is_empty() {
        return Err(err("has no command line"));
    }
    let compile = |p: &str| pattern::compile(p, names).map_err(|e| err(&e));
    let image_pattern = match image.strip_prefix("auto") {
        Some(folder) => Image::Auto(folder.trim().to_owned()),
        None => Image::Pattern(compile(image)?),
    };
    let lines: Vec<Seq> = lines.iter().map(|l| compile(l)).collect::<Result<_, _>>()?;
    let (signed, signer_trusted) = match (os, get("signed")) {
        (Os::Linux, _) => (None, None),
        (_, "no") => (Some(false), Some(false)),
        (_, "untrusted") => (Some(true), Some(false)),
        _ => (Some(true), Some(true)),
    };
    let original_file_name = match options.get("ofn") {
        Some(ofn) => Some((*ofn).to_owned()),
        None if os == Os::Windows && matches!(image_pattern, Image::Pattern(_)) => {
            original_name(image, signed).map(str::to_owned)
        }
        None => None,
    };
    let account = match get("as") {
        "" => return Err(err("has no account")),
        "user" => Account::User("Medium"),
        "user-low" => Account::User("Low"),
        "user-high" => Account::User("High"),
        "app" => Account::User("AppContainer"),
        "system" => Account::System,
        "local" => Account::LocalService,
        "network" => Account::NetworkService,
        name => Account::Named(name.to_owned()),
    };
    Ok(Template {
        name: name.to_owned(),
        key: hash_bytes(name.as_bytes()),
        roles,
        account,
        churn_percent: number("churn", 0)?,
        parents,
        image: image_pattern,
        lines: lines.into(),
        original_file_name,
        signed,
        signer_trusted,
        technique: options.get("t").map(|t| (*t).to_owned()),
        stage: number("stage", 0)?,
        weight: options.get("weight").map_or(Ok(1.0), |w| {
            w.parse().map_err(|_| err("has a weight that is no number"))
        })?,
    })
}
