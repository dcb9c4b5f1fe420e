//! Set-ups that are broken or unsafe, and what `dbgate probe` says of each: the true cause, the remedy,
//! the finding's code and the exit code; and those that are well.
//!
//! A row: name, set-up, arguments, exit code and code; words that must be in what happened or what it
//! means, and words that must be in what to do. The servers are real ones; `drills/played.rs` says
//! where none can be brought to do it. What is printed lies beside the set-ups as `NAME.txt` and
//! `NAME.json`; `DBGATE_REFRESH=1 tests/run --test probe drills::` writes these anew, but none whose
//! row does not hold.

mod certificates;
mod dbgate;
mod mock_servers;
mod mongodb;
mod mysql;
mod normal;
mod optional_client_cert;
mod postgres;
mod reach;
mod redis;
mod runner;
mod scene;
mod tls;

macro_rules! drills {
    ($($name:ident: $setup:path, $line:literal => $exit:literal $code:literal, $cause:literal, $remedy:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let drill = runner::Drill {
                    name: stringify!($name),
                    setup: $setup,
                    line: $line,
                    exit: $exit,
                    code: $code,
                    cause: $cause,
                    remedy: $remedy,
                };
                drill.run();
            }
        )*

        #[test]
        fn no_file_is_left_of_a_drill_that_is_no_more() {
            runner::assert_no_stray(&[$(stringify!($name)),*]);
        }
    };
}

