// SPDX-License-Identifier: LGPL-2.1-or-later
/* Words for the numbers of events: stable, they are what programs that read the output go by. */
#include "observe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#define COUNT(table)	  (sizeof(table) / sizeof((table)[0]))
#define LOOK_UP(table, i) ((size_t)(i) < COUNT(table) ? (table)[i] : NULL)

#ifndef SYS_map_shadow_stack
#define SYS_map_shadow_stack 453
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

/* Those that make, change or end something. */
static const char *const calls[] = {
#define CALL(name) [SYS_##name] = #name
	CALL(open),
	CALL(close),
	CALL(mmap),
	CALL(mprotect),
	CALL(munmap),
	CALL(brk),
	CALL(ioctl),
	CALL(pipe),
	CALL(mremap),
	CALL(shmat),
	CALL(dup),
	CALL(dup2),
	CALL(setitimer),
	CALL(alarm),
	CALL(socket),
	CALL(connect),
	CALL(accept),
	CALL(recvmsg),
	CALL(shutdown),
	CALL(bind),
	CALL(listen),
	CALL(socketpair),
	CALL(clone),
	CALL(fork),
	CALL(vfork),
	CALL(execve),
	CALL(exit),
	CALL(shmdt),
	CALL(fcntl),
	CALL(flock),
	CALL(creat),
	CALL(prctl),
	CALL(io_setup),
	CALL(io_destroy),
	CALL(epoll_create),
	CALL(remap_file_pages),
	CALL(timer_create),
	CALL(timer_settime),
	CALL(timer_delete),
	CALL(exit_group),
	CALL(mq_open),
	CALL(inotify_init),
	CALL(openat),
	CALL(unshare),
	CALL(epoll_create1),
	CALL(signalfd),
	CALL(timerfd_create),
	CALL(eventfd),
	CALL(timerfd_settime),
	CALL(accept4),
	CALL(signalfd4),
	CALL(eventfd2),
	CALL(dup3),
	CALL(pipe2),
	CALL(inotify_init1),
	CALL(perf_event_open),
	CALL(recvmmsg),
	CALL(fanotify_init),
	CALL(open_by_handle_at),
	CALL(setns),
	CALL(seccomp),
	CALL(memfd_create),
	CALL(bpf),
	CALL(execveat),
	CALL(userfaultfd),
	CALL(pkey_mprotect),
	CALL(pidfd_send_signal),
	CALL(io_uring_setup),
	CALL(io_uring_enter),
	CALL(io_uring_register),
	CALL(open_tree),
	CALL(fsopen),
	CALL(fsmount),
	CALL(fspick),
	CALL(pidfd_open),
	CALL(clone3),
	CALL(close_range),
	CALL(openat2),
	CALL(pidfd_getfd),
	CALL(landlock_create_ruleset),
	CALL(memfd_secret),
	CALL(map_shadow_stack),
	CALL(open_tree_attr),
#undef CALL
};

const char *name_of_call(uint32_t nr)
{
	const char *name = LOOK_UP(calls, nr);

	return name ? name : "?";
}

