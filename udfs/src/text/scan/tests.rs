use super::*;

fn scanned(line: &str) -> Scan {
    let mut scan = Scan::new();
    // A line before it must leave no trace.
    scan.run("é 'it' 10.0.0.1 \u{a0} `unclosed \"quote AbC1AbC1AbC1AbC1AbC1");
    scan.run(line);
    scan
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() < 1e-6
}

#[test]
fn entropy_is_in_bits_a_character() {
    assert!(close(entropy(""), 0.0));
    assert!(close(entropy("aaaa"), 0.0));
    assert!(close(entropy("abab"), 1.0));
    assert!(close(entropy("abcdefgh"), 3.0));
    assert!(close(entropy("éèéè"), 1.0));
    assert!(close(entropy("aab"), 0.918_295_8));
}

#[test]
fn the_pass_and_the_single_function_agree_on_entropy() {
    for line in [
        "",
        " ",
        "a b c",
        "é 'a b' \u{a0}x\u{3000}y",
        "aaa \"bbb ccc\" d",
        "\0\0 x",
    ] {
        assert!(
            close(scanned(line).entropy_and_distinct().0, entropy(line)),
            "{line:?}"
        );
        assert_eq!(
            scanned(line).chars as usize,
            line.chars().count(),
            "{line:?}"
        );
    }
}

#[test]
fn arguments_keep_quoted_spaces_and_apostrophes_open_nothing() {
    let scan = scanned("cmd \"a b\" it's 'c d' x='e f' end");
    assert_eq!(scan.lengths, [3.0, 5.0, 4.0, 5.0, 7.0, 3.0]);
    assert!(close(scan.densities[1], 0.8));
    assert_eq!(scan.first_argument, 0..3);
    assert_eq!(scan.space_separated, 9);
}

#[test]
fn a_quote_never_closed_runs_to_the_end() {
    assert_eq!(scanned("a \"b c d").lengths, [1.0, 6.0]);
}

#[test]
fn every_argument_has_its_own_entropy_and_upper_share() {
    let scan = scanned("AbAb ccc éè");
    assert_eq!(
        scan.entropies
            .iter()
            .map(|h| h.round() as i32)
            .collect::<Vec<_>>(),
        [1, 0, 1]
    );
    assert_eq!(scan.uppers, [0.5, 0.0, 0.0]);
    assert!(close(scan.longest_entropy, 1.0));
}

#[test]
fn the_words_are_those_of_the_tokeniser() {
    for line in [
        "a-b c=d",
        "C:\\Users\\É\\x.exe /y",
        "p^ower`shell 12345 ^ `",
        "\u{3000}日本語\u{a0}x",
        "",
    ] {
        let hashes: Vec<_> = crate::text::tokens::words(line)
            .map(crate::text::tokens::token_hash)
            .collect();
        let hashes: Vec<_> = hashes.into_iter().filter(|hash| *hash != 0).collect();
        assert_eq!(scanned(line).words, hashes, "{line:?}");
    }
}

#[test]
fn addresses_are_told_from_versions_and_longer_dotted_runs() {
    assert_eq!(scanned("ping 10.0.0.1").addresses, [[10, 0, 0, 1]]);
    assert_eq!(
        scanned("http://1.2.3.4:80/ 'x@8.8.8.8'").addresses,
        [[1, 2, 3, 4], [8, 8, 8, 8]]
    );
    for none in [
        "v1.2.3.4",
        "1.2.3.4.5",
        "1.2.3.456",
        "1.2.3",
        "a-1.2.3.4",
        "1.2.3.4-beta",
        "1.2.3.4x",
        "1...2",
    ] {
        assert!(scanned(none).addresses.is_empty(), "{none}");
    }
}

#[test]
fn base64_needs_both_cases_and_a_digit_and_is_no_path() {
    let payload = "SQBFAFgAIAAoAE4AZQB3AC0A";
    let scan = scanned(&format!("powershell -enc {payload}== x"));
    assert_eq!(scan.base64_run, 16..16 + payload.len());
    assert!(
        scanned("/usr/local/share/Fonts/Noto2/a/b/c")
            .base64_run
            .is_empty()
    );
    assert!(scanned("thisisaverylongwordindeed").base64_run.is_empty());
}

#[test]
fn a_hexadecimal_run_needs_a_digit() {
    assert_eq!(scanned("echo 0xdeadbeef01").hex_run, 10);
    assert_eq!(scanned("defacedfacade").hex_run, 0);
    assert_eq!(scanned("1234567").hex_run, 0);
}

#[test]
fn marks_of_obfuscation_are_counted_inside_words_only() {
    let scan = scanned("I`E`X po^wer^shell `id` a^ ^b w'h'o");
    assert_eq!((scan.ticks_in_words, scan.carets_in_words), (2, 2));
    assert_eq!(scan.quotes_in_words, 2);
    let scan = scanned("('a'+'b' + \"c\" + \"d\")+'e'");
    assert_eq!(scan.concatenations, 2);
    assert_eq!(scanned("aBcD Ef").case_alternations, 4);
}

#[test]
fn counts_are_looked_up_in_the_histogram() {
    let scan = scanned("a|b||c \u{a0}é");
    assert_eq!(
        (scan.count(b'|'), scan.of_class(SPACE), scan.wide.len()),
        (3, 2, 2)
    );
    assert!((scan.code_points() - f64::from(97 + 98 + 99 + 3 * 124 + 32 + 160 + 233)).abs() < 1e-9);
}
