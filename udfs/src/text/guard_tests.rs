use super::*;

fn same(a: &str, b: &str) -> bool {
    guard_key(a) == guard_key(b)
}

#[test]
fn a_changed_verb_flag_or_operator_is_another_key() {
    let pairs = [
        ("net user bob /add", "net user bob /delete"),
        ("net user", "net group"),
        ("sc create x", "sc delete x"),
        ("git push origin main", "git pull origin main"),
        ("systemctl start nginx", "systemctl stop nginx"),
        ("kubectl get pods", "kubectl delete pods"),
        ("docker compose up", "docker compose down"),
        ("reg add HKLM\\Software\\x /v a", "reg delete HKLM\\Software\\x /v a"),
        ("reg query HKLM\\Software\\x", "reg query HKCU\\Software\\x"),
        ("ls -R a", "ls -r a"),
        ("a | b", "a && b"),
        ("a > x", "a >> x"),
        ("cmd /c \"a & b\"", "cmd /c \"a | b\""),
        ("tar xzf a", "tar -xzf a"),
        ("Start-Service x", "Stop-Service x"),
        ("wmic process list", "wmic process call create x"),
        ("find . -name x", "find . ! -name x"),
        ("curl http://a.com", "wget http://a.com"),
        ("bash -c 'id'", "bash -c 'id; ls'"),
        ("copy a.txt b.txt", "copy lsass.dmp b.txt"),
        ("chmod 600 x", "chmod 4755 x"),
        ("echo $(id)", "echo id"),
        ("(New-Object Net.WebClient).DownloadString('http://a.com/x')", "(New-Object Net.WebClient).DownloadFile('http://a.com/x')"),
        ("flyctl auth login", "flyctl apps destroy"),
    ];
    for (a, b) in pairs {
        assert!(!same(a, b), "{a} / {b}: {}", guard_key(a).text);
    }
}

#[test]
fn a_changed_volatile_part_is_the_same_key() {
    let pairs = [
        ("ping -n 5 10.0.0.7", "ping -n 50 192.168.1.1"),
        ("net use \\\\srv01\\data", "net use \\\\srv22\\data"),
        ("C:\\Users\\a\\x.exe -f 1", "C:\\Users\\b\\x.exe -f 22"),
        ("type C:\\Windows\\Temp\\a.txt", "type C:\\Windows\\Temp\\b.txt"),
        ("curl https://a.example.com/x", "curl https://b.example.org/x"),
        ("git show 1a2b3c4d5e6f", "git show f00dfeed1234"),
        ("del a.txt", "del b.txt"),
        ("msedge.exe --type=renderer --id=5", "msedge.exe --type=gpu --id=9"),
    ];
    for (a, b) in pairs {
        assert!(same(a, b), "{a} / {b}: {} / {}", guard_key(a).text, guard_key(b).text);
    }
}

#[test]
fn the_key_reads_as_what_it_compares() {
    assert_eq!(guard_key("sudo systemctl restart nginx | tee log").text, "p=sudo,systemctl,tee|f=|v=restart|o=||t=|e=");
    assert_eq!(guard_key("cmd.exe /c net user bob /add").text, "p=cmd,net|f=/add,/c|v=user|o=|t=|e=");
    assert_eq!(guard_key("git -C /x commit -m 'a b'").text, "p=git|f=-C,-m|v=commit|o=|t=|e=");
}

#[test]
fn a_script_in_quotes_is_read_like_a_line() {
    let key = guard_key("bash -c 'cat x | sort -u'");
    assert_eq!(key.text, "p=bash,cat,sort|f=-c,-u|v=|o=' '||t=|e=");
}

#[test]
fn encoded_payloads_are_part_of_the_key() {
    // "whoami" and "ipconf" in UTF-16LE
    let (a, b) = ("powershell -enc dwBoAG8AYQBtAGkA", "powershell -enc aQBwAGMAbwBuAGYA");
    assert!(!same(a, b), "{}", guard_key(a).text);
    assert!(guard_key(a).text.contains("e=<enc:"));
}

#[test]
fn the_hash_has_128_bits() {
    assert_eq!(guard_key("ls").hash_hex().len(), 32);
}

#[test]
fn a_hostile_mebibyte_takes_linear_time() {
    for seed in ["a", "-a ", "a(", "' ", "| ", "a=b ", "cmd /c \"a b\" ", "<num>", "\"a b\" ", "sh -c 'a b' "] {
        let line = seed.repeat((1 << 20) / seed.len());
        let start = std::time::Instant::now();
        let _ = guard_key(&line);
        assert!(start.elapsed().as_secs() < 5, "{seed}: {:?}", start.elapsed());
    }
}

#[test]
fn lines_that_differ_only_after_the_last_piece_read_differ_in_their_key() {
    let long = "a ".repeat(super::super::words::MAX_PIECES + 5);
    assert!(!same(&format!("{long} -x"), &format!("{long} -y")));
}
