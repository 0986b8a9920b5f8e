//! The review page in a real browser, on hostile lines: by keys, by clicks, on a phone; what it lets a line do (nothing), and who may judge. `GLEANER_SCREENSHOTS` names a
//! directory that keeps what it looks like.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::browser::{Browser, key};
use crate::pki::Ca;
use crate::probe::{Outcome, Speaker};
use crate::serve::Server;
use crate::support::{Dir, fails, number, query, run, succeeds};

/// Lines that would do something, were they markup, script, template or address.
const HOSTILE: [&str; 9] = [
    "echo </script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>",
    "echo {{constructor.constructor('document.title=1')()}} ${document.title='owned'} <%= 7*7 %>",
    "start javascript:document.title='owned'",
    "echo <iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe><a href=javascript:alert(1)>x</a>",
    "cmd /c echo \u{202e}gpj.exe\u{200b}\u{feff}\u{a0}x\u{1b}[2J",
    "printf 'one\ntwo\tthree' \u{e0041}",
    "echo </textarea></title></style><svg onload=document.title='owned'>",
    // echo '<img src=x onerror=alert(1)>'
    "powershell -enc ZQBjAGgAbwAgACcAPABpAG0AZwAgAHMAcgBjAD0AeAAgAG8AbgBlAHIAcgBvAHIAPQBhAGwAZQByAHQAKAAxACkAPgAnAA==",
    "mysql --password=hunter2Zq9xKv81LmPw -u root db",
];

/// A warehouse in which every line is labelled: the hostile ones, a huge one, and some that nothing is wrong with.
fn warehouse(dir: &Dir) -> (String, String) {
    let huge = format!("echo {}", "abcdefghij ".repeat(900));
    // Names of letters, so that each line has a template of its own.
    let names = ["amber", "birch", "cedar", "daisy", "elder", "fern"];
    let plain = names.map(|name| format!("git commit -m {name} --path src/{name}"));
    let lines = HOSTILE
        .iter()
        .map(|&l| l.to_owned())
        .chain([huge])
        .chain(plain);
    let rows: String = lines
        .enumerate()
        .map(|(n, line)| {
            let row = json!({
                "event_time": "2025-01-01T12:00:00Z", "command_line": line, "host": format!("host{n}"), "user": "maria",
                "os": "linux", "image": "/bin/sh",
            });
            format!("{row}\n")
        })
        .collect();
    dir.write("telemetry/day.ndjson", rows);
    let (telemetry, warehouse) = (dir.join("telemetry"), dir.join("warehouse"));
    let flags = [
        "--quota",
        "100%",
        "--min-hosts",
        "1",
        "--min-users",
        "1",
        "--cosine",
        "1",
    ];
    run(&telemetry, &warehouse, &flags);
    (telemetry, warehouse)
}

fn server(dir: &Dir, telemetry: &str, warehouse: &str, more: &[&str]) -> (Server, String) {
    let args = [
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
        "--review",
        "127.0.0.1:0",
    ];
    let server = Server::start(dir, &[&args, more].concat(), &[]);
    let said = std::fs::read_to_string(&server.log).unwrap();
    let at = said.split("review the audit sample at ").nth(1).unwrap();
    let url = at.split('\n').next().unwrap().trim().to_owned();
    (server, url)
}

fn shot(browser: &Browser, name: &str) {
    if let Some(directory) = std::env::var_os("GLEANER_SCREENSHOTS") {
        browser.screenshot(PathBuf::from(directory).join(name));
    }
}

fn sign_in(browser: &Browser, url: &str, secret: &str) {
    browser.open(url);
    browser.wait("the sign-in", |b| b.text("#sign-in") != "");
    browser.type_into("#secret", secret);
    browser.press(key::ENTER);
    browser.wait("the first line", |b| b.text("#place").starts_with("Line "));
}

fn place(browser: &Browser) -> String {
    browser.text("#place")
}

/// What of the page is not of the page's own making.
const FOREIGN: &str = "return document.querySelectorAll('img, iframe, svg, a, object, embed, style, script:not([src=\"/review.js\"]), [onerror], [onload]').length";

