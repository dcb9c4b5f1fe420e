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

