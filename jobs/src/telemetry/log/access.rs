//! The Common and Combined Log Format, with a virtual host before them or further fields behind.
//!
//! `host ident user [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326 "referer" "agent"`
//!
//! Source: <https://httpd.apache.org/docs/current/logs.html>; nginx's `combined` is the same. A user's name may hold blanks.

use std::borrow::Cow;
use std::net::IpAddr;

use super::fields::Fields;
use crate::telemetry::value::Node;

/// A line's fields under the names that the mapping reads; the error says what is wrong.
pub(super) fn parse(line: &str) -> Result<Node<'_>, &'static str> {
    let (who, rest) = line.split_once(" [").ok_or("no time in brackets")?;
    let (time, rest) = rest.split_once(']').ok_or("no time in brackets")?;
    let mut words: Vec<&str> = who.split(' ').filter(|word| !word.is_empty()).collect();
    let is_address = |word: &&str| word.parse::<IpAddr>().is_ok();
    let is_virtual =
        words.len() > 3 && !is_address(&words[0]) && words.get(1).is_some_and(is_address);
    let host = is_virtual.then(|| words.remove(0));
    let [client, _ident, user @ ..] = words.as_slice() else {
        return Err("no client and user before the time");
    };
    let user = match user {
        [] => None,
        [one] => Some(Cow::Borrowed(*one)),
        several => Some(Cow::Owned(several.join(" "))),
    };
    let mut fields = Fields(rest);
    let request = fields.next()?.ok_or("nothing behind the time")?;
    let status = fields.next()?.ok_or("no status")?;
    let bytes = fields.next()?;
    let referer = fields.next()?;
    let user_agent = fields.next()?;
    let host = host.map(|host| {
        let name = host.strip_suffix(":80").or(host.strip_suffix(":443"));
        Cow::Borrowed(name.unwrap_or(host))
    });
    let mut record = vec![
        ("client", Cow::Borrowed(*client)),
        ("time", Cow::Borrowed(time)),
        ("request", request),
        ("status", status),
    ];
    let more = [
        ("host", host),
        ("user", user),
        ("bytes", bytes),
        // Without the agent behind it, a field is something else: a request's id, a duration.
        ("referer", referer.filter(|_| user_agent.is_some())),
        ("user_agent", user_agent),
    ];
    record.extend(
        more.into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let entry = |(name, value): (&'static str, _)| (Cow::Borrowed(name), Node::Text(value));
    Ok(Node::Map(record.into_iter().map(entry).collect()))
}
