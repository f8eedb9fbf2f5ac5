// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Errors, in the only form they are printed in:
 *
 *   ebpf-ckpt: cannot checkpoint 4711 (redis-server); it keeps running
 *     because: fd 12: it cannot be saved
 *     because: io_uring with 3 requests in flight [CKPT_E_UNSUPPORTED]
 *     try: close the ring first
 *
 * and with --json, the same fields: {"error": {"code", "errno", "exit_status", "text", "causes",
 * "hint"}}.
 */
#include "cli.h"
#include <string.h>

/* causes: array of strings (reference stolen). */
static int print(const struct cli_common *c, enum ckpt_code code, int errno_value, int status,
		 const char *headline, json_t *causes, const char *hint)
{
	size_t n = json_array_size(causes);

	if (c && c->json) {
		cli_json_print(json_pack("{s:{s:s, s:i, s:i, s:o, s:o, s:o}}", "error", "code",
					 ckpt_code_name(code), "errno", errno_value, "exit_status",
					 status, "text", cli_json_text(headline), "causes", causes,
					 "hint", cli_json_text(hint)));
		return status;
	}
	/* What was printed so far comes first. */
	fflush(stdout);
	fprintf(stderr, PROGRAM ": %s\n", headline);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *text =
			cli_escape(json_string_value(json_array_get(causes, i)), false);

		fprintf(stderr, "  because: %s", text);
		if (i + 1 == n && code != CKPT_E_OK && code != CKPT_E_USAGE)
			fprintf(stderr, " [%s]", ckpt_code_name(code));
		fputc('\n', stderr);
	}
	if (*hint) {
		_cleanup_free_ char *text = cli_escape(hint, false);

		fprintf(stderr, "  try: %s\n", text);
	}
	json_decref(causes);
	return status;
}

int cli_fail(const struct cli_common *c, const char *headline, int rc, const struct ckpt_err *err)
{
	json_t *causes = json_array();

	if (!err) {
		json_array_append_new(causes, cli_json_text(strerror(rc < 0 ? -rc : rc)));
		return print(c, CKPT_E_SYS, rc < 0 ? -rc : rc, CLI_FAILED, headline, causes, "");
	}
	for (const struct ckpt_err *e = err; e; e = ckpt_err_cause(e))
		json_array_append_new(causes, cli_json_text(ckpt_err_text(e)));
	return print(c, ckpt_err_code(err), ckpt_err_errno(err), ckpt_err_exit_status(err),
		     headline, causes, ckpt_err_hint(err));
}

int cli_complain(const struct cli_common *c, enum ckpt_code code, const char *headline,
		 const char *const *causes, const char *hint)
{
	json_t *list = json_array();

	for (; causes && *causes; causes++)
		json_array_append_new(list, cli_json_text(*causes));
	return print(c, code, 0, ckpt_code_exit_status(code), headline, list, hint ? hint : "");
}
