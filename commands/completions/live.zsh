# What the running gateway knows of the word under the cursor: names of databases, hosts and
# listeners, ids of sessions. It is asked when TAB is pressed, and its answer is data: nothing of it
# is expanded. False where nothing comes back.
_dbgate_live() {
    local line
    local -a lines names shown
    [[ $words[2] == ctl ]] || return 1
    lines=(${(f)"$(command dbgate __complete "${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null </dev/null)"})
    for line in "${lines[@]}"; do
        names+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    (( $#names )) || return 1
    [[ $PREFIX != --*=* ]] || compset -P 1 '*='
    compadd -l -V dbgate -d shown -a names
}