const char *name_of_signal(int signo)
{
	static const char *const names[] = {
#define SIGNAL(name) [SIG##name] = "SIG" #name
		SIGNAL(HUP),	SIGNAL(INT),  SIGNAL(QUIT),  SIGNAL(ILL),  SIGNAL(TRAP),
		SIGNAL(ABRT),	SIGNAL(BUS),  SIGNAL(FPE),   SIGNAL(KILL), SIGNAL(USR1),
		SIGNAL(SEGV),	SIGNAL(USR2), SIGNAL(PIPE),  SIGNAL(ALRM), SIGNAL(TERM),
		SIGNAL(STKFLT), SIGNAL(CHLD), SIGNAL(CONT),  SIGNAL(STOP), SIGNAL(TSTP),
		SIGNAL(TTIN),	SIGNAL(TTOU), SIGNAL(URG),   SIGNAL(XCPU), SIGNAL(XFSZ),
		SIGNAL(VTALRM), SIGNAL(PROF), SIGNAL(WINCH), SIGNAL(IO),   SIGNAL(PWR),
		SIGNAL(SYS),
#undef SIGNAL
	};
	/* The kernel's numbers: the C library keeps 32 and 33 to itself. */
	static const char *const rt[] = {
		"SIGRT_32",    "SIGRT_33",    "SIGRTMIN",    "SIGRTMIN+1",  "SIGRTMIN+2",
		"SIGRTMIN+3",  "SIGRTMIN+4",  "SIGRTMIN+5",  "SIGRTMIN+6",  "SIGRTMIN+7",
		"SIGRTMIN+8",  "SIGRTMIN+9",  "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12",
		"SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMIN+16", "SIGRTMIN+17",
		"SIGRTMIN+18", "SIGRTMIN+19", "SIGRTMIN+20", "SIGRTMIN+21", "SIGRTMIN+22",
		"SIGRTMIN+23", "SIGRTMIN+24", "SIGRTMIN+25", "SIGRTMIN+26", "SIGRTMIN+27",
		"SIGRTMIN+28", "SIGRTMIN+29", "SIGRTMAX",
	};
	const char *name = signo > 0 ? LOOK_UP(names, signo) : NULL;

	if (!name && signo >= 32)
		name = LOOK_UP(rt, signo - 32);
	return name ? name : "?";
}

/* sigaction(2): what si_code says, by signal. */
const char *name_of_code(int signo, int code)
{
	static const char *const ill[] = { "",		 "ILL_ILLOPC", "ILL_ILLOPN",
					   "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC",
					   "ILL_PRVREG", "ILL_COPROC", "ILL_BADSTK" };
	static const char *const fpe[] = { "",		 "FPE_INTDIV", "FPE_INTOVF",
					   "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND",
					   "FPE_FLTRES", "FPE_FLTINV", "FPE_FLTSUB" };
	static const char *const segv[] = { "", "SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR",
					    "SEGV_PKUERR" };
	static const char *const bus[] = { "",		 "BUS_ADRALN",	  "BUS_ADRERR",
					   "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO" };
	static const char *const trap[] = { "", "TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH",
					    "TRAP_HWBKPT" };
	static const char *const chld[] = { "",
					    "CLD_EXITED",
					    "CLD_KILLED",
					    "CLD_DUMPED",
					    "CLD_TRAPPED",
					    "CLD_STOPPED",
					    "CLD_CONTINUED" };
	static const char *const poll[] = { "",		"POLL_IN",  "POLL_OUT", "POLL_MSG",
					    "POLL_ERR", "POLL_PRI", "POLL_HUP" };
	static const char *const sent[] = { "SI_USER",	  "SI_QUEUE", "SI_TIMER", "SI_MESGQ",
					    "SI_ASYNCIO", "SI_SIGIO", "SI_TKILL", "SI_DETHREAD" };
	const char *name = NULL;

	if (code <= 0)
		return LOOK_UP(sent, -code);
	if (code == SI_KERNEL)
		return "SI_KERNEL";
	switch (signo) {
	case SIGILL:
		name = LOOK_UP(ill, code);
		break;
	case SIGFPE:
		name = LOOK_UP(fpe, code);
		break;
	case SIGSEGV:
		name = LOOK_UP(segv, code);
		break;
	case SIGBUS:
		name = LOOK_UP(bus, code);
		break;
	case SIGTRAP:
		name = LOOK_UP(trap, code);
		break;
	case SIGCHLD:
		name = LOOK_UP(chld, code);
		break;
	case SIGIO:
		name = LOOK_UP(poll, code);
		break;
	case SIGSYS:
		name = code == 1 ? "SYS_SECCOMP" : NULL;
		break;
	default:
		break;
	}
	return name;
}

