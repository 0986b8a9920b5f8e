//! The automaton and the expressions over what it finds.
//!
//! **What.** [`Engine`] is built from the behaviours and the counters' words: a needle is a text with a [`Bound`]; equal
//! ones are shared. [`Hits::run`] reads a line and leaves how often and where each needle was found, and which behaviours
//! hold. **Cost.** One transition a byte, one boundary check a hit; the scratch is cleared by what was touched.

use super::automaton::Automaton;
use super::bounds::{Bound, bounded};
use super::counters::{self, COUNTERS, Counter, SPLUNK};
use super::{Behavior, Expr, Fact};
use std::borrow::Cow;
use std::sync::LazyLock;

#[derive(Debug)]
enum Node {
    Needle(usize),
    All(Vec<Node>),
    Any(Vec<Node>),
    Then(Vec<Node>),
    Not(Box<Node>),
}

/// The automaton, the needles' bounds and the compiled behaviours. Facts are the first needles.
#[derive(Debug)]
pub(crate) struct Engine {
    /// None only if the automaton could not be built, which a test excludes.
    automaton: Option<Automaton>,
    needles: Vec<(Bound, Cow<'static, str>)>,
    behaviors: Vec<Node>,
    /// For each needle the behaviours that it may make hold.
    wakes: Vec<Vec<u16>>,
    /// For each needle the counters that it adds to, a bit each.
    counters: Vec<u8>,
    /// For each needle its place in [`SPLUNK`].
    splunk: Vec<Option<usize>>,
}

impl Engine {
    /// The engine over all behaviours; built on first use, some milliseconds and a megabyte.
    pub(crate) fn shared() -> &'static Self {
        static ENGINE: LazyLock<Engine> =
            LazyLock::new(|| Engine::new(&super::all().copied().collect::<Vec<_>>()));
        &ENGINE
    }

    fn new(behaviors: &[Behavior]) -> Self {
        let mut needles = vec![(Bound::Anywhere, Cow::Borrowed("")); Fact::ALL.len()];
        let nodes: Vec<_> = behaviors
            .iter()
            .map(|behavior| compile(&behavior.when, &mut needles))
            .collect();
        let mut all = |bound, texts: &[&'static str]| -> Vec<usize> {
            texts
                .iter()
                .map(|text| needle(bound, *text, &mut needles))
                .collect()
        };
        let counted = counters::WORDS.map(|(bound, texts)| all(bound, texts));
        let tokens = all(Bound::Token, &SPLUNK);
        let (mut counters, mut splunk) = (vec![0; needles.len()], vec![None; needles.len()]);
        for (counter, indices) in counted.iter().enumerate() {
            for index in indices {
                counters[*index] |= 1 << counter;
            }
        }
        tokens
            .iter()
            .enumerate()
            .for_each(|(place, index)| splunk[*index] = Some(place));
        let mut wakes = vec![Vec::new(); needles.len()];
        for (index, node) in (0..).zip(&nodes) {
            let mut anchors = Vec::new();
            anchors_of(node, &mut anchors);
            for anchor in anchors {
                wakes[anchor].push(index);
            }
        }
        let automaton = Automaton::new(
            needles
                .iter()
                .skip(Fact::ALL.len())
                .map(|(_, text)| text.as_ref()),
        );
        Self {
            automaton,
            needles,
            behaviors: nodes,
            wakes,
            counters,
            splunk,
        }
    }
}

