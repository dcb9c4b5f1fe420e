//! Causes before TLS: what Postgres and MySQL say first, and who answers instead of them.

use super::rule::rules;

rules! {
    PG_TLS_REFUSED: "pg-tls-refused", Preface, Fail, "server",
        "the server answered N to the SSLRequest: it has no TLS",
        means "It is Postgres (or something that speaks its protocol) with TLS switched off. psql prints `server does not support SSL, but SSL was required`; with sslmode=prefer it goes on in plaintext silently.",
        remedy "Set ssl = on with ssl_cert_file and ssl_key_file in postgresql.conf and reload, or let the gateway end TLS: tls = \"terminate\".";
    PG_ERROR_ANSWER: "pg-error-answer", Preface, Fail, "server",
        "the server answered the SSLRequest with an ErrorResponse",
        means "A server that cannot start a session at all (out of memory, too many connections) or a proxy that does not know SSLRequest. psql hides the text and prints `server sent an error response during SSL exchange`.",
        remedy "Read the server's message in the finding, then its log.";
    PG_EXPECTS_TLS_FIRST: "pg-expects-tls-first", Preface, Fail, "server",
        "the server starts with TLS and does not take an SSLRequest",
        means "What listens there expects a ClientHello as the first bytes: a TLS proxy without knowledge of Postgres. A client sends an SSLRequest instead and is hung up on, so no ClientHello is ever seen. psql prints `server closed the connection unexpectedly`.",
        remedy "Put something in between that answers the SSLRequest (dbgate does). Where what listens there agrees to ALPN `postgresql`, sslnegotiation=direct of psql 17 helps as well.";
    PG_CLOSED_AFTER_REQUEST: "pg-closed-after-request", Preface, Fail, "server",
        "the server closed the connection instead of answering the SSLRequest",
        means "No Postgres does that when it is well: it is a TLS server that expects a ClientHello first, a proxy without a backend, or another protocol. psql prints `server closed the connection unexpectedly`.",
        remedy "Probe the address with tls:// to see whether it starts with TLS, and look at the log of what listens there.";
    PG_NO_ANSWER: "pg-no-answer", Preface, Fail, "server",
        "no answer to the SSLRequest",
        means "The connection is up, but the byte S or N never came: a server that waits for something else, a Postgres that is stuck or starting, or a proxy whose backend does not answer.",
        remedy "Look at the log of what listens on the port; check with `ss -ltnp` on that machine that it is the database.";
    PG_EARLY_BYTES: "pg-early-bytes", Preface, Fail, "server",
        "unencrypted bytes came together with the S that starts TLS",
        means "An attacker on the path could have put them there to be taken for the content of the TLS connection (CVE-2021-23222). libpq prints `received unencrypted data after SSL response`.",
        remedy "Find out what is between client and server; a server or proxy that does this by itself must be updated.";
    PG_UNEXPECTED_ANSWER: "pg-unexpected-answer", Preface, Fail, "server",
        "the answer to the SSLRequest is not one of Postgres",
        means "The first byte must be S, N or E. It is another protocol that dbgate does not recognise. psql prints `received invalid response to SSL negotiation`.",
        remedy "Check the port: the first bytes of the answer are in the finding.";
    HTTP_SERVER: "http-server", Preface, Fail, "server",
        "a web server answered",
        means "The port speaks HTTP. psql prints `received invalid response to SSL negotiation: H`, other clients `wrong version number`. Old proxies answer so for names that they do not know as TCP routes.",
        remedy "Use the database's port; in a proxy, route the name as raw TCP (with TLS passthrough), not as HTTP.";
    SSH_SERVER: "ssh-server", Preface, Fail, "server",
        "an SSH server answered",
        means "The port belongs to sshd.",
        remedy "Use the database's port; if the database is behind this host, open a tunnel: ssh -L 5432:database:5432 HOST.";
    MYSQL_SERVER: "is-mysql", Preface, Fail, "server",
        "a MySQL or MariaDB server answered",
        means "It speaks first and sends its greeting, which no client of another protocol understands.",
        remedy "Probe it as mysql:// or mariadb://, and point the client at the right port.";
    POSTGRES_SERVER: "is-postgres", Preface, Fail, "server",
        "a Postgres server answered",
        means "It wants an SSLRequest before TLS. A client that starts with TLS gets no handshake from it before version 17, and without ALPN none after.",
        remedy "Probe it as postgres://, and point the client at the right port.";
    REDIS_SERVER: "is-redis", Preface, Fail, "server",
        "a Redis server without TLS answered",
        means "The port is Redis in plaintext, but another protocol was spoken to it.",
        remedy "Point the client at the right port; probe this one as redis://.";
    MONGODB_SERVER: "is-mongodb", Preface, Fail, "server",
        "a MongoDB server without TLS answered",
        means "The port is MongoDB in plaintext, which waits for its own messages.",
        remedy "Point the client at the right port; probe this one as mongodb://.";
    OTHER_SERVER: "is-another-protocol", Preface, Fail, "server",
        "a server of another protocol answered",
        means "The server does not speak the client's protocol; the finding says what it looks like.",
        remedy "Check host and port.";
    MYSQL_NO_TLS: "mysql-no-tls", Preface, Fail, "server",
        "the server's greeting offers no TLS",
        means "The capability CLIENT_SSL is missing. The client prints `ERROR 2026 (HY000): TLS/SSL error: SSL is required, but the server does not support it`.",
        remedy "Set ssl_cert and ssl_key in the server's configuration and restart it (MariaDB from 11.4 and MySQL from 5.7 make them by themselves).";
    MYSQL_ERROR: "mysql-refused", Preface, Fail, "server",
        "the server sent an error in the place of its greeting",
        means "It refuses this client before any login; the number in the finding is the server's error code.",
        remedy "Read the server's message in the finding.";
    MYSQL_HOST_BLOCKED: "mysql-host-blocked", Preface, Fail, "server",
        "the server has blocked this address after too many broken connections (error 1129)",
        means "Each connection that ends before login counts, those of health checks and probes too; behind a gateway all clients share one address. The count is max_connect_errors.",
        remedy "mysqladmin flush-hosts frees it; raise max_connect_errors, or set host_cache_size = 0 behind a gateway.";
    MYSQL_HOST_NOT_ALLOWED: "mysql-host-not-allowed", Preface, Fail, "server",
        "no account may log in from this address (error 1130)",
        means "The server checks the address before anything else; behind a gateway it sees the gateway's address.",
        remedy "CREATE USER … @'address' for the address that the server names.";
    MYSQL_TOO_MANY: "mysql-too-many-connections", Preface, Fail, "server",
        "the server has no connection left (error 1040)",
        means "max_connections is reached; the client is refused before it can say anything.",
        remedy "Find who holds the connections (SHOW PROCESSLIST), raise max_connections, or limit sessions at the gateway.";
    MYSQL_NO_GREETING: "mysql-no-greeting", Preface, Fail, "server",
        "the server says nothing first",
        means "MySQL and MariaDB greet as soon as the connection is up. This one waits for the client, so it is another protocol or a proxy that waits for TLS.",
        remedy "Check the port; the finding says what answered when it was spoken to.";
    MYSQL_CLOSED: "mysql-closed", Preface, Fail, "server",
        "the server closed the connection without a greeting",
        means "Something accepted the connection and ended it: a proxy without a healthy backend, or a server that is shutting down. The client prints `Lost connection to server at 'handshake: reading initial communication packet'`.",
        remedy "Look at the log of what listens there.";
    MYSQL_DAMAGED: "mysql-damaged-greeting", Preface, Fail, "server",
        "the server's first packet is not a valid greeting",
        means "It begins like MySQL's protocol and breaks its rules: another protocol by chance, or a damaged proxy.",
        remedy "Look at the bytes in the finding and at what listens on the port.";
    TLS_FIRST_SERVER: "is-tls-first", Preface, Fail, "server",
        "the server starts with TLS from the first byte",
        means "A preface was sent to it, and it answered with a TLS alert or waited for a ClientHello: it is a TLS server without a preface.",
        remedy "Probe it as tls://, redis:// or mongodb://, or use a proxy that knows the protocol.";
}