drills! {
    // All is well.
    well_postgres: certificates::for_a_name, "postgres://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    well_postgres_18_direct: postgres::version_18, "postgres://pg1.example.test:{port} --ca {ca} --starttls direct"
        => 0 "ok", "ALPN postgresql", "";
    well_postgres_18: postgres::version_18, "postgres://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "after an SSLRequest -> S", "";
    well_postgres_through_dbgate: dbgate::passthrough, "postgres://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    well_mariadb: mysql::tls, "mariadb://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "MariaDB", "";
    well_redis: redis::password, "rediss://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "asks for a password", "";
    well_redis_by_certificate: redis::is_shown_a_certificate,
        "rediss://pg1.example.test:{port} --ca {ca} --client-cert {cert} --client-key {key}"
        => 0 "ok", "trusted", "";
    well_mongodb: mongodb::tls, "mongodb://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    well_tls: postgres::web_server_with_tls, "tls://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    well_wildcard: certificates::for_wildcard, "postgres://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "*.example.test", "";
    well_address: certificates::for_an_address, "rediss://127.0.0.1:{port} --ca {ca}"
        => 0 "ok", "127.0.0.1", "";
    well_name_kept_through_a_tunnel: certificates::for_a_name, "postgres://pg1.example.test --connect 127.0.0.1:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    well_intermediate: certificates::with_intermediate, "postgres://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "Issuing", "";
    well_self_signed_and_trusted: certificates::signed_by_itself_and_trusted, "postgres://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";

    // The server is not reached.
    dns_no_such_name: reach::no_such_name, "postgres://pg1.example.invalid"
        => 3 "dns-no-such-name", "pg1.example.invalid", "DNS record";
    dns_failed: reach::no_name_server, "postgres://pg1.example.invalid"
        => 3 "dns-failed", "The name may exist", "/etc/resolv.conf";
    tcp_refused: reach::nobody_listens, "postgres://pg1.example.test:{port}"
        => 3 "tcp-refused", "no program listens", "listens on this address";
    tcp_timeout: reach::packets_vanish, "postgres://pg1.example.test:{port} --timeout 1s"
        => 3 "tcp-timeout", "vanish", "firewalls";
    tcp_unreachable: reach::no_network, "postgres://192.0.2.1"
        => 3 "tcp-unreachable", "no route there", "routes and VPN";

    tcp_no_such_interface: reach::nothing, "postgres://[fe80::1%nowhere0]"
        => 3 "tcp-unreachable", "no network interface nowhere0", "routes and VPN";

    addresses_differ: reach::one_address_is_down, "postgres://two.example.test:{port} --ca {ca} --each-address"
        => 3 "addresses-differ", "127.0.0.2", "Fix or remove";

    // What answers is not Postgres with TLS.
    pg_without_tls: postgres::without_tls, "postgres://pg1.example.test:{port}"
        => 4 "pg-tls-refused", "TLS switched off", "ssl = on";
    pg_web_server: postgres::web_server, "postgres://pg1.example.test:{port}"
        => 4 "http-server", "web server", "raw TCP";
    pg_web_server_with_tls: postgres::web_server_with_tls, "postgres://pg1.example.test:{port}"
        => 4 "http-server", "web server", "raw TCP";
    pg_proxy_with_tls: postgres::proxy_with_tls, "postgres://pg1.example.test:{port} --ca {ca}"
        => 4 "pg-expects-tls-first", "expects a ClientHello", "sslnegotiation=direct";
    pg_proxy_without_backend: postgres::proxy_without_backend, "postgres://pg1.example.test:{port}"
        => 3 "tcp-closed-at-once", "without a healthy server", "health checks";
    pg_stuck: postgres::stuck, "postgres://pg1.example.test:{port} --timeout 1s"
        => 4 "pg-no-answer", "never came", "log of what listens";
    pg_is_mariadb: postgres::mariadb, "postgres://pg1.example.test:{port}"
        => 4 "is-mysql", "MariaDB", "mariadb://";
    pg_is_redis: postgres::redis, "postgres://pg1.example.test:{port} --timeout 3s"
        => 4 "is-redis", "Redis in plaintext", "redis://";
    pg_is_mongodb: postgres::mongodb, "postgres://pg1.example.test:{port} --timeout 3s"
        => 4 "is-mongodb", "MongoDB in plaintext", "mongodb://";
    pg_is_ssh: postgres::ssh, "postgres://pg1.example.test:{port}"
        => 4 "ssh-server", "sshd", "ssh -L";
    pg_direct_at_15: postgres::debian, "postgres://pg1.example.test:{port} --ca {ca} --starttls direct"
        => 4 "pg-direct-unsupported", "version 17", "Leave sslnegotiation";
    pg_direct_without_alpn: postgres::proxy_without_alpn, "postgres://pg1.example.test:{port} --ca {ca} --starttls direct"
        => 1 "pg-direct-no-alpn", "ALPN", "select `postgresql`";
    pg_direct_at_a_web_server: postgres::web_server_with_tls, "postgres://pg1.example.test:{port} --ca {ca} --starttls direct"
        => 4 "alert-no-application-protocol", "alert 120", "raw TCP";
    pg_takes_plaintext_too: postgres::plain_beside_tls, "postgres://pg1.example.test:{port} --ca {ca} --check-plaintext"
        => 1 "pg-plaintext-allowed", "without TLS", "hostssl";
    pg_cannot_fork: postgres::cannot_fork, "postgres://pg1.example.test:{port}"
        => 4 "pg-error-answer", "Cannot allocate memory", "server's message";
    pg_injected_bytes: postgres::injected, "postgres://pg1.example.test:{port}"
        => 4 "pg-early-bytes", "CVE-2021-23222", "what is between";
    pg_gibberish: postgres::gibberish, "postgres://pg1.example.test:{port}"
        => 4 "pg-unexpected-answer", "?WHAT", "Check the port";

    // A dbgate refuses.
    dbgate_unknown_name: dbgate::passthrough, "postgres://pg2.example.test:{port} --ca {ca}"
        => 4 "alert-unrecognized-name", "pg2.example.test", "dbgate ctl explain";
    dbgate_no_name: dbgate::passthrough, "postgres://127.0.0.1:{port} --ca {ca}"
        => 4 "alert-no-name", "none was sent", "hostaddr=ADDR";
    dbgate_backend_is_down: dbgate::backend_is_down, "postgres://pg1.example.test:{port}"
        => 4 "alert-internal-error", "does not reach its backend", "dbgate ctl rejects";
    dbgate_denies_the_address: dbgate::denied, "postgres://pg1.example.test:{port} --ca {ca}"
        => 4 "alert-access-denied", "allow list", "dbgate ctl explain";

    // No handshake.
    tls_only_11: tls::only_tls11, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-too-old", "the server chose TLS 1.1", "allow TLS 1.2 and 1.3";
    tls_only_13: tls::only_tls13, "postgres://pg1.example.test:{port} --ca {ca} --tls 1.2"
        => 4 "tls-version-not-offered", "it took TLS 1.3", "offer the other version";
    tls_only_rsa_key_exchange: tls::only_rsa_key_exchange, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-old-ciphers-only", "TLS_RSA_WITH_AES_128_CBC_SHA", "ssl_ciphers";
    tls_only_group_p521: tls::only_group_p521, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-old-groups-only", "the server chose secp521r1", "x25519 and secp256r1";
    tls_12_only_group_p521: tls::tls12_only_group_p521, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-old-groups-only", "secp521r1", "x25519 and secp256r1";
    tls_only_ed448: tls::only_ed448, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-no-fitting-certificate", "the server chose TLS 1.3", "ECDSA P-256";
    tls_suites_for_another_key: tls::suites_for_another_key, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-no-suite-for-key", "sent alert 40 handshake_failure again", "Au=ECDSA";
    tls_suites_for_another_key_of_12: tls::suites_for_another_key_but_13, "tls://pg1.example.test:{port} --ca {ca} --tls 1.2"
        => 4 "tls-no-suite-for-key", "RSA 2048", "Au=ECDSA";
    tls_signs_by_another_key: tls::signs_by_another_key, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-signature-of-another-key", "ECDSA P-256", "openssl pkey -pubout";
    tls_signs_by_another_key_12: tls::signs_by_another_key, "tls://pg1.example.test:{port} --ca {ca} --tls 1.2"
        => 4 "tls-signature-of-another-key", "ECDSA P-256", "openssl pkey -pubout";
    tls_signs_by_another_key_unchecked: tls::signs_by_another_key, "rediss://pg1.example.test:{port} --insecure"
        => 4 "tls-signature-of-another-key", "Every client", "openssl pkey -pubout";
    tls_signs_by_a_key_of_another_kind: tls::signs_by_a_key_of_another_kind, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-signature-of-another-key", "RSA 2048", "openssl pkey -pubout";
    tls_signs_by_another_key_and_is_unknown: tls::signs_by_another_key_unknown, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-signature-of-another-key", "ECDSA P-256", "openssl pkey -pubout";
    tls_strict_sni: tls::strict_sni, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "alert-unrecognized-name", "pg1.example.test", "proxy's routes";
    tls_haproxy_wants_a_certificate: tls::haproxy_wants_a_certificate, "rediss://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-client-cert-required", "client certificate", "--client-cert";
    tls_nginx_wants_a_certificate: tls::nginx_wants_a_certificate, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "tls-client-cert-required", "closed inside TLS", "--client-cert";
    tls_nginx_wants_another_certificate: tls::nginx_is_shown_a_strangers_certificate,
        "rediss://pg1.example.test:{port} --ca {ca} --client-cert {cert} --client-key {key}"
        => 1 "tls-client-cert-refused", "closed inside TLS", "issuer of the client certificate";
    tls_12_wants_a_certificate: tls::tls12_wants_a_certificate, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-client-cert-required", "client certificate", "--client-cert";
    tls_strangers_client_certificate: tls::certificate_of_a_stranger,
        "rediss://pg1.example.test:{port} --ca {ca} --client-cert {cert} --client-key {key}"
        => 4 "tls-client-cert-refused", "unknown_ca", "issuer of the client certificate";
    tls_expired_client_certificate: tls::certificate_that_ran_out,
        "rediss://pg1.example.test:{port} --ca {ca} --client-cert {cert} --client-key {key}"
        => 4 "tls-client-cert-refused", "certificate_expired", "client certificate";
    // A client certificate is asked for, and not needed.
    asks_postgres: optional_client_cert::postgres, "postgres://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    asks_postgres_direct: optional_client_cert::postgres_18, "postgres://pg1.example.test:{port} --ca {ca} --starttls direct"
        => 0 "ok", "ALPN postgresql", "";
    asks_postgres_for_redis: optional_client_cert::postgres_18, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "is-postgres", "SSLRequest", "postgres://";
    asks_proxy_of_postgres_for_redis: optional_client_cert::haproxy_before_postgres, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "protocol-closed", "left alone inside TLS it did not", "log";
    asks_redis: optional_client_cert::redis, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "redis-open", "without a password", "requirepass";
    asks_redis_and_is_shown_one: optional_client_cert::redis,
        "rediss://pg1.example.test:{port} --ca {ca} --client-cert {cert} --client-key {key}"
        => 1 "redis-open", "without a password", "requirepass";
    asks_redis_for_mongodb: optional_client_cert::redis, "mongodb://pg1.example.test:{port} --ca {ca} --timeout 3s"
        => 1 "mongodb-unexpected-answer", "Redis", "Check the port";
    asks_redis_for_postgres: optional_client_cert::redis, "postgres://pg1.example.test:{port} --ca {ca} --timeout 3s --starttls direct"
        => 1 "pg-direct-no-alpn", "ALPN", "";
    asks_tls_12: optional_client_cert::openssl_tls12, "tls://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    tls_web_server: postgres::web_server, "tls://pg1.example.test:{port}"
        => 4 "http-server", "web server", "raw TCP";
    tls_ssh: postgres::ssh, "tls://pg1.example.test:{port}"
        => 4 "ssh-server", "sshd", "ssh -L";
    tls_proxy_without_backend: postgres::proxy_without_backend, "tls://pg1.example.test:{port}"
        => 3 "tcp-closed-at-once", "without a healthy server", "health checks";
    tls_closes_on_a_hello: tls::closes_on_a_hello, "tls://pg1.example.test:{port}"
        => 4 "tls-closed-after-hello", "without an alert", "--no-sni";
    tls_silence: tls::silence, "tls://pg1.example.test:{port} --timeout 1s"
        => 4 "tls-no-answer", "does not take the hello", "Check the port";
    tls_small_buffer: tls::small_buffer, "tls://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-hello-too-big-for-path", "Post-quantum", "X25519MLKEM768";
    tls_first_packet_only: tls::first_packet_only, "tls://pg1.example.test:{port} --ca {ca}"
        => 0 "ok", "trusted", "";
    tls_first_packet_only_and_split: tls::first_packet_only, "tls://pg1.example.test:{port} --ca {ca} --split records:32"
        => 4 "tls-split-hello-refused", "does not put the parts together", "ends or routes TLS";
    well_split: certificates::for_a_name, "postgres://pg1.example.test:{port} --ca {ca} --split bytes:1"
        => 0 "ok", "trusted", "";
    well_split_into_records: certificates::for_a_name, "postgres://pg1.example.test:{port} --ca {ca} --split records:64"
        => 0 "ok", "trusted", "";
    well_compared: certificates::for_a_name, "postgres://pg1.example.test:{port} --ca {ca} --compare-no-sni"
        => 0 "ok", "same certificate", "";

    // The certificate.
    cert_expired: certificates::expired, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-expired", "2021-01-01", "Renew it";
    cert_not_yet_valid: certificates::not_yet_valid, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-not-yet-valid", "2080-01-01", "date -u";
    cert_other_name: certificates::for_another_name, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-name-mismatch", "db.example.net", "Dial one of its names";
    cert_other_name_through_a_tunnel: certificates::for_a_name, "postgres://localhost:{port} --ca {ca}"
        => 1 "cert-name-mismatch", "pg1.example.test", "dbgate probe postgres://pg1.example.test --connect localhost";
    cert_wildcard_too_deep: certificates::for_wildcard, "postgres://a.wild.example.test:{port} --ca {ca}"
        => 1 "cert-wildcard-depth", "one label", "wildcard at its level";
    cert_common_name_only: certificates::common_name_only, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-no-san", "common name", "subjectAltName";
    cert_address_not_covered: certificates::for_a_name, "postgres://127.0.0.1:{port} --ca {ca}"
        => 1 "cert-ip-not-covered", "127.0.0.1", "hostaddr";
    cert_openssl_req: certificates::of_openssl_req, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-self-signed", "signed by its own key", "Trust exactly this certificate";
    cert_openssl_req_trusted: certificates::of_openssl_req_trusted, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-ca-as-leaf", "CA:TRUE", "dbgate cert new";
    cert_authority_as_leaf: certificates::authority_as_leaf, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-ca-as-leaf", "CA:TRUE", "dbgate cert new";
    cert_self_signed: certificates::signed_by_itself, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-self-signed", "signed by its own key", "Trust exactly this certificate";
    cert_unknown_root: certificates::of_a_stranger, "mariadb://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-unknown-root", "Stranger", "authority's certificate";
    cert_unknown_root_sent: certificates::of_a_stranger_with_root, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-unknown-root", "counts for nothing", "authority's certificate";
    cert_not_of_a_public_authority: certificates::for_a_name, "postgres://pg1.example.test:{port}"
        => 1 "cert-unknown-root", "Root", "--ca FILE";
    cert_not_checked: certificates::for_a_name, "postgres://pg1.example.test:{port} --insecure"
        => 0 "ok", "was not checked", "";
    cert_missing_intermediate: certificates::without_intermediate, "mariadb://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-missing-intermediate", "Issuing", "behind the leaf";
    cert_authority_made_anew: certificates::authority_made_anew, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-ca-regenerated", "its key", "Compare the fingerprints";
    cert_intermediate_expired: certificates::intermediate_ran_out, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-chain-expired", "Issuing", "Replace the intermediate";
    cert_signed_by_a_server: certificates::signed_by_a_server, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-issuer-not-a-ca", "A server", "dbgate cert ca";
    cert_outside_of_constraints: certificates::outside_of_constraints, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-name-constraint", "Narrow", "Use a name inside";
    cert_for_clients: certificates::for_clients, "mariadb://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-wrong-usage", "serverAuth", "for the server";
    cert_rsa_1024: certificates::rsa_1024, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-weak-key", "RSA 1024", "ECDSA P-256";
    cert_sha1: certificates::sha1, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-weak-signature", "SHA1", "SHA-256";
    cert_version_1: certificates::version_1, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-version-1", "version 1", "openssl x509 -extfile";
    cert_five_days_left: certificates::five_days_left, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-expires-soon", "5 days from now", "Renew it now";
    cert_for_decades: certificates::for_decades, "mariadb://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-long-validity", "825 days", "397 days";
    cert_needless: certificates::needless_certificate, "postgres://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-chain-order", "Needless", "nothing else";
    cert_wrong_order: certificates::wrong_order, "tls://pg1.example.test:{port} --ca {ca}"
        => 1 "cert-chain-order", "order", "leaf first";

    // MySQL and MariaDB.
    mysql_without_tls: mysql::without_tls, "mysql://pg1.example.test:{port}"
        => 4 "mysql-no-tls", "CLIENT_SSL", "ssl_cert";
    mysql_is_postgres: postgres::debian, "mysql://pg1.example.test:{port} --timeout 3s"
        => 4 "is-postgres", "Postgres", "postgres://";
    mysql_is_redis: postgres::redis, "mysql://pg1.example.test:{port} --timeout 3s"
        => 4 "is-redis", "Redis", "redis://";
    mysql_is_tls: postgres::proxy_with_tls, "mysql://pg1.example.test:{port} --timeout 3s"
        => 4 "is-tls-first", "TLS from the first byte", "tls://";
    mysql_silence: mysql::silence, "mysql://pg1.example.test:{port} --timeout 1s"
        => 4 "mysql-no-greeting", "waits for the client", "Check the port";
    mysql_accounts_elsewhere: mysql::accounts_elsewhere, "mariadb://pg1.example.test:{port}"
        => 4 "mysql-host-not-allowed", "1130", "CREATE USER";
    mysql_no_connection_left: mysql::no_connection_left, "mariadb://pg1.example.test:{port}"
        => 4 "mysql-too-many-connections", "1040", "max_connections";
    mysql_blocked: mysql::blocked, "mariadb://pg1.example.test:{port}"
        => 4 "mysql-host-blocked", "1129", "flush-hosts";
    mysql_proxy_without_backend: postgres::proxy_without_backend, "mysql://pg1.example.test:{port}"
        => 4 "mysql-closed", "without a greeting", "log of what listens there";
    mysql_damaged_greeting: mysql::damaged, "mysql://pg1.example.test:{port}"
        => 4 "mysql-damaged-greeting", "not a valid greeting", "bytes in the finding";
    mysql_is_ssh: postgres::ssh, "mysql://pg1.example.test:{port}"
        => 4 "ssh-server", "sshd", "ssh -L";

    // Redis.
    redis_plain: redis::plain, "rediss://pg1.example.test:{port} --timeout 3s"
        => 4 "redis-plain-port", "Redis without TLS", "tls-port";
    redis_protected_mode: redis::protected_mode, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "redis-protected-mode", "-DENIED", "Set a password";
    redis_open: redis::open, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "redis-open", "without a password", "requirepass";
    redis_wants_a_certificate: redis::wants_a_certificate, "rediss://pg1.example.test:{port} --ca {ca}"
        => 4 "tls-client-cert-required", "client certificate", "--client-cert";
    redis_strangers_certificate: redis::is_shown_a_strangers_certificate,
        "rediss://pg1.example.test:{port} --ca {ca} --client-cert {cert} --client-key {key}"
        => 4 "tls-client-cert-refused", "unknown_ca", "tls-ca-cert-file";
    redis_replica_without_master: redis::replica_without_master, "rediss://pg1.example.test:{port} --ca {ca}"
        => 1 "redis-not-ready", "MASTERDOWN", "info replication";
    redis_is_mongodb: mongodb::tls, "rediss://pg1.example.test:{port} --ca {ca} --timeout 3s"
        => 1 "redis-unexpected-answer", "hello of MongoDB", "Check the port";
    redis_is_postgres: postgres::debian, "rediss://pg1.example.test:{port}"
        => 4 "is-postgres", "Postgres", "postgres://";

    // MongoDB.
    mongodb_plain: mongodb::plain, "mongodb://pg1.example.test:{port}"
        => 4 "mongodb-plain-port", "MongoDB without TLS", "requireTLS";
    mongodb_hosts_elsewhere: mongodb::replica_set_elsewhere, "mongodb://pg1.example.test:{port} --ca {ca}"
        => 1 "mongodb-hosts-elsewhere", "mongo-0.internal:27017", "directConnection=true";
    mongodb_is_redis: mongodb::redis_inside, "mongodb://pg1.example.test:{port} --ca {ca} --timeout 3s"
        => 1 "mongodb-unexpected-answer", "PING of Redis", "Check the port";
    mongodb_is_a_web_server: postgres::web_server_with_tls, "mongodb://pg1.example.test:{port} --ca {ca}"
        => 1 "mongodb-unexpected-answer", "HTTP/1.1", "Check the port";
}

