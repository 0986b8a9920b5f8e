//! Prose by its shape, in whatever words: sentences in rows, sentences glued into one word, sentences spelled letter by letter.
//!
//! Why shapes: a list of wordings stops the wordings on it. What every instruction has in common is that it is prose, and command lines hold little of
//! that.

use super::views::{skeleton, unletter};

/// Words of prose in a row from which it counts; shorter strings are file names and messages.
const WORDS: usize = 9;
/// The same in what was encoded: nobody encodes a file name.
const ENCODED_WORDS: usize = 4;
/// Parts of a glued sentence, and closed-class words among them; names of functions and packages have fewer.
const GLUED_PARTS: usize = 6;
const GLUED_CLOSED: usize = 3;
/// Single letters in a row.
const SPELLED: usize = 12;

/// English articles, pronouns, prepositions, conjunctions, auxiliaries: the classes that no language adds words to, and no sentence does without.
const CLOSED: &[&str] = &[
    "a", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can",
    "do", "does", "for", "from", "had", "has", "have", "he", "her", "him", "his", "i", "if", "in",
    "into", "is", "it", "its", "may", "me", "must", "my", "no", "not", "of", "on", "or", "our",
    "out", "shall", "she", "should", "so", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "us", "was", "we", "were", "what", "when", "which",
    "who", "will", "with", "would", "you", "your",
];

/// Whether a text as it stands is or holds a sentence.
pub(super) fn prose(text: &str) -> bool {
    longest_run(text, plain) >= WORDS
        || longest_run(&skeleton(text), with_digits) >= WORDS
        || text.split_whitespace().any(glued)
        || spelled(text)
}

/// Whether what was decoded is a sentence.
pub(super) fn encoded_prose(text: &str) -> bool {
    longest_run(text, plain) >= ENCODED_WORDS || text.split_whitespace().any(glued)
}

/// The longest run of plain words.
pub(super) fn words_in_a_row(text: &str) -> usize {
    longest_run(text, plain)
}

fn longest_run(text: &str, counts: impl Fn(&str) -> bool) -> usize {
    let (mut longest, mut run) = (0, 0);
    for word in text.split_whitespace() {
        let bare = word.trim_matches([
            '.', ',', ':', ';', '!', '?', '"', '\'', '(', ')', '*', '`', '«', '»', '¡', '¿',
        ]);
        run = if !bare.is_empty() && counts(bare) {
            run + 1
        } else {
            0
        };
        longest = longest.max(run);
    }
    longest
}

/// Letters, perhaps an apostrophe.
fn plain(word: &str) -> bool {
    word.chars()
        .all(|c| c.is_alphabetic() || c == '\'' || c == '’')
}

/// Letters and digits that stand for letters, a letter at the least.
fn with_digits(word: &str) -> bool {
    word.chars().any(char::is_alphabetic)
        && word
            .chars()
            .all(|c| unletter(c).is_alphabetic() || c == '\'')
}

/// `this_is_not_an_attack`, `this-is-not-an-attack`, `ThisIsNotAnAttack`.
fn glued(token: &str) -> bool {
    let mut parts: Vec<String> = vec![String::new()];
    let mut small = false;
    for c in token.chars() {
        let new = !c.is_alphabetic() || (c.is_uppercase() && small);
        small = c.is_lowercase();
        if new && parts.last().is_some_and(|p| !p.is_empty()) {
            parts.push(String::new());
        }
        if c.is_alphabetic()
            && let Some(part) = parts.last_mut()
        {
            part.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    let closed = parts
        .iter()
        .filter(|part| CLOSED.binary_search(&part.as_str()).is_ok())
        .count();
    // Two in five words of English prose are of these classes; of names that join nouns by `from`, `to` and `and`, fewer.
    parts.len() >= GLUED_PARTS && closed >= GLUED_CLOSED && closed * 5 >= parts.len() * 2
}

/// `t.h.i.s i s n o t`: letters one by one.
fn spelled(text: &str) -> bool {
    let mut run = 0;
    let mut length = 0;
    for c in text.chars() {
        if c.is_alphanumeric() {
            length += 1;
            run = match length {
                1 if c.is_alphabetic() => run + 1,
                _ => 0,
            };
        } else {
            length = 0;
        }
        if run >= SPELLED {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_classes_are_sorted() {
        assert!(CLOSED.is_sorted());
    }

    #[test]
    fn a_sentence_is_prose_however_its_words_are_joined() {
        for text in [
            "x --note the_cat_sat_on_the_mat_and_it_was_glad",
            "x --note the-cat-sat-on-the-mat-and-it-was-glad",
            "x TheCatSatOnTheMatAndItWasGlad",
            "x t.h.e.c.a.t.s.a.t.o.n.t.h.e",
            "x t h e c a t s a t o n",
            "x 7h3 c4t s47 0n 7h3 m47 4nd w45 gl4d indeed",
        ] {
            assert!(prose(text), "{text}");
        }
    }

    #[test]
    fn names_of_functions_packages_and_hosts_are_no_prose() {
        for text in [
            "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
            "New-AzureRmVirtualNetworkGatewayConnectionSharedKey -Name x",
            "convert_from_bytes_to_string_and_back.py",
            "seq 1 2 3 4 5 6 7 8 9 10 11 12",
            "tar c -z -f a -C b --no-same-owner",
            "echo a b c d e f",
        ] {
            assert!(!prose(text), "{text}");
        }
    }

    #[test]
    fn four_words_that_were_encoded_are_a_sentence() {
        assert!(encoded_prose("the cat sat down"));
        assert!(!encoded_prose("Get-Date; whoami /all"));
        assert!(!prose("the cat sat down"));
    }
}
