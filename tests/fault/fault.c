/*
 * fault: preloaded into the daemon, makes one call of one function fail.
 *
 *	FAULT_LOG=FILE		what happens is appended to it, a line each:
 *				  site FUNCTION NUMBER SITE STACK...
 *				  failed FUNCTION NUMBER SITE STACK...
 *				  calls FUNCTION COUNT
 *	FAULT=FUNCTION CALL ERROR [TIMES]
 *				that call fails with errno ERROR, and so do the
 *				TIMES - 1 after it
 *
 * CALL is a number, counted from main() on, or @SITE: the first call from there.  Those
 * after it may come from anywhere.
 * ERROR -1 is a short read or write of one byte, -2 the end of input.  A site is a
 * hash of the function and the few callers above it, so that each place from which
 * something is called can be made to fail once, however often it is passed.
 * Without FAULT, each site is logged when it is passed first, and at the end of the
 * process the number of calls of each function that was called.
 *
 *	FAULT_CLOCK=FILE	the time of day is the seconds that the file
 *				says, in text, off
 *	FAULT_UPTIME=FILE	and so is the time since the machine was started
 *	FAULT_SYNC=yes|no	whether the clock is synchronised
 *	FAULT_JOURNAL=PATH	messages for the journal go to that socket
 *
 * Nothing in here may allocate or call what it replaces.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

#include "uart.h"

#define SHORT -1
#define END -2
#define DEPTH 12
#define SITES 16384

/* clang-format off */
#define FUNCTIONS(X) \
	X(read) X(readv) X(write) X(writev) X(pread) X(pwrite) X(send) \
	X(sendto) X(sendmsg) X(recv) X(recvfrom) X(recvmsg) X(open) \
	X(openat) X(fopen) X(opendir) X(accept) X(accept4) X(socket) \
	X(socketpair) X(bind) X(listen) X(connect) X(shutdown) \
	X(setsockopt) X(getsockopt) X(getsockname) X(getpeername) \
	X(ioctl) X(fcntl) X(tcgetattr) X(tcsetattr) X(tcflush) \
	X(posix_openpt) X(grantpt) X(unlockpt) X(ptsname_r) X(flock) \
	X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(eventfd) \
	X(timerfd_create) X(timerfd_settime) X(signalfd) X(inotify_init1) \
	X(inotify_add_watch) X(memfd_create) X(ftruncate) X(mmap) \
	X(pipe) X(pipe2) X(poll) X(ppoll) X(stat) X(lstat) X(fstat) \
	X(fstatat) X(access) X(realpath) X(readlink) X(readlinkat) \
	X(symlink) X(rename) X(unlink) X(chmod) X(chown) X(fchmod) \
	X(fchown) X(readdir) X(fgets) X(close) X(execv) X(setenv) X(kill) \
	X(sigprocmask) X(getgrnam) X(ttyname_r) X(tcdrain) \
	X(clock_gettime) X(gettimeofday) X(time) X(malloc) X(calloc) \
	X(realloc)
/* clang-format on */

#define NUMBER(function) F_##function,
enum function { FUNCTIONS(NUMBER) N_FUNCTIONS };

#define ENTRY(function) [F_##function] = { .name = #function },
static struct {
	const char *name;
	void *real;
	unsigned long calls;
} functions[] = { FUNCTIONS(ENTRY) };

static struct {
	bool on;
	int log;
	int clock, uptime;
	struct sockaddr_un journal;
	int function; /* that is to fail, or -1 */
	bool by_site;
	uint32_t site;
	unsigned long number;
	int error;
	unsigned times;
	unsigned busy; /* not to be counted: called by ourselves */
	int (*main)(int, char **, char **);
} state = { .log = -1, .clock = -1, .uptime = -1, .function = -1 };

static uint32_t seen[SITES];

/* Before malloc() is found, for dlsym(). */
static char early[4096] __attribute__((aligned(16)));
static size_t early_used;