/// The reset may come while connecting or right after, as the system chooses, and so vary the words:
/// there is no file of these.
#[test]
fn tcp_reset() {
    let drill = runner::Drill {
        name: "tcp_reset",
        setup: reach::rejected_at_the_door,
        line: "postgres://pg1.example.test:{port}",
        exit: 3,
        code: "tcp-reset",
        cause: "threw it away at once",
        remedy: "health checks",
    };
    drill.check();
}

/// A server of TLS 1.2 that misses a certificate may be gone before all that follows its part is sent: it
/// is chance whether its alert or a reset comes first, and the cause must be the same.
#[test]
fn a_missing_certificate_is_named_whatever_comes_first() {
    let scene = redis::wants_a_certificate();
    let line = "rediss://pg1.example.test:{port} --ca {ca} --tls 1.2";
    for _ in 0..30 {
        let told = scene.probe(line, "json");
        let report: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
        assert_eq!(report["code"], "tls-client-cert-required", "{report:#}");
        assert_eq!(told.status.code(), Some(4), "{report:#}");
    }
}

/// Not even where a certificate was asked for before the cut. How long a record is varies with its
/// signature: there is no file of these.
#[test]
fn a_cut_in_the_middle_of_a_record_is_no_certificates_fault() {
    for (name, setup) in [
        ("TLS 1.2", tls::cut_in_a_record_12 as fn() -> scene::Scene),
        ("TLS 1.3", tls::cut_in_a_record_13),
    ] {
        let drill = runner::Drill {
            name,
            setup,
            line: "rediss://pg1.example.test:{port} --ca {ca}",
            exit: 4,
            code: "tls-interrupted",
            cause: "600 came, the last",
            remedy: "packet loss",
        };
        drill.check();
    }
}
