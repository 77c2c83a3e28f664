/*
 * capture: writes frames as records of the link type "Wireshark upper PDU": tags (pdu.h)
 * contain the dissector for the payload, the framing, the source and the destinations.
 *
 * libpcap formats the records into memory, and the thread for files writes them
 * (writer.h).  After an error the event loop ends the capture; the thread has removed a
 * partially written record by then.
 *
 * libpcap is loaded at run time because it depends on half a dozen libraries that are not
 * needed otherwise.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pcap/pcap.h>

#include "capture.h"
#include "library.h"
#include "log.h"
#include "pdu.h"
#include "record_file.h"

#define LIBRARY "libpcap.so.0.8"
/* What may wait for the disk. */
#define WAITING_BYTES ((size_t)8 * 1024 * 1024)
#define FILE_HEADER sizeof(struct pcap_file_header)
#define RECORD_HEADER 16 /* two words of time stamp, caplen, len */

static struct {
	void *handle;
	pcap_t *(*open_dead)(int, int, u_int);
	pcap_dumper_t *(*dump_fopen)(pcap_t *, FILE *);
	void (*dump)(u_char *, const struct pcap_pkthdr *, const u_char *);
	void (*dump_close)(pcap_dumper_t *);
	void (*close)(pcap_t *);
} lib;

static const struct library_symbol symbols[] = {
	{ "pcap_open_dead_with_tstamp_precision", &lib.open_dead },
	{ "pcap_dump_fopen", &lib.dump_fopen },
	{ "pcap_dump", &lib.dump },
	{ "pcap_dump_close", &lib.dump_close },
	{ "pcap_close", &lib.close },
};

LIST_HEAD(waiter_list, capture_waiter);

static struct {
	struct bridge *bridge; /* NULL: no capture is running */
	bool ending;	       /* only the rest is being written */
	struct tap tap;
	char *file;
	struct writer_file *writer; /* NULL: no capture is running or ending */
	struct waiter_list waiters;
	/* The writer of libpcap, and the records that it has formatted. */
	FILE *stream;
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	struct buffer {
		uint8_t *data;
		size_t len, size;
	} out;
	uint8_t head[FILE_HEADER];
	uint8_t *record; /* tags and payload, contiguous */
	size_t record_size;
	uint64_t frames, bytes, skipped;
	uint64_t start_ns, end_ns;
	char why[128];
	struct task task;
} capture;

/* --- libpcap ------------------------------------------------------------- */

static int
load_library(struct error *err)
{
	struct error why;
	int r = 0;

	if (lib.handle == NULL)
		r = library_load(
		    LIBRARY, symbols, NELEM(symbols), &lib.handle, &why);
	if (r == -ENOENT)
		return error_fail(err, -ELIBACC,
		    "a capture needs libpcap, which cannot be loaded (Debian:"
		    " apt install libpcap0.8): %.200s",
		    why.text);
	if (r < 0)
		return error_fail(err, -ELIBACC,
		    "a capture needs a newer libpcap: %.200s", why.text);
	return 0;
}

/* --- the file ------------------------------------------------------------ */

static int
fail_errno(const char *file, struct error *err)
{
	int e = errno;

	return error_fail(
	    err, -e, "'%s' cannot be written: %s", file, strerror(e));
}

static int
fail_written(const char *file, struct error *err)
{
	return error_fail(err, -EBUSY,
	    "'%s' is the log of an endpoint, or is being written by another"
	    " process; name another file",
	    file);
}

/* The first four bytes of a pcap file: either byte order, with micro- or nanoseconds. */
static bool
is_capture(int fd)
{
	uint32_t magic = 0;

	if (pread(fd, &magic, sizeof(magic), 0) != sizeof(magic))
		return false;
	magic = ntohl(magic);
	return magic == 0xa1b2c3d4 || magic == 0xd4c3b2a1 ||
	    magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
}

