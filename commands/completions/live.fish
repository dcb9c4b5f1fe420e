# What the running gateway knows of the word under the cursor: names of databases, hosts and
# listeners, ids of sessions. It is asked when TAB is pressed.
function __fish_dbgate_live
    set -l word (commandline -ct)
    command dbgate __complete (commandline -opc) "$word" 2>/dev/null </dev/null
end

