//! Causes in the certificate; [`crate::cert::verify`] finds them.

use super::rule::rules;

rules! {
    CERT_EXPIRED: "cert-expired", Certificate, Fail, "certificate",
        "the certificate has expired",
        means "Every client that checks certificates refuses it. psql prints `certificate verify failed`, as it does for everything about certificates.",
        remedy "Renew it (`dbgate cert new NAME` or your authority's tool) and let the server read it again; `dbgate cert check FILE --within 30d` warns in time.";
    CERT_NOT_YET_VALID: "cert-not-yet-valid", Certificate, Fail, "certificate",
        "the certificate is not valid yet",
        means "Its first day lies in the future: it was made with a clock that is ahead, or the clock of this machine is behind.",
        remedy "Compare `date -u` here and where it was made; then wait or mint it again.";
    CERT_NAME_MISMATCH: "cert-name-mismatch", Certificate, Fail, "certificate",
        "the certificate is for other names",
        means "It may be trusted, but not for the name that was dialled. psql prints `server certificate for \"…\" does not match host name`.",
        remedy "Dial one of its names, or have the name added: `dbgate cert new NAME...`. Behind a tunnel or port-forward keep the name: host=NAME hostaddr=127.0.0.1.";
    CERT_WILDCARD_DEPTH: "cert-wildcard-depth", Certificate, Fail, "certificate",
        "the wildcard of the certificate reaches one label deep, the name is deeper",
        means "`*.example.com` covers a.example.com, but neither a.b.example.com nor example.com.",
        remedy "Have the name, or a wildcard at its level, added to the certificate.";
    CERT_NO_SAN: "cert-no-san", Certificate, Fail, "certificate",
        "the certificate carries its name only as common name",
        means "Names count in the subjectAltName extension only (RFC 9525); `openssl req -x509` makes none by default. Old clients accept it, new ones and those in Go, Rust and Java refuse it.",
        remedy "Make it anew with subjectAltName: `dbgate cert new NAME`, or openssl with -addext subjectAltName=DNS:NAME.";
    CERT_IP_NOT_COVERED: "cert-ip-not-covered", Certificate, Fail, "certificate",
        "an address was dialled, and the certificate does not carry it",
        means "For an address only IP entries in subjectAltName count, never names.",
        remedy "Dial a name of the certificate (libpq: host=NAME hostaddr=ADDR; here: --sni NAME --connect ADDR), or have the address added.";
    CERT_CA_AS_LEAF: "cert-ca-as-leaf", Certificate, Fail, "certificate",
        "an authority's certificate (CA:TRUE) is used as the server's own",
        means "`openssl req -x509` makes such ones. OpenSSL accepts it when it is trusted itself; rustls, Go and others refuse it (`CaUsedAsEndEntity`).",
        remedy "Make an authority and a leaf: `dbgate cert ca`, `dbgate cert new NAME`.";
    CERT_SELF_SIGNED: "cert-self-signed", Certificate, Fail, "certificate",
        "the certificate is signed by itself, and nothing here trusts it",
        means "No authority vouches for it. Clients print `self-signed certificate`.",
        remedy "Trust exactly this certificate (--ca FILE here, sslrootcert=FILE in libpq), or use one of an authority: `dbgate cert ca`, `dbgate cert new NAME`.";
    CERT_UNKNOWN_ROOT: "cert-unknown-root", Certificate, Fail, "certificate",
        "the authority that signed the certificate is not trusted here",
        means "No authority that is trusted here has signed what the server sent, neither directly nor through an authority that the server sent along. Clients print `unable to get local issuer certificate` or `self-signed certificate in certificate chain`.",
        remedy "Get the authority's certificate and inspect it: `openssl x509 -noout -subject -issuer -in FILE`. Where both are the same it is a root: have clients trust it (--ca FILE here, sslrootcert=FILE in libpq, --cacert in redis-cli). Where they differ it is an intermediate: put it behind the server's own certificate in the server's file, and trust its issuer.";
    CERT_MISSING_INTERMEDIATE: "cert-missing-intermediate", Certificate, Fail, "certificate",
        "the server leaves out an intermediate certificate",
        means "It sends its own certificate but not the one that links it to a trusted root. Browsers and some clients fetch or remember it; database clients do not.",
        remedy "Put the intermediate behind the leaf in the server's certificate file (the `fullchain`), and let the server read it again.";
    CERT_CA_REGENERATED: "cert-ca-regenerated", Certificate, Fail, "certificate",
        "a trusted authority has the issuer's name, but its key did not sign this",
        means "The authority was made anew under its old name, and one of the two sides still has the old one.",
        remedy "Compare the fingerprints (`dbgate cert show FILE`): either trust the new authority, or have the certificate signed again.";
    CERT_CHAIN_EXPIRED: "cert-chain-expired", Certificate, Fail, "certificate",
        "a certificate above the server's own has run out",
        means "The server's certificate is in time, but an intermediate or the root is not.",
        remedy "Replace the intermediate in the server's file, or update the trust store, whichever the finding names.";
    CERT_ISSUER_NOT_A_CA: "cert-issuer-not-a-ca", Certificate, Fail, "certificate",
        "the certificate is signed by one that may not sign",
        means "The issuer has no CA:TRUE or no keyCertSign: a server's key was used as if it were an authority's.",
        remedy "Make a real authority (`dbgate cert ca`) and have it sign the certificate again.";
    CERT_PATH_TOO_LONG: "cert-path-too-long", Certificate, Fail, "certificate",
        "the chain has more authorities than one of them permits",
        means "An authority's path length constraint limits how many others may be below it.",
        remedy "Have the certificate signed by an authority higher up, or that one made anew without the limit.";
    CERT_NAME_CONSTRAINT: "cert-name-constraint", Certificate, Fail, "certificate",
        "the authority may not vouch for this name",
        means "Its certificate restricts it to certain domains (name constraints), and the certificate's name lies outside.",
        remedy "Use a name inside, or an authority without that restriction.";
    CERT_WRONG_USAGE: "cert-wrong-usage", Certificate, Fail, "certificate",
        "the certificate was not made for servers",
        means "Its extended key usage lacks serverAuth; a client certificate was perhaps put in the server's place.",
        remedy "Make one for the server: `dbgate cert new NAME` (clients: --client).";
    CERT_WEAK_KEY: "cert-weak-key", Certificate, Fail, "certificate",
        "the key in the certificate is too short",
        means "RSA below 2,048 bits is refused by rustls, Go and, at its usual security level, OpenSSL (`ee key too small`).",
        remedy "Make a new key: ECDSA P-256, or RSA 2048 and more.";
    CERT_WEAK_SIGNATURE: "cert-weak-signature", Certificate, Fail, "certificate",
        "the certificate is signed with a broken hash (MD5 or SHA-1)",
        means "Current libraries refuse it (`ca md too weak`).",
        remedy "Have it signed again with SHA-256.";
    CERT_VERSION_1: "cert-version-1", Certificate, Fail, "certificate",
        "the certificate is of X.509 version 1",
        means "It has no extensions at all, so no names and no usage: `openssl x509 -req` makes such ones when it gets no extension file. rustls and Go refuse it.",
        remedy "Make it anew with extensions: `dbgate cert new NAME`, or openssl x509 -extfile.";
    CERT_UNREADABLE: "cert-unreadable", Certificate, Fail, "certificate",
        "what was shown as a certificate cannot be read",
        means "The bytes are not X.509, or break its encoding rules.",
        remedy "Look at the server's certificate file; make it anew.";
    CERT_EXPIRES_SOON: "cert-expires-soon", Certificate, Warn, "certificate",
        "the certificate expires soon",
        means "It works today and stops for all clients at the same second.",
        remedy "Renew it now, and have `dbgate cert check FILE --within 30d` run daily.";
    CERT_LONG_VALIDITY: "cert-long-validity", Certificate, Warn, "certificate",
        "the certificate is valid for more than 825 days",
        means "macOS and iOS refuse such ones from any authority, own ones included.",
        remedy "Make it for 397 days and renew it by program.";
    CERT_CHAIN_ORDER: "cert-chain-order", Certificate, Warn, "certificate",
        "the server sends certificates that do not belong to the chain, or in the wrong order",
        means "Most clients sort it out; strict ones and small devices do not.",
        remedy "Put the leaf first, then each issuer of the one before, and nothing else.";
    CERT_LEAF_NOT_FIRST: "cert-leaf-not-first", Certificate, Fail, "certificate",
        "the server shows an authority's certificate in its own's place, and its own behind it",
        means "Clients take the first certificate for the server's: they refuse an authority's there, and its key is not the server's.",
        remedy "Put the server's own certificate first in its file, then each issuer of the one before.";
    CERT_NONE: "cert-none", Certificate, Fail, "server",
        "the server showed no certificate",
        means "The handshake used a method without certificates; the identity of the server cannot be verified.",
        remedy "Give the server a certificate.";
    CERT_REJECTED: "cert-rejected", Certificate, Fail, "certificate",
        "the verifier refuses the chain for a reason that dbgate has no rule for",
        means "The verifier's message is in the finding.",
        remedy "Compare with `openssl verify -x509_strict`, and report it to dbgate: it should have a rule.";
}