static bool
is_early(const void *p)
{
	return (const char *)p >= early &&
	    (const char *)p < early + sizeof(early);
}

static void *
early_alloc(size_t size)
{
	size_t at = early_used;

	early_used += (size + 15) & ~(size_t)15;
	if (early_used > sizeof(early))
		abort();
	return early + at;
}

static void *
real(enum function f)
{
	if (functions[f].real == NULL) {
		state.busy++;
		functions[f].real = dlsym(RTLD_NEXT, functions[f].name);
		state.busy--;
	}
	return functions[f].real;
}
#define REAL(name) ((__typeof__(&(name)))(uintptr_t)real(F_##name))

/* --- where a call comes from --------------------------------------------- */

struct stack {
	struct {
		const char *module;
		uintptr_t offset;
	} frame[DEPTH];
	unsigned n;
	uint32_t hash;
};

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static uint32_t
mix(uint32_t hash, uint32_t value)
{
	for (int i = 0; i < 4; i++, value >>= 8)
		hash = (hash ^ (value & 0xff)) * 16777619;
	return hash;
}

static _Unwind_Reason_Code
on_frame(struct _Unwind_Context *context, void *arg)
{
	static const char here;
	uintptr_t ip = (uintptr_t)_Unwind_GetIP(context);
	struct stack *stack = arg;
	struct dl_find_object found, own;

	if (_dl_find_object((void *)ip, &found) != 0)
		return _URC_END_OF_STACK;
	if (_dl_find_object((void *)(uintptr_t)&here, &own) == 0 &&
	    found.dlfo_link_map == own.dlfo_link_map)
		return _URC_NO_REASON;
	stack->frame[stack->n].module = base_name(found.dlfo_link_map->l_name);
	stack->frame[stack->n].offset = ip - found.dlfo_link_map->l_addr;
	stack->hash = mix(stack->hash, (uint32_t)stack->frame[stack->n].offset);
	return ++stack->n < DEPTH ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void
walk(enum function f, struct stack *stack)
{
	stack->n = 0;
	stack->hash = mix(2166136261, f);
	_Unwind_Backtrace(on_frame, stack);
}

/* --- the log ------------------------------------------------------------- */

static void
put(const char *line, size_t len)
{
	if (state.log >= 0 && len > 0)
		syscall(SYS_write, state.log, line, len);
}

static void
log_stack(const char *what, enum function f, const struct stack *stack)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s %s %lu %08x", what,
	    functions[f].name, functions[f].calls, stack->hash);

	for (unsigned i = 0; i < stack->n && n < (int)sizeof(line); i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s+%#lx",
		    *stack->frame[i].module != '\0' ? stack->frame[i].module
						    : "ttybridged",
		    (unsigned long)stack->frame[i].offset);
	if (n > (int)sizeof(line) - 1)
		n = sizeof(line) - 1;
	line[n++] = '\n';
	put(line, (size_t)n);
}

static void
note_site(enum function f)
{
	struct stack stack;
	uint32_t i;

	walk(f, &stack);
	for (i = stack.hash % SITES; seen[i] != 0; i = (i + 1) % SITES)
		if (seen[i] == stack.hash)
			return;
	seen[i] = stack.hash;
	log_stack("site", f, &stack);
}

/* --- whether a call fails ------------------------------------------------ */

static bool
is_chosen(enum function f, struct stack *stack)
{
	if (!state.by_site && functions[f].calls < state.number)
		return false;
	walk(f, stack);
	return !state.by_site || stack->hash == state.site;
}

/* 0, or how this call is to fail. */
static int
verdict(enum function f)
{
	struct stack stack;
	int e = 0;

	if (!state.on || state.busy > 0)
		return 0;
	state.busy++;
	functions[f].calls++;
	if (state.function == (int)f && state.times > 0) {
		if (is_chosen(f, &stack)) {
			state.times--;
			state.by_site = false;
			state.number = 0;
			e = state.error;
			log_stack("failed", f, &stack);
		}
	} else if (state.function < 0)
		note_site(f);
	state.busy--;
	return e;
}

