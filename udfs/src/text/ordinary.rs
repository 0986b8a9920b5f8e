//! The ordinary context: what a line must look like, beyond "no rule fired", before the rule labeller may call it benign.
//!
//! What: the line is split into commands; every one of them must be a program that a defender knows, used in a way that
//! neither runs other code, nor reaches the network, nor touches what an attacker wants. Everything else has a reason why not.
//!
//! Why an allow-list: a deny-list says benign about the attack it has not heard of. Here an unknown program, an unknown
//! sub-command, an unusual directory, a URL or a shell among the arguments all end as "uncertain", which costs yield and never
//! a wrong label. The list names programs and sub-commands, never whole lines.
//!
//! Cost: one split of the line, one look-up for each command and one automaton pass over its arguments.

use super::ordinary_programs::{
    CLOUD_VERBS, CMDLETS, PROGRAMS, ROOT_PROGRAMS, SENSITIVE_CLOUD, SYSTEM_PROCESSES,
};
use super::words::{
    Piece, Word, base_name, is_cmdlet, looks_windows, split, strip_suffix_ignore_case,
};

/// What the context is judged on.
pub(crate) struct Surroundings<'a> {
    pub(crate) command_line: &'a str,
    pub(crate) image: Option<&'a str>,
    pub(crate) parent_image: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
}

/// Longer lines are never ordinary.
const MAX_BYTES: usize = 2048;

/// `Ok` where the context is ordinary, else the first reason why it is not.
pub(crate) fn ordinary(subject: &Surroundings<'_>) -> Result<(), &'static str> {
    let line = subject.command_line.trim();
    if line.is_empty() {
        return Err("the line is empty");
    }
    if line.len() > MAX_BYTES || line.contains('\n') {
        return Err("the line is very long or has several lines");
    }
    parent(subject.parent_image)?;
    if subject.user.is_some_and(|user| {
        let user = user.to_lowercase();
        [
            "www-data",
            "apache",
            "nginx",
            "httpd",
            "tomcat",
            "iis apppool",
            "nobody",
        ]
        .iter()
        .any(|name| user.contains(name))
    }) {
        return Err("it ran as the account of a web server");
    }
    if let Some(image) = subject.image.filter(|image| !image.is_empty()) {
        let image = image.to_lowercase();
        if USER_WRITABLE.iter().any(|dir| image.contains(dir)) {
            return Err("the program lies in a directory that users can write to");
        }
        if !names_agree(line, &image) {
            return Err("the line names another program than the image");
        }
    }
    script(line, 0)
}

/// The first word and the image must be the same program (`cmd` and `cmd.exe` are).
fn names_agree(line: &str, image: &str) -> bool {
    let (path, _) = leading_program(line);
    let name = base_name(path).to_lowercase();
    let image = base_name(image);
    name == image || looks_like_alias(&name, image)
}

/// Names that a system gives to the same program.
fn looks_like_alias(name: &str, image: &str) -> bool {
    let short = |text: &str| {
        text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
            .to_owned()
    };
    short(name) == short(image)
}

const USER_WRITABLE: &[&str] = &[
    "\\temp\\",
    "\\tmp\\",
    "\\appdata\\",
    "\\downloads\\",
    "\\desktop\\",
    "\\documents\\",
    "\\users\\public",
    "\\programdata\\",
    "\\perflogs\\",
    "\\$recycle.bin\\",
    "\\windows\\tasks\\",
    "\\windows\\debug\\",
    "\\windows\\tracing\\",
    "\\spool\\drivers\\color",
    "\\intel\\logs",
    "/tmp/",
    "/var/tmp/",
    "/dev/shm/",
    "/home/",
    "/users/",
    "/run/user/",
    "/downloads/",
    "/mnt/",
    "/media/",
    "/.",
    "\\atomic",
    "c:\\users\\",
];

fn parent(parent: Option<&str>) -> Result<(), &'static str> {
    const ODD: &[&str] = &[
        "winword",
        "excel",
        "powerpnt",
        "outlook",
        "msaccess",
        "mspub",
        "visio",
        "onenote",
        "acrord32",
        "acrobat",
        "wscript",
        "cscript",
        "mshta",
        "rundll32",
        "regsvr32",
        "wmiprvse",
        "wsmprovhost",
        "winrshost",
        "psexesvc",
        "installutil",
        "msbuild",
        "w3wp",
        "httpd",
        "nginx",
        "apache2",
        "apache",
        "php-fpm",
        "php",
        "php-cgi",
        "tomcat",
        "java",
        "sqlservr",
        "mysqld",
        "postgres",
        "lsass",
        "spoolsv",
        "hh",
        "eqnedt32",
        "chrome",
        "firefox",
        "msedge",
        "iexplore",
    ];
    let Some(parent) = parent.filter(|p| !p.is_empty()) else {
        return Ok(());
    };
    let lower = parent.to_lowercase();
    let name = base_name(&lower);
    // a browser's children are browsers; the list is for what they start otherwise, and costs only yield
    if ODD.contains(&name) {
        return Err(
            "its parent is a document reader, a script host, a web server or a remote-execution host",
        );
    }
    if USER_WRITABLE.iter().any(|dir| lower.contains(dir)) {
        return Err("its parent lies in a directory that users can write to");
    }
    Ok(())
}