fn needle(
    bound: Bound,
    text: impl Into<Cow<'static, str>>,
    needles: &mut Vec<(Bound, Cow<'static, str>)>,
) -> usize {
    let needle = (bound, text.into());
    needles
        .iter()
        .position(|known| *known == needle)
        .unwrap_or_else(|| {
            needles.push(needle);
            needles.len() - 1
        })
}

fn compile(expr: &Expr, needles: &mut Vec<(Bound, Cow<'static, str>)>) -> Node {
    let mut list = |parts: &[Expr]| parts.iter().map(|part| compile(part, needles)).collect();
    match expr {
        Expr::All(parts) => Node::All(list(parts)),
        Expr::Any(parts) => Node::Any(list(parts)),
        Expr::Then(parts) => Node::Then(list(parts)),
        Expr::Not(part) => Node::Not(Box::new(compile(part, needles))),
        Expr::Is(fact) => Node::Needle(*fact as usize),
        Expr::Text(text) => Node::Needle(needle(Bound::Anywhere, *text, needles)),
        Expr::Exact(text) => Node::Needle(needle(Bound::Exact, *text, needles)),
        Expr::Word(text) => Node::Needle(needle(Bound::Word, *text, needles)),
        Expr::Command(text) => Node::Needle(needle(Bound::Command, *text, needles)),
        Expr::Piped(text) => Node::Needle(needle(Bound::Piped, *text, needles)),
        // With its mark: a needle of one letter would be hit at every such letter.
        Expr::Switch(text) => Node::Any(
            ["-", "/"]
                .map(|mark| Node::Needle(needle(Bound::Switch, format!("{mark}{text}"), needles)))
                .into(),
        ),
    }
}

/// Needles of which at least one must be found for the node to hold: of a conjunction its first part's.
fn anchors_of(node: &Node, anchors: &mut Vec<usize>) {
    match node {
        Node::Needle(index) => anchors.push(*index),
        Node::Any(parts) => parts.iter().for_each(|part| anchors_of(part, anchors)),
        Node::All(parts) | Node::Then(parts) => {
            if let Some(part) = parts.iter().find(|part| !matches!(part, Node::Not(_))) {
                anchors_of(part, anchors);
            }
        }
        Node::Not(_) => {}
    }
}

/// Where a needle was found in the line at hand.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    count: u32,
    first_start: usize,
    last_end: usize,
}

/// What the automaton found in a line; reused from line to line.
#[derive(Debug, Clone)]
pub(crate) struct Hits {
    found: Vec<Found>,
    touched: Vec<usize>,
    waking: Vec<u16>,
    holding: Vec<u16>,
}

impl Hits {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self {
            found: vec![Found::default(); engine.needles.len()],
            touched: Vec::new(),
            waking: Vec::new(),
            holding: Vec::new(),
        }
    }

    /// Reads a line, given the facts that the scan found in it. Facts have no place, so they never keep an order.
    pub(crate) fn run(&mut self, engine: &Engine, line: &str, facts: impl Iterator<Item = Fact>) {
        for index in self.touched.drain(..) {
            self.found[index] = Found::default();
        }
        for fact in facts {
            self.touch(fact as usize, 0, line.len());
        }
        if let Some(automaton) = &engine.automaton {
            let line = line.as_bytes();
            automaton.walk(line, |index, end| {
                let index = index + Fact::ALL.len();
                let (bound, text) = &engine.needles[index];
                let start = end.saturating_sub(text.len());
                if bounded(*bound, text, line, start, end) {
                    self.touch(index, start, end);
                }
            });
        }
        self.waking.clear();
        for index in &self.touched {
            self.waking.extend(&engine.wakes[*index]);
        }
        self.waking.sort_unstable();
        self.waking.dedup();
        self.holding.clear();
        for behavior in &self.waking {
            if holds(&engine.behaviors[usize::from(*behavior)], &self.found).is_some() {
                self.holding.push(*behavior);
            }
        }
    }

    #[inline]
    fn touch(&mut self, index: usize, start: usize, end: usize) {
        let found = &mut self.found[index];
        if found.count == 0 {
            found.first_start = start;
            self.touched.push(index);
        }
        found.count = found.count.saturating_add(1);
        found.last_end = end;
    }

    /// The indices of the behaviours that hold, ascending.
    pub(crate) fn holding(&self) -> &[u16] {
        &self.holding
    }

    /// The counters' sums, and how often Splunk's words occur, in the order of [`SPLUNK`].
    pub(crate) fn counts(&self, engine: &Engine) -> ([u32; COUNTERS], [u32; SPLUNK.len()]) {
        let (mut sums, mut splunk) = ([0_u32; COUNTERS], [0; SPLUNK.len()]);
        for index in &self.touched {
            let count = self.found[*index].count;
            let mut counters = engine.counters[*index];
            while counters != 0 {
                let counter = counters.trailing_zeros() as usize;
                counters &= counters - 1;
                let once = counter == Counter::Blocklist as usize;
                sums[counter] = sums[counter].saturating_add(if once { 1 } else { count });
            }
            if let Some(place) = engine.splunk[*index] {
                splunk[place] = count;
            }
        }
        (sums, splunk)
    }
}

/// Where a node that holds can begin at the earliest and end at the latest.
fn holds(node: &Node, found: &[Found]) -> Option<(usize, usize)> {
    let wider = |a: (usize, usize), b: (usize, usize)| (a.0.min(b.0), a.1.max(b.1));
    match node {
        Node::Needle(index) => {
            let found = found[*index];
            (found.count > 0).then_some((found.first_start, found.last_end))
        }
        Node::Any(parts) => parts
            .iter()
            .filter_map(|part| holds(part, found))
            .reduce(wider),
        Node::All(parts) => {
            let mut span = (usize::MAX, 0);
            for part in parts {
                span = wider(span, holds(part, found)?);
            }
            Some(span)
        }
        Node::Then(parts) => {
            let mut spans = parts.iter().map(|part| holds(part, found));
            let mut span = spans.next()??;
            let mut begin = span.0;
            for next in spans {
                let next = next?;
                if begin >= next.1 {
                    return None;
                }
                begin = begin.max(next.0);
                span = wider(span, next);
            }
            Some(span)
        }
        Node::Not(part) => holds(part, found).is_none().then_some((usize::MAX, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_automaton_can_be_built_and_every_behaviour_can_wake() {
        let engine = Engine::shared();
        assert!(engine.automaton.is_some());
        for index in 0..engine.behaviors.len() {
            assert!(
                engine
                    .wakes
                    .iter()
                    .any(|wakes| wakes.iter().any(|i| usize::from(*i) == index)),
                "{index}"
            );
        }
    }

    #[test]
    fn order_is_kept() {
        let engine = Engine::new(&[super::super::tag(
            super::super::Group::Shell,
            "ab",
            "T1",
            Expr::Then(&[Expr::Text("aa"), Expr::Text("bb"), Expr::Text("cc")]),
        )]);
        let mut hits = Hits::new(&engine);
        for (line, expected) in [
            ("aa bb cc", 1),
            ("bb aa cc", 0),
            ("bb aa bb cc", 1),
            ("aa cc bb", 0),
            ("aa bb", 0),
        ] {
            hits.run(&engine, line, std::iter::empty());
            assert_eq!(hits.holding().len(), expected, "{line}");
        }
    }
}
