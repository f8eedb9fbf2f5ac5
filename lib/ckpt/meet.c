// SPDX-License-Identifier: LGPL-2.1-or-later
/* A control block from outside. See meet.h. */
#include "meet.h"
#include "../cr/blcr_common.h"
#include "pids.h"
#include "remote.h"
#include "trace.h"
#include "util.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PHDRS_MAX     64
#define NOTES_MAX     4096 /* bytes */
#define KERNEL_SIGSET 8
/* Threads that are born while others are asked are found when they are listed again. */
#define LIST_AGAIN_US 2000
/* Milliseconds for the rest of callbacks of a process that was stopped in them. */
#define FINISH_TICKS 1000

static int read_at(pid_t pid, uint64_t at, void *to, size_t len)
{
	struct iovec here = { to, len }, there = { (void *)(uintptr_t)at, len };
	ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

static int write_at(pid_t pid, uint64_t at, const void *from, size_t len)
{
	struct iovec here = { (void *)(uintptr_t)from, len },
		     there = { (void *)(uintptr_t)at, len };
	ssize_t n = process_vm_writev(pid, &here, 1, &there, 1, 0);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

/* Write one member of the block. */
#define PUT(m, member, value)                                                                      \
	({                                                                                         \
		__typeof__((m)->now.member) put_v_ = (value);                                      \
		write_at((m)->pid, (m)->block + offsetof(struct cr_control, member), &put_v_,      \
			 sizeof(put_v_));                                                          \
	})

/* ---- finding it ---- */

static bool block_is_sound(const struct cr_control *c)
{
	return c->magic == CR_CONTROL_MAGIC && c->size >= MEET_HEAD && c->kind >= CR_KIND_CR &&
	       c->kind <= CR_KIND_OMIT;
}

/* The notes of one segment, `len` bytes at `at`. */
static uint64_t look_in_notes(pid_t pid, uint64_t at, uint64_t len)
{
	uint8_t notes[NOTES_MAX];
	size_t n = len < sizeof(notes) ? (size_t)len : sizeof(notes), i = 0;

	if (read_at(pid, at, notes, n) < 0)
		return 0;
	while (i + sizeof(Elf64_Nhdr) <= n) {
		Elf64_Nhdr h;
		struct cr_note note;
		size_t name = i + sizeof(h), desc;

		memcpy(&h, notes + i, sizeof(h));
		if (h.n_namesz > n || h.n_descsz > n)
			return 0;
		desc = name + ((h.n_namesz + 3) & ~3U);
		if (h.n_type == CR_NOTE_TYPE && h.n_namesz == sizeof(CR_NOTE_OWNER) &&
		    h.n_descsz >= sizeof(note) && desc + sizeof(note) <= n &&
		    !memcmp(notes + name, CR_NOTE_OWNER, sizeof(CR_NOTE_OWNER))) {
			memcpy(&note, notes + desc, sizeof(note));
			return at + desc + offsetof(struct cr_note, offset) + (uint64_t)note.offset;
		}
		i = desc + ((h.n_descsz + 3) & ~3U);
	}
	return 0;
}

uint64_t meet_look_for(pid_t pid, uint64_t start, uint64_t end, enum cr_kind *ret_kind)
{
	Elf64_Phdr ph[PHDRS_MAX];
	struct cr_control head;
	uint64_t base, block = 0;
	Elf64_Ehdr eh;

	if (end - start < sizeof(eh) || read_at(pid, start, &eh, sizeof(eh)) < 0 ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_phentsize != sizeof(ph[0]) || eh.e_phnum > PHDRS_MAX || eh.e_phoff > end - start ||
	    read_at(pid, start + eh.e_phoff, ph, eh.e_phnum * sizeof(ph[0])) < 0)
		return 0;
	base = start;
	for (size_t i = 0; i < eh.e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0)
			base = start - ph[i].p_vaddr;
	for (size_t i = 0; i < eh.e_phnum && !block; i++)
		if (ph[i].p_type == PT_NOTE)
			block = look_in_notes(pid, base + ph[i].p_vaddr, ph[i].p_memsz);
	if (!block || read_at(pid, block, &head, MEET_HEAD) < 0 || !block_is_sound(&head))
		return 0;
	*ret_kind = (enum cr_kind)head.kind;
	return block;
}

void meet_done(struct meeting *m)
{
	hold_done(&m->hold);
	free(m->sent);
	*m = (struct meeting){ 0 };
}

int meet_read(struct meeting *m)
{
	int rc = read_at(m->pid, m->block, m->raw, MEET_HEAD);

	/* Another program in its place has no such memory, or other things in it. */
	if (rc == -EFAULT || (rc == 0 && !block_is_sound(&m->now)))
		rc = -ESRCH;
	if (rc == -ESRCH)
		m->gone = true;
	return rc;
}

/* ---- asking ---- */

/* By a stopped thread: exchange what the process does upon the signal. */
static int exchange_action(const struct meeting *m, pid_t tid, size_t from, size_t to)
{
	uint64_t offset = remote_vdso_gadget();
	const uint64_t args[6] = { CR_SIGNUM, from ? m->block + from : 0, to ? m->block + to : 0,
				   KERNEL_SIGSET };
	struct user_regs_struct regs;
	long ret = 0;
	int rc, rc2;

	if (!offset || !m->vdso)
		return -ENOSYS;
	rc = trace_get_regs(tid, &regs);
	if (rc < 0)
		return rc;
	/* Seccomp filters are the program's, for its own calls. */
	ptrace(PTRACE_SETOPTIONS, tid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP);
	rc = remote_call(tid, m->vdso + offset, SYS_rt_sigaction, args, &ret, NULL);
	rc2 = remote_settle(tid, &regs);
	ptrace(PTRACE_SETOPTIONS, tid, NULL, PTRACE_O_TRACESYSGOOD);
	return rc < 0 ? rc : rc2 < 0 ? rc2 : ret < 0 ? (int)ret : 0;
}

static int lend_action(struct meeting *m, pid_t tid, const struct cr_control_action *action)
{
	int rc;

	if (!action || !memcmp(action, &m->now.action, sizeof(*action)))
		return 0;
	rc = exchange_action(m, tid, offsetof(struct cr_control, action),
			     offsetof(struct cr_control, theirs));
	return rc < 0 ? rc : PUT(m, theirs_valid, 1);
}

/* A child by fork(2) that has not noticed yet that it is one, or a request whose maker is dead. */
static int reset_block(struct meeting *m)
{
	struct cr_control *c = &m->now;

	c->pid = m->pid;
	c->hidden_tid = 0;
	c->theirs_valid = 0;
	c->request = 0;
	c->members = 0;
	c->arrived = c->left = c->inside = 0;
	c->vote = 0;
	c->vote_tid = 0;
	c->failed = 0;
	c->forward_answered = c->forward;
	return write_at(m->pid, m->block, m->raw, MEET_HEAD);
}

static bool maker_is_dead(const struct meeting *m)
{
	return m->now.engine_pid > 0 && kill(m->now.engine_pid, 0) < 0 && errno == ESRCH;
}

/* It has been told, and would be done with it, if it were not stopped. */
static bool only_has_to_run(const struct meeting *m)
{
	return m->now.decided == m->now.request && m->now.held != m->now.request &&
	       pids_state(m->pid, m->pid) == 'T';
}

bool meet_is_busy(const struct meeting *m)
{
	return m->now.request && m->now.pid == m->pid && !maker_is_dead(m) && !only_has_to_run(m);
}

/* Let a stopped process be done with an earlier request. */
static void finish_earlier(struct meeting *m)
{
	const struct timespec tick = { 0, 1000000 };

	if (meet_read(m) < 0 || !m->now.request || !only_has_to_run(m))
		return;
	kill(m->pid, SIGCONT);
	for (int i = 0; i < FINISH_TICKS && meet_read(m) == 0 && m->now.request; i++)
		nanosleep(&tick, NULL);
}

/*
 * The process is held. The signal kills whom it takes by surprise, without a handler: one that has
 * just executed another program, or has changed its mind about the signal.
 */
static int make_sure_of_handler(struct meeting *m)
{
	int rc;

	if (pids_catches(m->pid, CR_SIGNUM))
		return 0;
	/* The library is loaded, and will be set up in a moment. */
	if (!m->now.action.handler)
		return -EAGAIN;
	rc = exchange_action(m, m->hold.tid[0], offsetof(struct cr_control, action),
			     m->now.theirs_valid ? 0 : offsetof(struct cr_control, theirs));
	if (rc == 0)
		rc = PUT(m, theirs_valid, 1);
	return rc < 0 ? rc : pids_catches(m->pid, CR_SIGNUM) ? 0 : -EAGAIN;
}

static int write_request(struct meeting *m, const struct meet_request *q)
{
	uint32_t id = m->now.done + 1;
	int rc;

	/* 0 is no id. One that was withdrawn may be beyond what is done. */
	if (m->now.decided == id || id == 0)
		id++;
	m->now.engine_pid = getpid();
	m->now.for_pid = m->pid;
	m->now.requester = q->requester;
	m->now.target = q->target;
	m->now.scope = q->scope;
	m->now.signal = q->signal;
	rc = write_at(m->pid, m->block + offsetof(struct cr_control, for_pid), &m->now.for_pid,
		      offsetof(struct cr_control, pad1) - offsetof(struct cr_control, for_pid));
	if (rc == 0)
		rc = write_at(m->pid, m->block + offsetof(struct cr_control, dest), q->dest,
			      strlen(q->dest) + 1);
	if (rc == 0)
		rc = PUT(m, failed, 0);
	if (rc == 0)
		rc = PUT(m, held, q->held ? id : 0);
	if (rc == 0)
		rc = PUT(m, joined, (uint64_t)id << 32);
	if (rc == 0)
		rc = PUT(m, request, id);
	if (rc == 0)
		m->id = id;
	return rc;
}

/* The thread is held. 1: it blocks the signal, and gets it when it does not any more. */
static int send_one(struct meeting *m, pid_t tid)
{
	siginfo_t si = { .si_signo = CR_SIGNUM, .si_code = SI_QUEUE };
	uint64_t blocked;

	if (trace_get_sigmask(tid, &blocked) < 0)
		return 0;
	/* In sigsuspend(2) and the like it has another mask, which is not what ptrace(2) tells. */
	if (blocked >> (CR_SIGNUM - 1) & 1 && pids_blocks(m->pid, tid, CR_SIGNUM)) {
		m->blocks_tid = tid;
		m->blocks_since_us = m->blocks_since_us ? m->blocks_since_us : now_us();
		return 1;
	}
	/* Noted before: what was sent must not be forgotten for want of memory. */
	if (pids_add(&m->sent, &m->n_sent, tid) < 0)
		return -ENOMEM;
	si.si_pid = getpid();
	si.si_uid = getuid();
	if (m->watch)
		si.si_value.sival_ptr = as_ptr(delivery_value(m->watch, tid));
	if (syscall(SYS_rt_tgsigqueueinfo, m->pid, tid, si.si_signo, &si) == 0)
		return 0;
	m->n_sent--;
	return errno == ESRCH || errno == EAGAIN ? 0 : -errno;
}

/*
 * The process is held: nobody executes another program meanwhile. All threads but the hidden one
 * get the signal at once when they are let go, before anything else they do; those that block it do
 * not get it, or it would be there for the program that they execute, whom it kills.
 */
static int send_held(struct meeting *m)
{
	int rc = 0;

	m->blocks_tid = 0;
	for (size_t i = 0; rc >= 0 && i < m->hold.n; i++) {
		pid_t tid = m->hold.tid[i];

		if (tid != m->now.hidden_tid && !pids_have(m->sent, m->n_sent, tid))
			rc = send_one(m, tid);
	}
	if (!m->blocks_tid)
		m->blocks_since_us = 0;
	return rc < 0 ? rc : 0;
}

static int ask_held(struct meeting *m, pid_t tid, const struct meet_request *q,
		    const struct cr_control_action *action, struct ckpt_err **err)
{
	int rc = meet_read(m);

	if (rc == 0 && m->now.version != CR_CONTROL_VERSION)
		return ckpt_fail(err, CR_EVERSION, CKPT_E_CALLBACK,
				 "process %d has another version of libcr loaded (%u, not %u)",
				 m->pid, m->now.version, CR_CONTROL_VERSION);
	if (rc == 0 && (m->now.pid != m->pid ||
			(m->now.request && maker_is_dead(m) && !(m->now.joined & CR_JOINED_COUNT))))
		rc = reset_block(m);
	if (rc == 0 && m->now.request)
		return ckpt_fail(err, EBUSY, CKPT_E_BUSY,
				 "process %d takes part in another checkpoint or restart", m->pid);
	if (rc == 0)
		rc = lend_action(m, tid, action);
	if (rc == 0)
		rc = make_sure_of_handler(m);
	if (rc == 0)
		rc = write_request(m, q);
	if (rc == 0)
		rc = send_held(m);
	if (rc == -EAGAIN || m->gone)
		return 0;
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_SYS, "ask process %d", m->pid) : 0;
}

int meet_ask(struct meeting *m, const struct meet_request *q,
	     const struct cr_control_action *action, struct ckpt_err **err)
{
	struct meet_request asked = *q;
	bool stopped;
	int rc;

	finish_earlier(m);
	rc = hold_all(&m->hold, m->pid);
	stopped = m->hold.stopped;
	asked.held |= stopped;
	m->seen_us = now_us();
	if (rc == -ESRCH) {
		m->gone = true;
		rc = 0;
	} else if (rc == -EBUSY) {
		rc = ckpt_fail(err, EBUSY, CKPT_E_BUSY,
			       "process %d is being traced, perhaps by another checkpoint", m->pid);
	} else if (rc == -ETIMEDOUT || rc == -EAGAIN) {
		rc = 0;
	} else if (rc < 0) {
		rc = ckpt_fail_errno(err, rc, CKPT_E_SYS, "hold process %d", m->pid);
	} else {
		rc = ask_held(m, m->hold.tid[0], &asked, action, err);
	}
	hold_let_go(&m->hold);
	if (rc == 0 && m->id && !m->gone && stopped) {
		m->stopped = true;
		kill(m->pid, SIGCONT);
	}
	return rc;
}

/* Those that joined need not be told again. */
static void forget_sent(struct meeting *m)
{
	struct cr_member member[256];
	size_t n = meet_members(m, member, 256);

	m->n_sent = 0;
	for (size_t i = 0; i < n; i++)
		if (pids_add(&m->sent, &m->n_sent, member[i].tid) < 0)
			return;
}

static bool anybody_new(const struct meeting *m)
{
	size_t n;
	_cleanup_free_ pid_t *tid = pids_threads(m->pid, &n);
	bool found = false;

	for (size_t i = 0; !found && i < n; i++) {
		if (tid[i] == m->now.hidden_tid || tid[i] == m->blocks_tid ||
		    pids_have(m->sent, m->n_sent, tid[i]))
			continue;
		found = pids_lives(m->pid, tid[i]);
	}
	return found;
}

/* The process is held, if it could be: is it still the one that was asked? */
static int is_still(struct meeting *m, int held)
{
	/* Somebody else looks at it, or not all of it can be stopped: another time. */
	if (held == -EBUSY || held == -ETIMEDOUT || held == -EAGAIN)
		return 0;
	if (held == 0)
		held = meet_read(m);
	return held < 0 ? held : m->now.request == m->id && m->now.pid == m->pid;
}

void meet_send_members(struct meeting *m)
{
	struct cr_member member[64];
	size_t n;

	if (is_still(m, hold_all(&m->hold, m->pid)) > 0 && make_sure_of_handler(m) == 0) {
		n = meet_members(m, member, 64);
		for (size_t i = 0; i < n; i++)
			if (member[i].state == CR_MEMBER_IN_CALLBACK &&
			    member[i].tid != m->now.hidden_tid &&
			    pids_have(m->hold.tid, m->hold.n, member[i].tid))
				send_one(m, member[i].tid);
	}
	hold_let_go(&m->hold);
}

int meet_send(struct meeting *m)
{
	bool again = m->now.again != m->again;
	int rc;

	if (m->hold.n_late)
		hold_settle(&m->hold);
	if (!again && m->n_sent && now_us() - m->seen_us < LIST_AGAIN_US)
		return 0;
	m->seen_us = now_us();
	again |= m->blocks_tid && !pids_blocks(m->pid, m->blocks_tid, CR_SIGNUM);
	if (!again && !anybody_new(m))
		return 0;
	rc = is_still(m, hold_all(&m->hold, m->pid));
	if (rc > 0 && m->now.again != m->again) {
		m->again = m->now.again;
		forget_sent(m);
	}
	if (rc > 0) {
		rc = make_sure_of_handler(m);
		rc = rc < 0 ? rc : send_held(m);
	}
	hold_let_go(&m->hold);
	return rc == -EAGAIN ? 0 : rc;
}

bool meet_all_arrived(const struct meeting *m, size_t n)
{
	return n && m->now.request == m->id && m->now.arrived == n &&
	       (m->now.joined & CR_JOINED_COUNT) == n;
}

bool meet_all_arrived_running(const struct meeting *m)
{
	size_t n;
	char leader;

	/* Counting threads costs more: only when it may be that all are there. */
	if (!m->now.arrived || m->now.arrived != (m->now.joined & CR_JOINED_COUNT))
		return false;
	n = pids_count(m->pid);
	/* A leader that has ended counts as long as others live. */
	if (n < 2 || !meet_all_arrived(m, n - 1))
		return meet_all_arrived(m, n);
	leader = pids_state(m->pid, m->pid);
	return leader == 'Z' || leader == 'X';
}

/* ---- deciding ---- */

/* Nobody joined: nobody else cleans up. */
static int withdraw(struct meeting *m, pid_t tid)
{
	int rc = 0;

	if (m->now.theirs_valid)
		rc = exchange_action(m, tid, offsetof(struct cr_control, theirs), 0);
	if (rc == 0)
		rc = PUT(m, theirs_valid, 0);
	if (rc == 0)
		rc = PUT(m, done, m->id);
	return rc < 0 ? rc : PUT(m, request, 0);
}

int meet_decide(struct meeting *m, int result, pid_t tid)
{
	int rc = meet_read(m);

	if (rc < 0 || m->now.request != m->id)
		return rc;
	rc = PUT(m, joined, m->now.joined | CR_JOINED_CLOSED);
	if (rc == 0)
		rc = PUT(m, result, result);
	if (rc == 0)
		rc = PUT(m, decided, m->id);
	if (rc == 0)
		rc = PUT(m, turn, m->now.turn + 1);
	if (rc == 0 && !(m->now.joined & CR_JOINED_COUNT))
		rc = withdraw(m, tid);
	return rc;
}

int meet_decide_running(struct meeting *m, int result)
{
	int rc;

	/* Who cannot be stopped now is soon, or never; the decision has to be told all the same. */
	m->hold.not_before_us = 0;
	rc = hold_all(&m->hold, m->pid);
	if (rc == 0 || (rc == -ETIMEDOUT && m->hold.n))
		rc = meet_decide(m, result, m->hold.tid[0]);
	hold_let_go(&m->hold);
	return rc;
}

int meet_answer(struct meeting *m, int result)
{
	int rc = is_still(m, hold_all(&m->hold, m->pid));

	if (rc > 0) {
		rc = PUT(m, forward_result, result);
		if (rc == 0)
			rc = PUT(m, forward_answered, m->now.forward);
	}
	hold_let_go(&m->hold);
	return rc;
}

bool meet_is_over(const struct meeting *m)
{
	return (int32_t)(m->now.done - m->id) >= 0;
}

bool meet_all_left(const struct meeting *m)
{
	return meet_is_over(m) || m->now.finishing == m->id;
}

int meet_release(struct meeting *m)
{
	int rc = meet_read(m);

	/* Not stopped for it: after a signal that ends it, we would learn of its end in the place
	 * of its parent. */
	return rc < 0 || m->now.held != m->id ? rc : PUT(m, held, 0);
}

int meet_restored(struct meeting *m, const struct meet_rebirth *b)
{
	int rc;

	if (m->now.version != CR_CONTROL_VERSION)
		return -EPROTO;
	if (m->now.request != m->id || m->id == 0)
		return -EINVAL;
	rc = write_at(m->pid, m->block + offsetof(struct cr_control, src), b->src,
		      strlen(b->src) + 1);
	if (rc == 0)
		rc = PUT(m, pid, b->pid);
	if (rc == 0)
		rc = PUT(m, for_pid, b->pid);
	if (rc == 0)
		rc = PUT(m, hidden_tid, b->hidden_tid);
	if (rc == 0)
		rc = PUT(m, restarter, b->restarter);
	if (rc == 0)
		rc = PUT(m, lives, m->now.lives + 1);
	if (rc == 0)
		rc = PUT(m, engine_pid, b->engine);
	if (rc == 0)
		rc = PUT(m, held, b->held ? m->id : 0);
	return rc < 0 ? rc : meet_decide(m, b->restarter, 0);
}

size_t meet_members(const struct meeting *m, struct cr_member *ret, size_t max)
{
	uint64_t at = m->now.members;
	size_t n = 0;

	while (at && n < max && read_at(m->pid, at, &ret[n], sizeof(*ret)) == 0)
		at = ret[n++].next;
	return n;
}