static void
read_fault(const char *fault)
{
	char name[32], call[32];

	state.times = 1;
	if (sscanf(fault, "%31s %31s %d %u", name, call, &state.error,
		&state.times) < 3)
		abort();
	state.by_site = call[0] == '@';
	state.site = (uint32_t)strtoul(call + state.by_site, NULL, 16);
	state.number = strtoul(call + state.by_site, NULL, 10);
	for (int f = 0; f < N_FUNCTIONS; f++)
		if (strcmp(functions[f].name, name) == 0)
			state.function = f;
	if (state.function < 0)
		abort();
}

/* The descriptor is a high one, out of the way. */
static int
open_file(const char *variable, int flags)
{
	const char *file = getenv(variable);
	int fd, high;

	if (file == NULL)
		return -1;
	fd = (int)syscall(
	    SYS_openat, AT_FDCWD, file, flags | O_CREAT | O_CLOEXEC, 0600);
	high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 200);
	syscall(SYS_close, fd);
	return high;
}

static void
start(void)
{
	const char *fault = getenv("FAULT"), *journal = getenv("FAULT_JOURNAL");
	struct stack stack;

	for (int f = 0; f < N_FUNCTIONS; f++)
		real((enum function)f);
	uart_start();
	state.clock = open_file("FAULT_CLOCK", O_RDONLY);
	state.uptime = open_file("FAULT_UPTIME", O_RDONLY);
	if (journal != NULL) {
		state.journal.sun_family = AF_UNIX;
		snprintf(state.journal.sun_path, sizeof(state.journal.sun_path),
		    "%s", journal);
	}
	state.log = open_file("FAULT_LOG", O_WRONLY | O_APPEND);
	if (state.log < 0)
		return;
	walk(F_read, &stack); /* what the unwinder needs once */
	if (fault != NULL)
		read_fault(fault);
	/* In a process before this one it may have happened already. */
	if (fault != NULL && syscall(SYS_lseek, state.log, 0, SEEK_END) > 0)
		state.times = 0;
	state.on = true;
}

static void
finish(void)
{
	char line[64];

	state.on = false;
	for (int f = 0; state.function < 0 && f < N_FUNCTIONS; f++)
		if (functions[f].calls > 0)
			put(line,
			    (size_t)snprintf(line, sizeof(line),
				"calls %s %lu\n", functions[f].name,
				functions[f].calls));
}

static int
on_main(int argc, char **argv, char **env)
{
	int status;

	start();
	status = state.main(argc, argv, env);
	finish();
	return status;
}

int __libc_start_main(int (*)(int, char **, char **), int, char **,
    void (*)(void), void (*)(void), void (*)(void), void *);

/* What libraries and sanitizers do before main() and after it is not ours. */
int
__libc_start_main(int (*f)(int, char **, char **), int argc, char **argv,
    void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
    void *stack_end)
{
	__typeof__(&__libc_start_main) next =
	    (__typeof__(next))(uintptr_t)dlsym(RTLD_NEXT, "__libc_start_main");

	state.main = f;
	return next(on_main, argc, argv, init, fini, rtld_fini, stack_end);
}

/* --- the functions ------------------------------------------------------- */