/// The program's path and the rest, for lines that begin with an unquoted path with spaces.
fn leading_program(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix('"') {
        return rest.split_once('"').unwrap_or((rest, ""));
    }
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("c:\\program files")
        && let Some(at) = lower.find(".exe")
    {
        return line.split_at(at + 4);
    }
    line.find(char::is_whitespace)
        .map_or((line, ""), |at| line.split_at(at))
}

#[derive(Default)]
struct Command<'a> {
    words: Vec<Word<'a>>,
    writes_to: Vec<String>,
}

fn script(line: &str, depth: usize) -> Result<(), &'static str> {
    if depth > 2 {
        return Err("shells inside shells");
    }
    let windows = looks_windows(line);
    if windows && depth == 0 && line.to_ascii_lowercase().starts_with("c:\\program files") {
        let (path, rest) = leading_program(line);
        let quoted = format!("\"{path}\"{rest}");
        return script(&quoted, 1);
    }
    let split = split(line);
    let mut commands = vec![Command::default()];
    let mut redirect = false;
    for piece in split.pieces {
        let last = commands.len() - 1;
        match piece {
            Piece::Operator("|" | "&&" | "||" | ";" | "&") => {
                commands.push(Command::default());
                redirect = false;
            }
            Piece::Operator(op) if op.contains('>') => redirect = !op.contains(">&"),
            Piece::Operator(_) => return Err("it substitutes a command or reads a here-document"),
            Piece::Word(word) if redirect => {
                commands[last].writes_to.push(word.text.to_lowercase());
                redirect = false;
            }
            Piece::Word(word) if word.text.starts_with('#') => return Err("it carries a comment"),
            Piece::Word(word) => commands[last].words.push(word),
        }
    }
    if commands.iter().all(|c| c.words.is_empty()) {
        return Err("no program is named");
    }
    for command in commands
        .iter()
        .filter(|c| !c.words.is_empty() || !c.writes_to.is_empty())
    {
        self::command(command, windows, depth)?;
    }
    Ok(())
}

