#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command line as far as it needs no checkpoint: usage, help, error form, JSON.
# ${EBPF_CKPT} is the program.

bats_require_minimum_version 1.5.0

setup() {
	: "${EBPF_CKPT:?the path of the program}"
	cd "$BATS_TEST_TMPDIR" || exit
	unset NO_COLOR ARGP_HELP_FMT
}

# usage WORDS... : wrong usage, and stderr holds WORDS' first argument
wrong() {
	local expected=$1
	shift
	run --separate-stderr -2 "$EBPF_CKPT" "$@"
	[ -z "$output" ]
	[[ $stderr == "ebpf-ckpt: "* ]]
	[[ $stderr == *"$expected"* ]] || { echo "$stderr" && false; }
}

on_terminal() {
	script -qec "$*" /dev/null </dev/null
}

@test "without a command: usage on stderr, status 2" {
	run --separate-stderr -2 "$EBPF_CKPT"
	[ -z "$output" ]
	[[ $stderr == "Usage: ebpf-ckpt COMMAND"* ]]
}

@test "--version and --help" {
	run -0 "$EBPF_CKPT" --version
	[[ $output =~ ^ebpf-ckpt\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	run --separate-stderr -0 "$EBPF_CKPT" --help
	[ -z "$stderr" ]
	[ "$output" = "$("$EBPF_CKPT" help)" ]
}

@test "help lists every command, and each has help with an example, within 80 columns" {
	local commands
	commands=$("$EBPF_CKPT" help | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')
	[ "$(wc -w <<<"$commands")" -ge 8 ]
	for c in $commands; do
		run --separate-stderr -0 "$EBPF_CKPT" help "$c"
		[ -z "$stderr" ]
		[[ $output == "Usage: ebpf-ckpt $c"* ]]
		[[ $output == *Example*"ebpf-ckpt $c"* ]]
		[ "$output" = "$("$EBPF_CKPT" "$c" --help)" ]
		run -1 grep -E '^.{80}' <<<"$output"
	done
	run -0 "$EBPF_CKPT" help
	run -1 grep -E '^.{80}' <<<"$output"
}

@test "unknown commands and options are named" {
	wrong "unknown command 'bogus'" bogus
	wrong "unknown option '--bogus'" --bogus
	wrong "unknown option '--bogus'" attach --bogus 5
	wrong "unknown option '-Z'" attach 5 -qZ
	wrong "unknown command 'bogus'" help bogus
	wrong "option '--output' needs a value" attach 5 --output
	wrong "option '-o' needs a value" attach 5 -o
	wrong "option '--kill' takes no value" attach --kill=1 5
	wrong "could be several" attach --co 5
}

@test "what is no pid" {
	for pid in 0 -5 x 5x 4194305 99999999999999999999 "" " 5" +5 0x10; do
		wrong "not a pid" attach -- "$pid"
	done
	wrong "not a pid" attach -5
	wrong "not a pid" check 0
	wrong "not a pid" show . --core x
}

@test "arguments that are missing, or too many" {
	wrong "which process" attach
	wrong "one process at a time" attach 1 2
	wrong "not both" attach 1 --name x
	wrong "choose one of" attach 1 --kill --stop
	wrong "which image" restore
	wrong "one image at a time" restore a b
	wrong "which image" show
	wrong "which image" verify
	wrong "no argument" load x
	wrong "no argument" unload x
	wrong "without --trace" load 12
	wrong "--stacks is for --trace alone" load --stacks
	wrong "not a pid" load --trace x
}

@test "values out of range" {
	wrong "--compress" attach 1 --compress=0
	wrong "--compress" attach 1 --compress=20
	wrong "--compress" attach 1 --compress=x
	wrong "--deleted-limit" attach 1 --deleted-limit 0
	wrong "--deleted-limit" attach 1 --deleted-limit 5x
	wrong "--deleted-limit" attach 1 --deleted-limit -1
	wrong "--save-mapped" attach 1 --save-mapped libs
	wrong "empty" attach 1 -o ""
	wrong "empty" attach --name ""
}

@test "an image that is not there, or is no directory" {
	touch file
	for c in restore show verify; do
		wrong "there is no 'nowhere'" "$c" nowhere
		wrong "not a directory" "$c" file
		wrong "not a directory" "$c" file/below
		wrong "empty name" "$c" ""
	done
}

@test "errors are JSON with --json, wherever it stands" {
	for args in "--bogus --json" "--json --bogus" "--json 0" "0 --json"; do
		# shellcheck disable=SC2086
		run --separate-stderr -2 "$EBPF_CKPT" attach $args
		[ -z "$stderr" ]
		[ "$(jq -r .error.code <<<"$output")" = CKPT_E_USAGE ]
		[ "$(jq -r .error.exit_status <<<"$output")" = 2 ]
		[ "$(jq -r '.error.text | length > 0' <<<"$output")" = true ]
	done
}

@test "show --explain" {
	run --separate-stderr -0 "$EBPF_CKPT" show --explain CKPT_E_PID_TAKEN
	[[ ${lines[0]} == "CKPT_E_PID_TAKEN: "* ]]
	[[ $output == *"try: "*"--new-pidns"* ]]
	[[ $output == *"exit status: 1"* ]]
	[ "$output" = "$("$EBPF_CKPT" show --explain pid-taken)" ]
	[ "$("$EBPF_CKPT" show --explain unsupported --json | jq .exit_status)" = 3 ]
	wrong "no error code 'what'" show --explain what
	wrong "no error code" show --explain ""
	wrong "stands alone" show --explain pid-taken dir
}

@test "every error code is explained in the manual of the library" {
	local page=$BATS_TEST_DIRNAME/../../man/ckpt_err.3
	[ -e "$page" ] || skip "no manual beside the tests"
	for code in $("$EBPF_CKPT" show --explain what 2>&1 | sed -n 's/.*one of //p' | tr -d ,); do
		grep -q "CKPT_E_$code\$" "$page" || { echo "$code" && false; }
	done
}

@test "--name: nobody, or several" {
	cp "$(command -v sleep)" ./cli-bats-name
	run --separate-stderr -1 "$EBPF_CKPT" attach --name cli-bats-name
	[[ $stderr == *"no process named 'cli-bats-name'"* ]]
	./cli-bats-name 60 3>&- &
	local one=$!
	./cli-bats-name 60 3>&- &
	local two=$!
	sleep 0.2
	run --separate-stderr -2 "$EBPF_CKPT" attach --name cli-bats-name
	kill "$one" "$two"
	[[ $stderr == *"2 processes are named 'cli-bats-name'"* ]]
	[[ $stderr == *"because: $one "* && $stderr == *"because: $two "* ]]
}

@test "text from outside cannot act on the terminal" {
	run --separate-stderr -2 "$EBPF_CKPT" $'\e[31mred\xff\n'
	[[ $stderr == *"'\\x1b[31mred\\xff\\x0a'"* ]]
	run --separate-stderr -2 "$EBPF_CKPT" restore $'caf\xc3\xa9\xe2\x80\xae'
	[[ $stderr == *$'caf\xc3\xa9\\u{202e}'* ]]
	run --separate-stderr -2 "$EBPF_CKPT" restore --json $'\e\xff'
	jq -e .error.text <<<"$output"
}

@test "output that cannot be written is a failure" {
	run --separate-stderr -1 bash -c '"$EBPF_CKPT" help >/dev/full'
	[[ $stderr == *"cannot write the output: No space left on device"* ]]
	run --separate-stderr -1 bash -c '"$EBPF_CKPT" help >&-'
	[[ $stderr == *"cannot write the output"* ]]
	run -1 bash -c 'set -o pipefail; (sleep 0.3; "$EBPF_CKPT" help) 2>/dev/null | true'
}

@test "a core file is refused on a terminal" {
	mkdir image
	run on_terminal "$EBPF_CKPT" show image --core 1
	[[ $output == *"not for a terminal"* ]]
}

@test "colours on a terminal only, and not with NO_COLOR or TERM=dumb" {
	export TERM=xterm
	[[ $(on_terminal "$EBPF_CKPT" check) == *$'\e['* ]]
	[[ $("$EBPF_CKPT" check) != *$'\e['* ]]
	[[ $(NO_COLOR=1 on_terminal "$EBPF_CKPT" check) != *$'\e['* ]]
	[[ $(TERM=dumb on_terminal "$EBPF_CKPT" check) != *$'\e['* ]]
}

@test "check of the machine: table and JSON agree" {
	run --separate-stderr "$EBPF_CKPT" check
	[ "$status" -le 1 ]
	[[ ${lines[-1]} == "this machine can"* ]]
	local no=$status
	run --separate-stderr "$EBPF_CKPT" check --json
	[ "$status" -eq "$no" ]
	jq -e 'type == "array" and all(.[]; has("verdict") and has("subject") and has("what")
		and has("why") and has("remedy"))' <<<"$output"
	[ "$(jq 'any(.[]; .verdict == "no")' <<<"$output")" = "$([ "$no" = 0 ] && echo false || echo true)" ]
}