#[test]
fn an_analyst_goes_through_hostile_lines_by_keys_and_clicks_and_none_of_them_does_anything() {
    let Some(browser) = Browser::start("the review page") else {
        return;
    };
    let dir = Dir::new();
    let (telemetry, warehouse) = warehouse(&dir);
    let (mut server, url) = server(&dir, &telemetry, &warehouse, &[]);
    browser.size(1100, 800, false);
    browser.requests();
    browser.open(&url);
    browser.wait("the sign-in", |b| b.text("#sign-in") != "");
    shot(&browser, "review-sign-in.png");
    sign_in(&browser, &url, "Maria O'Neill");
    let all = browser.text("#count");
    let all: usize = all.split(' ').nth(2).unwrap().parse().unwrap();
    assert_eq!(all, HOSTILE.len() + 7, "every line is in the sample");
    // Every line: what the page shows is what ran, hidden characters as their names, and nothing of it is markup.
    let mut seen = vec![];
    for n in 1..=all {
        browser.wait("the next line", |b| {
            place(b) == format!("Line {n} of {all}")
        });
        let text = browser.text("#line");
        assert_eq!(browser.script(FOREIGN), 0, "line {n}");
        if text.contains("abcdefghij") {
            assert!(!text.contains(&"abcdefghij ".repeat(500)));
            browser.click("#whole");
            assert!(browser.text("#line").matches("abcdefghij").count() == 900);
        }
        if text.contains("powershell -enc") {
            assert!(
                browser
                    .text("#decoded")
                    .contains("<img src=x onerror=alert(1)>")
            );
            shot(&browser, "review-encoded.png");
        }
        if text.contains("gpj.exe") {
            for code in ["U+202E", "U+200B", "U+FEFF", "U+00A0", "U+001B"] {
                assert!(text.contains(code), "{code}: {text}");
            }
            shot(&browser, "review-hidden.png");
        }
        if text.contains("</script><img") {
            shot(&browser, "review-markup.png");
            browser.dark(true);
            shot(&browser, "review-dark.png");
            browser.size(360, 740, true);
            assert_eq!(browser.overflow(), 0, "a phone scrolls sideways");
            shot(&browser, "review-phone.png");
            browser.size(1100, 800, false);
            browser.dark(false);
        }
        if text.contains("hunter2Zq9xKv81LmPw") {
            browser.press("r");
            browser.wait("redaction", |b| b.text("#line").contains("<secret:"));
            assert!(!browser.text("#review").contains("hunter2Zq9xKv81LmPw"));
            browser.press("r");
            browser.wait("the line as it ran", |b| {
                b.text("#line").contains("hunter2")
            });
        }
        seen.push(text);
        browser.press("s");
    }
    for line in HOSTILE.iter().take(4) {
        assert!(seen.iter().any(|text| text == line), "not shown as it ran");
    }
    browser.wait("the end", |b| b.text("#done-title").starts_with("0 of"));
    browser.click("#again");
    browser.wait("the first line", |b| place(b).starts_with("Line 1 "));

    // One key a verdict; the first line is judged benign and looked at again.
    let first = browser.text("#line");
    browser.press("b");
    browser.wait("the second line", |b| place(b).starts_with("Line 2 "));
    browser.press("z");
    browser.wait("the first line again", |b| {
        b.text("#held").contains("Maria O'Neill: benign")
    });
    browser.press("m");
    browser.wait("the second line", |b| place(b).starts_with("Line 2 "));
    // By mouse, with a comment in which keys are letters.
    browser.type_into("#comment", "bmux, it's fine");
    browser.click("button[data-verdict=benign]");
    browser.wait("the third line", |b| place(b).starts_with("Line 3 "));
    browser.press("u");
    browser.wait("the fourth line", |b| place(b).starts_with("Line 4 "));
    assert_eq!(browser.text("#count"), format!("3 of {all} judged"));
    browser.press("x");
    browser.wait("the fifth line", |b| place(b).starts_with("Line 5 "));
    // What was answered outlives the server, killed without a word.
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    browser.press("b");
    browser.wait("an error", |b| {
        b.text("#status").contains("does not answer")
    });
    shot(&browser, "review-no-server.png");

    assert_ne!(browser.script("return document.title"), "owned");
    let foreign: Vec<String> = browser.requests();
    assert!(
        foreign.len() > 20 && foreign.iter().all(|asked| asked.starts_with(&url)),
        "{foreign:?}"
    );
    let broken = browser.console();
    let broken: Vec<_> = broken
        .iter()
        .filter(|line| line.contains("Content Security Policy") || line.contains("Uncaught"))
        .collect();
    assert!(broken.is_empty(), "{broken:?}");

    let reviews = query(
        &warehouse,
        "SELECT hash, verdict, analyst, comment, stratum, version FROM reviews ORDER BY version",
    );
    let verdicts: Vec<&str> = reviews
        .iter()
        .map(|r| r["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(
        verdicts,
        ["benign", "malicious", "benign", "uncertain", "suspicious"]
    );
    assert!(
        reviews
            .iter()
            .all(|r| r["analyst"] == "Maria O'Neill" && r["stratum"].is_string())
    );
    assert_eq!(reviews[2]["comment"], "bmux, it's fine");
    // The next run emits what the analyst called benign, and not what they took back.
    let flags = [
        "--quota",
        "100%",
        "--min-hosts",
        "1",
        "--min-users",
        "1",
        "--cosine",
        "1",
    ];
    run(&telemetry, &warehouse, &flags);
    let emitted = |hash: &Value| {
        let sql = format!(
            "SELECT count(*) FROM benign WHERE analyst = 'Maria O''Neill' AND hash = {}",
            hash.to_string().replace('"', "'")
        );
        number(&warehouse, &sql)
    };
    assert_eq!(
        (emitted(&reviews[2]["hash"]), emitted(&reviews[1]["hash"])),
        (1, 0)
    );
    assert!(!first.is_empty());
    // And an export says how right the set is by the analyst's verdicts; redacted, it does not name them.
    let set = dir.join("set");
    succeeds(&[
        "export",
        "--warehouse",
        &warehouse,
        "--format",
        "hf",
        "--out",
        &set,
        "--redact",
    ]);
    let card = std::fs::read_to_string(dir.path().join("set/README.md")).unwrap();
    assert!(
        card.contains("| `analyst` | ") && !card.contains("O'Neill"),
        "{card}"
    );
    let looked = number(
        &warehouse,
        "SELECT count(DISTINCT hash) FROM reviews WHERE label = 'benign'",
    );
    let said = if looked == 0 {
        "No analyst has looked".to_owned()
    } else {
        format!("Analysts looked at {looked} ")
    };
    assert!(card.contains(&said), "{said}: {card}");
}

/// One exchange over HTTP/1.1: status, head and body.
fn ask(url: &str, request: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
    let address: SocketAddr = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text = format!(
        "{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    stream
        .write_all(format!("{text}\r\n{body}").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn token(name: &str, role: &str) -> (String, String) {
    let shown = succeeds(&["token", "new", "--name", name, "--role", role]);
    let mut lines = shown.lines().filter_map(|l| l.strip_prefix("    "));
    (
        lines.next().unwrap().to_owned(),
        lines.next().unwrap().to_owned(),
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "one server, and all who speak to it")]
fn verdicts_are_for_operators_who_signed_in_on_this_page_and_are_kept_once() {
    let dir = Dir::new();
    let (telemetry, warehouse) = warehouse(&dir);
    let (anna, annas) = token("anna", "operator");
    let (ben, bens) = token("ben", "viewer");
    let (carl, carls) = token("carl", "operator");
    let tokens = dir.write("tokens", format!("{annas}\n{bens}\n{carls}\n"));
    let (_server, url) = server(&dir, &telemetry, &warehouse, &["--tokens", &tokens]);
    let origin = url.trim_end_matches('/').to_owned();
    let json = ("Content-Type", "application/json");
    let page = [("Origin", origin.as_str()), json];

    // What every answer forbids the browser, errors among them.
    for request in [
        "GET /",
        "GET /review.js",
        "GET /api/sample",
        "GET /nothing",
        "POST /api/verdict",
    ] {
        let (_, head, _) = ask(&url, request, &[], "");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "x-frame-options: deny",
        ] {
            assert!(head.contains(header), "{request}: {header}\n{head}");
        }
    }
    let (_, _, markup) = ask(&url, "GET /", &[], "");
    assert!(
        !markup.contains("<style")
            && !markup.contains("style=")
            && markup.matches("<script").count() == 1
    );

    // Nobody sees a line.
    for request in [
        "GET /api/sample",
        "GET /api/line/00000000000000000000000000000000",
    ] {
        assert_eq!(ask(&url, request, &[], "").0, 401, "{request}");
        assert_eq!(
            ask(&url, request, &[("Cookie", "gleaner-review=guessed")], "").0,
            401
        );
        // A token is no cookie, and no header is taken.
        let bearer = format!("Bearer {anna}");
        assert_eq!(ask(&url, request, &[("Authorization", &bearer)], "").0, 401);
    }
    let sign_in = |secret: &str| {
        let body = json!({ "secret": secret }).to_string();
        let (status, head, body) = ask(&url, "POST /api/sign-in", &page, &body);
        let cookie = head
            .split("set-cookie: ")
            .nth(1)
            .map(|rest| rest.split("\r\n").next().unwrap().to_owned());
        assert!(secret.is_empty() || !body.contains(secret));
        (status, cookie)
    };
    for wrong in ["", "anna", "gleaner_wrong", &annas] {
        assert_eq!(sign_in(wrong).0, 401);
    }
    // As `ask` tells heads in lower case, the session is asked for once more as it came.
    let session = |secret: &str| {
        let body = json!({ "secret": secret }).to_string();
        let address = origin.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /api/sign-in HTTP/1.1\r\nHost: {address}\r\nOrigin: {origin}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let at = answer.split("set-cookie: ").nth(1).unwrap();
        assert!(
            at.contains("HttpOnly; SameSite=Strict") && !at.contains(secret),
            "{at}"
        );
        at.split(';').next().unwrap().to_owned()
    };
    let (annas, bens, carls) = (session(&anna), session(&ben), session(&carl));
    let (status, _, body) = ask(&url, "GET /api/sample", &[("Cookie", &bens)], "");
    assert_eq!(status, 200);
    let sample: Value = serde_json::from_str(&body).unwrap();
    let hashes: Vec<&str> = sample["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["hash"].as_str().unwrap())
        .collect();
    assert!(hashes.len() > 10);

    let judge = |headers: &[(&str, &str)], hash: &str, verdict: &str| {
        let body =
            json!({ "hash": hash, "verdict": verdict, "analyst": "somebody else" }).to_string();
        let (status, _, body) = ask(&url, "POST /api/verdict", headers, &body);
        (
            status,
            serde_json::from_str::<Value>(&body).unwrap_or(Value::Null),
        )
    };
    let by = |cookie: &str| {
        [
            ("Origin", origin.clone()),
            ("Content-Type", "application/json".to_owned()),
            ("Cookie", cookie.to_owned()),
        ]
    };
    fn borrowed<'h>(headers: &'h [(&'h str, String)]) -> Vec<(&'h str, &'h str)> {
        headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }
    let (anna_by, ben_by, carl_by) = (by(&annas), by(&bens), by(&carls));
    // Not without a session, not as a viewer, not from another page, not as a form, not of another line or verdict.
    assert_eq!(judge(&page, hashes[0], "benign").0, 401);
    assert_eq!(judge(&borrowed(&ben_by), hashes[0], "benign").0, 403);
    for other in [
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        "http://127.0.0.1",
    ] {
        assert_eq!(
            judge(
                &[("Origin", other), json, ("Cookie", &annas)],
                hashes[0],
                "benign"
            )
            .0,
            403,
            "{other}"
        );
    }
    assert_eq!(
        judge(&[json, ("Cookie", &annas)], hashes[0], "benign").0,
        403
    );
    assert_eq!(
        judge(
            &[
                ("Origin", &origin),
                ("Content-Type", "text/plain"),
                ("Cookie", &annas)
            ],
            hashes[0],
            "benign"
        )
        .0,
        415
    );
    for (hash, verdict) in [
        (hashes[0], "fine"),
        (hashes[0], ""),
        ("", "benign"),
        ("0123", "benign"),
        ("' OR '1'='1", "benign"),
    ] {
        let (status, said) = judge(&borrowed(&anna_by), hash, verdict);
        assert!(
            status == 400 && said["error"].is_string(),
            "{hash} {verdict}: {said}"
        );
    }
    let large = format!("{{\"hash\": \"{}\"}}", "x".repeat(40_000));
    assert_eq!(
        ask(&url, "POST /api/verdict", &borrowed(&anna_by), &large).0,
        413
    );
    assert!(
        fails(&["sql", "--warehouse", &warehouse, "SELECT 1 FROM nothing"]).contains("nothing")
    );

    // Two analysts at once, each verdict said twice: one row each, the analyst is who signed in.
    std::thread::scope(|scope| {
        for (who, some) in [(&anna_by, &hashes[..4]), (&carl_by, &hashes[4..8])] {
            let judge = &judge;
            scope.spawn(move || {
                for hash in some {
                    let headers = borrowed(who);
                    let (status, first) = judge(&headers, hash, "benign");
                    assert_eq!(status, 200, "{first}");
                    let (status, again) = judge(&headers, hash, "benign");
                    assert!(
                        status == 200 && again["version"] == first["version"],
                        "{again}"
                    );
                }
            });
        }
    });
    let counted = |analyst: &str| {
        number(
            &warehouse,
            &format!("SELECT count(*) FROM reviews WHERE analyst = '{analyst}'"),
        )
    };
    assert_eq!(
        (counted("anna"), counted("carl"), counted("somebody else")),
        (4, 4, 0)
    );
    assert_eq!(
        number(&warehouse, "SELECT count(DISTINCT version) FROM reviews"),
        8
    );
    // Carl sees what Anna said, and may say otherwise: the later holds.
    assert_eq!(judge(&borrowed(&carl_by), hashes[0], "malicious").0, 200);
    let (_, _, body) = ask(
        &url,
        &format!("GET /api/line/{}", hashes[0]),
        &[("Cookie", &annas)],
        "",
    );
    let line: Value = serde_json::from_str(&body).unwrap();
    assert!(line["review"]["analyst"] == "carl" && line["review"]["verdict"] == "malicious");

    // Who is taken out of the file is out.
    std::fs::write(&tokens, format!("{}\n", token("dora", "viewer").1)).unwrap();
    assert_eq!(judge(&borrowed(&anna_by), hashes[9], "benign").0, 401);
    assert_eq!(
        ask(&url, "GET /api/sample", &[("Cookie", &annas)], "").0,
        401
    );
}

#[test]
fn without_tokens_the_page_is_of_this_machine_alone() {
    let dir = Dir::new();
    let (telemetry, warehouse) = warehouse(&dir);
    let flags = [
        "serve",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
        "--listen",
        "127.0.0.1:0",
    ];
    let said = fails(&[&flags[..], &["--review", "0.0.0.0:0"]].concat());
    assert!(
        said.contains("--review") && said.contains("--insecure"),
        "{said}"
    );
    let (_server, url) = server(&dir, &telemetry, &warehouse, &[]);
    // A page of another name that was made to point here (DNS rebinding).
    for host in ["evil.example", "evil.example:80", "localhost.evil.example"] {
        let origin = format!("http://{host}");
        let headers = [
            ("Host", host),
            ("Origin", origin.as_str()),
            ("Content-Type", "application/json"),
        ];
        let (status, _, body) = ask(&url, "POST /api/sign-in", &headers, "{\"secret\": \"eve\"}");
        assert_eq!(status, 421, "{host}: {body}");
        assert_eq!(ask(&url, "GET /api/me", &headers[..1], "").0, 421);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_page_answers_and_in_plain_text_it_does_not() {
    let dir = Dir::new();
    let (telemetry, warehouse) = warehouse(&dir);
    let ca = Ca::new(&dir, "ca");
    let (_, annas) = token("anna", "operator");
    let tokens = dir.write("tokens", annas);
    let holder = ca.issue("driver");
    let args = [holder.args(), vec!["--tokens".to_owned(), tokens]].concat();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (_server, url) = server(&dir, &telemetry, &warehouse, &args);
    let address: SocketAddr = url
        .trim_start_matches("https://")
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let browser = Speaker::over_tls(&ca.file, None);
    assert_eq!(browser.get(address, "/").await, Outcome::Answered);
    assert_eq!(browser.get(address, "/api/sample").await, Outcome::Unknown);
    assert_eq!(Speaker::plain().get(address, "/").await, Outcome::Closed);
}
