//! Obfuscation and encoding (T1027, T1140).

use super::Expr::{All, Any, Command, Exact, Is, Piped, Switch, Text, Then, Word};
use super::{Behavior, Expr, Fact, Group, tag};

const POWERSHELL: Expr = Any(&[Command("powershell"), Command("pwsh")]);
const BASE64: Expr = Any(&[
    Command("base64"),
    Command("gbase64"),
    Command("openssl"),
    Command("basenc"),
]);
const DECODE: Expr = Any(&[Text(" -d"), Text("--decode"), Text(" -D"), Text(" -di")]);
const SHELL: Expr = Any(&[
    Piped("sh"),
    Piped("bash"),
    Piped("zsh"),
    Piped("dash"),
    Piped("python"),
    Piped("perl"),
    Piped("ruby"),
]);

const fn obf(name: &'static str, technique: &'static str, when: Expr) -> Behavior {
    tag(Group::Obfuscation, name, technique, when)
}

// A row a behaviour reads better than ten lines each.
#[rustfmt::skip]
pub(super) const TABLE: &[Behavior] = &[
    obf("certutil_decode", "T1140", All(&[Command("certutil"), Any(&[Switch("decode"), Switch("decodehex")])])),
    obf("certutil_encode", "T1027", All(&[Command("certutil"), Any(&[Switch("encode"), Switch("encodehex")])])),
    obf("base64_decode", "T1140", All(&[BASE64, DECODE, Any(&[Command("base64"), Command("gbase64"), Text("base64"), Text("--base64")])])),
    obf("base32_decode", "T1140", All(&[Command("base32"), DECODE])),
    obf("base64_decode_pipe_shell", "T1059.004", Then(&[BASE64, SHELL])),
    obf("xxd_reverse", "T1140", All(&[Command("xxd"), Any(&[Text(" -r"), Text(" -p -r")])])),
    obf("openssl_decrypt", "T1140", All(&[Command("openssl"), Word("enc"), Text(" -d")])),
    obf("python_decode_exec", "T1140", All(&[Any(&[Text("b64decode"), Text("fromhex("), Text("unhexlify"), Text("zlib.decompress"), Text("marshal.loads")]), Any(&[Text("exec("), Text("eval("), Text("os.system"), Text("subprocess"), Text("compile(")])])),
    obf("perl_ruby_unpack", "T1140", All(&[Any(&[Text("unpack("), Text("pack(\"H*"), Text("pack('H*"), Text("decode_base64"), Text("unpack1"), Text("base64_decode(")]), Any(&[Command("perl"), Command("ruby"), Command("php"), Text("eval")])])),
    obf("powershell_convert_to_base64", "T1027", Text("tobase64string")),
    obf("powershell_from_base64", "T1140", Text("frombase64string")),
    obf("powershell_encoding_get_bytes", "T1027", Then(&[Any(&[Text("text.encoding"), Text("unicodeencoding")]), Any(&[Text("getbytes"), Text("getstring")])])),
    obf("powershell_encoded_command", "T1059.001", Any(&[All(&[POWERSHELL, Any(&[Text(" -e "), Text(" -ec "), Text(" -en "), Text(" -enc "), Text(" -enco "), Text(" -encod "), Text(" -encode "), Text(" -encoded "), Text(" -encodedc"), Text(" /e "), Text(" /enc"), Text(" /ec "), Text(" –enc")])]), All(&[Switch("encodedcommand"), POWERSHELL])])),
    obf("utf16_base64_payload", "T1027.010", Is(Fact::Utf16Payload)),
    obf("powershell_wmi_execute_encoded", "T1047", All(&[Any(&[Text("win32_process"), Text("invoke-wmimethod"), Text("process call create")]), Any(&[Text(" -enc"), Text(" -e "), Text("frombase64string")])])),
    obf("powershell_invoke_execution", "T1059.001", Any(&[Text("invoke-expression"), Word("iex"), Text("invokescript"), Text("invokecommand.invoke")])),
    obf("powershell_invoke_execution_lc", "T1059.001", Any(&[Text("& ((gv"), Text(".invokereturnasis"), Text("$env:comspec["), Text("$shellid["), Text("$pshome["), Text("psHome[21]"), Text("scriptblock]::create")])),
    obf("exec_bypass", "T1059.001", All(&[Any(&[Word("bypass"), Word("unrestricted")]), Any(&[Text("-ex"), Text("-ep "), Text("/ex"), Text("/ep "), Text("set-executionpolicy")])])),
    obf("hidden_window", "T1564.003", Any(&[All(&[Word("hidden"), Any(&[Text(" -w"), Text(" /w"), Text("windowstyle")])]), Text(" -w 1 "), Text("createnowindow")])),
    obf("long_base64", "T1027", Is(Fact::LongBase64)),
    obf("long_hex", "T1027", Is(Fact::LongHex)),
    obf("string_concatenation", "T1027.010", Is(Fact::Concatenations)),
    obf("format_operator_reorder", "T1027.010", Any(&[Text("{1}{0}"), Text("{2}{0}"), Text("{0}{2}"), Text("{3}{1}"), Text("{2}{1}"), Text("{0}{3}"), Text("{3}{0}"), Text("{1}{2}")])),
    obf("char_cast", "T1027.010", Any(&[Text("[char]"), Text("[char["), Text("string.fromcharcode"), Text("chrw("), All(&[Text("chr("), Any(&[Text("eval"), Text("exec"), Text("join")])])])),
    obf("join_operator", "T1027.010", Any(&[Text("-join"), Text("[string]::join"), Text(".join(")])),
    obf("replace_chain", "T1027.010", Then(&[Any(&[Text(".replace("), Word("-replace"), Word("-creplace")]), Any(&[Text("iex"), Text("invoke"), Text("| &"), Text("|&"), Text("frombase64")])])),
    obf("reverse_string", "T1027.010", Any(&[Text("[-1.."), Text("[array]::reverse"), Text("righttoleft"), All(&[Command("rev"), SHELL]), Text("[::-1]")])),
    obf("bxor", "T1027.013", Word("-bxor")),
    obf("caret_split", "T1027.010", Is(Fact::Carets)),
    obf("tick_split", "T1027.010", Is(Fact::Ticks)),
    obf("env_substring", "T1027.010", Any(&[Text(":~0,"), Text(":~1,"), Text(":~-"), Text(":~2,"), Text(":~3,"), Text(":~4,"), Text(":~5,"), Text(":~6,"), Text(":~7,"), Text(":~8,"), Text(":~9,"), Text(":~10,")])),
    obf("bash_substring", "T1027.010", Any(&[Text(":0:1}"), Text(":1:1}"), Text(":2:1}"), Text("${ifs}"), Text("$ifs$"), Text("${path:"), Text("${home:")])),
    obf("set_call_expansion", "T1027.010", Then(&[Word("set"), Any(&[Text("call %"), Text("call echo %"), Text("call set"), Text("cmd /c %"), Text("!%"), Text("&& %")])])),
    obf("delayed_expansion", "T1027.010", Any(&[Text("/v:on"), Text("/v /c"), Text("/v:o"), Text("enabledelayedexpansion")])),
    obf("ansi_c_quoting", "T1027.010", Any(&[Text("$'\\x"), Text("$'\\1"), Text("$'\\u"), All(&[Any(&[Command("printf"), Command("echo")]), Text("\\x"), SHELL])])),
    obf("decompress_stream", "T1140", Any(&[Text("gzipstream"), Text("deflatestream"), Text("brotlistream")])),
    obf("gunzip_pipe_shell", "T1140", Then(&[Any(&[Command("gunzip"), Command("zcat"), Command("gzip"), Command("xz"), Command("bzip2")]), SHELL])),
    obf("reflective_load", "T1620", Any(&[Text("assembly]::load"), Text("appdomain]::currentdomain.load"), Text("assembly.load("), Text("invoke-reflectivepeinjection"), Text("memfd_create")])),
    obf("pinvoke_memory", "T1055", Any(&[Text("virtualalloc"), Text("writeprocessmemory"), Text("createremotethread"), Text("createthread"), Text("getprocaddress"), Text("getdelegateforfunctionpointer"), Text("ntmapviewofsection")])),
    obf("alternate_stream", "T1564.004", Any(&[Text(".txt:"), Text(":$data"), All(&[Switch("stream"), Any(&[Text("set-content"), Text("get-content"), Text("add-content")])]), Text(".log:")])),
    obf("script_in_polyglot", "T1059.005", Any(&[Text("//e:vbscript"), Text("//e:jscript"), Text("/e:vbscript"), Text("/e:jscript"), Text("-e:jscript")])),
    obf("hidden_attribute", "T1564.001", All(&[Command("attrib"), Any(&[Text("+h"), Text("+s")])])),
    obf("password_archive", "T1560.001", Any(&[All(&[Any(&[Command("rar"), Command("winrar")]), Text(" -hp")]), All(&[Any(&[Command("7z"), Command("7za")]), Text(" -p")]), All(&[Command("zip"), Any(&[Exact(" -P "), Text("--password")])])])),
];
