//! Interpreters that open sockets: reverse and bind shells (T1059, T1095), and injection into them.

use super::Expr::{All, Any, Command, Exact, Is, Not, Piped, Switch, Text, Then, Word};
use super::{Behavior, Expr, Fact, Group, tag};

const NC: Expr = Any(&[
    Command("nc"),
    Command("ncat"),
    Command("netcat"),
    Command("nc64"),
    Command("nc.traditional"),
]);
const LISTEN: Expr = Any(&[
    Text(" -l"),
    Text(" -nl"),
    Text(" -vl"),
    Text(" -nvl"),
    Text(" -kl"),
    Text(" -vnl"),
    Text(" --listen"),
]);
const EXECUTE: Expr = Any(&[
    Text(" -e"),
    Text(" -c "),
    Text(" -ve"),
    Text(" -ne"),
    Text(" -nve"),
    Text("--exec"),
    Text("--sh-exec"),
    Text(" -lvpe"),
    Text(" -nlvpe"),
]);
const SHELL_PATH: Expr = Any(&[
    Text("/bin/sh"),
    Text("/bin/bash"),
    Text("/bin/zsh"),
    Text("cmd.exe"),
    Text("powershell"),
    Word("bash"),
    Word("sh"),
    Word("cmd"),
    Word("zsh"),
]);
const DEV_TCP: Expr = Any(&[Text("/dev/tcp/"), Text("/dev/udp/")]);

const fn sh(name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    tag(Group::Shell, name, technique, when)
}

