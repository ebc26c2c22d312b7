//! What an address is, whatever it is wrapped in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address may be dialled when nobody listed it: only [`Reach::Public`] may.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reach {
    /// Anywhere on the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network: RFC 1918, RFC 6598 (carrier NAT), unique and site-local IPv6.
    Private,
    /// This link.
    LinkLocal,
    /// A service of a cloud that tells credentials to whoever asks from inside.
    Metadata,
    /// Many machines.
    Multicast,
    /// Nothing, or nothing that the internet routes: documentation, benchmarks, future use.
    Reserved,
    /// No address.
    Unspecified,
}

impl Reach {
    /// One word for records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Unspecified => "unspecified",
        }
    }
}

/// What an address is.
///
/// Sources: the special-purpose address registries of IANA for IPv4 and IPv6, and the clouds' own
/// documentation for their metadata services. IPv6 outside `2000::/3` is never public. An IPv4
/// address inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) is judged too, and
/// the reach that is not public wins: a router or a translator near by may unwrap it.
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

const METADATA_V4: &[Ipv4Addr] = &[
    // AWS, Google, Azure, OpenStack, DigitalOcean, Hetzner …; containers and pods on AWS; its
    // name server; Scaleway; Tencent.
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 169, 253),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(169, 254, 0, 23),
    // Azure's virtual platform, a public address.
    Ipv4Addr::new(168, 63, 129, 16),
    // Alibaba, in the space of carriers.
    Ipv4Addr::new(100, 100, 100, 200),
    // Oracle, beside the link-local one.
    Ipv4Addr::new(192, 0, 0, 192),
];

