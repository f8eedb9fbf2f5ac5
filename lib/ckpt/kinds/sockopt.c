// SPDX-License-Identifier: LGPL-2.1-or-later
/* Options of sockets. See sockopt.h. */
#include "sockopt.h"
#include "../image.h"
#include "../util.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Of newer kernels (asm-generic/socket.h); the others know them as no option at all. */
#define OPT_TIMESTAMP_NEW   63
#define OPT_TIMESTAMPNS_NEW 64
#define OPT_BUF_LOCK	    72
#define OPT_PASSPIDFD	    76
#define OPT_PASSRIGHTS	    83
#define OPT_INQ		    84

const struct sockopt sockopts_common[] = {
	{ "sndbuf", SOL_SOCKET, SO_SNDBUF, SOCKOPT_INT, SO_SNDBUFFORCE },
	{ "rcvbuf", SOL_SOCKET, SO_RCVBUF, SOCKOPT_INT, SO_RCVBUFFORCE },
	{ "buf_lock", SOL_SOCKET, OPT_BUF_LOCK, SOCKOPT_INT, 0 },
	{ "rcvlowat", SOL_SOCKET, SO_RCVLOWAT, SOCKOPT_INT, 0 },
	{ "rcvtimeo_us", SOL_SOCKET, SO_RCVTIMEO, SOCKOPT_TIME, 0 },
	{ "sndtimeo_us", SOL_SOCKET, SO_SNDTIMEO, SOCKOPT_TIME, 0 },
	{ "keepalive", SOL_SOCKET, SO_KEEPALIVE, SOCKOPT_INT, 0 },
	{ "oobinline", SOL_SOCKET, SO_OOBINLINE, SOCKOPT_INT, 0 },
	{ "reuseaddr", SOL_SOCKET, SO_REUSEADDR, SOCKOPT_INT, 0 },
	{ "broadcast", SOL_SOCKET, SO_BROADCAST, SOCKOPT_INT, 0 },
	{ "dontroute", SOL_SOCKET, SO_DONTROUTE, SOCKOPT_INT, 0 },
	{ "debug", SOL_SOCKET, SO_DEBUG, SOCKOPT_INT, 0 },
	{ "no_check", SOL_SOCKET, SO_NO_CHECK, SOCKOPT_INT, 0 },
	{ "priority", SOL_SOCKET, SO_PRIORITY, SOCKOPT_INT, 0 },
	{ "mark", SOL_SOCKET, SO_MARK, SOCKOPT_INT, 0 },
	{ "linger", SOL_SOCKET, SO_LINGER, SOCKOPT_LINGER, 0 },
	{ "timestamp", SOL_SOCKET, SO_TIMESTAMP, SOCKOPT_INT, 0 },
	{ "timestampns", SOL_SOCKET, SO_TIMESTAMPNS, SOCKOPT_INT, 0 },
	{ "timestamp_new", SOL_SOCKET, OPT_TIMESTAMP_NEW, SOCKOPT_INT, 0 },
	{ "timestampns_new", SOL_SOCKET, OPT_TIMESTAMPNS_NEW, SOCKOPT_INT, 0 },
	{ "timestamping", SOL_SOCKET, SO_TIMESTAMPING, SOCKOPT_INT, 0 },
	{ "rxq_ovfl", SOL_SOCKET, SO_RXQ_OVFL, SOCKOPT_INT, 0 },
	{ "wifi_status", SOL_SOCKET, SO_WIFI_STATUS, SOCKOPT_INT, 0 },
	{ "nofcs", SOL_SOCKET, SO_NOFCS, SOCKOPT_INT, 0 },
	{ "select_err_queue", SOL_SOCKET, SO_SELECT_ERR_QUEUE, SOCKOPT_INT, 0 },
	{ "passcred", SOL_SOCKET, SO_PASSCRED, SOCKOPT_INT, 0 },
	{ "passsec", SOL_SOCKET, SO_PASSSEC, SOCKOPT_INT, 0 },
	{ "passpidfd", SOL_SOCKET, OPT_PASSPIDFD, SOCKOPT_INT, 0 },
	{ "passrights", SOL_SOCKET, OPT_PASSRIGHTS, SOCKOPT_INT, 0 },
	{ "inq", SOL_SOCKET, OPT_INQ, SOCKOPT_INT, 0 },
	{ "peek_off", SOL_SOCKET, SO_PEEK_OFF, SOCKOPT_INT, 0 },
	{ 0 },
};

union value {
	int i;
	struct timeval time;
	struct linger linger;
};

static socklen_t value_size(enum sockopt_type type)
{
	switch (type) {
	case SOCKOPT_INT:
		return sizeof(int);
	case SOCKOPT_TIME:
		return sizeof(struct timeval);
	case SOCKOPT_LINGER:
		return sizeof(struct linger);
	}
	return 0;
}

/* As one number. */
static int64_t to_number(enum sockopt_type type, const union value *v)
{
	switch (type) {
	case SOCKOPT_INT:
		return v->i;
	case SOCKOPT_TIME:
		return v->time.tv_sec * 1000000LL + v->time.tv_usec;
	case SOCKOPT_LINGER: /* -1: off */
		return v->linger.l_onoff ? v->linger.l_linger : -1;
	}
	return 0;
}

static union value from_number(const struct sockopt *opt, int64_t n)
{
	union value v = { 0 };

	switch (opt->type) {
	case SOCKOPT_INT:
		v.i = (int)(opt->set_by ? n / 2 : n);
		break;
	case SOCKOPT_TIME:
		v.time = (struct timeval){ n / 1000000, n % 1000000 };
		break;
	case SOCKOPT_LINGER:
		v.linger = (struct linger){ n >= 0, n >= 0 ? (int)n : 0 };
		break;
	}
	return v;
}

/* 1: there is such an option, and *ret is what it is. */
static int get(int fd, const struct sockopt *opt, int64_t *ret)
{
	union value v = { 0 };
	socklen_t len = value_size(opt->type);

	if (getsockopt(fd, opt->level, opt->option, &v, &len) < 0)
		return 0;
	*ret = to_number(opt->type, &v);
	return 1;
}

int sockopts_save(int fd, const struct sockopt *table, json_t *o, const char *key,
		  struct ckpt_err **err)
{
	json_t *all = json_object();
	int rc = json_object_set_new(o, key, all);

	for (; rc == 0 && table->name; table++) {
		int64_t n;

		if (get(fd, table, &n))
			rc |= js_set_int(all, table->name, n);
	}
	return rc ? ckpt_fail_nomem(err) : 0;
}

int sockopts_restore(int fd, const struct sockopt *table, const json_t *o, const char *key,
		     struct ckpt_err **err)
{
	json_t *all;
	int rc = js_obj(o, key, &all, err);

	for (; rc == 0 && table->name; table++) {
		int64_t saved = 0, now = 0;
		union value v;

		if (!json_object_get(all, table->name))
			continue;
		rc = js_i64(all, table->name, &saved, err);
		if (rc < 0 || (get(fd, table, &now) && now == saved))
			continue;
		v = from_number(table, saved);
		if (setsockopt(fd, table->level, table->set_by ? table->set_by : table->option, &v,
			       value_size(table->type)) < 0)
			rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					     "set the option %s of a socket", table->name);
	}
	return rc;
}
