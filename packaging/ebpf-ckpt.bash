# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of ebpf-ckpt for bash. Commands and options are asked of the program's own help.

_ebpf_ckpt_words() {
	ebpf-ckpt help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p'
}

_ebpf_ckpt_options() {
	ebpf-ckpt help "$1" 2>/dev/null | sed -n 's/^ \{2,6\}\(-[a-z], \)\?\(--[a-z-]*\).*/\2/p'
}

_ebpf_ckpt() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]}

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_ebpf_ckpt_words) --version --help" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ebpf_ckpt_options "$cmd")" -- "$cur")
	elif [[ $prev == --name ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(ps -eo comm= | sort -u)" -- "$cur")
	elif [[ $cmd == help ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ebpf_ckpt_words)" -- "$cur")
	elif [[ $cmd == observe && $prev =~ ^(--html|-o|--output)$ ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ $prev == -o || $prev == --output || $cmd == restore || $cmd == show || $cmd == verify ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	elif [[ $cmd == attach || $cmd == check || $cmd == observe || $cmd == load ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(ps -eo pid=)" -- "$cur")
	fi
}

complete -F _ebpf_ckpt ebpf-ckpt