const METADATA_V6: &[Ipv6Addr] = &[
    // AWS: instances, pods, its name server.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253),
    // Google; Scaleway.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

fn reach_v4(ip: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&ip) {
        return Reach::Metadata;
    }
    match ip.octets() {
        [0, 0, 0, 0] => Reach::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        [127, ..] => Reach::Loopback,
        [169, 254, ..] => Reach::LinkLocal,
        [224..=239, ..] => Reach::Multicast,
        [0, ..]
        // Protocol assignments, documentation (three), the 6to4 anycast relay, benchmarks, future
        // use and broadcast.
        | [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [240..=255, ..] => Reach::Reserved,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if METADATA_V6.contains(&ip) {
        return Reach::Metadata;
    }
    let low = v4(ip, 6);
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // Mapped (RFC 4291, 2.5.5.2), translated (RFC 2765) and, deprecated, compatible.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => reach_v4(low),
        [0, 0, 0, 0, 0, 0, ..] => strictest(&[reach_v4(low)], Reach::Reserved),
        // NAT64 (RFC 6052); its local prefix (RFC 8215) may put the address in several places.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => reach_v4(low),
        [0x64, 0xff9b, 1, ..] => {
            let places = [low, around_64(ip, 6), around_64(ip, 7), around_64(ip, 8)];
            strictest(&places.map(|place| metadata_only(reach_v4(place))), Reach::Private)
        }
        // 6to4 (RFC 3056).
        [0x2002, ..] => strictest(&[reach_v4(v4(ip, 1)), isatap(ip)], Reach::Public),
        // Teredo (RFC 4380): its server, and its client with every bit turned over.
        [0x2001, 0, ..] => {
            let client = Ipv4Addr::from(!u32::from(low));
            strictest(&[reach_v4(client), reach_v4(v4(ip, 2))], Reach::Public)
        }
        // Protocol assignments, documentation (two).
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Reserved,
        [0x2000..=0x3fff, ..] => isatap(ip),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Reach::Private,
        [0xfe80..=0xfebf, ..] => strictest(&[metadata_only(isatap(ip))], Reach::LinkLocal),
        [0xff00..=0xffff, ..] => Reach::Multicast,
        _ => Reach::Reserved,
    }
}

/// The first reach that is not public, metadata before all; otherwise the last one.
fn strictest(inside: &[Reach], otherwise: Reach) -> Reach {
    if inside.contains(&Reach::Metadata) {
        return Reach::Metadata;
    }
    inside.iter().copied().find(|reach| *reach != Reach::Public).unwrap_or(otherwise)
}

const fn metadata_only(reach: Reach) -> Reach {
    match reach {
        Reach::Metadata => Reach::Metadata,
        _ => Reach::Public,
    }
}

/// The IPv4 address in two segments from the one with this number on.
fn v4(ip: Ipv6Addr, segment: usize) -> Ipv4Addr {
    let bits = u128::from(ip) << (16 * segment) >> 96;
    Ipv4Addr::from(u32::try_from(bits).unwrap_or_default())
}

/// The IPv4 address from this octet on, without the octet that RFC 6052, section 2.2, leaves out.
fn around_64(ip: Ipv6Addr, octet: usize) -> Ipv4Addr {
    let octets = ip.octets();
    let places = octets.iter().enumerate().filter(|(at, _)| *at != 8).map(|(_, octet)| *octet);
    let mut four = places.skip(octet).take(4);
    let mut next = || four.next().unwrap_or_default();
    Ipv4Addr::new(next(), next(), next(), next())
}

/// What an ISATAP interface (RFC 5214: `…:0:5efe:` or `…:200:5efe:` and an IPv4 address) leads to.
fn isatap(ip: Ipv6Addr) -> Reach {
    match ip.segments() {
        [.., 0 | 0x200, 0x5efe, _, _] => reach_v4(v4(ip, 6)),
        _ => Reach::Public,
    }
}

/// Whether a name (canonical: lower case, no root's dot) is one by which machines reach themselves
/// or a cloud's metadata service.
///
/// Names of private networks (`*.local`, `*.internal`) are not among them: what they resolve to is
/// judged by [`reach`].
#[must_use]
pub fn is_metadata_name(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "instance-data",
        "instance-data.ec2.internal",
        "ip6-localhost",
        "ip6-loopback",
        "localhost",
        "localhost.localdomain",
        "localhost6",
        "localhost6.localdomain6",
        "metadata",
        "metadata.azure.com",
        "metadata.azure.internal",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "metadata.tencentyun.com",
        "metadata.udhcpc.internal",
        "rancher-metadata",
    ];
    NAMES.contains(&name) || name.ends_with(".localhost") || name.ends_with(".metadata.goog")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_is_known() {
        use Reach::{
            LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Unspecified,
        };
        let table = [
            ("8.8.8.8", Public),
            ("1.1.1.1", Public),
            ("223.255.255.255", Public),
            ("172.15.255.255", Public),
            ("172.32.0.0", Public),
            ("100.63.255.255", Public),
            ("100.128.0.0", Public),
            ("168.63.129.17", Public),
            ("192.0.1.1", Public),
            ("198.17.0.1", Public),
            ("198.20.0.1", Public),
            ("0.0.0.0", Unspecified),
            ("0.0.0.1", Reserved),
            ("0.255.255.255", Reserved),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.168.0.1", Private),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("100.100.100.200", Metadata),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("169.254.0.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("168.63.129.16", Metadata),
            ("192.0.0.192", Metadata),
            ("192.0.0.1", Reserved),
            ("192.0.2.1", Reserved),
            ("198.18.0.0", Reserved),
            ("198.19.255.255", Reserved),
            ("198.51.100.7", Reserved),
            ("203.0.113.7", Reserved),
            ("192.88.99.1", Reserved),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.0", Reserved),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("2606:4700:4700::1111", Public),
            ("2a00:1450:4001:81b::200e", Public),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec2::23", Metadata),
            ("fd20:ce::254", Metadata),
            ("fc00::1", Private),
            ("fdff:ffff::1", Private),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("feff::1", Private),
            ("ff02::1", Multicast),
            ("2001:db8::1", Reserved),
            ("2001:2::1", Reserved),
            ("2001:20::1", Reserved),
            ("2001:200::1", Public),
            ("3fff:fff::1", Reserved),
            ("3fff:1000::1", Public),
            ("100::1", Reserved),
            ("5f00::1", Reserved),
            ("4000::1", Reserved),
            ("1234::1", Reserved),
            ("::ffff:8.8.8.8", Public),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", Metadata),
            ("::ffff:0:10.0.0.1", Private),
            ("::127.0.0.1", Loopback),
            ("::8.8.8.8", Reserved),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b::a9fe:a9fe", Metadata),
            ("64:ff9b::10.1.2.3", Private),
            ("64:ff9b:1::8.8.8.8", Private),
            ("64:ff9b:1::169.254.169.254", Metadata),
            // 169.254.169.254 in the place of a prefix of 48, 56 and 64 bits.
            ("64:ff9b:1:a9fe:a9:fe00::", Metadata),
            ("64:ff9b:1:00a9:fe:a9fe::", Metadata),
            ("64:ff9b:1:0:a9:fea9:fe00:0", Metadata),
            ("64:ff9b:2::1", Reserved),
            ("2002:0808:0808::1", Public),
            ("2002:7f00:0001::1", Loopback),
            ("2002:a9fe:a9fe::", Metadata),
            ("2002:c0a8:0101::1", Private),
            // Teredo: the server is public, the client is 8.8.8.8, then 192.168.0.1.
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", Public),
            ("2001:0:4136:e378:8000:63bf:3f57:fffe", Private),
            ("2001:0:0a00:0001:8000:63bf:f7f7:f7f7", Private),
            ("2a00:1::5efe:10.0.0.1", Private),
            ("2a00:1::200:5efe:127.0.0.1", Loopback),
            ("2a00:1::5efe:8.8.8.8", Public),
            ("fe80::5efe:169.254.169.254", Metadata),
            ("fe80::5efe:8.8.8.8", LinkLocal),
        ];
        for (text, expected) in table {
            assert_eq!(reach(text.parse().expect("an address")), expected, "{text}");
        }
    }

    #[test]
    fn names_of_metadata_services_are_known() {
        for name in ["metadata.google.internal", "localhost", "a.b.localhost", "metadata"] {
            assert!(is_metadata_name(name), "{name}");
        }
        for name in ["example.com", "localhost.example.com", "mylocalhost", "metadata.example"] {
            assert!(!is_metadata_name(name), "{name}");
        }
    }
}