fn command(command: &Command<'_>, windows: bool, depth: usize) -> Result<(), &'static str> {
    let mut words = command.words.as_slice();
    let as_root = words.first().is_some_and(|first| first.text == "sudo");
    while let [first, rest @ ..] = words
        && matches!(first.text.as_ref(), "sudo" | "time" | "nohup" | "command")
    {
        if rest.first().is_some_and(|next| next.text.starts_with('-')) {
            return Err("a wrapper with options of its own");
        }
        words = rest;
    }
    let Some((first, arguments)) = words.split_first() else {
        return Err("no program is named");
    };
    let path = first.text.to_lowercase();
    let path = path.trim_start_matches("\\??\\");
    let name = base_name(path);
    for target in &command.writes_to {
        writes(target, name)?;
    }
    if name == "cmd" && windows {
        return shell_argument(arguments, &["/c", "/s", "/d", "/q", "/v:off"], "/c", depth);
    }
    if matches!(name, "powershell" | "pwsh") {
        return shell_argument(
            arguments,
            &[
                "-noprofile",
                "-nologo",
                "-noninteractive",
                "-nop",
                "-noni",
                "-c",
                "-command",
            ],
            "-c",
            depth,
        );
    }
    let bare = !path.contains(['\\', '/']);
    if windows && (is_cmdlet(name) || CMDLETS.binary_search(&name).is_ok()) {
        return cmdlet(name, arguments);
    }
    if windows && path.starts_with("c:\\program files") {
        return vendor_program(path, name, arguments);
    }
    if windows
        && let Some(rest) = path.strip_prefix("c:\\windows\\")
        && let Some((_, shape)) = SYSTEM_PROCESSES
            .iter()
            .find(|(process, _)| *process == name)
    {
        let known = [
            "system32\\",
            "syswow64\\",
            "winsxs\\",
            "systemapps\\",
            "servicing\\",
            "microsoft.net\\framework",
        ]
        .iter()
        .any(|dir| rest.starts_with(dir))
            || rest.len() == name.len() + 4;
        if !known {
            return Err("a system program outside its directory");
        }
        return system_process(shape, arguments);
    }
    let system = [
        "/usr/bin/",
        "/bin/",
        "/usr/sbin/",
        "/sbin/",
        "/usr/local/bin/",
        "/opt/homebrew/bin/",
        "c:\\windows\\system32\\",
    ]
    .iter()
    .any(|dir| {
        path.strip_prefix(dir) == Some(name)
            || strip_suffix_ignore_case(path, ".exe").and_then(|p| p.strip_prefix(dir))
                == Some(name)
    });
    if !bare && !system {
        return Err("the program lies outside the directories of the system");
    }
    if first
        .text
        .contains(['$', '%', '=', '`', '(', '{', '[', '*', '?'])
    {
        return Err("the program's name is built or an assignment");
    }
    if matches!(name, "az" | "gcloud") {
        return cloud(arguments);
    }
    if as_root && ROOT_PROGRAMS.binary_search(&name).is_err() {
        return Err("the program runs as root and could be left for a shell");
    }
    let Ok(at) = PROGRAMS.binary_search_by(|(program, _)| (*program).cmp(name)) else {
        return Err("the program is not among the known ordinary ones");
    };
    known_program(PROGRAMS[at].1, arguments, windows)
}

fn shell_argument(
    arguments: &[Word<'_>],
    harmless: &[&str],
    run: &str,
    depth: usize,
) -> Result<(), &'static str> {
    let mut at = 0;
    while let Some(word) = arguments.get(at) {
        let lower = word.text.to_lowercase();
        if !lower.starts_with(['-', '/']) {
            break;
        }
        if !harmless.contains(&lower.as_str()) {
            return Err("a shell with unusual options");
        }
        at += 1;
        if lower.starts_with(run) {
            break;
        }
    }
    let rest = arguments.get(at..).unwrap_or_default();
    match rest {
        [] => Err("a bare shell"),
        [only] => script(only.text.trim_matches('"'), depth + 1),
        many => {
            let line: Vec<String> = many
                .iter()
                .map(|w| {
                    if w.text.contains(char::is_whitespace) {
                        format!("\"{}\"", w.text)
                    } else {
                        w.text.to_string()
                    }
                })
                .collect();
            script(&line.join(" "), depth + 1)
        }
    }
}

fn writes(target: &str, program: &str) -> Result<(), &'static str> {
    if matches!(target, "/dev/null" | "nul" | "$null") {
        return Ok(());
    }
    let data = [
        ".txt", ".log", ".csv", ".json", ".out", ".md", ".xml", ".html", ".tsv", ".yaml", ".yml",
    ]
    .iter()
    .any(|e| target.ends_with(e));
    if !data || matches!(program, "echo" | "printf" | "cat" | "type") {
        return Err("it writes a file that may be run or read by another program");
    }
    clean(target)
}

