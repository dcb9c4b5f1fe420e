# What may stand in the place of the word under the cursor, where that is a value: of a running
# gateway the names of databases, hosts, backends and listeners and the ids of sessions, else words
# that the program knows. It is asked when TAB is pressed, and its answer is data: nothing of it is
# expanded. False where commands, flags or files are meant.
_dbgate_live() {
    local answer name quoted
    local -a words=("${COMP_WORDS[@]:0:COMP_CWORD}")
    [[ ${COMP_WORDS[COMP_CWORD]} != : || -n $1 ]] || words+=(:)
    answer="$(command dbgate __complete "${words[@]}" "$1" 2>/dev/null </dev/null)" || return 1
    [[ $answer != $'\tfiles' ]] || return 1
    # No names of files where none can be meant.
    compopt +o bashdefault +o default 2>/dev/null
    [[ -n $answer ]] || return 1
    while IFS= read -r name; do
        name="${name%%$'\t'*}"
        [[ -n $name ]] || continue
        printf -v quoted %q "$name"
        [[ $name != "$1"* && $quoted != "$1"* ]] || COMPREPLY+=("$quoted")
    done <<<"$answer"
    # The word goes on.
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *[:/] ]] || compopt -o nospace 2>/dev/null
    return 0
}

