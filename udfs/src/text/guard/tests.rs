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
        (
            "reg add HKLM\\Software\\x /v a",
            "reg delete HKLM\\Software\\x /v a",
        ),
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
        (
            "(New-Object Net.WebClient).DownloadString('http://a.com/x')",
            "(New-Object Net.WebClient).DownloadFile('http://a.com/x')",
        ),
        ("chkdsk c /f", "chkdsk c /x"),
        ("git notes show x", "git notes remove x"),
        ("ddrescue a1 b1", "ddrescue a1 b1 c1"),
        ("flyctl auth login", "flyctl apps destroy"),
        ("del a.txt", "del b.txt"),
        ("msedge.exe --type=renderer", "msedge.exe --type=gpu"),
        ("tgutil -m edit x y", "tgutil -m editall x y"),
        ("kill -2 99", "kill -19 99"),
        ("cp a b", "cp b a"),
        ("systemctl --user enable x", "systemctl --user disable x"),
        ("ssh -v -v h", "ssh -v h"),
        (
            "runas /user:a \"c:\\tools\\x y\\run.exe /build c:\\a b c d.sln\"",
            "runas /user:a \"c:\\tools\\x y\\run.exe /purge c:\\a b c d.sln\"",
        ),
        (
            "\"c:\\tools\\dump.exe -q c:\\a.txt\"",
            "\"c:\\tools\\dump.exe -v c:\\a.txt\"",
        ),
        ("dd if=/dev/one of=x", "dd if=/dev/two of=x"),
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
        (
            "type C:\\Windows\\Temp\\a.txt",
            "type C:\\Windows\\Temp\\b.txt",
        ),
        (
            "curl https://a.example.com/x",
            "curl https://b.example.org/x",
        ),
        ("git show 1a2b3c4d5e6f", "git show f00dfeed1234"),
        ("type C:\\app\\a.txt", "type D:\\data\\app\\a.txt"),
        ("ping fileserver", "ping 10.0.0.7"),
    ];
    for (a, b) in pairs {
        assert!(
            same(a, b),
            "{a} / {b}: {} / {}",
            guard_key(a).text,
            guard_key(b).text
        );
    }
}

#[test]
fn the_key_reads_as_what_it_compares() {
    assert_eq!(
        guard_key("sudo systemctl restart nginx | tee log").text,
        "p=sudo,systemctl,tee|f=|v=restart|o=||n=2|w=nginx,log|t=|e="
    );
    assert_eq!(
        guard_key("cmd.exe /c net user bob /add").text,
        "p=cmd,net|f=/add,/c|v=user|o=|n=1|w=<user>|t=|e="
    );
    assert_eq!(
        guard_key("git -C /src/x commit -m 'a b'").text,
        "p=git|f=-C,-m|v=commit|o=|n=2|w=x,a b|t=|e="
    );
}

#[test]
fn a_script_in_quotes_is_read_like_a_line() {
    let key = guard_key("bash -c 'cat x | sort -u'");
    assert_eq!(key.text, "p=bash,cat,sort|f=-c,-u|v=|o=' '||n=1|w=x|t=|e=");
}

#[test]
fn encoded_payloads_are_part_of_the_key() {
    // "whoami" and "ipconf" in UTF-16LE
    let (a, b) = (
        "powershell -enc dwBoAG8AYQBtAGkA",
        "powershell -enc aQBwAGMAbwBuAGYA",
    );
    assert!(!same(a, b), "{}", guard_key(a).text);
    assert!(guard_key(a).text.contains("e=<enc:"));
}

#[test]
fn the_hash_has_128_bits() {
    assert_eq!(guard_key("ls").hash_hex().len(), 32);
}