/* Fails with errno, or is called. */
#define REPLACE(type, name, failed, parameters, arguments) \
	type name parameters                               \
	{                                                  \
		int e = verdict(F_##name);                 \
                                                           \
		if (e == 0)                                \
			return REAL(name) arguments;       \
		errno = e > 0 ? e : EIO;                   \
		return failed;                             \
	}

/* Moves size bytes: one alone when it is to be short, none at the end. */
#define REPLACE_IO(name, parameters, arguments)      \
	ssize_t name parameters                      \
	{                                            \
		int e = verdict(F_##name);           \
                                                     \
		if (e == END)                        \
			return 0;                    \
		if (e == SHORT && size > 1)          \
			size = 1;                    \
		if (e <= 0)                          \
			return REAL(name) arguments; \
		errno = e;                           \
		return -1;                           \
	}

#define REPLACE_VECTOR(name)                                            \
	ssize_t name(int fd, const struct iovec *iov, int n)            \
	{                                                               \
		struct iovec one = { iov->iov_base, iov->iov_len > 0 }; \
		int e = verdict(F_##name);                              \
                                                                        \
		if (e == END)                                           \
			return 0;                                       \
		if (e == SHORT)                                         \
			return REAL(name)(fd, &one, 1);                 \
		if (e == 0)                                             \
			return REAL(name)(fd, iov, n);                  \
		errno = e;                                              \
		return -1;                                              \
	}

/* clang-format off */
REPLACE_IO(read, (int fd, void *buf, size_t size), (fd, buf, size))
REPLACE_IO(write, (int fd, const void *buf, size_t size), (fd, buf, size))
REPLACE_IO(pread, (int fd, void *buf, size_t size, off_t at),
    (fd, buf, size, at))
REPLACE_IO(pwrite, (int fd, const void *buf, size_t size, off_t at),
    (fd, buf, size, at))
REPLACE_IO(send, (int fd, const void *buf, size_t size, int flags),
    (fd, buf, size, flags))
REPLACE_IO(recv, (int fd, void *buf, size_t size, int flags),
    (fd, buf, size, flags))
REPLACE_VECTOR(readv)
REPLACE_VECTOR(writev)
REPLACE(ssize_t, sendto, -1, (int fd, const void *buf, size_t size, int flags,
    __CONST_SOCKADDR_ARG to, socklen_t len), (fd, buf, size, flags, to, len))
REPLACE(ssize_t, recvfrom, -1, (int fd, void *buf, size_t size, int flags,
    __SOCKADDR_ARG from, socklen_t *len), (fd, buf, size, flags, from, len))
REPLACE(ssize_t, recvmsg, -1, (int fd, struct msghdr *m, int flags),
    (fd, m, flags))
REPLACE(FILE *, fopen, NULL, (const char *path, const char *mode),
    (path, mode))
REPLACE(DIR *, opendir, NULL, (const char *path), (path))
REPLACE(int, accept, -1, (int fd, __SOCKADDR_ARG sa, socklen_t *len),
    (fd, sa, len))
REPLACE(int, accept4, -1, (int fd, __SOCKADDR_ARG sa, socklen_t *len,
    int flags), (fd, sa, len, flags))
REPLACE(int, socket, -1, (int family, int type, int protocol),
    (family, type, protocol))
REPLACE(int, socketpair, -1, (int family, int type, int protocol, int fd[2]),
    (family, type, protocol, fd))
REPLACE(int, bind, -1, (int fd, __CONST_SOCKADDR_ARG sa, socklen_t len),
    (fd, sa, len))
REPLACE(int, listen, -1, (int fd, int n), (fd, n))
REPLACE(int, connect, -1, (int fd, __CONST_SOCKADDR_ARG sa, socklen_t len),
    (fd, sa, len))
REPLACE(int, shutdown, -1, (int fd, int how), (fd, how))
REPLACE(int, setsockopt, -1, (int fd, int level, int name, const void *value,
    socklen_t len), (fd, level, name, value, len))
REPLACE(int, getsockopt, -1, (int fd, int level, int name, void *value,
    socklen_t *len), (fd, level, name, value, len))
REPLACE(int, getsockname, -1, (int fd, __SOCKADDR_ARG sa, socklen_t *len),
    (fd, sa, len))
REPLACE(int, getpeername, -1, (int fd, __SOCKADDR_ARG sa, socklen_t *len),
    (fd, sa, len))
REPLACE(int, tcgetattr, -1, (int fd, struct termios *t), (fd, t))
REPLACE(int, tcsetattr, -1, (int fd, int when, const struct termios *t),
    (fd, when, t))
REPLACE(int, tcflush, -1, (int fd, int what), (fd, what))
REPLACE(int, posix_openpt, -1, (int flags), (flags))
REPLACE(int, grantpt, -1, (int fd), (fd))
REPLACE(int, unlockpt, -1, (int fd), (fd))
REPLACE(int, ptsname_r, e > 0 ? e : EIO, (int fd, char *buf, size_t size),
    (fd, buf, size))
REPLACE(int, flock, -1, (int fd, int how), (fd, how))
REPLACE(int, epoll_create1, -1, (int flags), (flags))
REPLACE(int, epoll_wait, -1, (int ep, struct epoll_event *ev, int n, int ms),
    (ep, ev, n, ms))
REPLACE(int, eventfd, -1, (unsigned n, int flags), (n, flags))
REPLACE(int, timerfd_create, -1, (__clockid_t clock, int flags),
    (clock, flags))
REPLACE(int, timerfd_settime, -1, (int fd, int flags,
    const struct itimerspec *new, struct itimerspec *old),
    (fd, flags, new, old))
REPLACE(int, signalfd, -1, (int fd, const sigset_t *set, int flags),
    (fd, set, flags))
REPLACE(int, inotify_init1, -1, (int flags), (flags))
REPLACE(int, inotify_add_watch, -1, (int fd, const char *path, uint32_t mask),
    (fd, path, mask))
REPLACE(int, memfd_create, -1, (const char *name, unsigned flags),
    (name, flags))
REPLACE(int, ftruncate, -1, (int fd, off_t size), (fd, size))
REPLACE(void *, mmap, MAP_FAILED, (void *at, size_t size, int prot, int flags,
    int fd, off_t offset), (at, size, prot, flags, fd, offset))
REPLACE(int, pipe2, -1, (int fd[2], int flags), (fd, flags))
REPLACE(int, poll, -1, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
REPLACE(int, symlink, -1, (const char *to, const char *path), (to, path))
REPLACE(int, fstatat, -1, (int dir, const char *path, struct stat *st,
    int flags), (dir, path, st, flags))
REPLACE(int, access, -1, (const char *path, int mode), (path, mode))
REPLACE(char *, realpath, NULL, (const char *path, char *buf), (path, buf))
REPLACE(ssize_t, readlinkat, -1, (int dir, const char *path, char *buf,
    size_t size), (dir, path, buf, size))
REPLACE(struct dirent *, readdir, NULL, (DIR *dir), (dir))
REPLACE(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
REPLACE(int, fchown, -1, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
REPLACE(int, pipe, -1, (int fd[2]), (fd))
REPLACE(int, ppoll, -1, (struct pollfd *fds, nfds_t n,
    const struct timespec *t, const sigset_t *set), (fds, n, t, set))
REPLACE(int, execv, -1, (const char *path, char *const *argv), (path, argv))
REPLACE(int, setenv, -1, (const char *name, const char *value, int on),
    (name, value, on))
REPLACE(int, kill, -1, (pid_t pid, int sig), (pid, sig))
REPLACE(int, sigprocmask, -1, (int how, const sigset_t *set, sigset_t *old),
    (how, set, old))
REPLACE(struct group *, getgrnam, NULL, (const char *name), (name))
REPLACE(int, ttyname_r, e > 0 ? e : EIO, (int fd, char *buf, size_t size),
    (fd, buf, size))
REPLACE(int, tcdrain, -1, (int fd), (fd))
REPLACE(int, rename, -1, (const char *from, const char *to), (from, to))
REPLACE(int, unlink, -1, (const char *path), (path))
REPLACE(int, chmod, -1, (const char *path, mode_t mode), (path, mode))
REPLACE(int, chown, -1, (const char *path, uid_t uid, gid_t gid),
    (path, uid, gid))
/* clang-format on */

#define REPLACE_STAT(name, parameters, arguments)       \
	int name parameters                             \
	{                                               \
		int e = verdict(F_##name), r;           \
                                                        \
		r = e == 0 ? REAL(name) arguments : -1; \
		if (e != 0)                             \
			errno = e > 0 ? e : EIO;        \
		if (r == 0)                             \
			uart_stat(st);                  \
		return r;                               \
	}

REPLACE_STAT(stat, (const char *path, struct stat *st), (path, st))
REPLACE_STAT(fstat, (int fd, struct stat *st), (fd, st))

int
lstat(const char *path, struct stat *st)
{
	int e = verdict(F_lstat);

	if (e != 0) {
		errno = e > 0 ? e : EIO;
		return -1;
	}
	if (!uart_in_sys(path))
		return REAL(lstat)(path, st);
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFLNK;
	return 0;
}

ssize_t
readlink(const char *path, char *buf, size_t size)
{
	int e = verdict(F_readlink);

	if (e != 0) {
		errno = e > 0 ? e : EIO;
		return -1;
	}
	if (!uart_in_sys(path))
		return REAL(readlink)(path, buf, size);
	return snprintf(buf, size, "../../devices/uart");
}

static bool
is_journal(const struct sockaddr_un *to)
{
	return to != NULL && to->sun_family == AF_UNIX &&
	    strcmp(to->sun_path, "/run/systemd/journal/socket") == 0;
}

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	int e = verdict(F_sendmsg);
	struct msghdr copy = *m;

	if (e > 0) {
		errno = e;
		return -1;
	}
	if (state.journal.sun_family != 0 && is_journal(m->msg_name)) {
		copy.msg_name = &state.journal;
		copy.msg_namelen = sizeof(state.journal);
	}
	return REAL(sendmsg)(fd, &copy, flags);
}

/* Only a new descriptor needs memory, of which there is a limit, too. */
int
epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	int e = op == EPOLL_CTL_ADD ? verdict(F_epoll_ctl) : 0;

	if (e == 0)
		return REAL(epoll_ctl)(ep, op, fd, ev);
	errno = e > 0 ? e : EIO;
	return -1;
}

/* It is closed all the same, as by the kernel. */
int
close(int fd)
{
	int e = verdict(F_close), r;

	uart_closes(fd);
	r = REAL(close)(fd);
	if (e == 0)
		return r;
	errno = e > 0 ? e : EIO;
	return -1;
}

#define STREAM_ERROR 0x20 /* what ferror() looks at */

char *
fgets(char *buf, int size, FILE *f)
{
	int e = verdict(F_fgets);

	if (e == 0)
		return REAL(fgets)(buf, size, f);
	if (e != END)
		f->_flags |= STREAM_ERROR;
	errno = e > 0 ? e : EIO;
	return NULL;
}

/* What a hardened build, or an old one, calls instead. */
int __lxstat(int, const char *, struct stat *);
int __open_2(const char *, int);

int
__lxstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return lstat(path, st);
}

ssize_t __read_chk(int, void *, size_t, size_t);
char *__realpath_chk(const char *, char *, size_t);

char *
__realpath_chk(const char *path, char *buf, size_t room)
{
	if (room < PATH_MAX)
		abort();
	return realpath(path, buf);
}

ssize_t
__read_chk(int fd, void *buf, size_t size, size_t room)
{
	if (size > room)
		abort();
	return read(fd, buf, size);
}

/* The optional last argument, whatever it is, is as long as a pointer. */
#define LAST(after)                        \
	__extension__({                    \
		va_list ap;                \
		void *last;                \
                                           \
		va_start(ap, after);       \
		last = va_arg(ap, void *); \
		va_end(ap);                \
		last;                      \
	})

static int
fail(int e)
{
	errno = e > 0 ? e : EIO;
	return -1;
}

int
open(const char *path, int flags, ...)
{
	mode_t mode = flags & (O_CREAT | __O_TMPFILE)
	    ? (mode_t)(uintptr_t)LAST(flags)
	    : 0;
	int e = verdict(F_open);

	int fd = e != 0 ? fail(e) : REAL(open)(path, flags, mode);

	uart_opened(fd);
	return fd;
}

int
openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = flags & (O_CREAT | __O_TMPFILE)
	    ? (mode_t)(uintptr_t)LAST(flags)
	    : 0;
	int e = verdict(F_openat);

	return e != 0 ? fail(e) : REAL(openat)(dir, path, flags, mode);
}

int
ioctl(int fd, unsigned long request, ...)
{
	void *arg = LAST(request);
	int e = verdict(F_ioctl);

	int r;

	if (e != 0)
		return fail(e);
	return uart_ioctl(fd, request, arg, &r) ? r
						: REAL(ioctl)(fd, request, arg);
}

int
fcntl(int fd, int what, ...)
{
	void *arg = LAST(what);
	int e = verdict(F_fcntl);

	return e != 0 ? fail(e) : REAL(fcntl)(fd, what, arg);
}

int
__open_2(const char *path, int flags)
{
	return open(path, flags);
}

/* What code for large files calls. */
#define ALIAS(name) __attribute__((alias(#name)))

int open64(const char *, int, ...) ALIAS(open);
int openat64(int, const char *, int, ...) ALIAS(openat);
int fcntl64(int, int, ...) ALIAS(fcntl);
FILE *fopen64(const char *, const char *) ALIAS(fopen);

/* --- the time of day ----------------------------------------------------- */

static time_t
offset(int fd)
{
	char text[32];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = (ssize_t)syscall(SYS_pread64, fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return strtol(text, NULL, 10);
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = REAL(clock_gettime)(clock, ts);

	if (r == 0 &&
	    (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ts->tv_sec += offset(state.clock);
	else if (r == 0)
		ts->tv_sec += offset(state.uptime);
	return r;
}

int
adjtimex(struct timex *tx)
{
	const char *sync = getenv("FAULT_SYNC");

	if (sync == NULL)
		return (int)syscall(SYS_adjtimex, tx);
	/* The system is not asked: in a container that may be forbidden. */
	if (strcmp(sync, "yes") == 0) {
		tx->status &= ~STA_UNSYNC;
		return TIME_OK;
	}
	tx->status |= STA_UNSYNC;
	return TIME_ERROR;
}

int
gettimeofday(struct timeval *tv, void *zone)
{
	int r = REAL(gettimeofday)(tv, zone);

	tv->tv_sec += offset(state.clock);
	return r;
}

time_t
time(time_t *ret)
{
	time_t now = REAL(time)(NULL) + offset(state.clock);

	if (ret != NULL)
		*ret = now;
	return now;
}

/* --- memory -------------------------------------------------------------- */

void *
malloc(size_t size)
{
	if (functions[F_malloc].real == NULL && state.busy > 0)
		return early_alloc(size);
	if (verdict(F_malloc) == 0)
		return REAL(malloc)(size);
	errno = ENOMEM;
	return NULL;
}

void *
calloc(size_t n, size_t size)
{
	if (functions[F_calloc].real == NULL && state.busy > 0)
		return early_alloc(n * size); /* static: zero */
	if (verdict(F_calloc) == 0)
		return REAL(calloc)(n, size);
	errno = ENOMEM;
	return NULL;
}

void *
realloc(void *p, size_t size)
{
	if (is_early(p))
		abort();
	if (verdict(F_realloc) == 0)
		return REAL(realloc)(p, size);
	errno = ENOMEM;
	return NULL;
}

/* By way of the above, also where a sanitizer would not. */
void *
reallocarray(void *p, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, n * size);
}

char *
strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
strdup(const char *s)
{
	return strndup(s, strlen(s));
}

void
free(void *p)
{
	static void (*next)(void *);

	if (p == NULL || is_early(p))
		return;
	/* dlsym() itself frees the text of an error that was before. */
	if (next == NULL && state.busy > 0)
		return;
	if (next == NULL) {
		state.busy++;
		next = (void (*)(void *))(uintptr_t)dlsym(RTLD_NEXT, "free");
		state.busy--;
	}
	next(p);
}
