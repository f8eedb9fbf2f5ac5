/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * altered MANIFEST: does the final comparison of a restore see each single difference? Whatever the
 * image of a program has (a member of a task, of an object, of a semaphore set) is changed, taken
 * away, or joined by another, one after the other, and the comparison must fail each time, and name
 * it; but for the members that are listed below, with the reason. For tests/run_zoo: prints the
 * kinds of objects that it met. Without MANIFEST: all kinds there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "kind.h"
#include "sysvipc.h"
#include "tasks.h"
#include "util.h"

/* So many rows of a list, and objects of a kind, are enough. */
#define ROWS_MAX  8
#define ALIKE_MAX 6

/*
 * What may come back otherwise. `place` is a member's path within its row, "*" for any index; all
 * below it is excused, too. `with`: only in rows that have this member.
 */
static const struct excuse {
	const char *kind, *place, *with, *why;
} excuses[] = {
	{ NULL, "foreign_owner", NULL, "who is told of a descriptor is outside of the tree" },
	{ NULL, "data", NULL,
	  "where contents stand; their checksums are verified when they are read" },
	{ NULL, "changed_s", NULL, "it was changed by its restoration" },
	{ NULL, "path", "deleted", "it got another name, for a moment" },
	{ "regular", "path", "other_name", "its name is gone, it is found by another one" },
	{ "mqueue", "name", "unlinked", "it got another name, for a moment" },
	{ "mqueue", "name", "inode_of", "another row has it" },
	{ "unix", "peer_outside", NULL, "says what of a peer outside cannot be compared" },
	{ "posixshm", "size", NULL, "a named one's is that of the file, which need() compares" },
	{ "epoll", "ready", NULL, "what is ready is found out anew" },
	{ "timerfd", "left_ns", NULL, "it runs on" },
	{ "timerfd", "expires_ns", NULL, "it runs on" },
	{ "timerfd", "ticks", NULL, "more may have come" },
	{ "timerfd", "expired", NULL, "it may have come" },
	{ "timerfd", "armed", NULL, "it may have expired" },
	{ "inotify", "watches.*.path", NULL, "how its object is found, which is compared" },
	{ "inotify", "watches.*.mount", NULL, "how its object is found, which is compared" },
	{ "inotify", "watches.*.handle", NULL, "how its object is found, which is compared" },
	{ "inotify", "events", NULL, "more may have come; see below" },
	{ "unix", "queue.*.from", NULL, "whose sockets sent is compared where they live" },
	{ "ptmx", "slave.input_not_taken", NULL, "what of the input cannot be given back" },
};

struct run {
	const char *kind; /* of the row that is altered, or "task" */
	const json_t *row;
	bool by_list;	     /* the kind compares the members that it knows, no others */
	json_t *saved, *now; /* the whole that is compared */
	int (*same)(const json_t *saved, const json_t *now, struct ckpt_err **err);
	unsigned int tried, missed;
};

static bool is_excused(const struct run *r, const char *place)
{
	for (size_t i = 0; i < sizeof(excuses) / sizeof(excuses[0]); i++) {
		const struct excuse *e = &excuses[i];
		size_t len = strlen(e->place);

		if ((!e->kind || !strcmp(e->kind, r->kind)) && !strncmp(place, e->place, len) &&
		    (!place[len] || place[len] == '.') &&
		    (!e->with || json_object_get(r->row, e->with)))
			return true;
	}
	/* For people and for decisions: what belongs to the old life. At any depth. */
	return !strncmp(place, "info", 4) || strstr(place, ".info");
}

/* The comparison must see what was just done to `now`. */
static void must_differ(struct run *r, const char *place, const char *what)
{
	struct ckpt_err *err = NULL;
	int rc = r->same(r->saved, r->now, &err);

	r->tried++;
	/* One that lacks what every row has is no row at all. */
	if (rc == 0 || (ckpt_err_code(err) != CKPT_E_DIFFERENT && strcmp(what, "gone") != 0)) {
		r->missed++;
		printf("%s: %s %s: %s\n", r->kind, place, what,
		       rc == 0 ? "not seen" : ckpt_err_text(err));
	}
	ckpt_err_free(err);
}

/* Another value of the same type. */
static json_t *other_value(const json_t *v)
{
	char text[300];
	size_t len;

	if (json_is_integer(v))
		return json_integer(json_integer_value(v) ^ 1);
	if (json_is_boolean(v))
		return json_boolean(!json_is_true(v));
	if (!json_is_string(v))
		return json_null();
	len = (size_t)snprintf(text, sizeof(text) - 1, "%s", json_string_value(v));
	if (len > sizeof(text) - 2)
		len = sizeof(text) - 2;
	/* A number stays one. */
	if (len > 2 && !strncmp(text, "0x", 2))
		text[len - 1] = text[len - 1] == '7' ? '6' : '7';
	else
		strcpy(text + len, "7");
	return json_string(text);
}

static void alter(struct run *r, json_t *v, const char *place);

/* One member of an object: changed, or gone. */
static void alter_member(struct run *r, json_t *o, const char *key, const char *place)
{
	json_t *v = json_incref(json_object_get(o, key));

	if (json_is_object(v) || json_is_array(v)) {
		alter(r, v, place);
	} else {
		json_object_set_new(o, key, other_value(v));
		must_differ(r, place, "changed");
	}
	json_object_del(o, key);
	must_differ(r, place, "gone");
	json_object_set_new(o, key, v);
}