const char *name_of_state(uint32_t state)
{
	static const char *const names[] = {
		[TCP_ESTABLISHED] = "ESTABLISHED",
		[TCP_SYN_SENT] = "SYN_SENT",
		[TCP_SYN_RECV] = "SYN_RECV",
		[TCP_FIN_WAIT1] = "FIN_WAIT1",
		[TCP_FIN_WAIT2] = "FIN_WAIT2",
		[TCP_TIME_WAIT] = "TIME_WAIT",
		[TCP_CLOSE] = "CLOSE",
		[TCP_CLOSE_WAIT] = "CLOSE_WAIT",
		[TCP_LAST_ACK] = "LAST_ACK",
		[TCP_LISTEN] = "LISTEN",
		[TCP_CLOSING] = "CLOSING",
		[12] = "NEW_SYN_RECV",
	};
	const char *name = LOOK_UP(names, state);

	return name ? name : "?";
}

const char *name_of_family(uint32_t family)
{
	switch (family) {
	case AF_UNIX:
		return "unix";
	case AF_INET:
		return "inet";
	case AF_INET6:
		return "inet6";
	case AF_NETLINK:
		return "netlink";
	case AF_PACKET:
		return "packet";
	case AF_VSOCK:
		return "vsock";
	default:
		return "other";
	}
}

const char *name_of_clock(int clock)
{
	static const char *const names[] = {
		[CLOCK_REALTIME] = "CLOCK_REALTIME",
		[CLOCK_MONOTONIC] = "CLOCK_MONOTONIC",
		[CLOCK_PROCESS_CPUTIME_ID] = "CLOCK_PROCESS_CPUTIME_ID",
		[CLOCK_THREAD_CPUTIME_ID] = "CLOCK_THREAD_CPUTIME_ID",
		[CLOCK_BOOTTIME] = "CLOCK_BOOTTIME",
		[CLOCK_REALTIME_ALARM] = "CLOCK_REALTIME_ALARM",
		[CLOCK_BOOTTIME_ALARM] = "CLOCK_BOOTTIME_ALARM",
		[CLOCK_TAI] = "CLOCK_TAI",
	};

	/* Negative: the CPU time of some process or thread (clock_getcpuclockid(3)). */
	if (clock < 0)
		return "CPU time";
	const char *name = LOOK_UP(names, clock);

	return name ? name : "?";
}

const char *name_flags(char *buf, size_t size, uint32_t f_flags)
{
	/* Those of several bits before those that are a part of them. */
	static const struct {
		uint32_t bits;
		const char *name;
	} flags[] = {
		{ O_TMPFILE, "O_TMPFILE" },   { O_SYNC, "O_SYNC" },
		{ O_APPEND, "O_APPEND" },     { O_NONBLOCK, "O_NONBLOCK" },
		{ O_DSYNC, "O_DSYNC" },	      { O_ASYNC, "O_ASYNC" },
		{ O_DIRECT, "O_DIRECT" },     { O_DIRECTORY, "O_DIRECTORY" },
		{ O_NOFOLLOW, "O_NOFOLLOW" }, { O_NOATIME, "O_NOATIME" },
		{ O_PATH, "O_PATH" },
	};

	static const char *const modes[] = { "O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE" };
	int n = snprintf(buf, size, "%s", f_flags & O_PATH ? "" : modes[f_flags & O_ACCMODE]);

	for (size_t i = 0; i < COUNT(flags) && n >= 0 && (size_t)n < size; i++)
		if ((f_flags & flags[i].bits) == flags[i].bits) {
			f_flags &= ~flags[i].bits;
			n += snprintf(buf + n, size - (size_t)n, "%s%s", n ? "|" : "",
				      flags[i].name);
		}
	return buf;
}

struct bit {
	uint64_t bit;
	const char *name;
};

static const struct bit namespaces[] = {
	{ CLONE_NEWNS, "mnt" },	       { CLONE_NEWUTS, "uts" },	  { CLONE_NEWIPC, "ipc" },
	{ CLONE_NEWUSER, "user" },     { CLONE_NEWPID, "pid" },	  { CLONE_NEWNET, "net" },
	{ CLONE_NEWCGROUP, "cgroup" }, { CLONE_NEWTIME, "time" },
};