/// Nothing that an attacker reaches for, and nothing that runs other code.
fn clean(argument: &str) -> Result<(), &'static str> {
    const TEXTS: &[&str] = &[
        "/etc",
        "/root",
        "/tmp",
        "/var/tmp",
        "/dev/",
        "/proc",
        "/sys/",
        "/boot",
        "/var/log",
        "/var/www",
        "/var/spool",
        "/var/run",
        "/run/",
        ".ssh",
        ".aws",
        ".kube",
        ".gnupg",
        ".docker",
        ".azure",
        "id_rsa",
        "id_ed25519",
        "passw",
        "pwd=",
        "secret",
        "token",
        "credential",
        "shadow",
        "sudoers",
        ".pem",
        ".key",
        ".pfx",
        ".p12",
        ".kdbx",
        ".jks",
        "history",
        "://",
        "\\\\",
        "`",
        "$(",
        "${",
        "<(",
        "eval",
        "exec",
        "system(",
        "spawn",
        "popen",
        "/bin/",
        "\\temp",
        "%temp",
        "appdata",
        "\\downloads",
        "\\public",
        "programdata",
        "$env:",
        "base64",
        "\\x",
        "hklm",
        "hkcu",
        "hkey",
        "regist",
        "payload",
        "exploit",
        "inject",
        "backdoor",
        "revers",
        "malware",
        "evil",
        "hack",
        "attack",
        "shell",
        "atomic",
        "rootkit",
        "beacon",
        "lsass",
        "ntds",
        "mimi",
        "dump",
        "keychain",
        "cookie",
        "wallet",
        "crontab",
        "cron.",
        "/cron",
        "authorized",
        ".bashrc",
        ".profile",
        ".zshrc",
        "bash_",
        "startup",
        "autorun",
        "launchagent",
        "launchdaemon",
        "pam.d",
        "ld_preload",
        "ld.so",
        "admin",
        "suid",
        "setuid",
        "4000",
        "u=s",
        "u+s",
        "g+s",
        "+s",
        "c2",
        "msf",
        "vuln",
        "cve-",
        ".hta",
        ".sct",
        ".vbs",
        ".ps1",
        ".bat",
        ".scr",
        ".jse",
        ".wsf",
        "javascript:",
        "vbscript:",
        "proxy",
        "sam",
        "drivers\\",
        "/inet",
        "getline",
        "command=",
        "cmd=",
        "program=",
        "script=",
        "pager",
        "editor",
        "-oproxy",
        "hook",
        "plugin",
        "preload",
        "rpath",
        "loader",
        "debug",
        "regserver",
        "defender",
        "bypass",
        "disable",
        "antivirus",
        "delegation",
        "c:\\users",
        "c:/users",
        "$home",
        "~",
        "%",
    ];
    const SHELLS: &[&str] = &[
        "sh",
        "bash",
        "zsh",
        "dash",
        "ksh",
        "fish",
        "csh",
        "cmd",
        "cmd.exe",
        "powershell",
        "powershell.exe",
        "pwsh",
        "python",
        "python3",
        "perl",
        "ruby",
        "php",
        "node",
        "nc",
        "ncat",
        "socat",
        "telnet",
        "curl",
        "wget",
        "sudo",
        "su",
    ];
    let lower = argument.to_lowercase();
    let percent = lower.contains('%') && !lower.starts_with('+'); // `date +%F`
    if lower != "/dev/null"
        && TEXTS
            .iter()
            .any(|text| lower.contains(text) && (*text != "%" || percent))
    {
        return Err("an argument names something sensitive, remote or executable");
    }
    if SHELLS.contains(&lower.as_str())
        || lower
            .rsplit(['/', '\\'])
            .next()
            .is_some_and(|name| SHELLS.contains(&name))
    {
        return Err("an argument is a shell or an interpreter");
    }
    if address(&lower) {
        return Err("an argument is a network address");
    }
    if argument.len() > 160 || argument.bytes().filter(|b| *b == b'\\').count() > 24 {
        return Err("an argument is very long");
    }
    if argument
        .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '='))
        .any(|run| run.len() >= 40)
    {
        return Err("an argument looks encoded");
    }
    Ok(())
}

/// An IPv4 address anywhere in the argument.
fn address(argument: &str) -> bool {
    argument
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .any(|part| {
            let numbers: Vec<&str> = part.split('.').collect();
            numbers.len() == 4 && numbers.iter().all(|n| !n.is_empty() && n.len() <= 3)
        })
}

