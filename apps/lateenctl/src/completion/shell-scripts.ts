// Completion: the scripts of bash and zsh. They pass on what is typed as arguments: no word is ever evaluated.

const BASH = `# bash completion for lateenctl
__lateenctl_complete() {
    local words=() word='' kept='' rest=\${COMP_LINE:0:COMP_POINT} spaces piece quoted line value i
    # Bash cuts at = and : too; what no space parts is one word. Of the last one readline keeps all but the last piece.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        spaces=\${rest%%[![:space:]]*}
        rest=\${rest#"$spaces"}
        piece=$rest
        ((i < COMP_CWORD)) && piece=\${COMP_WORDS[i]}
        if [[ -n $spaces ]]; then
            words+=("$word")
            word=$piece kept=''
        else
            [[ $piece == [=:]* ]] && kept=$word$piece || kept=$word
            word+=$piece
        fi
        rest=\${rest#"$piece"}
    done
    [[ $piece == [\\"\\']* ]] && quoted=yes || quoted=''
    words+=("$word")
    for ((i = 1; i < \${#words[@]}; i++)); do
        words[i]=\${words[i]//[\\"\\'\\\\]/}
        [[ \${words[i]} == '~/'* ]] && words[i]=$HOME/\${words[i]:2}
    done
    word=\${words[\${#words[@]} - 1]}
    COMPREPLY=()
    while IFS= read -r line; do
        value=\${line%%$'\\t'*}
        [[ -z $value || $line =~ ^:[0-9]+$ ]] && continue
        [[ $value == "$word"* ]] && value=\${value#"$kept"}
        [[ $value == "\${word#"$kept"}"* ]] || continue
        if [[ -z $quoted ]]; then
            printf -v value %q "$value"
        elif [[ $value == *[!a-zA-Z0-9_./:@%+=,\\ -]* ]]; then
            # Between quotes it might mean something to the shell.
            continue
        fi
        COMPREPLY+=("$value")
    done < <(lateenctl complete -- "\${words[@]:1}" 2>/dev/null)
    if [[ \${COMPREPLY[0]-} == */ ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}
complete -F __lateenctl_complete lateenctl`;

const ZSH = `#compdef lateenctl
# zsh completion for lateenctl
_lateenctl() {
    local -a typed values shown
    local line value
    typed=("\${(@Q)words[2,CURRENT-1]}" "\${(Q)IPREFIX}\${(Q)PREFIX}")
    typed=("\${(@)typed/#\\~\\//$HOME/}")
    while IFS= read -r line; do
        value=\${line%%$'\\t'*}
        [[ -z $value || $line == :<-> ]] && continue
        values+=("$value")
        [[ $line == *$'\\t'?* ]] && shown+=("$value  -- \${line#*$'\\t'}") || shown+=("$value")
    done < <(lateenctl complete -- "\${typed[@]}" 2>/dev/null)
    (( $#values )) || return 1
    [[ $PREFIX == --*=* ]] && compset -P '--*='
    # A directory goes on; after everything else comes a space.
    if [[ $values[1] == */ ]]; then compadd -f -S '' -l -d shown -a values; else compadd -l -d shown -a values; fi
}
# The first call loads this file; otherwise it is sourced.
if [[ $funcstack[1] == _lateenctl ]]; then
    _lateenctl "$@"
elif (( $+functions[compdef] )); then
    compdef _lateenctl lateenctl
fi`;

/** The completion library writes those of other shells. */
export const SHELL_SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH };
