# What may stand in the place of the word under the cursor, where that is a value: of a running
# gateway the names of databases, hosts, backends and listeners and the ids of sessions, else words
# that the program knows. It is asked when TAB is pressed.
function __fish_dbgate_live
    set -l word (commandline -ct)
    set -l answer (command dbgate __complete (commandline -opc) "$word" 2>/dev/null </dev/null)
    if test "$answer" = \tfiles
        __fish_complete_path "$word"
    else
        string match -rv '^\t' -- $answer
    end
end

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_dbgate_global_optspecs
    string join \n h/help V/version
end

function __fish_dbgate_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_dbgate_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_dbgate_using_subcommand
    set -l cmd (__fish_dbgate_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c dbgate -n "__fish_dbgate_needs_command" -s h -l help -d 'Print help'
complete -c dbgate -n "__fish_dbgate_needs_command" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "serve" -d 'Run the gateway'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "ctl" -d 'Steer a running gateway through its control socket'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "probe" -d 'Explain why a client does or does not reach a database, and what to do about it'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "cert" -d 'Make certificates for databases and their clients, and inspect existing ones'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "top" -d 'Watch a running gateway: sessions, databases, backends, rejects, events'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "completions" -d 'Print shell completions'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "man" -d 'Write the man pages'
complete -c dbgate -n "__fish_dbgate_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -s c -l config -d 'Configuration file' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -l socket -d 'Control socket [default: for root /run/dbgate/control.sock, else in the user\'s runtime directory]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -l state-dir -d 'Directory for runtime exposures [default: for root /var/lib/dbgate, else in the user\'s state directory]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -l user -d 'Turn from root into this user, for good' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -l threads -d 'Worker threads [default: one per core]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -l check -d 'Check the configuration and everything it names, print each problem, exit 0 or 1'
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand serve" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "expose" -d 'Make a database reachable under a host, or change what ctl made of it'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "hide" -d 'End an exposure; the database stays, with all settings'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "delete" -d 'Remove what ctl made of a database, hidden or not'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "rm" -d 'Remove what ctl made of a database, hidden or not'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "list" -d 'One row for each database'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "ls" -d 'One row for each database'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "show" -d 'One database in full'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "describe" -d 'One database in full'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "explain" -d 'The database that a host reaches, and each step of the decision'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "sessions" -d 'Live sessions'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "ps" -d 'Live sessions'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "rejects" -d 'The last clients that were turned away, and why'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "kill" -d 'Close sessions at once'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "drain" -d 'Let no new sessions in; those that run go on'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "resume" -d 'Let new sessions in again: the end of a drain, also in the middle'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "status" -d 'The gateway itself: version, uptime, listeners, counts'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "reload" -d 'Read the configuration again, all of it or nothing, and print the changes'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "diff" -d 'Differences between the running gateway and its files: every section, and renewed certificates'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "export" -d 'The running databases and hosts as TOML'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "events" -d 'What has happened: changes, reloads, certificates, rejects; with --follow sessions as well'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and not __fish_seen_subcommand_from expose hide delete rm list ls show describe explain sessions ps rejects kill drain resume status reload diff export events help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l host -d 'DNS name, exact or *.suffix; may be given several times' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l to -d 'Backend, HOST:PORT; several are tried in the order given, or by --balance' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l balance -d 'The choice among several backends [default: first, in the order given]' -r -f -a "first\t''
round-robin\t''
least-sessions\t''
source-ip\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l health -d 'Checks of the backends: off, or settings such as interval=1s,fall=2,check=tcp or http=8008/primary [default: of several backends, every 5s]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l protocol -d 'Its protocol [default of a new one: by the backend\'s port]' -r -f -a "postgres\t''
mysql\t''
mariadb\t''
mongodb\t''
redis\t''
tls\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l tls -d 'TLS mode [default of a new one: passthrough]' -r -f -a "passthrough\t''
terminate\t''
reencrypt\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l cert -d 'Certificate shown to clients' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l key -d 'Its key' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l client-ca -d 'Ask clients for a certificate signed by these authorities' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l client-crl -d 'Refuse the certificates on these revocation lists' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l client-names -d 'Names that client certificates may have, exact or *.suffix [default: all]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l client-user -d 'The user that a Postgres client may be: certificate, the name (CN) in its own' -r -f -a "certificate\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l backend-ca -d 'Authorities of the backends\' certificates (reencrypt)' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l backend-name -d 'The name in the backends\' certificates (reencrypt)' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l allow -d 'Networks that may connect [default: all]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l deny -d 'Networks that may not connect' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l networks -d 'Networks whose clients come here when they ask for no name, or for one that is not known' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l enforce -d 'The sessions for which a change of --allow, --deny and --networks holds [default: new]' -r -f -a "new\t''
now\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l max-sessions -d 'Most sessions at a time' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l hold -d 'Let clients wait so long while no backend is ready, such as 30s' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l hold-max -d 'Most clients that wait at a time [default: 1000]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l wake -d 'Start the database when clients wait by this HTTP call: a method and a URL' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l max-sessions-per-ip -d 'Most sessions at a time from one address (IPv6: one /64)' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l rate -d 'Most new sessions from one network and in all, as in network=10/s,database=200/s' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l send-proxy -d 'Tell backends by the PROXY protocol who the client is; they have to expect it' -r -f -a "v1\t''
v2\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l ttl -d 'End the exposure after this time, such as 2h' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l ephemeral -d 'Do not keep it over a restart'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l replace -d 'State all: settings that are not given return to their defaults; also take over a host that ctl gave to another database'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l dry-run -d 'Only print what would be done'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -l no-check -d 'Do not check whether the backends answer'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from expose" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l host -d 'Only this host [default: all hosts of the database]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l drain -d 'Time for running sessions [default: timeouts.drain]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l keep -d 'Let running sessions go on'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l kill -d 'Close running sessions at once'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l if-exists -d 'No error if there is nothing to hide'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -l dry-run -d 'Only print what would be done'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from hide" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -l kill -d 'Close running sessions at once'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -l if-exists -d 'No error if there is nothing to delete'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -l dry-run -d 'Only print what would be done'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from delete" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -l kill -d 'Close running sessions at once'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -l if-exists -d 'No error if there is nothing to delete'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -l dry-run -d 'Only print what would be done'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rm" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from list" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from list" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ls" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ls" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from show" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from show" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from describe" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from describe" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from describe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from describe" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from explain" -l listener -d 'The listener it arrives on [default: the first]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from explain" -l client -d 'The client\'s address, to check allow and deny as well' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from explain" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from explain" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from explain" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from sessions" -l database -d 'The same as NAME' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from sessions" -l client -d 'Only those of clients of this network' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from sessions" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from sessions" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from sessions" -s w -l watch -d 'Go on until interrupted'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from sessions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from sessions" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ps" -l database -d 'The same as NAME' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ps" -l client -d 'Only those of clients of this network' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ps" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ps" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ps" -s w -l watch -d 'Go on until interrupted'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ps" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from ps" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -l since -d 'Only those of so much time, such as 10m' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -l host -d 'Only those that asked for this name, exact or *.suffix' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -l client -d 'Only clients of this network' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -s f -l follow -d 'Go on until interrupted'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from rejects" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from kill" -l database -d 'All sessions of this database' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from kill" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from kill" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from kill" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from kill" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l backend -d 'Only this backend of it, as `show` has it' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l within -d 'Close the sessions that still run after this time [default: never]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l dry-run -d 'Only print what would be done'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from resume" -l backend -d 'Only this backend of it' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from resume" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from resume" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from resume" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from resume" -l dry-run -d 'Only print what would be done'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from resume" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from status" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from status" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from status" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l reason -d 'Why, for whoever looks at it later: in `show`, in events and in the log' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from reload" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from reload" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from diff" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from diff" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from diff" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from export" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from export" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from export" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from events" -l kind -d 'Only events of these kinds [default: all]' -r -f -a "session\t''
reject\t''
database\t''
backend\t''
certificate\t''
reload\t''
upgrade\t''
control\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from events" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from events" -s o -l output -d 'Output format' -r -f -a "table\t'Text in columns'
wide\t'With more columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from events" -s f -l follow -d 'Go on until interrupted'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from events" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "expose" -d 'Make a database reachable under a host, or change what ctl made of it'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "hide" -d 'End an exposure; the database stays, with all settings'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Remove what ctl made of a database, hidden or not'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "list" -d 'One row for each database'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "show" -d 'One database in full'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "explain" -d 'The database that a host reaches, and each step of the decision'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "sessions" -d 'Live sessions'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "rejects" -d 'The last clients that were turned away, and why'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "kill" -d 'Close sessions at once'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "drain" -d 'Let no new sessions in; those that run go on'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Let new sessions in again: the end of a drain, also in the middle'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "status" -d 'The gateway itself: version, uptime, listeners, counts'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "reload" -d 'Read the configuration again, all of it or nothing, and print the changes'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Differences between the running gateway and its files: every section, and renewed certificates'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "export" -d 'The running databases and hosts as TOML'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "events" -d 'What has happened: changes, reloads, certificates, rejects; with --follow sessions as well'
complete -c dbgate -n "__fish_dbgate_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l sni -d 'Send this server name [default: the host in the URL, when it is a name]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l connect -d 'Dial this address, and keep the name (hostaddr in libpq)' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l starttls -d 'Start of TLS (postgres)' -r -f -a "auto\t'As the protocol does by default, and the other way if that fails'
sslrequest\t'After an `SSLRequest`'
direct\t'From the first byte, with ALPN'"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l ca -d 'Trust these authorities instead of the system\'s' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l client-cert -d 'Certificate for servers that request one, PEM' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l client-key -d 'Its key, PEM' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l tls -d 'Offer only this TLS version [default: both]' -r -f -a "1.2\t''
1.3\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l split -d 'Split the `ClientHello`: bytes:N into TCP segments of N bytes, records:N into TLS records of N bytes' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l count -d 'Probe N times: a line for each, and a summary' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l interval -d 'Time between two probes of --count and --wait' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l timeout -d 'Time for each stage; all further connections together take as long at most' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l wait -d 'Probe again until all is well or this time is over' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -s o -l output -d 'Output format' -r -f -a "text\t'For people'
json\t'JSON and nothing else: one object, or one a line where there are several'"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l no-sni -d 'Send no server name'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l insecure -d 'Do not count an untrusted certificate as a failure'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l compare-no-sni -d 'Probe again without a server name, and compare the certificates'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l check-plaintext -d 'Check whether logins without TLS are accepted too (postgres); leaves a line in the server\'s log'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -l each-address -d 'Probe each address of the name and each host of the URL, and compare them'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -a "listen" -d 'Listen for a client, and report what it really sends'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -a "pcap" -d 'Read a network capture, and report the outcome of each conversation'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -a "explain" -d 'Explain a code: what it means and what to do; without a code list all of them'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and not __fish_seen_subcommand_from listen pcap explain help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -l bind -d 'Address to listen on; port 0 takes a free one' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -l protocol -d 'Protocol of the listener [default: detected by the client\'s first bytes]' -r -f -a "postgres\t''
mysql\t''
mariadb\t''
mongodb\t''
redis\t''
tls\t''"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -l forward -d 'Forward each connection to this address, and report after its handshake and at its end' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -l timeout -d 'Timeout for the client\'s part of a handshake' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -s o -l output -d 'Output format' -r -f -a "text\t'For people'
json\t'JSON and nothing else: one object, or one a line where there are several'"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -l once -d 'End after the first client'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -l then-cert -d 'Answer with a throwaway certificate for the name asked for, to see the next step'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from listen" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from pcap" -l port -d 'Protocol of a port, such as 6432=postgres; may be given several times' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from pcap" -l stream -d 'Print one conversation packet by packet' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from pcap" -s o -l output -d 'Output format' -r -f -a "text\t'For people'
json\t'JSON and nothing else: one object, or one a line where there are several'"
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from pcap" -l only-failed -d 'List only those that have failed'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from pcap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from pcap" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from explain" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from help" -f -a "listen" -d 'Listen for a client, and report what it really sends'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from help" -f -a "pcap" -d 'Read a network capture, and report the outcome of each conversation'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Explain a code: what it means and what to do; without a code list all of them'
complete -c dbgate -n "__fish_dbgate_using_subcommand probe; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and not __fish_seen_subcommand_from ca new show check help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and not __fish_seen_subcommand_from ca new show check help" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and not __fish_seen_subcommand_from ca new show check help" -f -a "ca" -d 'Make an authority: ca.crt, for those who verify, and ca.key, which signs'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and not __fish_seen_subcommand_from ca new show check help" -f -a "new" -d 'Make a certificate: NAME.crt, with whatever must be sent along, and NAME.key'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and not __fish_seen_subcommand_from ca new show check help" -f -a "show" -d 'Tell what certificates say, and what is wrong with them'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and not __fish_seen_subcommand_from ca new show check help" -f -a "check" -d 'Check whether the certificates in a file are due to be renewed'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and not __fish_seen_subcommand_from ca new show check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from ca" -l dir -d 'Directory of its files' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from ca" -l name -d 'Common name [default: "dbgate CA" and a unique number]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from ca" -l days -d 'Lifetime in days' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from ca" -l constrain -d 'Let it issue for names in these domains only, and for no IP address' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from ca" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from ca" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l ca -d 'Directory of the authority that signs [default: this directory]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l days -d 'Lifetime in days, at most until its authority ends' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l out -d 'Directory for the files [default: this directory]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l secret -d 'Print a Kubernetes Secret of type kubernetes.io/tls, with the key, and nothing else' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -s n -l namespace -d 'Namespace of the Secret' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l if-due -d 'Renew it when less than this is left [default: 30d, or a third of a shorter life]' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l self-signed -d 'Sign it with its own key: clients have to trust this very certificate'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l client -d 'For a client; Postgres takes the name for the user\'s'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l exit-code -d 'Exit with 10 if it was renewed, and with 0 if nothing changed'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l new-key -d 'Make a new key, too, whenever the certificate is renewed or gets further names'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -l force -d 'Make certificate and key anew, whatever is there'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from new" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from show" -l ca -d 'Verify with these authorities [default: the system\'s for a server, none for a file]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from show" -s o -l output -d 'Output format' -r -f -a "text\t'For people'
json\t'One JSON object and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from check" -l within -d 'Less time left than this is due' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "ca" -d 'Make an authority: ca.crt, for those who verify, and ca.key, which signs'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "new" -d 'Make a certificate: NAME.crt, with whatever must be sent along, and NAME.key'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "show" -d 'Tell what certificates say, and what is wrong with them'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check whether the certificates in a file are due to be renewed'
complete -c dbgate -n "__fish_dbgate_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l socket -d 'Control socket [default: as `serve` finds it]' -r -F
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l tab -d 'The tab to begin with [default: sessions]' -r -f -a "sessions\t'Live connections'
databases\t'Databases that clients can reach'
backends\t'Their servers'
rejects\t'Clients turned away'
events\t'Sessions opened and closed, changes, reloads'"
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l filter -d 'The filter of that tab to begin with' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l sort -d 'The order of that tab to begin with: a column such as age, or age:asc' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l interval -d 'From one refresh to the next' -r -f -a "(__fish_dbgate_live)"
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -s o -l output -d 'Output format; json holds all tabs, or the one that --tab names' -r -f -a "table\t'Text in columns'
json\t'One JSON document and nothing else'"
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l theme -d 'Colours, out of the terminal\'s own 16' -r -f -a "auto\t'Readable on light and dark alike, or what the terminal says of itself'
dark\t'For a dark background'
light\t'For a light background'
plain\t'No colours'"
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l read-only -d 'No keys that change anything; on the gateway\'s read-only socket there are none'
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l once -d 'Print one frame as text and end; it takes two refreshes, for the rates'
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -l ascii -d 'Only ASCII characters'
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dbgate -n "__fish_dbgate_using_subcommand top" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand completions" -s h -l help -d 'Print help'
complete -c dbgate -n "__fish_dbgate_using_subcommand completions" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand man" -s h -l help -d 'Print help'
complete -c dbgate -n "__fish_dbgate_using_subcommand man" -s V -l version -d 'Print version'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "serve" -d 'Run the gateway'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "ctl" -d 'Steer a running gateway through its control socket'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "probe" -d 'Explain why a client does or does not reach a database, and what to do about it'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "cert" -d 'Make certificates for databases and their clients, and inspect existing ones'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "top" -d 'Watch a running gateway: sessions, databases, backends, rejects, events'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "completions" -d 'Print shell completions'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "man" -d 'Write the man pages'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and not __fish_seen_subcommand_from serve ctl probe cert top completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "expose" -d 'Make a database reachable under a host, or change what ctl made of it'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "hide" -d 'End an exposure; the database stays, with all settings'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "delete" -d 'Remove what ctl made of a database, hidden or not'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "list" -d 'One row for each database'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "show" -d 'One database in full'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "explain" -d 'The database that a host reaches, and each step of the decision'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "sessions" -d 'Live sessions'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "rejects" -d 'The last clients that were turned away, and why'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "kill" -d 'Close sessions at once'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "drain" -d 'Let no new sessions in; those that run go on'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "resume" -d 'Let new sessions in again: the end of a drain, also in the middle'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "status" -d 'The gateway itself: version, uptime, listeners, counts'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "reload" -d 'Read the configuration again, all of it or nothing, and print the changes'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "diff" -d 'Differences between the running gateway and its files: every section, and renewed certificates'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "export" -d 'The running databases and hosts as TOML'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "events" -d 'What has happened: changes, reloads, certificates, rejects; with --follow sessions as well'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from probe" -f -a "listen" -d 'Listen for a client, and report what it really sends'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from probe" -f -a "pcap" -d 'Read a network capture, and report the outcome of each conversation'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from probe" -f -a "explain" -d 'Explain a code: what it means and what to do; without a code list all of them'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "ca" -d 'Make an authority: ca.crt, for those who verify, and ca.key, which signs'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "new" -d 'Make a certificate: NAME.crt, with whatever must be sent along, and NAME.key'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "show" -d 'Tell what certificates say, and what is wrong with them'
complete -c dbgate -n "__fish_dbgate_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "check" -d 'Check whether the certificates in a file are due to be renewed'
complete -c dbgate -f -a "(__fish_dbgate_live)"
