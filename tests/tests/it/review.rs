//! The review page in a real browser, on hostile lines: by keys, by clicks, on a phone; what it lets a line do (nothing), and who may judge. `GLEANER_SCREENSHOTS` names a
//! directory that keeps what it looks like.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::browser::{Browser, key};
use crate::serve::Server;
use crate::support::{Dir, number, query, run, succeeds};

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
pub fn warehouse(dir: &Dir) -> (String, String) {
    let huge = format!("echo {}", "abcdefghij ".repeat(900));
    // Names of letters, so that each line has a template of its own.
    let names = ["amber", "birch", "cedar", "daisy", "elder", "fern"];
    let plain = names.map(|name| format!("git commit -m {name} --path src/{name}"));
    let lines = HOSTILE
        .iter()
        .map(|&l| l.to_owned())
        .chain([huge])
        .chain(plain);
    let rows: Vec<String> = lines
        .enumerate()
        .map(|(n, line)| {
            let row = json!({
                "event_time": "2025-01-01T12:00:00Z", "command_line": line, "host": format!("host{n}"), "user": "maria",
                "os": "linux", "image": "/bin/sh",
            });
            row.to_string()
        })
        .collect();
    let rows = rows.join("\n") + "\n";
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

pub fn server(dir: &Dir, telemetry: &str, warehouse: &str, more: &[&str]) -> (Server, String) {
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
    browser.wait("the sign-in", |b| !b.text("#sign-in").is_empty());
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
#[expect(
    clippy::too_many_lines,
    reason = "one sitting, from the first line to the last"
)]
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
    browser.wait("the sign-in", |b| !b.text("#sign-in").is_empty());
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