static void alter_object(struct run *r, json_t *o, const char *place)
{
	size_t n = json_object_size(o), i = 0;
	const char **keys = calloc(n + 1, sizeof(*keys)), *key;
	json_t *v;

	json_object_foreach(o, key, v)
		keys[i++] = strdup(key);
	for (i = 0; i < n; i++) {
		char sub[300];

		snprintf(sub, sizeof(sub), "%s%s%s", place, *place ? "." : "", keys[i]);
		if (!is_excused(r, sub))
			alter_member(r, o, keys[i], sub);
		free((char *)(uintptr_t)keys[i]);
	}
	free(keys);
	if (r->by_list)
		return;
	json_object_set_new(o, "new", json_true());
	must_differ(r, place, "with a new member");
	json_object_del(o, "new");
}

static void alter_array(struct run *r, json_t *a, const char *place)
{
	char sub[300];
	json_t *last;

	for (size_t i = 0; i < json_array_size(a); i++) {
		json_t *v = json_incref(json_array_get(a, i));

		snprintf(sub, sizeof(sub), "%s.*", place);
		if (is_excused(r, sub)) {
			json_decref(v);
			return;
		}
		if (json_is_object(v) || json_is_array(v)) {
			alter(r, v, sub);
		} else {
			json_array_set_new(a, i, other_value(v));
			must_differ(r, sub, "changed");
			json_array_set(a, i, v);
		}
		json_decref(v);
	}
	last = json_array_size(a) ? json_deep_copy(json_array_get(a, json_array_size(a) - 1))
				  : json_integer(1);
	json_array_append_new(a, last);
	must_differ(r, place, "with another row");
	json_array_remove(a, json_array_size(a) - 1);
}

static void alter(struct run *r, json_t *v, const char *place)
{
	if (json_is_object(v))
		alter_object(r, v, place);
	else
		alter_array(r, v, place);
}

/* Long lists make the comparison slow, and their rows are alike. */
static void shorten(json_t *v)
{
	const char *key;
	json_t *sub;
	size_t i;

	while (json_is_array(v) && json_array_size(v) > ROWS_MAX)
		json_array_remove(v, ROWS_MAX / 2);
	json_object_foreach(v, key, sub)
		shorten(sub);
	json_array_foreach(v, i, sub)
		shorten(sub);
}

/* The comparison must be content with an equal one. */
static void must_be_same(struct run *r)
{
	struct ckpt_err *err = NULL;

	if (r->same(r->saved, r->now, &err) == 0)
		return;
	r->missed++;
	printf("%s: differs from itself: %s\n", r->kind, ckpt_err_text(err));
	ckpt_err_free(err);
}

/* `all` are the rows of objects: each kind a few times. */
static void alter_objects(struct run *r, json_t *all)
{
	size_t n = json_array_size(all);

	r->same = objects_same;
	for (size_t i = 0; i < n; i++) {
		const char *kind =
			json_string_value(json_object_get(json_array_get(all, i), "kind"));
		size_t alike = 0;
		_cleanup_json_ json_t *saved = json_array(), *now = NULL;

		for (size_t k = 0; k < i; k++)
			alike += !strcmp(kind, json_string_value(json_object_get(
						       json_array_get(all, k), "kind")));
		if (alike >= ALIKE_MAX)
			continue;
		/* The comparison wants them numbered in order: one alone is the first. */
		json_array_append_new(saved, json_deep_copy(json_array_get(all, i)));
		json_object_set_new(json_array_get(saved, 0), "id", json_integer(1));
		shorten(saved);
		now = json_deep_copy(saved);
		r->kind = kind;
		r->saved = saved;
		r->now = now;
		r->row = json_array_get(saved, 0);
		r->by_list = kind_by_name(kind)->same != NULL;
		must_be_same(r);
		alter(r, json_array_get(now, 0), "");
		printf("kind %s\n", kind);
	}
}

static void alter_tasks(struct run *r, json_t *tasks)
{
	r->same = tasks_same;
	r->by_list = false;
	r->kind = "task";
	for (size_t i = 0; i < json_array_size(tasks) && i < ROWS_MAX; i++) {
		_cleanup_json_ json_t *saved = json_deep_copy(json_array_get(tasks, i));
		_cleanup_json_ json_t *now = NULL;

		shorten(saved);
		now = json_deep_copy(saved);
		r->row = r->saved = saved;
		r->now = now;
		must_be_same(r);
		alter(r, now, "");
	}
}

static void alter_sysv(struct run *r, json_t *sysv)
{
	static const char *const sorts[] = { "semaphores", "queues" };

	r->same = sysvipc_same;
	r->by_list = true;
	for (size_t i = 0; sysv && i < 2; i++) {
		_cleanup_json_ json_t *now = json_deep_copy(sysv);
		json_t *rows = json_object_get(now, sorts[i]);

		r->kind = sorts[i];
		r->saved = sysv;
		r->now = now;
		r->row = NULL;
		must_be_same(r);
		for (size_t k = 0; k < json_array_size(rows); k++)
			alter(r, json_array_get(rows, k), "");
	}
}

int main(int argc, char **argv)
{
	struct run r = { 0 };
	json_t *m;

	if (argc < 2) {
		for (size_t i = 0; ckpt_kinds[i]; i++)
			if (ckpt_kinds[i]->open)
				puts(ckpt_kinds[i]->name);
		return 0;
	}
	m = json_load_file(argv[1], 0, NULL);
	if (!m) {
		fprintf(stderr, "altered: %s is no JSON\n", argv[1]);
		return 2;
	}
	alter_objects(&r, json_object_get(m, "objects"));
	alter_tasks(&r, json_object_get(m, "tasks"));
	alter_sysv(&r, json_object_get(m, "sysv"));
	json_decref(m);
	printf("%u alterations, %u not seen\n", r.tried, r.missed);
	return r.missed || !r.tried;
}
