/*
 * capture: writes frames as records of the link type "Wireshark upper PDU": tags contain
 * the dissector for the payload, the framing, the source and the destinations, as defined
 * in Wireshark's epan/exported_pdu.h.
 *
 * The tap is called in the data path, so records are written to a buffer, which is
 * flushed by a timer once a second, and by the data path when it is full.  After an error
 * the event loop ends the capture, and a partially written record is removed.
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
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <pcap/pcap.h>

#include "capture.h"
#include "log.h"

#define LIBRARY "libpcap.so.0.8"
/* From https://www.tcpdump.org/linktypes.html. */
#define LINKTYPE_WIRESHARK_UPPER_PDU 252
#define SNAPLEN 262144 /* the maximum that Wireshark reads of a frame */
#define BUFFER_BYTES (256 * 1024)
#define TAGS_MAX 1536 /* of which the texts need at most 1240 */
#define FILE_HEADER sizeof(struct pcap_file_header)
#define RECORD_HEADER 16 /* two words of time stamp, caplen, len */

/* Tags of Wireshark's exported PDUs. */
enum tag {
	TAG_END = 0,
	TAG_DISSECTOR_NAME = 12,
	TAG_COL_PROT_TEXT = 33,
	TAG_COL_INFO_TEXT = 36,
};

static struct {
	void *handle;
	pcap_t *(*open_dead)(int, int, u_int);
	pcap_dumper_t *(*dump_fopen)(pcap_t *, FILE *);
	void (*dump)(u_char *, const struct pcap_pkthdr *, const u_char *);
	int (*dump_flush)(pcap_dumper_t *);
	void (*dump_close)(pcap_dumper_t *);
	void (*close)(pcap_t *);
} lib;

static const struct {
	const char *name;
	void *function;
} symbols[] = {
	{ "pcap_open_dead_with_tstamp_precision", &lib.open_dead },
	{ "pcap_dump_fopen", &lib.dump_fopen },
	{ "pcap_dump", &lib.dump },
	{ "pcap_dump_flush", &lib.dump_flush },
	{ "pcap_dump_close", &lib.dump_close },
	{ "pcap_close", &lib.close },
};

static struct {
	struct bridge *bridge; /* NULL: no capture is running */
	struct tap tap;
	char *file;
	FILE *stream;
	char *buffer; /* the buffer of the stream */
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	uint8_t *record; /* tags and payload, contiguous */
	size_t record_size;
	int error; /* error of writing */
	uint64_t frames, bytes;
	uint64_t safe_frames, safe_bytes; /* those already written */
	uint64_t start_ns, end_ns;
	char why[128];
	struct event *timer;
	struct task task;
} capture;

/* --- libpcap ------------------------------------------------------------- */

static int
load_library(struct error *err)
{
	void *symbol;

	if (lib.handle != NULL)
		return 0;
	if ((lib.handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL)) == NULL)
		return error_fail(err, -ELIBACC,
		    "libpcap is not there to write it: %s", dlerror());
	for (size_t i = 0; i < NELEM(symbols); i++) {
		if ((symbol = dlsym(lib.handle, symbols[i].name)) == NULL) {
			error_set(err, "libpcap is too old: %s", dlerror());
			dlclose(lib.handle);
			lib.handle = NULL;
			return -ELIBACC;
		}
		memcpy(symbols[i].function, &symbol, sizeof(symbol));
	}
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

	if (fstat(fd, &st) < 0)
		return fail_errno(file, err);
	if (st.st_size > 0 && !is_capture(fd))
		return error_fail(err, -EEXIST,
		    "'%s' is there already, and is not a capture", file);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return fail_errno(file, err);
		return error_fail(err, -EBUSY,
		    "'%s' is being written by another process", file);
	}
	return ftruncate(fd, 0) < 0 ? fail_errno(file, err) : 0;
}

