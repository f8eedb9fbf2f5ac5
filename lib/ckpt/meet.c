// SPDX-License-Identifier: LGPL-2.1-or-later
/* A control block from outside. See meet.h. */
#include "meet.h"
#include "../cr/blcr_common.h"
#include "pids.h"
#include "remote.h"
#include "trace.h"
#include "util.h"

#include <dirent.h>
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

/* ---- threads ---- */

/* Also those that have ended and wait for somebody. malloc'd. */
static pid_t *list_threads(pid_t pid, size_t *ret_n)
{
	pid_t *tid = NULL;
	size_t n = 0;
	struct dirent *e;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && pids_add(&tid, &n, atoi(e->d_name)) < 0)
			break;
	if (d)
		closedir(d);
	*ret_n = n;
	return tid;
}

size_t meet_count_threads(pid_t pid)
{
	char leader = pids_state(pid, pid);
	size_t n;

	free(list_threads(pid, &n));
	return n && (leader == 'Z' || leader == 'X') ? n - 1 : n;
}

int meet_hold_all(struct meet_hold *h, pid_t pid)
{
	bool found = true;

	*h = (struct meet_hold){ 0 };
	/* Until a listing shows none that is new. */
	while (found) {
		size_t n;
		_cleanup_free_ pid_t *tid = list_threads(pid, &n);

		found = false;
		for (size_t i = 0; i < n; i++) {
			int stop;

			if (pids_have(h->tid, h->n, tid[i]) ||
			    trace_seize(tid[i], PTRACE_O_TRACESYSGOOD) < 0)
				continue;
			trace_interrupt(tid[i]);
			if (trace_wait_stop(tid[i], TRACE_STOP_DEADLINE_MS, &stop) < 0)
				continue;
			if (pids_add(&h->tid, &h->n, tid[i]) < 0) {
				trace_resume(tid[i], PTRACE_DETACH, 0);
				return -ENOMEM;
			}
			found = true;
		}
	}
	return h->n ? 0 : -ESRCH;
}

void meet_let_go(struct meet_hold *h)
{
	for (size_t i = 0; i < h->n; i++)
		trace_resume(h->tid[i], PTRACE_DETACH, 0);
	free(h->tid);
	*h = (struct meet_hold){ 0 };
}

/* Hold one thread: whoever else wants to write to the block has to wait. */
static int hold_one(pid_t pid, struct meet_hold *h)
{
	size_t n;
	_cleanup_free_ pid_t *tid = list_threads(pid, &n);
	int none = -ESRCH;

	h->n = 0;
	h->tid = malloc(sizeof(*h->tid));
	if (!h->tid)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int stop, rc = trace_seize(tid[i], PTRACE_O_TRACESYSGOOD);

		if (rc == -EPERM && pids_state(pid, tid[i]) != 'Z')
			return -EBUSY;
		if (rc < 0)
			continue;
		trace_interrupt(tid[i]);
		rc = trace_wait_stop(tid[i], TRACE_STOP_DEADLINE_MS, &stop);
		/* One that waits in the kernel for a child by vfork(2) does not stop before; it is
		 * let go when we end. */
		if (rc == -ETIMEDOUT)
			none = rc;
		if (rc < 0)
			continue;
		h->tid[h->n++] = tid[i];
		return 0;
	}
	return none;
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
		rc = write_request(m, q);
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_SYS, "ask process %d", m->pid) : 0;
}

int meet_ask(struct meeting *m, const struct meet_request *q,
	     const struct cr_control_action *action, struct ckpt_err **err)
{
	bool stopped = pids_state(m->pid, m->pid) == 'T';
	struct meet_request asked = *q;
	struct meet_hold h = { 0 };
	int rc;

	if (stopped)
		finish_earlier(m);
	rc = hold_one(m->pid, &h);
	asked.held |= stopped;

	if (rc == -ESRCH) {
		m->gone = true;
		rc = 0;
	} else if (rc == -EBUSY) {
		rc = ckpt_fail(err, EBUSY, CKPT_E_BUSY,
			       "process %d is being traced, perhaps by another checkpoint", m->pid);
	} else if (rc == -ETIMEDOUT) {
		rc = ckpt_fail(err, ETIMEDOUT, CKPT_E_NO_ANSWER,
			       "no thread of process %d stops within %d ms: they wait in the kernel, "
			       "perhaps for a child by vfork(2)",
			       m->pid, TRACE_STOP_DEADLINE_MS);
	} else if (rc < 0) {
		rc = ckpt_fail_errno(err, rc, CKPT_E_SYS, "hold a thread of process %d", m->pid);
	} else {
		rc = ask_held(m, h.tid[0], &asked, action, err);
	}
	meet_let_go(&h);
	if (rc == 0 && !m->gone && stopped) {
		m->stopped = true;
		kill(m->pid, SIGCONT);
	}
	return rc;
}

static void *as_pointer(uint64_t value)
{
	return (void *)(uintptr_t)value;
}

static int send_one(struct meeting *m, pid_t tid)
{
	siginfo_t si = { .si_signo = CR_SIGNUM, .si_code = SI_QUEUE };

	/* Noted before: what was sent must not be forgotten for want of memory. */
	if (pids_add(&m->sent, &m->n_sent, tid) < 0)
		return -ENOMEM;
	si.si_pid = getpid();
	si.si_uid = getuid();
	if (m->watch)
		si.si_value.sival_ptr = as_pointer(delivery_value(m->watch, tid));
	if (syscall(SYS_rt_tgsigqueueinfo, m->pid, tid, si.si_signo, &si) == 0)
		return 0;
	m->n_sent--;
	return errno == ESRCH || errno == EAGAIN ? 0 : -errno;
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

void meet_send_members(struct meeting *m)
{
	struct cr_member member[64];
	size_t n = meet_read(m) == 0 ? meet_members(m, member, 64) : 0;

	for (size_t i = 0; i < n; i++)
		if (member[i].state == CR_MEMBER_IN_CALLBACK && member[i].tid != m->now.hidden_tid)
			send_one(m, member[i].tid);
}

int meet_send(struct meeting *m)
{
	_cleanup_free_ pid_t *tid = NULL;
	size_t n;
	int rc = 0;

	if (m->now.again != m->again) {
		m->again = m->now.again;
		forget_sent(m);
	} else if (m->n_sent && now_us() - m->seen_us < LIST_AGAIN_US) {
		return 0;
	}
	m->seen_us = now_us();
	tid = list_threads(m->pid, &n);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (tid[i] != m->now.hidden_tid && !pids_have(m->sent, m->n_sent, tid[i]))
			rc = send_one(m, tid[i]);
	return rc;
}

bool meet_all_arrived(const struct meeting *m, size_t n)
{
	return n && m->now.request == m->id && m->now.arrived == n &&
	       (m->now.joined & CR_JOINED_COUNT) == n;
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
	struct meet_hold h;
	int rc = meet_hold_all(&h, m->pid);

	if (rc == 0)
		rc = meet_decide(m, result, h.tid[0]);
	meet_let_go(&h);
	return rc;
}

int meet_answer(struct meeting *m, int result)
{
	int rc = PUT(m, forward_result, result);

	return rc < 0 ? rc : PUT(m, forward_answered, m->now.forward);
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
	return PUT(m, held, 0);
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
