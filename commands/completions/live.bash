# What the running gateway knows of the word under the cursor: names of databases, hosts and
# listeners, ids of sessions. It is asked when TAB is pressed, and its answer is data: nothing of it
# is expanded. False where nothing comes back.
_dbgate_live() {
    local name quoted
    [[ " ${COMP_WORDS[*]:1:COMP_CWORD-1} " == *" ctl "* ]] || return 1
    while IFS=$'\t' read -r name _; do
        [[ -n $name ]] || continue
        printf -v quoted %q "$name"
        [[ $name != "$1"* && $quoted != "$1"* ]] || COMPREPLY+=("$quoted")
    done <<<"$(command dbgate __complete "${COMP_WORDS[@]:0:COMP_CWORD}" "$1" 2>/dev/null </dev/null)"
    ((${#COMPREPLY[@]}))
}