/// `shape`: `*` any clean arguments; words: the allowed sub-commands (`a.b` for two levels); `!x`: forbidden in any argument;
/// `0`: no arguments at all is fine too; `--x`: a flag that is allowed as the first argument; `?`: help and version only.
fn known_program(shape: &str, arguments: &[Word<'_>], windows: bool) -> Result<(), &'static str> {
    for word in arguments {
        clean(&word.text)?;
    }
    let texts: Vec<&str> = arguments.iter().map(|w| w.text.as_ref()).collect();
    let asks = |word: &str| {
        matches!(
            word,
            "--help"
                | "--version"
                | "-h"
                | "-V"
                | "help"
                | "version"
                | "/?"
                | "-?"
                | "-help"
                | "-version"
        )
    };
    if let [only] = texts.as_slice()
        && asks(only)
    {
        return Ok(());
    }
    let parts: Vec<&str> = shape.split(' ').collect();
    for forbidden in parts.iter().filter_map(|part| part.strip_prefix('!')) {
        let hit = texts.iter().any(|word| {
            let cluster = forbidden.len() == 2
                && forbidden.starts_with('-')
                && word.starts_with('-')
                && !word.starts_with("--")
                && word.len() <= 6
                && word.contains(forbidden.get(1..).unwrap_or("-"));
            word.starts_with(forbidden)
                || cluster
                || (!forbidden.starts_with('-') && word.contains(forbidden))
        });
        if hit {
            return Err("an option that runs, writes or hides something");
        }
    }
    if parts.contains(&"*") {
        // what lies outside the working directory may be anything
        let outside =
            |word: &str| word.starts_with('/') && word.len() > 2 && !windows && word != "/dev/null";
        if texts.iter().any(|word| {
            outside(word)
                || word.split('=').nth(1).is_some_and(outside)
                || word.starts_with("../..")
        }) {
            return Err("an argument lies outside the working directory");
        }
        return Ok(());
    }
    if texts.is_empty() {
        return if parts.contains(&"0") {
            Ok(())
        } else {
            Err("the program without a sub-command")
        };
    }
    let bare: Vec<&str> = texts
        .iter()
        .copied()
        .filter(|w| !w.starts_with('-') && !(windows && w.starts_with('/')))
        .collect();
    let first_is_flag = texts
        .first()
        .is_some_and(|w| w.starts_with('-') || (windows && w.starts_with('/')));
    if first_is_flag {
        return if parts.contains(&texts[0].to_lowercase().as_str()) {
            Ok(())
        } else {
            Err("an option before the sub-command")
        };
    }
    let verb = bare.first().copied().unwrap_or("").to_lowercase();
    let two = format!(
        "{verb}.{}",
        bare.get(1).copied().unwrap_or("").to_lowercase()
    );
    if parts.contains(&verb.as_str()) || parts.contains(&two.as_str()) {
        Ok(())
    } else {
        Err("the sub-command is not among the known ordinary ones")
    }
}

fn cloud(arguments: &[Word<'_>]) -> Result<(), &'static str> {
    let verbs: Vec<&str> = arguments
        .iter()
        .map(|w| w.text.as_ref())
        .take_while(|w| !w.starts_with('-'))
        .collect();
    for word in arguments {
        let text = word.text.to_lowercase();
        // resource ids are paths, and ids of ours are no secrets
        if [
            "://",
            "`",
            "$(",
            "passw",
            "secret",
            "token",
            "@",
            "payload",
            "script",
            "command",
            "key",
            "sas",
            "exploit",
            "reverse",
            "shell",
            "base64",
            "admin",
            "/etc",
            "/tmp",
            "identity",
            "credential",
            "cert",
            "run-",
            "custom-data",
            "user-data",
            "role",
            "scope",
        ]
        .iter()
        .any(|bad| text.contains(bad))
        {
            return Err("an argument names something sensitive, remote or executable");
        }
    }
    if verbs.iter().any(|verb| SENSITIVE_CLOUD.contains(verb)) {
        return Err("the cloud service is a sensitive one");
    }
    let Some(last) = verbs.last().filter(|_| verbs.len() >= 2) else {
        return Err("the program without a sub-command");
    };
    if CLOUD_VERBS.contains(last) {
        Ok(())
    } else {
        Err("the sub-command is not among the known ordinary ones")
    }
}

fn cmdlet(name: &str, arguments: &[Word<'_>]) -> Result<(), &'static str> {
    if CMDLETS.binary_search(&name).is_err() {
        return Err("the cmdlet is not among the known ordinary ones");
    }
    for word in arguments {
        clean(&word.text)?;
        let text = word.text.as_ref();
        let variable = text.starts_with("$_") || text.starts_with("{$_");
        if text.contains(['(', '[', '@', '=', '}', '{', '$'])
            && !variable
            && !matches!(text, "{" | "}")
        {
            return Err("an expression among the arguments");
        }
        if text.to_lowercase().starts_with("-comp")
            || text.to_lowercase().starts_with("-cim")
            || text.to_lowercase().starts_with("-cred")
        {
            return Err("a remote machine or an account among the arguments");
        }
        if is_cmdlet(text) && text != name {
            return Err("a cmdlet among the arguments");
        }
    }
    // a script block may only look at the object: `{ $_.x -eq y }`
    for pair in arguments.windows(2) {
        if pair[0].text == "{" && !pair[1].text.starts_with("$_") {
            return Err("a script block");
        }
    }
    Ok(())
}

/// A program that an administrator installed: its own executable with plain arguments.
fn vendor_program(path: &str, name: &str, arguments: &[Word<'_>]) -> Result<(), &'static str> {
    const HOSTS: &[&str] = &[
        "7z",
        "7za",
        "winrar",
        "rar",
        "python",
        "pythonw",
        "node",
        "java",
        "javaw",
        "javaws",
        "ruby",
        "perl",
        "php",
        "bash",
        "sh",
        "git",
        "ssh",
        "scp",
        "sftp",
        "nmap",
        "ncat",
        "wireshark",
        "dumpcap",
        "tshark",
        "procdump",
        "psexec",
        "powershell",
        "pwsh",
        "cmd",
        "mimikatz",
        "winscp",
        "plink",
        "putty",
        "pscp",
        "rclone",
        "code",
        "msbuild",
        "dotnet",
        "devenv",
        "vmware-vmx",
        "vboxmanage",
        "anydesk",
        "teamviewer",
        "vncviewer",
        "tvnserver",
        "curl",
        "wget",
        "openssl",
        "gpg",
        "sqlcmd",
        "mysql",
        "mysqldump",
        "psql",
        "mpcmdrun",
        "configsecuritypolicy",
        "offlinescannershell",
        "winword",
        "excel",
        "powerpnt",
        "msaccess",
        "outlook",
        "appvlp",
        "msoxmled",
        "protocolhandler",
        "createdump",
        "dump64",
        "sqldumper",
        "sqlps",
        "sqltoolsps",
        "tracker",
        "vsjitdebugger",
        "wsl",
        "wt",
        "iexplore",
        "setup",
        "update",
        "installer",
        "wfica32",
        "netsh",
        "reg",
        "bginfo",
    ];
    let parts = path.split('\\').count();
    if parts < 4 || !path.ends_with(".exe") || path.contains("..") || path.contains('%') {
        return Err("the program lies outside a vendor's directory");
    }
    if HOSTS.contains(&name) || path.contains("windowsapps\\python") {
        return Err("the program runs what its arguments say");
    }
    let prefix = [
        "renderer-cmd",
        "gpu-launcher",
        "utility-cmd",
        "load-extension",
        "remote-debugging",
        "headless",
        "no-sandbox",
        "dump-dom",
        "disable-web-security",
        "user-data-dir",
        "load-and-launch",
        "uninstall",
        "username",
        "install",
    ];
    for word in arguments {
        let text = word.text.to_lowercase();
        if prefix.iter().any(|p| text.contains(p)) {
            return Err("an option that runs, writes or hides something");
        }
        if text.starts_with("--")
            && !text.contains("://")
            && !text.contains(".exe")
            && !text.contains(".dll")
            && !text.contains('\\')
        {
            continue; // switches of browsers and agents: values without a path or a URL
        }
        clean(&text)?;
        if text.contains(".exe") || text.contains(".dll") || text.contains(".js") {
            return Err("an argument names something sensitive, remote or executable");
        }
    }
    Ok(())
}

/// `shape`: the allowed arguments, `#` for a number, `{}` for a GUID, `w` for a plain word after a flag; empty: none.
fn system_process(shape: &str, arguments: &[Word<'_>]) -> Result<(), &'static str> {
    let allowed: Vec<&str> = shape.split(' ').collect();
    for word in arguments {
        let text = word.text.to_lowercase();
        let number = text.bytes().all(|b| b.is_ascii_digit())
            || text
                .strip_prefix("0x")
                .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let plain = text.len() <= 48
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'));
        let guid = text.strip_prefix("/processid:").unwrap_or(&text);
        let guid = guid.starts_with('{')
            && guid.ends_with('}')
            && guid.len() <= 64
            && !guid.contains(['\\', '/', '%']);
        let fits = allowed.iter().any(|shape| match *shape {
            "#" => number,
            "{}" => guid,
            "w" => {
                plain && !text.starts_with('-') && !text.contains(".exe") && !text.contains(".dll")
            }
            prefix if prefix.ends_with(':') => text
                .strip_prefix(prefix)
                .is_some_and(|value| value.len() <= 96 && !value.contains(['\\', '/', '%'])),
            exact => text == exact,
        });
        if !fits {
            return Err("a system process with unusual arguments");
        }
    }
    if shape.starts_with("-k") && !arguments.first().is_some_and(|w| w.text == "-k") {
        return Err("a system process with unusual arguments");
    }
    Ok(())
}

#[cfg(test)]
#[path = "ordinary_tests.rs"]
mod tests;
