use super::*;

fn utf16_base64(text: &str) -> String {
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn every_abbreviation_of_the_encoded_command_decodes() {
    for flag in [
        "-e",
        "-ec",
        "-enc",
        "-EncodedCommand",
        "/enc",
        "-eNcOd",
        "\u{2013}enc",
    ] {
        let line = format!("powershell.exe -nop {flag} {}", utf16_base64("whoami /all"));
        let decoded = decode(&line);
        assert_eq!(decoded.texts, ["whoami /all"], "{flag}");
        assert!(!decoded.undecoded);
    }
    assert!(!is_encoded_flag("-ExecutionPolicy"));
    assert!(!is_encoded_flag("-encoding"));
}

#[test]
fn encodings_inside_each_other_are_undone() {
    let inner = format!("powershell -enc {}", utf16_base64("net user"));
    let line = format!("powershell -enc {}", utf16_base64(&inner));
    assert_eq!(decode(&line).texts, [inner, "net user".to_owned()]);
}

#[test]
fn too_many_layers_are_reported_and_not_read() {
    let mut line = "whoami".to_owned();
    for _ in 0..6 {
        line = format!("powershell -enc {}", utf16_base64(&line));
    }
    let decoded = decode(&line);
    assert!(decoded.undecoded && decoded.texts.len() == MAX_DEPTH);
}

#[test]
fn a_base64_pipe_decodes_and_one_from_a_file_is_reported() {
    assert_eq!(
        decode("echo d2hvYW1pIC9hbGw= | base64 -d | sh").texts,
        ["whoami /all"]
    );
    assert_eq!(
        decode("base64 -d payload.b64 > x").reasons,
        ["base64 from a file or a pipe"]
    );
    assert_eq!(decode("base64 -w 0 file").reasons, Vec::<&str>::new());
}

#[test]
fn a_literal_of_from_base64_string_decodes_and_a_variable_is_reported() {
    assert_eq!(
        decode("[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('aXBjb25maWc='))")
            .texts,
        ["ipconfig"]
    );
    assert_eq!(
        decode("[Convert]::FromBase64String($x)").reasons,
        ["base64 of a variable"]
    );
}

#[test]
fn compressed_streams_and_images_are_undecodable() {
    assert_eq!(
        decode("x [Convert]::FromBase64String('H4sIAAAAAAAAA6vml')").reasons,
        ["gzip stream"]
    );
    let image = base64::engine::general_purpose::STANDARD
        .encode([b"MZ\x90\x00".as_slice(), &[7; 60]].concat());
    assert_eq!(
        decode(&format!("x FromBase64String('{image}')")).reasons,
        ["executable image"]
    );
}

#[test]
fn casts_and_hex_escapes_decode() {
    assert_eq!(decode("[char]119+[char]0x68+[char]111").texts, ["who"]);
    assert_eq!(decode("([char[]](105,101,120)) -join ''").texts, ["iex"]);
    assert_eq!(decode(r"printf '\x69\x64\x3b\x69\x64'").texts, ["id;id"]);
    assert_eq!(
        decode("echo 77686f616d69 | xxd -r -p | sh").texts,
        ["whoami"]
    );
}

#[test]
fn disguises_are_removed() {
    assert_eq!(
        undisguise("cmd /c p^ow^er^shell").as_deref(),
        Some("cmd /c powershell")
    );
    assert_eq!(
        undisguise("I`nv`oke-Ex`pression x").as_deref(),
        Some("Invoke-Expression x")
    );
    assert_eq!(
        undisguise("&('Inv'+'oke-Expression')").as_deref(),
        Some("&('Invoke-Expression')")
    );
    assert_eq!(undisguise("w\"\"hoami").as_deref(), Some("whoami"));
    assert_eq!(undisguise("git log"), None);
}

#[test]
fn variable_substrings_are_reported() {
    assert_eq!(
        decode("cmd /c %comspec:~0,1%alc").reasons,
        ["substring of a variable"]
    );
}

#[test]
fn an_ordinary_line_has_nothing_to_decode() {
    assert_eq!(
        decode("git commit -m 'mend the build' --author \"A B <a@b.c>\""),
        Decoded::default()
    );
    assert_eq!(
        decode("C:\\Windows\\System32\\svchost.exe -k netsvcs -p -s BITS"),
        Decoded::default()
    );
}

#[test]
fn a_hostile_mebibyte_is_read_in_bounded_time_and_space() {
    for seed in [
        "[char]65+",
        "FromBase64String('",
        "\\x41",
        "powershell -enc QQBBAEEA ",
        "'+'",
        "^",
        "0x41,",
        "%a:~1,2%",
    ] {
        let line = seed.repeat((1 << 20) / seed.len());
        let decoded = decode(&line);
        assert!(decoded.texts.iter().map(String::len).sum::<usize>() <= MAX_BYTES);
    }
}