/* Only an empty file or a capture may be overwritten. */
static int
check_file(int fd, const char *file, struct error *err)
{
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return fail_errno(file, err);
		return fail_written(file, err);
	}
	if (fstat(fd, &st) < 0)
		return fail_errno(file, err);
	if (st.st_size > 0 && !is_capture(fd))
		return error_fail(err, -EEXIST,
		    "'%s' is there already, and is not a capture; name another"
		    " file",
		    file);
	return ftruncate(fd, 0) < 0 ? fail_errno(file, err) : 0;
}

/* Opens an empty file; returns its descriptor. */
static int
open_file(const char *file, struct error *err)
{
	struct stat st;
	int fd, r;

	/* Opening a device may have side effects. */
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		return error_fail(err, -EINVAL, "'%s' is not a file", file);
	fd = open(file,
	    O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	    0640);
	if (fd == -1)
		return fail_errno(file, err);
	if ((r = check_file(fd, file, err)) < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Files that a ring would replace must be captures, too. */
static int
check_ring(const char *file, unsigned files, struct error *err)
{
	char *name;
	struct stat st;
	int fd, r = 0;

	for (unsigned i = 1; i < files && r == 0; i++) {
		if (asprintf(&name, "%s.%u", file, i) < 0)
			return error_fail(err, -ENOMEM, "out of memory");
		fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			r = fail_errno(name, err);
		else if (fd >= 0 &&
		    (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
			(st.st_size > 0 && !is_capture(fd))))
			r = error_fail(err, -EEXIST,
			    "'%s' is there already, and is not a capture;"
			    " name another file",
			    name);
		else if (record_file_is_written(name))
			r = fail_written(name, err);
		if (fd >= 0)
			close(fd);
		free(name);
	}
	return r;
}

/* --- formatting ---------------------------------------------------------- */

/* Receives what libpcap writes. */
static ssize_t
on_output(void *cookie, const char *data, size_t len)
{
	struct buffer *out = cookie;
	size_t size = out->len + len;
	uint8_t *grown;

	if (size > out->size) {
		if ((grown = realloc(out->data, size)) == NULL)
			return 0;
		out->data = grown;
		out->size = size;
	}
	memcpy(out->data + out->len, data, len);
	out->len = size;
	return (ssize_t)len;
}

static void
format_end(void)
{
	if (capture.dumper != NULL)
		lib.dump_close(capture.dumper);
	else if (capture.stream != NULL)
		fclose(capture.stream);
	if (capture.pcap != NULL)
		lib.close(capture.pcap);
	free(capture.out.data);
	free(capture.record);
	memset(&capture.out, 0, sizeof(capture.out));
	capture.record = NULL;
	capture.record_size = 0;
	capture.stream = NULL;
	capture.dumper = NULL;
	capture.pcap = NULL;
}

static int
format_begin(struct error *err)
{
	const cookie_io_functions_t functions = { .write = on_output };

	capture.stream = fopencookie(&capture.out, "w", functions);
	capture.pcap = lib.open_dead(
	    PDU_LINKTYPE, PDU_SNAPLEN, PCAP_TSTAMP_PRECISION_NANO);
	if (capture.stream != NULL && capture.pcap != NULL) {
		setvbuf(capture.stream, NULL, _IONBF, 0);
		capture.dumper = lib.dump_fopen(capture.pcap, capture.stream);
	}
	if (capture.dumper == NULL || capture.out.len != FILE_HEADER) {
		format_end();
		return error_fail(err, -ENOMEM, "out of memory");
	}
	memcpy(capture.head, capture.out.data, FILE_HEADER);
	return 0;
}

const char *
capture_dissector(const struct framing_conf *conf)
{
	bool whole = conf->payload == PAYLOAD_WHOLE;

	return whole && conf->rule->dissector != NULL ? conf->rule->dissector
						      : "data";
}

/* --- frames -------------------------------------------------------------- */

/* Reserves space for a record with a payload of len bytes.  -ENOMEM. */
static int
reserve(size_t len)
{
	size_t size = PDU_TAGS_MAX + len;
	uint8_t *record;

	if (size <= capture.record_size)
		return 0;
	if ((record = realloc(capture.record, size)) == NULL)
		return -ENOMEM;
	capture.record = record;
	capture.record_size = size;
	return 0;
}

static bool
put_record(size_t len)
{
	struct pcap_pkthdr head = { .caplen =
					(bpf_u_int32)MIN(len, PDU_SNAPLEN),
		.len = (bpf_u_int32)len };
	struct timespec ts;
	struct iovec part;

	clock_gettime(CLOCK_REALTIME, &ts);
	head.ts.tv_sec = ts.tv_sec;
	head.ts.tv_usec =
	    ts.tv_nsec; /* nanoseconds, by the precision of the file */
	capture.out.len = 0;
	lib.dump((u_char *)capture.dumper, &head, capture.record);
	if (ferror(capture.stream)) {
		clearerr(capture.stream);
		return false;
	}
	part = (struct iovec){ capture.out.data, capture.out.len };
	if (!writer_put(capture.writer, &part, 1))
		return false;
	capture.frames++;
	capture.bytes += part.iov_len;
	return true;
}

/* note: "", or what is wrong with the payload, which then is not dissected. */
static void
put_frame(const struct framing_conf *framing, const char *from, const char *to,
    const uint8_t *payload, size_t len, const char *note)
{
	bool whole = *note == '\0';
	char way[640], protocol[680];
	size_t at;

	if (reserve(len) < 0) {
		capture.skipped++;
		return;
	}
	snprintf(way, sizeof(way), "%s > %s%s", from, to, note);
	snprintf(protocol, sizeof(protocol), "%s %s", framing->rule->name, way);
	at = pdu_put_tags(capture.record,
	    whole ? capture_dissector(framing) : "data", protocol, way);
	memcpy(capture.record + at, payload, len);
	if (!put_record(at + len))
		capture.skipped++;
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	(void)tap;
	put_frame(&from->conf->framing, from->link->name, to, payload, len, "");
}

static void
on_sent(struct tap *tap, const struct node *to, const uint8_t *payload,
    size_t len, const char *outcome)
{
	const struct endpoint_conf *conf = to->endpoint->conf;

	(void)tap, (void)outcome;
	put_frame(&conf->framing, "control", conf->name, payload, len, "");
}

static void
on_bad(struct tap *tap, const struct port *from, enum bad_reason reason,
    const uint8_t *data, size_t len, bool again)
{
	char note[48];

	(void)tap, (void)again;
	snprintf(note, sizeof(note), " bad: %s", bad_reason_names[reason]);
	put_frame(&from->conf->framing, from->link->name, "-", data, len, note);
}

/* --- start and stop ------------------------------------------------------ */

static void
label(const struct task *task, char *buf, size_t size)
{
	char much[16];

	(void)task;
	snprintf(buf, size, "%s to write to %s (%llu frames, %s bytes)",
	    capture.ending ? "the thread" : "frames,", capture.file,
	    (unsigned long long)capture.frames,
	    format_size(capture.bytes, much, sizeof(much)));
}

static void
on_cancel(struct task *task)
{
	(void)task;
	capture_stop("cancelled on the control port", NULL);
}

/* The writer has news: an error ends the capture. */
static void
on_changed(void *arg)
{
	struct writer_stats stats;

	(void)arg;
	writer_get(capture.writer, &stats);
	if (stats.error != 0)
		capture_stop(writer_error(stats.error), NULL);
}

static void
tell_waiters(int r)
{
	struct capture_waiter *w;

	while ((w = LIST_FIRST(&capture.waiters)) != NULL) {
		LIST_REMOVE(w, entry);
		w->done(w, r);
	}
}

/* Everything is written. */
static void
on_closed(void *arg)
{
	struct writer_stats stats;
	int r;

	(void)arg;
	writer_get(capture.writer, &stats);
	r = -stats.error;
	capture.writer = NULL;
	capture.ending = false;
	/* What was accepted, and could not be written. */
	capture.skipped += capture.frames - stats.records;
	capture.frames = stats.records;
	capture.bytes = stats.bytes + stats.begun * FILE_HEADER;
	capture.end_ns = now_ns();
	if (r < 0)
		snprintf(capture.why, sizeof(capture.why), "%s",
		    writer_error(stats.error));
	task_remove_why(&capture.task, capture.why);
	log_at(r < 0 ? LOG_WARNING : LOG_NOTICE,
	    "the capture to %s has ended: %s (%llu frames)", capture.file,
	    capture.why, (unsigned long long)capture.frames);
	tell_waiters(r);
}

/* Replaces the state of the last capture with that of a new one, to that file. */
static void
forget_last(char *path)
{
	free(capture.file);
	capture.file = path;
	capture.frames = capture.skipped = 0;
	capture.bytes = FILE_HEADER;
	capture.why[0] = '\0';
	capture.start_ns = now_ns();
}

/* Opens the files, and prepares to write to them. */
static int
open_writer(struct bridge *b, const struct capture_options *o,
    struct writer_file **ret, struct error *err)
{
	const struct writer_conf conf = {
		.path = o->file,
		.size = o->size,
		.files = o->files,
		.limit = WAITING_BYTES,
		.head = capture.head,
		.head_len = FILE_HEADER,
		.changed = on_changed,
		.closed = on_closed,
	};
	int fd, r;

	if ((r = check_ring(o->file, o->files, err)) < 0)
		return r;
	if ((fd = open_file(o->file, err)) < 0)
		return fd;
	if ((r = writer_open(b->base, &conf, fd, ret)) < 0)
		return error_fail(err, r, "'%s' cannot be written: %s", o->file,
		    strerror(-r));
	return 0;
}

int
capture_start(
    struct bridge *b, const struct capture_options *o, struct error *err)
{
	struct writer_file *writer;
	char *path;
	int r;

	if (capture.writer != NULL)
		return error_fail(err, -EBUSY,
		    "a capture to '%s' is on already", capture.file);
	if ((r = load_library(err)) < 0 || (r = format_begin(err)) < 0)
		return r;
	if ((path = strdup(o->file)) == NULL) {
		format_end();
		return error_fail(err, -ENOMEM, "out of memory");
	}
	if ((r = open_writer(b, o, &writer, err)) < 0) {
		format_end();
		free(path);
		return r;
	}
	forget_last(path);
	capture.writer = writer;
	capture.bridge = b;
	capture.tap = (struct tap){ .frame = on_frame,
		.sent = on_sent,
		.bad = o->all ? on_bad : NULL,
		.names = o->names };
	bridge_tap(b, &capture.tap);
	task_add(&capture.task, NULL, label, "capture.write");
	capture.task.cancel = on_cancel;
	TASK_SET(&capture.task, TASK_IDLE); /* it has no event of its own */
	log_at(LOG_NOTICE, "captures to %s", path);
	return 0;
}

bool
capture_stop(const char *why, struct capture_waiter *w)
{
	if (capture.writer == NULL)
		return false;
	if (!capture.ending) {
		bridge_untap(capture.bridge, &capture.tap);
		capture.bridge = NULL;
		format_end();
		snprintf(capture.why, sizeof(capture.why), "%s", why);
		capture.ending = true;
		TASK_SET(&capture.task, TASK_IDLE);
		writer_close(capture.writer);
	}
	if (w != NULL)
		LIST_INSERT_HEAD(&capture.waiters, w, entry);
	return true;
}

void
capture_get(struct capture_facts *ret)
{
	bool on = capture.writer != NULL;

	*ret = (struct capture_facts){
		.running = on,
		.ending = capture.ending,
		.file = on || capture.why[0] != '\0' ? capture.file : NULL,
		.why = on ? NULL : capture.why,
		.ns = (on ? now_ns() : capture.end_ns) - capture.start_ns,
		.frames = capture.frames,
		.bytes = capture.bytes,
		.skipped = capture.skipped,
	};
}

void
capture_free(void)
{
	capture_stop("the daemon has ended", NULL);
	writer_join();
	free(capture.file);
	capture.file = NULL;
	if (lib.handle != NULL)
		dlclose(lib.handle);
	lib.handle = NULL;
}