static int
open_file(const char *file, struct error *err)
{
	struct stat st;
	int fd, r;

	/* Opening a device may have side effects. */
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		return error_fail(err, -EINVAL, "'%s' is not a file", file);
	fd = open(
	    file, O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
	if (fd == -1)
		return fail_errno(file, err);
	if ((r = check_file(fd, file, err)) < 0) {
		close(fd);
		return r;
	}
	if ((capture.stream = fdopen(fd, "w")) == NULL) {
		close(fd);
		return fail_errno(file, err);
	}
	return 0;
}

/* Flushes the buffer. */
static void
write_out(void)
{
	if (capture.error == 0 && lib.dump_flush(capture.dumper) < 0)
		capture.error = errno;
	if (capture.error != 0)
		return;
	capture.safe_frames = capture.frames;
	capture.safe_bytes = capture.bytes;
}

static int
start_dump(const char *file, struct error *err)
{
	/* setvbuf() ignores the size if it has to allocate the buffer. */
	if ((capture.buffer = malloc(2 * BUFFER_BYTES)) != NULL)
		setvbuf(
		    capture.stream, capture.buffer, _IOFBF, 2 * BUFFER_BYTES);
	capture.pcap = lib.open_dead(
	    LINKTYPE_WIRESHARK_UPPER_PDU, SNAPLEN, PCAP_TSTAMP_PRECISION_NANO);
	if (capture.buffer != NULL && capture.pcap != NULL)
		capture.dumper = lib.dump_fopen(capture.pcap, capture.stream);
	if (capture.dumper == NULL) {
		errno = ENOMEM;
		return fail_errno(file, err);
	}
	return lib.dump_flush(capture.dumper) < 0 ? fail_errno(file, err) : 0;
}

/* Removes a partially written record, which programs cannot read. */
static void
cut_file(void)
{
	int fd = fileno(capture.stream);
	uint32_t head[RECORD_HEADER / sizeof(uint32_t)];
	uint64_t end;
	struct stat st;

	__fpurge(capture.stream);
	if (fstat(fd, &st) < 0)
		st.st_size = 0;
	capture.frames = capture.safe_frames;
	capture.bytes = capture.safe_bytes;
	while (pread(fd, head, sizeof(head), (off_t)capture.bytes) ==
	    sizeof(head)) {
		end = capture.bytes + RECORD_HEADER + head[2]; /* caplen */
		if (end > (uint64_t)st.st_size)
			break;
		capture.bytes = end;
		capture.frames++;
	}
	if (ftruncate(fd, (off_t)capture.bytes) < 0)
		log_at(LOG_WARNING, "%s ends in half a frame", capture.file);
}

static void
close_file(void)
{
	if (capture.dumper != NULL)
		lib.dump_close(capture.dumper);
	else if (capture.stream != NULL)
		fclose(capture.stream);
	if (capture.pcap != NULL)
		lib.close(capture.pcap);
	free(capture.buffer);
	capture.buffer = NULL;
	capture.stream = NULL;
	capture.dumper = NULL;
	capture.pcap = NULL;
}

/* --- frames -------------------------------------------------------------- */

/* Appends a tag; its value is padded to a multiple of four bytes. */
static size_t
put_tag(uint8_t *to, size_t at, enum tag tag, const char *text)
{
	size_t len = strlen(text), padded = (len + 3) & ~(size_t)3;
	uint16_t head[2] = { htons((uint16_t)tag), htons((uint16_t)padded) };

	memcpy(to + at, head, sizeof(head));
	memset(to + at + sizeof(head), 0, padded);
	memcpy(to + at + sizeof(head), text, len);
	return at + sizeof(head) + padded;
}

/* The dissector for the payload of a framing. */
static const char *
dissector(const struct framing_conf *conf)
{
	bool whole = conf->payload == PAYLOAD_WHOLE;

	return whole && conf->rule->dissector != NULL ? conf->rule->dissector
						      : "data";
}

/* Reserves space for a record with a payload of len bytes.  -ENOMEM. */
static int
reserve(size_t len)
{
	size_t size = TAGS_MAX + len;
	uint8_t *record;

	if (size <= capture.record_size)
		return 0;
	if ((record = realloc(capture.record, size)) == NULL)
		return -ENOMEM;
	capture.record = record;
	capture.record_size = size;
	return 0;
}

static void
put_record(const uint8_t *data, size_t len)
{
	struct pcap_pkthdr head = { .caplen = (bpf_u_int32)MIN(len, SNAPLEN),
		.len = (bpf_u_int32)len };
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	head.ts.tv_sec = ts.tv_sec;
	head.ts.tv_usec =
	    ts.tv_nsec; /* nanoseconds, by the precision of the file */
	lib.dump((u_char *)capture.dumper, &head, data);
	capture.frames++;
	capture.bytes += RECORD_HEADER + head.caplen;
	if (ferror(capture.stream))
		capture.error = errno != 0 ? errno : EIO;
	else if (capture.bytes - capture.safe_bytes > BUFFER_BYTES)
		write_out();
}

/* Flushes in the next iteration of the loop after an error, or else in a second. */
static void
arm(void)
{
	const struct timeval second = { .tv_sec = 1 };

	if (capture.error != 0)
		event_active(capture.timer, EV_TIMEOUT, 1);
	else if (!event_pending(capture.timer, EV_TIMEOUT, NULL))
		event_add(capture.timer, &second);
	TASK_WAIT(&capture.task);
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	const struct framing_conf *framing = &from->conf->framing;
	char way[600], protocol[640];
	size_t at = 0;

	(void)tap;
	if (capture.error != 0)
		return;
	if (reserve(len) < 0) {
		write_out();
		if (capture.error == 0)
			capture.error = ENOMEM;
	} else {
		snprintf(way, sizeof(way), "%s > %s", from->link->name, to);
		/* TAG_COL_INFO_TEXT is supported by Wireshark 4.2 and later. */
		snprintf(protocol, sizeof(protocol), "%s %s",
		    framing->rule->name, way);
		at = put_tag(
		    capture.record, at, TAG_DISSECTOR_NAME, dissector(framing));
		at = put_tag(capture.record, at, TAG_COL_PROT_TEXT, protocol);
		at = put_tag(capture.record, at, TAG_COL_INFO_TEXT, way);
		at = put_tag(capture.record, at, TAG_END, "");
		memcpy(capture.record + at, payload, len);
		put_record(capture.record, at + len);
	}
	arm();
}

/* --- start and stop ------------------------------------------------------ */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	task_begin(&capture.task);
	write_out();
	TASK_SET(&capture.task, TASK_IDLE);
	if (capture.error != 0)
		capture_stop(strerror(capture.error));
	else
		task_end(&capture.task);
}

