//! Groups peers by what one machine or one customer owns: an IPv4 address, or the /64 network of an
//! IPv6 address, of which a single host may use every address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressGroup(IpAddr);

impl AddressGroup {
    /// The group of an address. An IPv4-mapped IPv6 address is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let network = address.to_bits() >> 64 << 64;
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            address => Self(address),
        }
    }

    /// Whether it is this machine: a test, a port forward, or a proxy that everybody comes through.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }
}

/// `192.0.2.1` or `2001:db8::/64`.
impl fmt::Display for AddressGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(network) if !network.is_loopback() => write!(f, "{network}/64"),
            address => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_is_one_group_with_all_its_addresses() {
        for (address, group, loopback) in [
            ("192.0.2.1", "192.0.2.1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", false),
            ("2001:db8:0:1::1", "2001:db8:0:1::/64", false),
            ("2001:db8:0:1:ffff::9", "2001:db8:0:1::/64", false),
            ("2001:db8:0:2::1", "2001:db8:0:2::/64", false),
            ("127.0.0.6", "127.0.0.6", true),
            ("::1", "::1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
        ] {
            let found = AddressGroup::of(address.parse().unwrap());
            assert_eq!((found.to_string().as_str(), found.is_loopback()), (group, loopback));
        }
    }
}
