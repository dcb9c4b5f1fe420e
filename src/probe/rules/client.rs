//! Causes that only the client's behaviour tells: seen when listening and in captures.

use super::rule::rules;

rules! {
    CLIENT_UNKNOWN_CA: "client-unknown-ca", Certificate, Fail, "client",
        "the client ended the handshake: it does not know the authority of the certificate (alert 48, unknown_ca)",
        means "The server's certificate is signed by an authority whose certificate the client does not have. psql prints `certificate verify failed`.",
        remedy "Give the client the authority's certificate: sslrootcert in libpq, --cacert in redis-cli, --tlsCAFile in mongosh, --ssl-ca in mysql.";
    CLIENT_BAD_CERTIFICATE: "client-bad-certificate", Certificate, Fail, "client",
        "the client ended the handshake: it takes the certificate for wrong (alert 42, bad_certificate)",
        means "Most clients send it when the name in the certificate is not the one they dialled.",
        remedy "Compare the certificate's names with the name dialled: `dbgate probe URL` says which names it carries.";
    CLIENT_CERTIFICATE_EXPIRED: "client-certificate-expired", Certificate, Fail, "client",
        "the client ended the handshake: the certificate has expired (alert 45, certificate_expired)",
        means "By the client's clock the server's certificate, or one above it, is not valid now.",
        remedy "Renew the certificate; if it is valid, set the client's clock.";
    CLIENT_CERTIFICATE_UNKNOWN: "client-certificate-unknown", Certificate, Fail, "client",
        "the client ended the handshake: it does not accept the certificate (alert 46, certificate_unknown)",
        means "The client gives no closer reason; Java and Node send it for nearly everything about a certificate.",
        remedy "Probe the server with the client's authorities (--ca FILE): it says exactly why the certificate is not trusted.";
    CLIENT_UNSUPPORTED_CERTIFICATE: "client-unsupported-certificate", Certificate, Fail, "client",
        "the client ended the handshake: it cannot use this kind of certificate (alert 43, unsupported_certificate)",
        means "The certificate was not made for servers, or its key type is unknown to the client.",
        remedy "Make it anew with serverAuth and an ordinary key: `dbgate cert new NAME`.";
    CLIENT_ALERT: "client-alert", Tls, Fail, "client",
        "the client ended the handshake with an alert",
        means "It disliked what the server said; name and number of the alert are in the finding.",
        remedy "Read the client's own message: it knows more than the alert says.";
    CLIENT_LIKELY_REFUSED: "client-likely-refused", Certificate, Fail, "client",
        "the client ended the handshake with an encrypted message of an alert's size",
        means "In TLS 1.3 alerts are encrypted and only their length shows. At this point it is nearly always the certificate that the client refuses.",
        remedy "Read the client's own message, or probe the server with the client's authorities (--ca FILE).";
    CLIENT_LEFT_IN_HANDSHAKE: "client-left-in-handshake", Certificate, Fail, "client",
        "the client hung up when it had seen the server's certificate",
        means "Clients that check names after the handshake message, libpq among them, close without an alert when the name does not match or the authority is unknown.",
        remedy "Read the client's own message, or probe the server with the client's authorities (--ca FILE).";
    CLIENT_LEFT_AFTER_S: "client-left-after-s", Preface, Fail, "client",
        "the client asked for TLS, was granted it, and hung up",
        means "It sent an SSLRequest, got the S and went away without a ClientHello: a monitoring check, or a client that could not set up its own TLS (a certificate, key or CA file that it cannot read).",
        remedy "If it is not monitoring, read the client's own message; check the files it names.";
    CLIENT_LEFT_AFTER_N: "client-left-after-n", Preface, Fail, "client",
        "the client insists on TLS, and the server has none",
        means "It got an N to its SSLRequest and hung up, as sslmode=require and stricter modes do. psql prints `server does not support SSL, but SSL was required`.",
        remedy "Switch TLS on at the server, or let the gateway end it.";
    CLIENT_FELL_BACK: "client-fell-back-to-plaintext", Preface, Warn, "client",
        "the client came back in plaintext after TLS had failed",
        means "That is sslmode=prefer, the default of libpq: the user name, the database and, with some methods, the password travel in plaintext.",
        remedy "Use sslmode=require or stricter; to see why TLS failed, look at the connection before this one.";
    CLIENT_PLAINTEXT: "client-plaintext", Preface, Warn, "client",
        "the client does not ask for TLS",
        means "It works, but everything travels in plaintext, and no gateway can see which name was dialled.",
        remedy "Switch TLS on in the client: sslmode=require (Postgres), rediss:// or --tls (Redis), tls=true (MongoDB), --ssl-mode=REQUIRED (MySQL).";
    CLIENT_PLAINTEXT_AFTER_N: "client-plaintext-after-n", Preface, Warn, "client",
        "the client asked for TLS, was refused, and went on in plaintext",
        means "That is sslmode=prefer, the default of libpq, with a server that has no TLS: it works, in plaintext.",
        remedy "Switch TLS on at the server, then use sslmode=require or stricter.";
    CLIENT_CANCEL_PLAINTEXT: "client-cancel-plaintext", Preface, Warn, "client",
        "the client asks in plaintext to cancel a query",
        means "Many drivers send the CancelRequest without TLS, and it carries a key but no name: a gateway has to know the key to send it to the right server.",
        remedy "With libpq 17 and newer use the functions that cancel over TLS; behind a gateway use terminate or reencrypt where cancel matters.";
    CLIENT_SAID_NOTHING: "client-said-nothing", Preface, Note, "client",
        "the client connected and closed without sending anything",
        means "A health check, a port scan, or a client that waits for the server to speak first (MySQL) and gave up.",
        remedy "Nothing, if it is a health check; otherwise listen with the right --protocol.";
    CLIENT_OTHER_PROTOCOL: "client-other-protocol", Preface, Fail, "client",
        "the client speaks another protocol",
        means "Its first bytes are neither TLS nor the beginning of what this port is for; the finding says what they look like.",
        remedy "Check which port the client was given.";
    CLIENT_DAMAGED: "client-illegal-preface", Preface, Fail, "client",
        "the client's first message breaks the rules of its protocol",
        means "A correct server refuses it; the finding names the rule.",
        remedy "Update the client, or find what changes the bytes on the way.";
    CLIENT_DIRECT_WITHOUT_ALPN: "client-direct-without-alpn", Tls, Warn, "client",
        "the client starts with TLS on a Postgres port but does not offer the protocol by ALPN",
        means "Postgres 17 and newer hang up on direct TLS without ALPN `postgresql`; a gateway that ends TLS can be more lenient.",
        remedy "Let the client offer ALPN `postgresql`, or use the SSLRequest.";
    SERVER_LIKELY_REFUSED: "server-likely-refused", Tls, Warn, "server",
        "right after the handshake the server sent an encrypted message of an alert's size and hung up",
        means "In TLS 1.3 a server that dislikes the client's certificate, or misses one, can say so only then.",
        remedy "Check the client certificate; probe with --client-cert and --client-key to see the alert in the clear.";
    SERVER_REFUSED_PLAINTEXT: "server-refused-plaintext", Preface, Fail, "server",
        "the server refused the client that came in plaintext",
        means "It wants TLS from this client; its message is in the finding.",
        remedy "Switch TLS on in the client: sslmode=require or stricter.";
    CLIENT_PLAINTEXT_FIRST: "client-plaintext-first", Preface, Warn, "client",
        "the client tried plaintext before TLS",
        means "That is sslmode=allow: TLS only where plaintext is refused, and by then the user name and the database have been sent in plaintext.",
        remedy "Use sslmode=require or stricter.";
    CLIENT_RETRIES: "client-retries", Preface, Note, "client",
        "the client tried again, with nothing changed",
        means "It keeps trying, as drivers and connection pools do; nothing about it has changed since the connection before.",
        remedy "Nothing: what the connection before this one shows holds for both.";
    CLIENT_VERIFIES: "client-verifies", Certificate, Note, "client",
        "the client refuses a certificate that it cannot know",
        means "It verifies certificates, as it should: no one on the path can impersonate the server.",
        remedy "Nothing: give it the authority of the real certificate, and it will accept that one only.";
    CLIENT_ACCEPTS_ANY: "client-accepts-any-certificate", Certificate, Warn, "client",
        "the client accepted a certificate made up on the spot",
        means "It encrypts but does not verify: anyone on the path can present another certificate and read everything, passwords included. That is sslmode=require without a root certificate, --insecure in redis-cli, tlsAllowInvalidCertificates in MongoDB, rejectUnauthorized: false in Node.",
        remedy "Give the client the authority's certificate and let it verify: sslmode=verify-full sslrootcert=FILE in libpq, --cacert in redis-cli, --tlsCAFile in mongosh, --ssl-ca with --ssl-mode=VERIFY_IDENTITY in mysql.";
    CLIENT_SILENT_INSIDE: "client-silent-inside-tls", Protocol, Warn, "client",
        "the client completed the handshake and said nothing",
        means "It waits for the server to speak first inside TLS, or it does not know what to do with the connection: whether it verifies certificates is not known.",
        remedy "Listen with the --protocol that the client really speaks.";
    CLIENT_NOTHING_IN_COMMON: "client-nothing-in-common", Tls, Fail, "client",
        "the client offers no TLS version, cipher suite or group that is still in use",
        means "TLS 1.2 and 1.3 with forward secrecy are what servers of today speak; this client offers only what is older, and they refuse it as well.",
        remedy "Update the client or its TLS library; the rows about versions and groups show what it offers.";
    CLIENT_UNFINISHED: "client-unfinished-handshake", Tls, Fail, "client",
        "the client stopped in the middle of the TLS handshake",
        means "It has the server's part and neither goes on nor says why: it hangs, or something on the way swallows its packets.",
        remedy "Look at the client's own log; capture both ends of the way and compare.";
    CLIENT_WAITS: "client-waits", Preface, Warn, "client",
        "the client connected and waited",
        means "It is waiting for the server to speak first, as clients of MySQL and MariaDB do; those of all other databases speak first themselves.",
        remedy "Listen with --protocol mysql or --protocol mariadb.";
}