#[test]
fn a_hostile_mebibyte_takes_linear_time() {
    for seed in [
        "a",
        "-a ",
        "a(",
        "' ",
        "| ",
        "a=b ",
        "cmd /c \"a b\" ",
        "<num>",
        "\"a b\" ",
        "sh -c 'a b' ",
    ] {
        let line = seed.repeat((1 << 20) / seed.len());
        let start = std::time::Instant::now();
        let _ = guard_key(&line);
        assert!(
            start.elapsed().as_secs() < 5,
            "{seed}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn lines_that_differ_only_after_the_last_piece_read_differ_in_their_key() {
    let long = "a ".repeat(super::super::words::MAX_PIECES + 5);
    assert!(!same(&format!("{long} -x"), &format!("{long} -y")));
}

/// Edits that change only a volatile part, made by rule: each must leave template and key alone.
#[test]
fn edits_of_volatile_parts_leave_the_key_and_the_template_alone() {
    let lines = [
        r"C:\Users\{user}\AppData\Local\Vendor\{ver}\app.exe --id {guid} --port {num}",
        r"powershell -File C:\Windows\Temp\{file}.ps1 -Server {host} -Count {num}",
        r"copy \\{short}\data\report.txt C:\Users\{user}\Documents\report.txt",
        "ping -n {num} {ip}",
        "ssh {user}@{host} uptime",
        "curl -o /tmp/{file}.tgz https://{host}/v{num}/pkg.tgz?{user}={num}",
        "git show {hash}",
        "sha256sum --check {hash}",
        "tar czf /home/{user}/backup-{date}.tgz src",
        "msedge.exe --type=utility --field-trial-handle={num},{long},{long} --lang=en",
        r"svchost.exe -k netsvcs -p -s Svc_{num}",
        "mysql --host={host} --user={user} -e status",
        "docker logs --since {num} {hash}",
        r"SearchFilterHost.exe {num} {num} {num}",
        r"dllhost.exe /Processid:{{guid}}",
        "schtasks /query /s {short} /tn Job{num}",
        "net use z: \\\\{short}\\share /user:{user}",
        "kill {num}",
        "rundll32.exe shell32.dll,Run {{guid}} -Embedding",
        "at {time} /every:m backup{num}.cmd",
    ];
    let values: [(&str, [&str; 3]); 12] = [
        ("{user}", ["alice", "b.jones", "svc-web2"]),
        ("{ver}", ["19.002.0107.0005", "20.1.5", "1.0.0"]),
        (
            "{guid}",
            [
                "3EB3C877-1F16-487C-9050-104DBCD66683",
                "ab8902b4-09ca-4bb6-b78d-a8f59079a8d5",
                "00000000-0000-0000-0000-000000000001",
            ],
        ),
        ("{num}", ["5", "8080", "131072"]),
        ("{file}", ["a1b2c3", "tmp9x", "setup"]),
        (
            "{host}",
            ["db01.corp.local", "www.example.com", "eu-1.cdn.example.org"],
        ),
        ("{short}", ["fs01", "SRV-WEB-22", "nas"]),
        ("{ip}", ["10.0.0.7", "192.168.1.100", "172.16.5.4"]),
        (
            "{hash}",
            [
                "81d310fa34e6a56a31145445891bb7b8",
                "858b6f645d9f9b57210292e5711e0abc",
                "0123456789abcdef0123456789abcdef",
            ],
        ),
        ("{date}", ["2024-02-02", "1999-12-31", "2026-11-21"]),
        ("{time}", ["20:10", "07:30:01", "0:15"]),
        (
            "{long}",
            [
                "17910951096349239180",
                "6501023075439887469",
                "12740492692978438644",
            ],
        ),
    ];
    let fill = |line: &str, which: usize| {
        values.iter().fold(line.to_owned(), |text, (name, values)| {
            text.replace(name, values[which])
        })
    };
    let (mut same_key, mut same_template, mut all) = (0, 0, 0);
    for line in lines {
        for which in 1..3 {
            let (a, b) = (fill(line, 0), fill(line, which));
            all += 1;
            same_key += usize::from(same(&a, &b));
            same_template += usize::from(
                super::super::canonical::template_hash(&a)
                    == super::super::canonical::template_hash(&b),
            );
        }
    }
    assert!(
        same_key * 100 >= all * 95 && same_template * 100 >= all * 85,
        "{same_key} keys and {same_template} templates of {all}"
    );
}
