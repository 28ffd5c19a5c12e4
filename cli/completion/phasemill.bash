# Completion of phasemill's commands, options and files for bash.
# Options are those that `phasemill COMMAND --help` names, so that this file never lags behind the program.
_phasemill() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$("$program" help --names 2>/dev/null) --help --version" -- "$word")
        return
    fi
    case $command:$previous in
        run:--strategy) mapfile -t COMPREPLY < <(compgen -W "sequential threads cluster auto" -- "$word"); return ;;
        run:--evaluate | submit:--evaluate | collect:--evaluate)
            mapfile -t COMPREPLY < <(compgen -W "local cluster" -- "$word"); return ;;
        run:--effort | submit:--effort) mapfile -t COMPREPLY < <(compgen -W "fast balanced best" -- "$word"); return ;;
        run:--method | submit:--method | collect:--method) mapfile -t COMPREPLY < <(compgen -W "auto uniformization contour parabola" -- "$word"); return ;;
        run:--format | submit:--format | collect:--format) mapfile -t COMPREPLY < <(compgen -W "table json csv phasic phasic-0.21" -- "$word"); return ;;
        inspect:--format) mapfile -t COMPREPLY < <(compgen -W "phasic phasic-0.21" -- "$word"); return ;;
        convert:--format) mapfile -t COMPREPLY < <(compgen -W "phasic phasic-0.21" -- "$word"); return ;;
        convert:--to | generate:--format) mapfile -t COMPREPLY < <(compgen -W "json msgpack" -- "$word"); return ;;
        *:--log-format) mapfile -t COMPREPLY < <(compgen -W "text json" -- "$word"); return ;;
        *:--evaluate) mapfile -t COMPREPLY < <(compgen -W "local cluster" -- "$word"); return ;;
        *:--cache-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    esac
    local words=
    if [[ $word == -* ]]; then
        words=$("$program" "$command" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)
    elif ((COMP_CWORD == 2)); then
        case $command in
            help) words=$("$program" help --names 2>/dev/null) ;;
            cache) words="stat list show verify clear export import" ;;
            generate) words=$("$program" generate --names 2>/dev/null) ;;
            config) words="show" ;;
            dead-letters) words="list show replay drop" ;;
            worker) words="check" ;;
            completion) words="bash" ;;
        esac
    fi
    if [[ -n $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -F _phasemill phasemill
