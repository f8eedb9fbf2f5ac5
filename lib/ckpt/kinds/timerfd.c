// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * timerfd_create(2). A time that was set as a relative one goes on with what was left of it; an
 * absolute one stays what it is on its clock, which went on meanwhile.
 *
 * A periodic timer that has expired rests: the kernel sets it going again, and counts what was
 * missed, when it is read or asked for the time left. Such a relative one is restored as if it had
 * been asked at the moment of the checkpoint; an absolute one expires once more, at the same time.
 */
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

/* linux/timerfd.h, which cannot be included with sys/timerfd.h */
#define TIMERFD_SET_TICKS _IOW('T', 0, uint64_t)

#define NS_PER_S 1000000000LL
/* Nearer than this, an expiry is waited for: it would mix with the count that is put back. */
#define SOON_NS	     5000000LL
#define FIRE_WAIT_MS 2000

static bool match(const struct kind_file *f)
{
	return f->file && kind_is_anon(f, "[timerfd]");
}

static const struct rec_timerfd *detail(const struct kind_dump *d, const struct kind_file *f)
{
	return kind_detail(d, f, REC_TIMERFD, sizeof(struct rec_timerfd));
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	const struct rec_timerfd *t = detail(d, f);

	if (!t)
		return kind_fail_detail("timerfd", err);
	if (t->canceled) {
		ckpt_fail(
			err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			"the clock of the timerfd was set, and the program has not heard of it yet "
			"(ECANCELED)");
		ckpt_hint(err, "checkpoint when it has read the timerfd");
		return -EOPNOTSUPP;
	}
	return kind_check_unshared(d, f, "timerfd", err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_timerfd *t = detail(d, f);
	int rc;

	if (!t)
		return kind_fail_detail("timerfd", err);
	rc = js_set_int(o, "clock", t->clockid);
	rc |= js_set_int(o, "settime_flags", t->settime_flags);
	rc |= js_set_hex(o, "interval_ns", t->interval_ns);
	rc |= js_set_hex(o, "ticks", t->ticks);
	rc |= js_set_bool(o, "armed", t->armed);
	rc |= js_set_bool(o, "expired", t->expired);
	rc |= js_set_hex(o, "expires_ns", t->expires_ns);
	rc |= js_set_int(o, "left_ns", t->left_ns);
	return rc ? ckpt_fail_nomem(err) : 0;
}

/* ---- restoring ---- */

struct timer {
	int32_t clock;
	uint32_t flags;
	uint64_t interval, ticks, expires;
	int64_t left;
	bool armed, expired;
};

static int timer_read(const json_t *o, struct timer *t, struct ckpt_err **err)
{
	int rc = js_i32(o, "clock", &t->clock, err);

	if (rc == 0)
		rc = js_u32(o, "settime_flags", &t->flags, err);
	if (rc == 0)
		rc = js_u64(o, "interval_ns", &t->interval, err);
	if (rc == 0)
		rc = js_u64(o, "ticks", &t->ticks, err);
	if (rc == 0)
		rc = js_bool(o, "armed", &t->armed, err);
	if (rc == 0)
		rc = js_bool(o, "expired", &t->expired, err);
	if (rc == 0)
		rc = js_u64(o, "expires_ns", &t->expires, err);
	if (rc == 0)
		rc = js_i64(o, "left_ns", &t->left, err);
	if (rc == 0 && (t->interval > INT64_MAX || t->expires > INT64_MAX || t->left == INT64_MIN ||
			t->flags & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "a timerfd has times that cannot be");
	return rc;
}

static bool is_absolute(const struct timer *t)
{
	return t->flags & TFD_TIMER_ABSTIME;
}

/* What timerfd_settime(2) is told as the first expiry, and how many expirations are to be read
 * then. */
static int64_t first_expiry(const struct timer *t, uint64_t *ticks)
{
	int64_t late = t->left < 0 ? -t->left : 0, interval = (int64_t)t->interval;
	bool rests = t->expired && interval;

	*ticks = t->ticks;
	if (!t->armed && !rests)
		return 0;
	if (is_absolute(t))
		return t->expires ? (int64_t)t->expires : 1;
	if (t->armed)
		return t->left > 0 ? t->left : 1;
	*ticks += (uint64_t)(late / interval);
	return interval - late % interval;
}

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

/* On which clock the time of an alarm is told. */
static clockid_t plain_clock(int32_t clock)
{
	return clock == CLOCK_REALTIME_ALARM   ? CLOCK_REALTIME
	       : clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME
					       : (clockid_t)clock;
}

static bool is_soon(const struct timer *t, int64_t first)
{
	struct timespec now = { 0 };

	if (!first)
		return false;
	if (is_absolute(t))
		clock_gettime(plain_clock(t->clock), &now);
	return first - (now.tv_sec * NS_PER_S + now.tv_nsec) < SOON_NS;
}

static int arm(int fd, const struct timer *t, struct ckpt_err **err)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct itimerspec its = { .it_interval = to_timespec((int64_t)t->interval) };
	bool counted = is_absolute(t) && !t->armed; /* it expires a second time */
	uint64_t ticks;
	int64_t first = first_expiry(t, &ticks);
	int rc;

	its.it_value = to_timespec(first);
	if (timerfd_settime(fd, (int)t->flags, &its, NULL) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set a timerfd");
	if (!ticks)
		return 0;
	if (is_soon(t, first)) {
		if (poll(&p, 1, FIRE_WAIT_MS) != 1)
			return ckpt_fail(err, ETIME, CKPT_E_RESTORE, "a timerfd did not expire");
		ticks += !counted;
	}
	if (ioctl(fd, TIMERFD_SET_TICKS, &ticks) == 0)
		return 0;
	rc = errno;
	ckpt_fail_errno(err, rc, rc == ENOTTY ? CKPT_E_MACHINE : CKPT_E_RESTORE,
			"put back %" PRIu64 " expirations of a timerfd", ticks);
	if (rc == ENOTTY)
		ckpt_hint(err, "use a kernel that has CONFIG_CHECKPOINT_RESTORE");
	return -rc;
}

static int make(const struct timer *t, int *ret_fd, struct ckpt_err **err)
{
	int fd = timerfd_create(t->clock, TFD_CLOEXEC);

	if (fd < 0) {
		int rc = ckpt_fail_errno(err, errno, CKPT_E_MACHINE, "make a timerfd of clock %d",
					 t->clock);

		if (rc == -EPERM)
			ckpt_hint(err, "a timer that wakes the machine up needs CAP_WAKE_ALARM");
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct timer t = { 0 };
	int rc = timer_read(o, &t, err);

	(void)r;
	return rc < 0 ? rc : make(&t, &fd, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct timer t = { 0 };
	int rc = timer_read(o, &t, err);

	(void)r;
	if (rc == 0)
		rc = make(&t, &fd, err);
	if (rc == 0)
		*ret_fd = TAKE_FD(fd);
	return rc;
}

/* Late, when memory is in its place, so that little time is lost. */
static int connect_it(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	struct timer t = { 0 };
	int rc = timer_read(o, &t, err);

	(void)r;
	return rc < 0 ? rc : arm(fd, &t, err);
}

/*
 * The rest of the restore has taken its time, which is none of the program's. Where there are
 * expirations to be read, it stays: to put them back a second time would be an event of its own.
 */
static void go(struct kind_restore *r, const json_t *o, int fd)
{
	struct timer t = { 0 };

	(void)r;
	if (timer_read(o, &t, NULL) == 0 && t.armed && !is_absolute(&t) && !t.ticks)
		arm(fd, &t, NULL);
}

/* Time goes on: what was armed may have expired, and expirations only become more. */
static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const exact[] = { "clock", "settime_flags", "interval_ns" };
	struct timer was = { 0 }, is = { 0 };
	int rc = timer_read(saved, &was, err);
	bool runs;

	if (rc == 0)
		rc = timer_read(now, &is, err);
	for (size_t i = 0; rc == 0 && i < sizeof(exact) / sizeof(exact[0]); i++)
		rc = objects_same_member(saved, now, exact[i], err);
	if (rc < 0)
		return rc;
	runs = was.armed || (was.expired && was.interval);
	if (is.ticks < was.ticks || (!runs && is.ticks != was.ticks))
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT,
				 "its unread expirations were %" PRIu64 ", are %" PRIu64, was.ticks,
				 is.ticks);
	if (runs ? !is.armed && !is.expired : is.armed)
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "it was %s, is %s",
				 runs ? "armed" : "not armed", is.armed ? "armed" : "not armed");
	if (runs && is_absolute(&was) && is.expires != was.expires)
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT,
				 "its time was %" PRIu64 " ns, is %" PRIu64 " ns", was.expires,
				 is.expires);
	if (was.armed && is.armed && !is_absolute(&was) && is.left > was.left)
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT,
				 "%" PRId64 " ns of it were left, now %" PRId64, was.left, is.left);
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	(void)f;
	snprintf(buf, len, "timerfd");
}

const struct ckpt_kind kind_timerfd = {
	.name = "timerfd",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.connect = connect_it,
	.go = go,
	.same = same,
	.describe = describe,
};
