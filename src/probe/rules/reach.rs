//! Causes before the first byte: names and connections.

use super::rule::rules;

rules! {
    DNS_NO_SUCH_NAME: "dns-no-such-name", Dns, Fail, "this machine",
        "the name does not exist in DNS",
        means "The resolver of this machine knows no address for the name. Clients print `could not translate host name` or `getaddrinfo ENOTFOUND`. Nothing was sent to any database.",
        remedy "Check the spelling, add the DNS record, or dial an address and keep the name: --connect ADDR here, hostaddr=ADDR in libpq.";
    DNS_FAILED: "dns-failed", Dns, Fail, "this machine",
        "the resolver gave no answer about the name",
        means "The name may exist: the resolver itself failed or took too long, so nothing is known about it.",
        remedy "Look at /etc/resolv.conf and at the name server; ask again with --connect ADDR to leave DNS out.";
    TCP_REFUSED: "tcp-refused", Tcp, Fail, "server",
        "the connection was refused",
        means "The address answers, but no program listens on that port. Clients print `Connection refused`.",
        remedy "Check the port, and whether the server or gateway runs and listens on this address and not only on 127.0.0.1.";
    TCP_TIMEOUT: "tcp-timeout", Tcp, Fail, "network",
        "nothing answered the attempt to connect",
        means "Packets to the address vanish: a firewall drops them, the machine is off, or the address is not routed from here.",
        remedy "Check firewalls and security groups on the way for this port, and whether the address is the right one.";
    TCP_UNREACHABLE: "tcp-unreachable", Tcp, Fail, "network",
        "the network reports that the address is unreachable",
        means "A router or this machine has no route there. With several addresses it is often IPv6, where only IPv4 is routed.",
        remedy "Check routes and VPN; try each address of the name with --each-address.";
    TCP_RESET: "tcp-reset", Tcp, Fail, "server",
        "the connection was reset before anything was said",
        means "Something accepted the connection and threw it away at once: a load balancer without a healthy target, a limit, or an address filter in front of the server.",
        remedy "Look at the log and the health checks of what listens there; compare from another client address.";
    TCP_CLOSED_AT_ONCE: "tcp-closed-at-once", Tcp, Fail, "server",
        "the connection was taken, and closed before anything was said",
        means "What listens there ends each connection by itself, without waiting for a byte: a proxy without a healthy server behind it, a limit that is reached, or a server that is shutting down.",
        remedy "Look at the log and the health checks of what listens there, and at its backend.";
    TCP_FAILED: "tcp-failed", Tcp, Fail, "this machine",
        "this machine could not even try to connect",
        means "The operating system refused: no free ports or descriptors, or a local firewall rule.",
        remedy "See the system's error in the finding, and `ulimit -n`.";
    ADDRESSES_DIFFER: "addresses-differ", Tcp, Warn, "server",
        "the addresses of the name do not behave alike",
        means "A client takes the address that comes first or fastest, so it works for some and fails for others, or now and then.",
        remedy "Fix or remove the addresses that the finding lists.";
}
