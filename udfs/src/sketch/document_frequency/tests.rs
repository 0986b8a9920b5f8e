use super::*;

const LINES: [&str; 7] = [
    "net user bob",
    "net user alice /add",
    "",
    "é net net 12345",
    "ls -la /tmp",
    "ls",
    "a b c d e",
];

fn of(lines: &[&str]) -> DocumentFrequencies {
    let mut state = DocumentFrequencies::new();
    for line in lines {
        state.add_line(line);
    }
    state
}

#[test]
fn a_word_counts_once_a_line() {
    let state = of(&LINES);
    assert_eq!(state.documents(), 7);
    assert_eq!(state.document_frequency(token_hash("NET")), 3);
    assert_eq!(state.document_frequency(token_hash("ls")), 2);
    assert_eq!(state.document_frequency(token_hash("98765")), 1);
    assert_eq!(state.document_frequency(token_hash("absent")), 0);
}

#[test]
fn every_split_and_merge_order_gives_the_bytes_of_one_pass() {
    let whole = of(&LINES).to_bytes();
    for at in 0..=LINES.len() {
        let (a, b) = LINES.split_at(at);
        let (a, b) = (of(a), of(b));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(&b);
        ba.merge(&a);
        assert!(
            ab == ba && ab.to_bytes() == whole && ba.to_bytes() == whole,
            "{at}"
        );
    }
    let parts: Vec<_> = LINES.iter().map(|line| of(&[line])).collect();
    let mut left = DocumentFrequencies::new();
    for part in &parts {
        left.merge(part);
    }
    let right = parts.into_iter().rev().reduce(|mut sum, part| {
        sum.merge(&part);
        sum
    });
    assert!(left.to_bytes() == whole && right.is_some_and(|state| state.to_bytes() == whole));
}

#[test]
fn the_new_state_is_the_identity_and_a_few_bytes() {
    let state = of(&LINES);
    let mut merged = DocumentFrequencies::new();
    merged.merge(&state);
    merged.merge(&DocumentFrequencies::new());
    assert!(merged == state);
    assert!(DocumentFrequencies::new().to_bytes().len() < 64);
}

#[test]
fn bytes_go_round() {
    for state in [of(&LINES), DocumentFrequencies::new(), of(&[""])] {
        let bytes = state.to_bytes();
        let back = DocumentFrequencies::from_bytes(&bytes);
        assert!(back.is_ok_and(|back| back == state && back.to_bytes() == bytes));
    }
}

#[test]
fn damage_is_refused_wherever_it_is() {
    let bytes = of(&LINES[..2]).to_bytes();
    assert!(DocumentFrequencies::from_bytes(b"").is_err());
    for end in 0..bytes.len() {
        assert!(
            DocumentFrequencies::from_bytes(&bytes[..end]).is_err(),
            "cut at {end}"
        );
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(
            DocumentFrequencies::from_bytes(&flipped).is_err(),
            "flipped at {at}"
        );
    }
}

#[test]
fn rare_words_have_a_high_idf() {
    let state = of(&LINES);
    assert!((state.idf(3) - (8.0_f32 / 4.0).ln() - 1.0).abs() < 1e-6);
    assert!(state.idf(0) > state.idf(1) && state.idf(u32::MAX) >= 1.0);
}

#[test]
fn counters_saturate() {
    let mut state = of(&["x"]);
    let hash = token_hash("x");
    for cell in word_cells(hash) {
        state.words[cell] = u32::MAX;
    }
    state.add_line("x");
    state.merge(&of(&["x"]));
    assert_eq!(state.document_frequency(hash), u32::MAX);
}