// A row a behaviour reads better than ten lines each.
#[rustfmt::skip]
pub(super) const TABLE: &[Behavior] = &[
    sh("nc_listener", "T1095", All(&[NC, LISTEN])),
    sh("nc_reverse_shell", "T1059", All(&[NC, EXECUTE, SHELL_PATH, Not(&LISTEN)])),
    sh("nc_listener_to_shell", "T1059", All(&[NC, LISTEN, EXECUTE, SHELL_PATH])),
    sh("nc_pipe_shell", "T1059.004", Any(&[All(&[Any(&[Piped("nc"), Piped("ncat"), Piped("telnet"), Piped("netcat")]), SHELL_PATH]), Then(&[Any(&[Command("nc"), Command("ncat"), Command("telnet")]), Any(&[Piped("sh"), Piped("bash")])])])),
    sh("socat_shell", "T1059.004", All(&[Command("socat"), Any(&[Text("exec:"), Text("system:")])])),
    sh("powershell_tcp_socket", "T1059.001", Any(&[Text("sockets.tcpclient"), Text("sockets.tcplistener"), Text("invoke-powershelltcp"), Text("powercat"), Text("sockets.udpclient")])),
    sh("wsl_dev_tcp", "T1202", All(&[Any(&[Command("wsl"), Command("bash.exe")]), DEV_TCP])),
    sh("sh_dev_tcp_c", "T1059.004", All(&[DEV_TCP, Any(&[Command("sh"), Command("bash"), Command("zsh"), Command("exec"), Command("ksh"), Command("cat")])])),
    sh("mkfifo_shell", "T1059.004", All(&[Any(&[Command("mkfifo"), Command("mknod")]), SHELL_PATH, Any(&[Word("nc"), Word("ncat"), Word("telnet"), Word("openssl"), Word("netcat"), Word("socat"), Word("curl"), Word("ncat.openbsd")])])),
    sh("openssl_shell", "T1573.002", All(&[Command("openssl"), Word("s_client"), Any(&[SHELL_PATH, Command("mkfifo")])])),
    sh("telnet_shell", "T1059.004", All(&[Command("telnet"), Any(&[Piped("sh"), Piped("bash"), Piped("/bin/sh"), Text("mkfifo"), Text("mknod")])])),
    sh("import_pty", "T1059.006", All(&[Text("pty.spawn"), Any(&[Word("import"), Text("python")])])),
    sh("python_spawn", "T1059.006", All(&[Command("python"), Any(&[Text("os.system"), Text("subprocess."), Text("os.popen"), Text("os.exec"), Text("pty.spawn")])])),
    sh("python_socket", "T1059.006", All(&[Any(&[Text("socket.socket"), Text("import socket"), Text("socket.create_connection")]), Any(&[Text("connect("), Text("dup2"), Text("subprocess"), Text("create_connection")]), Any(&[Command("python"), Command("pypy"), Text("import")])])),
    sh("perl_socket", "T1059", All(&[Any(&[Text("use socket"), Text("io::socket"), Text("-MIO")]), Any(&[Command("perl"), Text("exec")])])),
    sh("ruby_socket", "T1059", All(&[Any(&[Text("tcpsocket"), Text("-rsocket")]), Any(&[Command("ruby"), Text("exec")])])),
    sh("php_socket", "T1059", All(&[Any(&[Text("fsockopen("), Text("stream_socket_client"), Text("socket_connect")]), Any(&[Command("php"), Text("exec("), Text("proc_open")])])),
    sh("node_socket", "T1059.007", All(&[Any(&[Text("require('child_process"), Text("require(\"child_process"), Text("require('net"), Text("require(\"net"), Text("child_process')")]), Any(&[Text("spawn"), Text("exec"), Text("connect"), Text("socket")])])),
    sh("awk_inet_tcp", "T1059.004", Any(&[Text("/inet/tcp/"), Text("/inet/udp/"), Text("/inet4/tcp/")])),
    sh("lua_socket", "T1059.011", All(&[Any(&[Text("require('socket"), Text("require(\"socket"), Text("require 'socket"), Text("socket.tcp(")]), Any(&[Text("os.execute"), Text("io.popen"), Text("connect")])])),
    sh("java_exec", "T1059", Any(&[Text("getruntime().exec"), Text("runtime.exec("), Text("new processbuilder")])),
    sh("groovy_golang_socket", "T1059", All(&[Any(&[Text("net.dial("), Text("new socket(")]), Any(&[Text("exec.command"), Text("processbuilder"), Text("getinputstream")])])),
    sh("fd_redirection_shell", "T1059.004", All(&[Any(&[Text("0>&1"), Text("<&3"), Text("0<&"), Text("<&196"), Text("2>&0"), Text(">&5"), Text("<&5")]), Any(&[Command("sh"), Command("bash"), Command("exec"), Command("zsh"), DEV_TCP])])),
    sh("interactive_shell", "T1059.004", All(&[Any(&[Command("bash"), Command("sh"), Command("zsh"), Command("ksh")]), Text(" -i"), Any(&[DEV_TCP, Text(">&"), Word("nc"), Is(Fact::Private), Is(Fact::Public), Text("mkfifo")])])),
    sh("gtfobin_shell_escape", "T1548", Any(&[All(&[Text("-exec"), Any(&[Text("-exec /bin/sh"), Text("-exec /bin/bash"), Text("-exec sh -p"), Text("-exec bash -p")]), Text("-quit")]), Text("!/bin/sh"), Text("!/bin/bash"), Text(":!sh"), Text(":!bash"), Text("begin {system(\"/bin/"), Text("checkpoint-action=exec"), All(&[Text("os.execute(\"/bin/sh"), Text("os.execute")])])),
    sh("ssh_tunnel", "T1572", All(&[Any(&[Command("ssh"), Command("plink"), Command("chisel"), Command("autossh")]), Any(&[Exact(" -R "), Exact(" -D "), Exact(" -L "), Text(" -fN"), Text(" -NfR"), Text("R:")]), Any(&[Text("@"), Text(":")]), Not(&Command("ssh-keygen"))])),
    sh("msfvenom", "T1587.001", All(&[Any(&[Command("msfvenom"), Command("msfconsole"), Text("meterpreter")]), Any(&[Text("lhost"), Text("payload"), Text("reverse_"), Text("bind_"), Text("-x"), Text("-p ")])])),
    sh("wmi_event_or_script_exec", "T1059.005", All(&[Any(&[Text("wscript.shell"), Text("shell.application"), Text("scripting.filesystemobject")]), Any(&[Text(".run"), Text("shellexecute"), Text("exec("), Text("createobject"), Text("activexobject")])])),
    sh("msbuild_inline", "T1127.001", All(&[Command("msbuild"), Any(&[Text(".xml"), Text("\\temp\\"), Text(".csproj"), Text("\\users\\")]), Not(&Any(&[Text(".sln"), Switch("t")]))])),
    sh("cmstp_inf", "T1218.003", All(&[Command("cmstp"), Any(&[Switch("s"), Switch("ni"), Switch("au")]), Text(".inf")])),
    sh("rundll32_odd_export", "T1218.011", All(&[Command("rundll32"), Any(&[Text("advpack"), Text("url.dll"), Text("ieadvpack"), Text("zipfldr"), Text("pcwutl"), Text("syssetup"), Text("\\temp\\"), Text("\\appdata\\"), Text("shell32.dll,control_rundll"), Text("\\programdata\\")])])),
    sh("forfiles_pcalua_exec", "T1202", Any(&[All(&[Command("forfiles"), Switch("c")]), All(&[Command("pcalua"), Switch("a")]), All(&[Command("scriptrunner"), Text("-appvscript")]), All(&[Command("conhost"), Text("--headless")])])),
    sh("osascript_shell", "T1059.002", All(&[Command("osascript"), Any(&[Text("do shell script"), Switch("l"), Text("-e ")])])),
    sh("hidden_nohup", "T1564", All(&[Any(&[Command("nohup"), Command("setsid"), Command("disown")]), Text("&"), Any(&[Text("/tmp/"), Text("/dev/shm/"), Text("/var/tmp/"), Text("/dev/null"), DEV_TCP])])),
    sh("tmp_execution", "T1059.004", Any(&[Text("chmod +x /tmp"), Text("chmod 777 /tmp"), Text("chmod +x /dev/shm"), Text("sh /tmp/"), Text("sh /dev/shm"), Text("; /tmp/"), Text("&& /tmp/"), Text("&& ./"), Text("-c /tmp/"), Text("chmod 755 /tmp")])),
    sh("container_escape", "T1611", Any(&[All(&[Command("docker"), Any(&[Text("-v /:/"), Text("--privileged"), Text("--pid=host"), Text("docker.sock")])]), All(&[Command("nsenter"), Any(&[Text("-t 1"), Text("--target 1")])]), Text("release_agent")])),
    sh("cryptominer", "T1496", Any(&[Text("stratum+tcp"), Text("stratum+ssl"), Command("xmrig"), Text("minerd"), Text("--donate-level"), Text("--coin=monero")])),
    sh("chisel_ngrok", "T1572", All(&[Any(&[Command("chisel"), Command("ngrok"), Command("cloudflared"), Command("frpc"), Command("ligolo")]), Any(&[Word("client"), Word("server"), Word("tcp"), Word("http"), Word("tunnel"), Text("-c ")])])),
];
