//! Causes inside the handshake, told by the server or the network.

use super::rule::rules;

rules! {
    ALERT_UNRECOGNIZED_NAME: "alert-unrecognized-name", Tls, Fail, "server",
        "alert 112, unrecognized_name: the server knows no such name",
        means "The far end is up and speaks TLS, but has nothing configured for the name that was sent. OpenSSL clients print `tlsv1 unrecognized name`, which is not about TLS 1.0.",
        remedy "On a dbgate: `dbgate ctl explain NAME` and `dbgate ctl expose`. Elsewhere add the name to the proxy's routes; mind spelling and the domain.";
    ALERT_NO_NAME: "alert-no-name", Tls, Fail, "server",
        "the server refused a client that sent no server name",
        means "Many databases are behind this address and only the name in the handshake tells which is meant; none was sent.",
        remedy "Connect by name, not by address: libpq host=NAME hostaddr=ADDR, redis-cli --sni NAME, mysql --tls-sni-servername NAME.";
    ALERT_HANDSHAKE_FAILURE: "alert-handshake-failure", Tls, Fail, "server",
        "alert 40, handshake_failure: the server found nothing that it could agree to in the offer",
        means "It read the ClientHello and disliked what is in it. The alert alone does not say whether it is the suites, the groups or the signatures. OpenSSL clients print `sslv3 alert handshake failure`, which is not about SSL 3.",
        remedy "`dbgate probe URL` asks such a server again with everything on offer, and tells which of them it is.";
    TLS_NO_FITTING_CERTIFICATE: "tls-no-fitting-certificate", Tls, Fail, "server",
        "the server has no certificate that fits the offer",
        means "Asked again with old versions, suites, groups and signatures on offer as well it agreed, and chose a version, suite and group that were on offer before. The certificate is left: its key type or signature is one that clients of today do not take.",
        remedy "Look at the certificate and the key that the server is set to use; ECDSA P-256 or RSA 2048 signed with SHA-256 suit every client (`dbgate cert new NAME`).";
    TLS_NO_SUITE_FOR_KEY: "tls-no-suite-for-key", Tls, Fail, "server",
        "the server has no cipher suite that goes with its key",
        means "It refuses whatever is on offer, so its own settings contradict each other. In TLS 1.2 a suite goes with one kind of key: a server with an RSA key whose list has only ECDSA suites, or the other way round, has none left to choose. A server without any certificate behaves the same.",
        remedy "Hold the server's list (`openssl ciphers -v LIST`: Au=RSA or Au=ECDSA; ssl_ciphers in Postgres, tls-ciphers in Redis, ssl_cipher in MySQL) against its key (`dbgate cert show FILE`); change the list, or give it a certificate of the other kind.";
    TLS_OTHER_KEY: "tls-signature-of-another-key", Tls, Fail, "server",
        "the server's signature in the handshake was made by another key than its certificate's",
        means "It shows a certificate whose private key it does not use: certificate and key of two pairs, one of them renewed without the other, or an attacker on the path with a copy of the certificate. Every client refuses that, also one that does not verify certificates; OpenSSL clients print `bad signature`.",
        remedy "Compare the keys of the two files on the server: `openssl x509 -noout -pubkey -in CERT` and `openssl pkey -pubout -in KEY` must print the same. Give it the pair that belongs together, and let it read both again.";
    ALERT_PROTOCOL_VERSION: "alert-protocol-version", Tls, Fail, "server",
        "alert 70, protocol_version: no TLS version in common",
        means "The server takes none of the versions offered. Clients print `tlsv1 alert protocol version` or `unsupported protocol`.",
        remedy "Let the server accept TLS 1.2 or 1.3 (ssl_min_protocol_version in Postgres, tls-protocols in Redis, tls_version in MySQL).";
    TLS_VERSION_NOT_OFFERED: "tls-version-not-offered", Tls, Fail, "server",
        "the server takes another TLS version than the one that was offered",
        means "With both versions on offer the handshake works, with this one alone it does not: the server leaves it out, and so does not take clients that know no other (old libraries, ssl_max_protocol_version in libpq, --tls here).",
        remedy "Let the client offer the other version: update its TLS library, or lift the limit in its settings.";
    ALERT_INTERNAL_ERROR: "alert-internal-error", Tls, Fail, "server",
        "alert 80, internal_error: the server failed on its own side",
        means "The handshake was legal, but the server could not go on: a key that it cannot read, or a gateway that does not reach its backend (dbgate sends it then).",
        remedy "Read the server's log; on a dbgate `dbgate ctl rejects` and its access log.";
    ALERT_ACCESS_DENIED: "alert-access-denied", Tls, Fail, "server",
        "alert 49, access_denied: refused by a policy of the server",
        means "The certificate or the name was understood and not allowed. Servers made with rustls send it also for a name that they have no certificate for; dbgate sends it to addresses outside a database's allow list.",
        remedy "On a dbgate: `dbgate ctl explain NAME --client IP`. Elsewhere look at the server's access rules and names.";
    ALERT_NO_APPLICATION_PROTOCOL: "alert-no-application-protocol", Tls, Fail, "server",
        "alert 120, no_application_protocol: the ALPN offer was refused",
        means "The server wants an application protocol that the client did not offer: often a web server or an ingress that was asked for `postgresql`.",
        remedy "Route the name as raw TCP; for Postgres with direct TLS the client must offer `postgresql`.";
    ALERT_CERTIFICATE_REQUIRED: "tls-client-cert-required", Tls, Fail, "server",
        "the server wants a client certificate, and none was shown",
        means "It asked for one in the handshake and ended when none came (alert 116 in TLS 1.3, 40 in TLS 1.2; nginx hangs up without one). Clients print `tlsv13 alert certificate required` or `sslv3 alert handshake failure`.",
        remedy "Give one: --client-cert and --client-key here, sslcert and sslkey in libpq, --cert and --key in redis-cli. `dbgate cert new USER --client` makes one.";
    CLIENT_CERT_REFUSED: "tls-client-cert-refused", Tls, Fail, "server",
        "the server did not accept the client certificate",
        means "A certificate was shown and refused: signed by an authority that the server does not have, expired, or not made for clients. The alert is in the finding.",
        remedy "Compare the issuer of the client certificate with the server's CA file (ssl_ca_file, tls-ca-cert-file); `dbgate cert show FILE` shows both.";
    ALERT_DECODE_ERROR: "alert-decode-error", Tls, Fail, "server",
        "alert 50, decode_error: the server could not read the ClientHello",
        means "It takes a legal hello for a damaged one: an old TLS stack, or a middlebox that reads only the first record or segment.",
        remedy "Try a smaller hello (--tls 1.2) and an unsplit one; update what ends TLS there.";
    ALERT_UNEXPECTED_MESSAGE: "alert-unexpected-message", Tls, Fail, "server",
        "alert 10, unexpected_message: the server expected something else here",
        means "The bytes did not fit its state: often a preface sent to a server that starts with TLS, or TLS inside TLS.",
        remedy "Check whether the server wants TLS at once or after the protocol's own request (--starttls).";
    ALERT_OTHER: "alert-other", Tls, Fail, "server",
        "the server ended the handshake with an alert that dbgate has no rule for",
        means "Its name and number are in the finding; RFC 8446 section 6 describes it.",
        remedy "Look at the server's log at this time.";
    TLS_CLOSED_AFTER_HELLO: "tls-closed-after-hello", Tls, Fail, "server",
        "the server closed the connection after the ClientHello without an alert",
        means "A proxy that has no route for the name and says nothing, or a server that does not speak TLS on this port. psql prints `SSL SYSCALL error: EOF detected`.",
        remedy "Look at the log of what listens there; compare with another name and with --no-sni.";
    TLS_RESET_AFTER_HELLO: "tls-reset-after-hello", Tls, Fail, "network",
        "the connection was reset after the ClientHello",
        means "Something on the way broke it off: a firewall that filters by server name, a load balancer without a backend, or a server that crashed. Clients print `Connection reset by peer`.",
        remedy "Compare with another name, from another network, and at the server itself.";
    TLS_NO_ANSWER: "tls-no-answer", Tls, Fail, "server",
        "no answer to the ClientHello",
        means "The connection is up, but what listens there does not take the hello for the beginning of anything: another protocol that waits for more, or a stuck server.",
        remedy "Check the port, and the log of what listens there.";
    HELLO_TOO_BIG: "tls-hello-too-big-for-path", Tls, Fail, "network",
        "a large ClientHello gets no answer, a small one does",
        means "Post-quantum key shares make the hello larger than one packet, and something on the way reads only the first: a firewall, a load balancer, an old proxy.",
        remedy "Update it; until then let clients leave X25519MLKEM768 out (in OpenSSL: Groups = X25519:P-256).";
    HELLO_SPLIT_REFUSED: "tls-split-hello-refused", Tls, Fail, "server",
        "a ClientHello in several parts is refused, the same in one part is not",
        means "What reads it does not put the parts together, though TCP and TLS allow any cut. Clients behind small-MTU links or with large hellos will fail now and then.",
        remedy "Update what ends or routes TLS there; the parts that it fails on are in the finding.";
    TLS_NOT_TLS: "tls-plaintext-answer", Tls, Fail, "server",
        "the server answered the ClientHello with something that is not TLS",
        means "OpenSSL clients print `wrong version number` for it. The first bytes are in the finding.",
        remedy "Check the port, and whether TLS is switched on at the server.";
    REDIS_PLAIN: "redis-plain-port", Tls, Fail, "server",
        "this is Redis without TLS",
        means "It waits for a line end that a ClientHello does not have to contain, so TLS clients see silence or `wrong version number`. Asked in plaintext it answered.",
        remedy "Set tls-port with tls-cert-file and tls-key-file (and port 0), or let the gateway end TLS: tls = \"terminate\".";
    MONGODB_PLAIN: "mongodb-plain-port", Tls, Fail, "server",
        "this is MongoDB without TLS",
        means "It took the ClientHello for a message with a bad length and hung up. Asked in plaintext it answered.",
        remedy "Set net.tls.mode: requireTLS with a certificateKeyFile, or let the gateway end TLS: tls = \"terminate\".";
    PG_DIRECT_UNSUPPORTED: "pg-direct-unsupported", Tls, Fail, "server",
        "this Postgres does not take TLS from the first byte",
        means "Direct TLS (sslnegotiation=direct) came with version 17; older ones take the ClientHello for a damaged startup packet and hang up. With an SSLRequest it answered.",
        remedy "Leave sslnegotiation at postgres, or update the server.";
    TLS_TOO_OLD: "tls-too-old", Tls, Fail, "server",
        "the server chose a TLS version before 1.2",
        means "It speaks TLS 1.0 or 1.1 at best, which today's clients refuse (RFC 8996).",
        remedy "Update the server, or let its settings allow TLS 1.2 and 1.3 (ssl_max_protocol_version in Postgres, tls-protocols in Redis, tls_version in MySQL); nothing on the client's side should be lowered.";
    TLS_OLD_CIPHERS_ONLY: "tls-old-ciphers-only", Tls, Fail, "server",
        "the server takes only cipher suites that today's clients leave out",
        means "With them on offer it chose one, without them it refuses: suites without forward secrecy (TLS_RSA), or with CBC, CCM, finite-field DHE, 3DES or RC4. dbgate and many clients offer only ECDHE with AES-GCM or ChaCha20-Poly1305.",
        remedy "Let the server take ECDHE suites with GCM (`ECDHE+AESGCM` in OpenSSL's words: ssl_ciphers in Postgres, tls-ciphers in Redis, ssl_cipher in MySQL).";
    TLS_OLD_GROUPS_ONLY: "tls-old-groups-only", Tls, Fail, "server",
        "the server takes only key exchange groups that many clients leave out",
        means "With other groups on offer it chose one, without them it refuses. dbgate and many clients offer only X25519MLKEM768, x25519, secp256r1 and secp384r1. OpenSSL clients print `sslv3 alert handshake failure`.",
        remedy "Let the server take x25519 and secp256r1 as well (ssl_groups in Postgres, ssl_ecdh_curve before version 18; ssl_ecdh_curve in nginx, curves in HAProxy).";
    TLS_INCOMPATIBLE: "tls-incompatible", Tls, Fail, "this machine",
        "the server's part of the handshake is not acceptable",
        means "It chose something that was not offered, or broke the protocol; the finding says what.",
        remedy "Update what ends TLS there.";
    HELLO_INCOMPLETE: "tls-hello-incomplete", Tls, Fail, "client",
        "the ClientHello stops in the middle",
        means "The client sent a part of its hello and no more: it was killed, it timed out, or packets were lost on the way.",
        remedy "Look for packet loss and MTU problems on the way (a hello of more than 1,400 bytes needs two packets).";
    HELLO_MALFORMED: "tls-hello-malformed", Tls, Fail, "client",
        "the client's first bytes are not a valid ClientHello",
        means "They begin like TLS and break a rule that the finding names; a correct server refuses them.",
        remedy "Update the client's TLS library, or find what changes the bytes on the way.";
    TLS_FLIGHT_CUT: "tls-server-flight-cut", Tls, Fail, "network",
        "the server's part of the handshake stops in the middle, and the client gave up",
        means "The client has never seen all of it, so this is not about the certificate. Packets of full size do not get through (a smaller MTU on the way), or the server stopped while it wrote.",
        remedy "Look at the MTU on the way (VPN, tunnel, jumbo frames: `ping -M do -s 1472 HOST`) and at the server's log.";
    TLS_INTERRUPTED: "tls-interrupted", Tls, Fail, "network",
        "the handshake stopped in the middle",
        means "Both ends had begun to agree, then one of them was gone without an alert; the finding says which.",
        remedy "Look at the log of the end that stopped, and for packet loss: the server's certificates need several packets.";
    SNI_NONE: "sni-none", Tls, Warn, "client",
        "the client sends no server name",
        means "A gateway that routes by name cannot know which database is meant, and a server with several certificates shows its default one.",
        remedy "Connect by name, not by address: libpq host=NAME hostaddr=ADDR (14 or newer, sslsni=1), redis-cli --sni NAME, node tls: {servername: NAME}, mysql 8.1 --tls-sni-servername NAME; the MariaDB client and libpq before 14 cannot.";
    SNI_IP: "sni-ip", Tls, Warn, "client",
        "the client sends an IP address as server name",
        means "RFC 6066 forbids it; servers ignore the name or refuse the client.",
        remedy "Connect by name: libpq host=NAME hostaddr=ADDR; check the client's server name setting.";
    SNI_INVALID: "sni-invalid", Tls, Warn, "client",
        "the client sends a server name that is not a valid DNS name",
        means "No route and no certificate can match it; the finding shows the bytes.",
        remedy "Check the host in the client's settings for spaces, schemes and slashes.";
    SNI_REQUIRED: "sni-required", Tls, Note, "server",
        "without a server name the server shows another certificate or refuses",
        means "It chooses by name. Clients that send none (redis-cli without --sni, the MariaDB client, old libpq, connections by address) do not get to this database.",
        remedy "Make sure that every client sends the name.";
    SNI_IGNORED: "sni-ignored", Tls, Note, "server",
        "with and without a server name the server shows the same certificate",
        means "The name does not choose the certificate here: clients without one get to the same place.",
        remedy "Nothing, unless several databases should be told apart by name here.";
}
