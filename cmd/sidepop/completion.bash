
__sidepop_complete()
{
    __start_sidepop
    local typed=${COMP_LINE:0:COMP_POINT}
    typed=${typed##*[[:space:]]}
    if [[ $typed == *@* && $COMP_WORDBREAKS == *@* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${typed%@*}@"}")
    fi
}

complete -o default -F __sidepop_complete sidepop
