//! A real browser: Debian's Chromium without a window, driven through chromedriver by the W3C's `WebDriver` protocol, which is JSON over HTTP; no client crate, as it
//! is a handful of calls.
//!
//! The browser has a profile of its own that goes with it, listens on loopback alone, and tells what a page logged and what it asked the network for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::processes::{free_port, listening};
use crate::support::skip;

/// How long a page may take to show what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The key under which the protocol holds an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that are no text.
#[expect(dead_code, reason = "for tests of pages to come")]
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
}

/// A browser that ends with the test.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    /// Process id of the browser.
    process: u64,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with the session; a browser that hangs is ended by its id.
        let path = format!("/session/{}", self.session);
        if exchange(self.address, "DELETE", &path, None).is_err() {
            let _ = Command::new("kill")
                .args(["-9", &self.process.to_string()])
                .status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// One exchange: status and body.
fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> std::io::Result<(u16, Value)> {
    let body = body.map_or_else(String::new, Value::to_string);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let wrong = |what: &str| std::io::Error::other(format!("chromedriver's answer: {what}"));
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| wrong(&line))?;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| wrong(value))?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).map_err(|e| wrong(&e.to_string()))?;
    Ok((status, body["value"].clone()))
}

impl Browser {
    /// Starts one; says loudly that the test is skipped where there is none.
    pub fn start(test: &str) -> Option<Self> {
        for program in ["chromium", "chromedriver"] {
            let there = Command::new(program).arg("--version").output();
            if !there.is_ok_and(|output| output.status.success()) {
                skip(&format!(
                    "{test}: {program}, of Debian's packages chromium and chromium-driver, is not in the path"
                ));
                return None;
            }
        }
        let address: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={}", address.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        listening(address, &mut driver);
        let profile = tempfile::tempdir().unwrap();
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let flags = [
            profile_flag.as_str(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let (status, session) = exchange(address, "POST", "/session", Some(&wanted)).unwrap();
        assert_eq!(status, 200, "no browser starts: {session}");
        let capabilities = &session["capabilities"];
        Some(Self {
            driver,
            address,
            session: session["sessionId"].as_str().unwrap().to_owned(),
            process: capabilities["goog:processID"].as_u64().unwrap(),
            _profile: profile,
        })
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let path = format!("/session/{}{path}", self.session);
        let (status, value) = exchange(self.address, method, &path, body).unwrap();
        if status == 200 {
            Ok(value)
        } else {
            Err(format!("{method} {path}: {status} {value}"))
        }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, Some(body)).unwrap()
    }

    /// Opens a page, and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// Opens a file.
    pub fn open_file(&self, path: impl AsRef<Path>) {
        let path = std::path::absolute(path).unwrap();
        self.open(url::Url::from_file_path(path).unwrap().as_str());
    }

    /// The elements that a CSS selector finds, in the page's order.
    pub fn all(&self, css: &str) -> Vec<String> {
        let by = json!({ "using": "css selector", "value": css });
        let found = self.post("/elements", &by);
        let ids = found.as_array().unwrap().iter();
        ids.map(|e| e[ELEMENT].as_str().unwrap().to_owned())
            .collect()
    }

    /// The first of them, once it is there.
    pub fn one(&self, css: &str) -> String {
        let mut found = None;
        self.wait(&format!("an element {css}"), |browser| {
            found = browser.all(css).into_iter().next();
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until something holds.
    pub fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(
                Instant::now() < until,
                "{what} did not come about; the console says {:?}",
                self.console()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks the first element that a selector finds, as a mouse does: it must be visible.
    pub fn click(&self, css: &str) {
        self.post(&format!("/element/{}/click", self.one(css)), &json!({}));
    }

    /// Types into the first element that a selector finds.
    pub fn type_into(&self, css: &str, text: &str) {
        let path = format!("/element/{}/value", self.one(css));
        self.post(&path, &json!({ "text": text }));
    }

    /// Presses keys one after the other, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let down_up = |key: char| {
            let value = key.to_string();
            [
                json!({ "type": "keyDown", "value": value }),
                json!({ "type": "keyUp", "value": value }),
            ]
        };
        let actions: Vec<Value> = keys.chars().flat_map(down_up).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    /// What a person reads of the first element that a selector finds.
    pub fn text(&self, css: &str) -> String {
        let path = format!("/element/{}/text", self.one(css));
        let text = self.ask("GET", &path, None).unwrap();
        text.as_str().unwrap().to_owned()
    }

    /// Runs a script in the page, and returns what it returns.
    pub fn script(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.post("/execute/sync", &body)
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("/goog/cdp/execute", &body)
    }

    /// The size of the page's view in CSS pixels; a phone has `mobile`.
    pub fn size(&self, width: u32, height: u32, mobile: bool) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile }),
        );
    }

    /// Whether the reader prefers dark pages.
    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": value });
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    }

    /// Pixels by which the page is wider than its view: 0 unless a reader has to scroll sideways.
    pub fn overflow(&self) -> i64 {
        let script = "const e = document.scrollingElement; return e.scrollWidth - e.clientWidth";
        self.script(script).as_i64().unwrap()
    }

    /// Writes the whole page, also what is out of view, to a PNG file.
    pub fn screenshot(&self, path: impl AsRef<Path>) {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.devtools("Page.captureScreenshot", &parameters);
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.post("/se/log", &json!({ "type": kind }));
        log.as_array().unwrap().clone()
    }

    /// What pages logged since the last call: level and message.
    pub fn console(&self) -> Vec<String> {
        let entry = |e: &Value| {
            let text = |key: &str| e[key].as_str().unwrap_or_default();
            format!("{} {}", text("level"), text("message"))
        };
        self.log("browser").iter().map(entry).collect()
    }

    /// The addresses that pages asked for since the last call, the pages' own among them; not what the browser's own pages (its first tab) ask of the browser.
    pub fn requests(&self) -> Vec<String> {
        let url = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent")
                .then(|| message["params"]["request"]["url"].as_str())?
                .map(str::to_owned)
        };
        let asked = self.log("performance");
        let asked = asked.iter().filter_map(url);
        asked
            .filter(|url| !url.starts_with("chrome://") && !url.starts_with("chrome-untrusted://"))
            .collect()
    }
}

#[test]
fn a_page_is_clicked_through_and_tells_what_it_logged_and_asked_for() {
    let Some(browser) = Browser::start("the browser's harness") else {
        return;
    };
    let dir = crate::support::Dir::new();
    let page = dir.write(
        "page.html",
        "<!doctype html><meta name=viewport content='width=device-width'><title>t</title><style>@media (prefers-color-scheme: dark) { p { color: rgb(1, 2, 3) } }</style>\
         <p id=out style='height: 3000px'>nothing</p><input id=in><button onclick=\"out.textContent = document.getElementById('in').value\">go</button>\
         <script>addEventListener('keydown', e => { if (e.key == 'b') document.title = 'pressed' }); console.error('said');</script><img src='missing.png'>",
    );
    browser.open_file(&page);
    browser.type_into("#in", "typed");
    browser.click("button");
    assert_eq!(browser.text("#out"), "typed");
    browser.press("b");
    assert_eq!(browser.script("return document.title"), "pressed");
    browser.size(360, 740, true);
    let width = "return document.scrollingElement.clientWidth";
    assert_eq!(browser.script(width), 360);
    assert_eq!(browser.overflow(), 0);
    browser.script("document.body.style.width = '500px'");
    assert!(browser.overflow() >= 140);
    let color = "return getComputedStyle(document.getElementById('out')).color";
    assert_ne!(browser.script(color), "rgb(1, 2, 3)");
    browser.dark(true);
    assert_eq!(browser.script(color), "rgb(1, 2, 3)");
    assert!(browser.console().iter().any(|line| line.contains("said")));
    let asked = browser.requests();
    assert!(
        asked.iter().any(|url| url.ends_with("/missing.png")),
        "{asked:?}"
    );
    let shot = dir.join("shot.png");
    browser.screenshot(&shot);
    let bytes = std::fs::read(shot).unwrap();
    // The PNG's height is that of the whole page.
    let height = u32::from_be_bytes(bytes[20..24].try_into().unwrap());
    assert!(bytes.starts_with(b"\x89PNG") && height > 3000, "{height}");
}
