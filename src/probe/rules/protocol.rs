//! Answers of databases inside TLS, before any login.

use super::rule::rules;

rules! {
    PG_SAYS_NOTHING: "pg-silent-before-login", Protocol, Note, "server",
        "Postgres reveals nothing about itself before login",
        means "Version and databases show only to those who log in; TLS was looked at, the login was not.",
        remedy "Log in with psql to see more.";
    PG_DIRECT_NO_ALPN: "pg-direct-no-alpn", Protocol, Fail, "server",
        "the server did not agree to ALPN `postgresql`",
        means "libpq with sslnegotiation=direct refuses to go on: `direct SSL connection was established without ALPN protocol negotiation extension`.",
        remedy "What ends TLS there must select `postgresql` by ALPN; or use the SSLRequest (sslnegotiation=postgres).";
    PG_PLAINTEXT_ALLOWED: "pg-plaintext-allowed", Protocol, Warn, "server",
        "the server also takes logins in plaintext",
        means "Asked without TLS it went on to the login. A client with sslmode=prefer whose TLS fails, or whose TLS an attacker suppresses, sends its login in plaintext.",
        remedy "Use hostssl instead of host in pg_hba.conf for addresses outside the machine.";
    MONGODB_HOSTS_ELSEWHERE: "mongodb-hosts-elsewhere", Protocol, Warn, "server",
        "the replica set names other hosts than the one dialled",
        means "Drivers take these names from the answer to `hello` and reconnect to them: they jump past the gateway, and fail where the names are not reachable.",
        remedy "Add directConnection=true to the connection string, or give each member a public name with replSetHorizons.";
    MONGODB_UNEXPECTED: "mongodb-unexpected-answer", Protocol, Fail, "server",
        "the answer to MongoDB's hello cannot be read",
        means "TLS is up, but what speaks inside is not MongoDB, or refuses the hello; the finding says what came.",
        remedy "Check the port and the gateway's backend.";
    REDIS_NOAUTH: "redis-needs-password", Protocol, Note, "server",
        "Redis asks for a password",
        means "It is up and protected (-NOAUTH); that is as it should be.",
        remedy "Nothing; clients give user and password.";
    REDIS_OPEN: "redis-open", Protocol, Warn, "server",
        "Redis answers without a password",
        means "Anyone who reaches the port can read, write and, with default settings, change its configuration.",
        remedy "Set requirepass or ACL users, or ask clients for certificates (tls-auth-clients yes).";
    REDIS_PROTECTED_MODE: "redis-protected-mode", Protocol, Fail, "server",
        "Redis is in protected mode and answers local clients only",
        means "No password and no bind address are set, so it refuses clients from other machines (-DENIED).",
        remedy "Set a password or ACL users, and bind to the address that the gateway uses.";
    REDIS_NOT_READY: "redis-not-ready", Protocol, Fail, "server",
        "Redis is up but cannot serve",
        means "It is loading its data, its master is down, or a cluster is broken; its message is in the finding.",
        remedy "Wait for the load, or look at `redis-cli info replication`.";
    REDIS_UNEXPECTED: "redis-unexpected-answer", Protocol, Fail, "server",
        "the answer to PING is not one of Redis",
        means "TLS is up, but what speaks inside is not Redis; the finding shows the first bytes.",
        remedy "Check the port and the gateway's backend.";
    MYSQL_AFTER_TLS: "mysql-refused-after-tls", Protocol, Fail, "server",
        "the server sent an error once TLS was up",
        means "It refuses this client inside TLS; its message is in the finding.",
        remedy "Read the server's message in the finding.";
    MYSQL_ANONYMOUS: "mysql-anonymous-login", Protocol, Warn, "server",
        "the server accepts logins without a password",
        means "It has an anonymous account (an empty user name), as mysql_install_db makes it; behind a gateway every client that comes through it can use that account.",
        remedy "Drop it: mysql_secure_installation, or DROP USER ''@'localhost'.";
    PROTOCOL_CLOSED: "protocol-closed", Protocol, Fail, "server",
        "TLS was up, then the server closed without an answer of its protocol",
        means "Often a gateway that ends TLS and cannot reach its database, a server that has no room, or one that speaks another protocol.",
        remedy "Look at the log of the gateway and of the database; on a dbgate `dbgate ctl show NAME`.";
    PROTOCOL_SILENT: "protocol-silent", Protocol, Fail, "server",
        "TLS is up, but the database does not answer",
        means "What ends TLS is not the database, and the database behind it is stuck or speaks another protocol.",
        remedy "Look at the gateway's backend, and ask the database directly.";
    TRUST_NOT_CHECKED: "trust-not-checked", Certificate, Warn, "this machine",
        "the certificate was not checked, as asked by --insecure",
        means "An attacker on the path could answer in the server's place; the report shows the result that the check would have had.",
        remedy "Give the authority's certificate with --ca FILE instead.";
    LIBPQ_ROOT_CRT: "libpq-root-crt", Certificate, Note, "this machine",
        "there is a root.crt that libpq uses without being asked",
        means "With ~/.postgresql/root.crt sslmode=require checks the certificate as verify-ca does, and prefer falls back to plaintext when that fails; other clients on this machine do not.",
        remedy "Say sslrootcert and sslmode explicitly, or remove the file.";
    SOMETIMES: "fails-sometimes", Protocol, Fail, "server",
        "some attempts succeed and some fail",
        means "Several servers behind one name of which not all are well, a limit that is reached now and then, or packet loss.",
        remedy "Compare the attempts by address (--each-address) and by time.";
}
