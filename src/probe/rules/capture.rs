//! Faults of a recording; they are never the connection's fault.

use super::rule::rules;

rules! {
    CAPTURE_SYN_MISSING: "capture-syn-missing", Capture, Note, "capture",
        "the capture begins in the middle of the connection",
        means "Its first packets were not recorded, so what came before is unknown; who is the client is told by the bytes or the ports.",
        remedy "Start the capture before the client connects.";
    CAPTURE_START_UNKNOWN: "capture-start-unknown", Capture, Warn, "capture",
        "the capture holds only a later part of the connection",
        means "The handshake is not in it, so nothing can be said about it.",
        remedy "Start the capture before the client connects.";
    CAPTURE_GAP: "capture-gap", Capture, Warn, "capture",
        "packets are missing in the capture",
        means "The two ends have acknowledged bytes that were not recorded; what follows the gap is not analyzed.",
        remedy "Capture nearer to one end, with a larger buffer (tcpdump -B 65536) and a narrow filter.";
    CAPTURE_SNAPLEN: "capture-snaplen", Capture, Warn, "capture",
        "the capture kept only the beginning of each packet",
        means "The snapshot length cuts the handshake; what was cut off is not guessed.",
        remedy "Capture whole packets: tcpdump -s 0.";
    CAPTURE_ONE_SIDED: "capture-one-sided", Capture, Warn, "capture",
        "only one direction was captured",
        means "The other end's bytes are not there: another route back, or a filter by source.",
        remedy "Capture where both directions pass, and filter by `host` and `port`, not by `src` or `dst`.";
    CAPTURE_STILL_OPEN: "capture-still-open", Capture, Note, "capture",
        "the capture ends while the connection is still in its handshake",
        means "How it went on is not recorded.",
        remedy "Let the capture run until the client has given up.";
    CAPTURE_NOT_ENOUGH: "capture-not-enough", Capture, Warn, "capture",
        "not enough of the connection was recorded to tell how it went",
        means "What was recorded proves neither a handshake nor a failure: a beginning, an answer or an end is missing. Nothing is concluded from what was not seen.",
        remedy "Capture whole packets of both directions (tcpdump -s 0), from before the client connects until it has given up.";
    CAPTURE_CUT: "capture-cut", Capture, Warn, "capture",
        "the file ends in the middle of a packet",
        means "The program that wrote it was stopped, or the copy is incomplete; everything before is read.",
        remedy "Stop tcpdump with Ctrl-C, or write with -U.";
    CAPTURE_DAMAGED: "capture-damaged", Capture, Warn, "capture",
        "a part of the file makes no sense",
        means "A block or packet header breaks the format; reading stopped there, and everything before is read.",
        remedy "Copy the file again in binary mode, or repair it with `editcap`.";
    CAPTURE_UNREADABLE_PACKETS: "capture-unreadable-packets", Capture, Note, "capture",
        "some packets are not TCP over IP in a form that is read here",
        means "Ethernet, Linux cooked, loopback and raw IP are read, VXLAN, Geneve, GRE, IP in IP, GTP-U, PPPoE and MPLS are read through, and fragments are joined. All else is skipped; the finding counts it.",
        remedy "Capture on the interface that carries plain IP, with whole packets (tcpdump -s 0).";
    CAPTURE_DROPPED: "capture-dropped", Capture, Warn, "capture",
        "more conversations than are kept",
        means "To bound memory the oldest were finished early and not all are listed; the finding counts them.",
        remedy "Filter the capture by host or port, or list only failures: --only-failed.";
    CAPTURE_RETRANSMISSIONS: "capture-retransmissions", Capture, Note, "capture",
        "packets of the handshake were sent again",
        means "The network lost or delayed some; it costs time and is a failure only when it goes on.",
        remedy "Look for loss and MTU problems on the way.";
    CAPTURE_CONFLICT: "capture-conflicting-data", Capture, Warn, "capture",
        "the same place of the stream was sent twice with different bytes",
        means "The first copy is taken, as most systems do. A broken middlebox or an attacker who injects packets does this.",
        remedy "Capture at both ends and compare.";
    TLS13_HIDDEN: "tls13-certificate-hidden", Capture, Note, "capture",
        "TLS 1.3 hides the certificate",
        means "From outside only the name asked for shows, not the certificate that came; that needs a probe or the keys.",
        remedy "`dbgate probe URL` shows the certificate.";
}