static void
label(const struct task *task, char *buf, size_t size)
{
	char much[16];

	(void)task;
	snprintf(buf, size, "%s, to write to %s (%llu frames, %s)",
	    task->state == TASK_IDLE ? "frames" : "a second to pass",
	    capture.file, (unsigned long long)capture.frames,
	    format_size(capture.bytes, much, sizeof(much)));
}

static void
on_cancel(struct task *task)
{
	(void)task;
	capture_stop("cancelled on the control port");
}

/* Replaces the state of the last capture with that of a new one, to that file. */
static void
forget_last(char *path)
{
	free(capture.file);
	capture.file = path;
	capture.error = 0;
	capture.frames = capture.safe_frames = 0;
	capture.bytes = capture.safe_bytes = FILE_HEADER;
	capture.why[0] = '\0';
	capture.start_ns = now_ns();
}

int
capture_start(
    struct bridge *b, const char *file, char **names, struct error *err)
{
	char *path;
	int r;

	if (capture.bridge != NULL)
		return error_fail(err, -EBUSY,
		    "a capture to '%s' is on already", capture.file);
	if ((r = load_library(err)) < 0)
		return r;
	if (capture.timer == NULL)
		capture.timer = evtimer_new(b->base, on_timer, NULL);
	path = strdup(file);
	if (capture.timer == NULL || path == NULL) {
		error_set(err, "out of memory");
		free(path);
		return -ENOMEM;
	}
	if ((r = open_file(file, err)) < 0 || (r = start_dump(file, err)) < 0) {
		close_file();
		free(path);
		return r;
	}
	forget_last(path);
	capture.bridge = b;
	capture.tap = (struct tap){ .frame = on_frame, .names = names };
	bridge_tap(b, &capture.tap);
	task_add(&capture.task, NULL, label, "capture.write");
	capture.task.cancel = on_cancel;
	TASK_SET(&capture.task, TASK_IDLE);
	log_at(LOG_NOTICE, "captures to %s", file);
	return 0;
}

int
capture_stop(const char *why)
{
	int r;

	if (capture.bridge == NULL)
		return 0;
	write_out();
	if ((r = -capture.error) < 0) {
		cut_file();
		why = strerror(-r);
	}
	bridge_untap(capture.bridge, &capture.tap);
	capture.bridge = NULL;
	event_del(capture.timer);
	task_remove(&capture.task);
	close_file();
	capture.end_ns = now_ns();
	snprintf(capture.why, sizeof(capture.why), "%s", why);
	log_at(r < 0 ? LOG_WARNING : LOG_NOTICE,
	    "the capture to %s has ended: %s (%llu frames)", capture.file, why,
	    (unsigned long long)capture.frames);
	return r;
}

void
capture_get(struct capture_facts *ret)
{
	bool on = capture.bridge != NULL;

	*ret = (struct capture_facts){
		.running = on,
		.file = on || capture.why[0] != '\0' ? capture.file : NULL,
		.why = on ? NULL : capture.why,
		.ns = (on ? now_ns() : capture.end_ns) - capture.start_ns,
		.frames = capture.frames,
		.bytes = capture.bytes,
	};
}

void
capture_free(void)
{
	capture_stop("the daemon has ended");
	if (capture.timer != NULL)
		event_free(capture.timer);
	capture.timer = NULL;
	free(capture.file);
	capture.file = NULL;
	free(capture.record);
	capture.record = NULL;
	capture.record_size = 0;
	if (lib.handle != NULL)
		dlclose(lib.handle);
	lib.handle = NULL;
}