static const struct bit clone_flags[] = {
#define FLAG(name)                                                                                 \
	{                                                                                          \
		CLONE_##name, "CLONE_" #name                                                       \
	}
	FLAG(VM),
	FLAG(FS),
	FLAG(FILES),
	FLAG(SIGHAND),
	FLAG(PIDFD),
	FLAG(PTRACE),
	FLAG(VFORK),
	FLAG(PARENT),
	FLAG(THREAD),
	FLAG(NEWNS),
	FLAG(SYSVSEM),
	FLAG(SETTLS),
	FLAG(PARENT_SETTID),
	FLAG(CHILD_CLEARTID),
	FLAG(CHILD_SETTID),
	FLAG(NEWCGROUP),
	FLAG(NEWUTS),
	FLAG(NEWIPC),
	FLAG(NEWUSER),
	FLAG(NEWPID),
	FLAG(NEWNET),
	FLAG(IO),
	{ 0x100000000, "CLONE_CLEAR_SIGHAND" },
	{ 0x200000000, "CLONE_INTO_CGROUP" },
#undef FLAG
};

static size_t name_bits(const struct bit *table, size_t n, uint64_t flags, const char **ret,
			size_t max)
{
	size_t found = 0;

	for (size_t i = 0; i < n && found < max; i++)
		if (flags & table[i].bit)
			ret[found++] = table[i].name;
	return found;
}

size_t name_clone_flags(uint64_t flags, const char **ret, size_t max)
{
	return name_bits(clone_flags, COUNT(clone_flags), flags, ret, max);
}

size_t name_namespaces(uint64_t flags, const char **ret, size_t max)
{
	return name_bits(namespaces, COUNT(namespaces), flags, ret, max);
}

const char *name_prot(uint64_t vm_flags)
{
	static const char *const names[] = {
		"---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"
	};

	/* VM_READ, VM_WRITE and VM_EXEC are what PROT_* are. */
	return names[vm_flags & 7];
}

static const char *inet_name(char *buf, size_t size, int family, const void *addr,
			     unsigned int port)
{
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(family, addr, text, sizeof(text));
	snprintf(buf, size, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
	return buf;
}

const char *name_address(char *buf, size_t size, const struct trace_sock *s, bool peer)
{
	unsigned int port = peer ? s->dport : s->sport;

	buf[0] = '\0';
	if ((s->family == AF_INET || s->family == AF_INET6) && port)
		inet_name(buf, size, s->family, peer ? s->dst : s->src, port);
	return buf;
}

const char *name_sockaddr(char *buf, size_t size, const void *addr, size_t len)
{
	struct sockaddr_storage ss = { 0 };
	const struct sockaddr_in *in = (const void *)&ss;
	const struct sockaddr_in6 *in6 = (const void *)&ss;
	const struct sockaddr_un *un = (const void *)&ss;

	buf[0] = '\0';
	memcpy(&ss, addr, len < sizeof(ss) ? len : sizeof(ss));
	if (len < sizeof(sa_family_t))
		return buf;
	if (ss.ss_family == AF_INET && len >= sizeof(*in))
		return inet_name(buf, size, AF_INET, &in->sin_addr, ntohs(in->sin_port));
	if (ss.ss_family == AF_INET6 &&
	    len >= sizeof(*in6) - 4) /* without the scope: old programs */
		return inet_name(buf, size, AF_INET6, &in6->sin6_addr, ntohs(in6->sin6_port));
	if (ss.ss_family != AF_UNIX)
		return buf;
	size_t n = len - offsetof(struct sockaddr_un, sun_path);

	if (len <= offsetof(struct sockaddr_un, sun_path))
		return buf;
	if (n > sizeof(un->sun_path))
		n = sizeof(un->sun_path);
	/* An abstract name begins with NUL, and may hold others: "@" stands for them, as in
	 * /proc/net/unix. */
	size_t used = un->sun_path[0] ? strnlen(un->sun_path, n) : n;

	if (used >= size)
		used = size - 1;
	for (size_t i = 0; i < used; i++)
		buf[i] = un->sun_path[i] ? un->sun_path[i] : '@';
	buf[used] = '\0';
	return buf;
}
