//! Client addresses: their class, and the network that they count under.

use std::net::IpAddr;

use super::request::text_hash;

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Of the public Internet.
    Public,
    /// RFC 1918, RFC 4193, link-local, carrier-grade NAT.
    Private,
    /// The machine itself.
    Loopback,
    /// Multicast, unspecified, broadcast, documentation: no client has it.
    Special,
    /// No address but a name: a cloud's own service, a host.
    Name,
}

/// The class of an address, as written: with brackets or without, also IPv4 in IPv6.
#[must_use]
pub fn class(text: &str) -> Class {
    match parse(text) {
        None => Class::Name,
        Some(IpAddr::V4(ip)) => {
            let [a, b, ..] = ip.octets();
            if ip.is_loopback() {
                Class::Loopback
            } else if ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
            {
                Class::Private
            } else if ip.is_multicast()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_documentation()
                || a >= 240
            {
                Class::Special
            } else {
                Class::Public
            }
        }
        Some(IpAddr::V6(ip)) => {
            let first = ip.segments()[0];
            if ip.is_loopback() {
                Class::Loopback
            } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 {
                Class::Private
            } else if ip.is_multicast()
                || ip.is_unspecified()
                || (first == 0x2001 && ip.segments()[1] == 0xdb8)
            {
                Class::Special
            } else {
                Class::Public
            }
        }
    }
}

/// The hash of the network that an address counts under: /24 of IPv4, /48 of IPv6, a name as it is.
#[must_use]
pub fn network(text: &str) -> u64 {
    match parse(text) {
        Some(IpAddr::V4(ip)) => {
            let [a, b, c, _] = ip.octets();
            text_hash(&format!("4:{a}.{b}.{c}"))
        }
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, ..] = ip.segments();
            text_hash(&format!("6:{a:x}:{b:x}:{c:x}"))
        }
        None => text_hash(text),
    }
}

fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let ip = text.parse::<IpAddr>().ok()?;
    Some(match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_class_of_their_registry_block() {
        for (text, expected) in [
            ("8.8.8.8", Class::Public),
            ("10.1.2.3", Class::Private),
            ("172.31.0.1", Class::Private),
            ("172.32.0.1", Class::Public),
            ("100.64.0.9", Class::Private),
            ("169.254.169.254", Class::Private),
            ("127.0.0.1", Class::Loopback),
            ("::1", Class::Loopback),
            ("[2a00:1450::8]", Class::Public),
            ("::ffff:10.0.0.1", Class::Private),
            ("fd00::1", Class::Private),
            ("2001:db8::1", Class::Special),
            ("224.0.0.1", Class::Special),
            ("192.0.2.7", Class::Special),
            ("AWS Internal", Class::Name),
            ("ec2.amazonaws.com", Class::Name),
            ("999.1.1.1", Class::Name),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn neighbours_share_a_network() {
        assert_eq!(network("203.0.113.5"), network("203.0.113.250"));
        assert_ne!(network("203.0.113.5"), network("203.0.114.5"));
        assert_eq!(network("::ffff:203.0.113.5"), network("203.0.113.9"));
    }
}
