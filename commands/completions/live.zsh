# What may stand in the place of the word under the cursor, where that is a value: of a running
# gateway the names of databases, hosts, backends and listeners and the ids of sessions, else words
# that the program knows. It is asked when TAB is pressed, and its answer is data: nothing of it is
# expanded. False where commands, flags or files are meant.
_dbgate_live() {
    local answer line name
    local -a names shown open open_shown
    answer="$(command dbgate __complete "${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null </dev/null)" || return 1
    [[ -n $answer && $answer != $'\tfiles' ]] || return 1
    for line in "${(@f)answer}"; do
        name="${line%%$'\t'*}"
        [[ -n $name ]] || continue
        line="${line/$'\t'/  -- }"
        # The word goes on behind a colon or a slash.
        if [[ $name == *[:/] ]]; then
            open+=("$name")
            open_shown+=("${line%  -- }")
        else
            names+=("$name")
            shown+=("${line%  -- }")
        fi
    done
    [[ $PREFIX != --*=* ]] || compset -P 1 '*='
    (( ! $#names )) || compadd -l -V dbgate -d shown -a names
    (( ! $#open )) || compadd -S '' -l -V dbgate -d open_shown -a open
    return 0
}

