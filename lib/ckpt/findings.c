// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lists of findings: what a check says, row by row. */
#include "kind.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

int findings_add(struct ckpt_findings *f, enum ckpt_verdict v, pid_t pid, const char *subject,
		 const char *what, const char *why, const char *remedy, struct ckpt_err **err)
{
	struct ckpt_finding row = { v,		 pid,		strdup(subject), strdup(what),
				    strdup(why), strdup(remedy) };
	struct ckpt_finding *more = realloc(f->row, (f->n + 1) * sizeof(*more));

	if (more)
		f->row = more;
	if (!more || !row.subject || !row.what || !row.why || !row.remedy) {
		free(row.subject);
		free(row.what);
		free(row.why);
		free(row.remedy);
		return ckpt_fail_nomem(err);
	}
	f->row[f->n++] = row;
	f->n_no += v == CKPT_NO;
	return 0;
}

static void finding_done(struct ckpt_finding *row)
{
	free(row->subject);
	free(row->what);
	free(row->why);
	free(row->remedy);
}

void findings_drop(struct ckpt_findings *f, const bool *drop)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (!drop[i]) {
			f->row[kept++] = f->row[i];
			continue;
		}
		f->n_no -= f->row[i].verdict == CKPT_NO;
		finding_done(&f->row[i]);
	}
	f->n = kept;
}

void ckpt_findings_free(struct ckpt_findings *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		finding_done(&f->row[i]);
	free(f->row);
	free(f);
}
