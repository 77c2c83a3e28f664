/*
 * origins: the file of sequences.
 *
 * The file is a head and records of 128 bytes, one for each origin.  A record is complete
 * before its check is stored, and its sequence is then updated with single stores, so that it
 * is valid whenever the process is killed.  A record of which the check is wrong is free.
 *
 * There is a record for each sending endpoint of this host (with an empty host), and for each
 * endpoint and boot of others that were heard.
 *
 * A client that may publish can invent any number of origins of other hosts.  So the records of
 * this host are never replaced.  When the table is full, SAMPLES of the other records are compared,
 * different ones each time, and the one that was not used for the longest time is replaced.  A
 * record that was used only once counts as ONCE_S older than it is, so that invented origins
 * replace each other.  The same order applies to the boots of an endpoint, of which at most
 * BOOTS_MAX are remembered.
 */
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "origins.h"

#define MAGIC "ttybrio1"
#define MAGIC_LEN 8
#define RECORDS_MIN 64
#define RECORDS_MAX 16384
/* How many records are compared before one is replaced. */
#define SAMPLES 64
/* How many boots of an endpoint are remembered. */
#define BOOTS_MAX 8
#define ONCE_S 86400
/* A sequence that leaves out more than this is not the next one of a sender that goes on. */
#define GAP_MAX ((uint64_t)1 << 32)
#define KERNEL_BOOT "/proc/sys/kernel/random/boot_id"
#define KERNEL_BOOT_MAX 40

struct head {
	char magic[MAGIC_LEN];
	uint64_t boot; /* of this host */
	char kernel[KERNEL_BOOT_MAX];
	uint64_t duplicate, missing, note;
	uint64_t spare[6];
};

struct record {
	char host[SITE_HOST_MAX];
	char endpoint[ENDPOINT_NAME_MAX];
	uint64_t boot, sequence;
	uint64_t used; /* CLOCK_REALTIME, seconds */
	uint64_t check;
};
_Static_assert(sizeof(struct head) == sizeof(struct record), "one size");

struct origins {
	LIST_ENTRY(origins) entry;
	unsigned users;
	char *path; /* NULL: in memory only */
	int fd;
	struct head *head; /* the records follow */
	size_t size;	   /* number of records that there is room for */
	size_t n;	   /* those before this one are used or were used */
	uint32_t *index;   /* hash table of numbers of records + 1 */
	size_t index_size; /* a power of two */
	uint64_t seed;	   /* of the hash table, odd */
	size_t sampled;	   /* how often records were compared */
};

/* All that are in files. */
static LIST_HEAD(, origins) opened = LIST_HEAD_INITIALIZER(opened);

/* --- records -------------------------------------------------------------- */

static struct record *
record_at(const struct origins *o, size_t i)
{
	return (struct record *)o->head + 1 + i;
}

static size_t
memory_size(size_t records)
{
	return sizeof(struct head) + records * sizeof(struct record);
}

static uint64_t
hash_string(uint64_t h, const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i] != '\0'; i++)
		h = (h ^ (uint8_t)s[i]) * 0x100000001b3;
	return (h ^ 0xff) * 0x100000001b3;
}

static uint64_t
hash_of_names(const char *host, const char *endpoint)
{
	uint64_t h = 0xcbf29ce484222325;

	h = hash_string(h, host, SITE_HOST_MAX);
	return hash_string(h, endpoint, ENDPOINT_NAME_MAX);
}

static uint64_t
record_hash(const struct record *r)
{
	uint64_t h = hash_of_names(r->host, r->endpoint);

	h = (h ^ r->boot) * 0x9e3779b97f4a7c15;
	return h ^ h >> 32;
}

/* The check also has to differ from that of zeroes. */
static bool
is_used(const struct record *r)
{
	return r->endpoint[0] != '\0' && r->check == ~record_hash(r) &&
	    memchr(r->host, '\0', sizeof(r->host)) != NULL &&
	    memchr(r->endpoint, '\0', sizeof(r->endpoint)) != NULL;
}

/* The place in the index from which all boots of an endpoint are searched; the seed makes it
 * unpredictable to other hosts. */
static size_t
place_of(const struct origins *o, const char *host, const char *endpoint)
{
	return (size_t)(hash_of_names(host, endpoint) * o->seed >> 32);
}

static uint32_t *
slot_of(const struct origins *o, const char *host, const char *endpoint,
    uint64_t boot)
{
	uint32_t *slot;
	const struct record *r;

	for (size_t i = place_of(o, host, endpoint);; i++) {
		slot = &o->index[i & (o->index_size - 1)];
		if (*slot == 0)
			return slot;
		r = record_at(o, *slot - 1);
		if (r->boot == boot && strcmp(r->endpoint, endpoint) == 0 &&
		    strcmp(r->host, host) == 0)
			return slot;
	}
}

/* Removes a record from the index; those after it move up, so that they are found. */
static void
remove_from_index(struct origins *o, size_t number)
{
	const struct record *r = record_at(o, number);
	size_t mask = o->index_size - 1, i, hole, place;
	uint32_t *slot;

	if (!is_used(r))
		return;
	slot = slot_of(o, r->host, r->endpoint, r->boot);
	if (*slot != number + 1)
		return;
	hole = i = (size_t)(slot - o->index);
	while (o->index[i = (i + 1) & mask] != 0) {
		r = record_at(o, o->index[i] - 1);
		place = place_of(o, r->host, r->endpoint);
		if (((i - place) & mask) < ((i - hole) & mask))
			continue;
		o->index[hole] = o->index[i];
		hole = i;
	}
	o->index[hole] = 0;
}

/* Builds the index of all records.  -ENOMEM. */
static int
make_index(struct origins *o)
{
	uint32_t *index = calloc(2 * o->size, sizeof(*index));
	const struct record *r;

	if (index == NULL)
		return -ENOMEM;
	free(o->index);
	o->index = index;
	o->index_size = 2 * o->size;
	for (size_t i = 0; i < o->n; i++) {
		r = record_at(o, i);
		if (is_used(r))
			*slot_of(o, r->host, r->endpoint, r->boot) =
			    (uint32_t)i + 1;
	}
	return 0;
}

/* --- memory and file ------------------------------------------------------- */

/* The file gets its blocks now: later there might be none, which would be a SIGBUS. */
static struct head *
map_file(int fd, size_t records)
{
	void *p;
	int e = posix_fallocate(fd, 0, (off_t)memory_size(records));

	if (e != 0) {
		errno = e;
		return NULL;
	}
	p = mmap(NULL, memory_size(records), PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void
unmap(struct origins *o)
{
	if (o->fd >= 0)
		munmap(o->head, memory_size(o->size));
	else
		free(o->head);
}

/* Doubles the number of records, up to the maximum; -errno: it stays as it is. */
static int
grow(struct origins *o)
{
	size_t size = 2 * o->size;
	struct head *head;

	if (size > RECORDS_MAX)
		return -ENOSPC;
	if (o->fd >= 0)
		head = map_file(o->fd, size);
	else if ((head = calloc(1, memory_size(size))) != NULL)
		memcpy(head, o->head, memory_size(o->size));
	if (head == NULL)
		return -errno;
	unmap(o);
	o->head = head;
	o->size = size;
	return make_index(o);
}

/* Of every step-th record, those of this host excepted, the one that was not used for the longest
 * time; n if there is none. */
static size_t
oldest(const struct origins *o, size_t first, size_t step)
{
	size_t found = o->n;

	for (size_t i = first; i < o->n; i += step)
		if (record_at(o, i)->host[0] != '\0' &&
		    (found == o->n ||
			record_at(o, i)->used < record_at(o, found)->used))
			found = i;
	return found;
}

/* The number of the record that a new origin replaces. */
static size_t
replaceable(struct origins *o)
{
	size_t step = MAX(o->n / SAMPLES, (size_t)1);
	size_t found = oldest(o, o->sampled++ % step, step);

	if (found == o->n)
		found = oldest(o, 0, 1);
	return found < o->n ? found : 0;
}

/* The number of boots of an endpoint; *ret_oldest: the record that was not used for the longest
 * time, unchanged if there is none. */
static unsigned
boots_of(const struct origins *o, const char *host, const char *endpoint,
    size_t *ret_oldest)
{
	size_t mask = o->index_size - 1, i = place_of(o, host, endpoint);
	const struct record *r;
	unsigned n = 0;

	for (; o->index[i & mask] != 0; i++) {
		r = record_at(o, o->index[i & mask] - 1);
		if (strcmp(r->endpoint, endpoint) != 0 ||
		    strcmp(r->host, host) != 0)
			continue;
		if (n++ == 0 || r->used < record_at(o, *ret_oldest)->used)
			*ret_oldest = o->index[i & mask] - 1;
	}
	return n;
}

/* The number of a record for a new origin.  boots, oldest_boot: as boots_of() returns them. */
static size_t
take_record(struct origins *o, unsigned boots, size_t oldest_boot)
{
	size_t i;

	if (boots < BOOTS_MAX && (o->n < o->size || grow(o) == 0))
		return o->n++;
	i = boots < BOOTS_MAX ? replaceable(o) : oldest_boot;
	remove_from_index(o, i);
	return i;
}

/*
 * The record of that origin, which may be a new one; *ret_boots: of how many boots there were
 * records then.
 */
static struct record *
find(struct origins *o, const char *host, const char *endpoint, uint64_t boot,
    bool *ret_new, unsigned *ret_boots)
{
	uint32_t *slot = slot_of(o, host, endpoint, boot);
	size_t oldest_boot = 0, i;
	struct record *r;

	*ret_new = *slot == 0;
	if (*slot != 0)
		return record_at(o, *slot - 1);
	*ret_boots = boots_of(o, host, endpoint, &oldest_boot);
	i = take_record(o, *ret_boots, oldest_boot);
	r = record_at(o, i);
	memset(r, 0, sizeof(*r));
	snprintf(r->host, sizeof(r->host), "%s", host);
	snprintf(r->endpoint, sizeof(r->endpoint), "%s", endpoint);
	r->boot = boot;
	__atomic_store_n(&r->check, ~record_hash(r), __ATOMIC_RELEASE);
	*slot_of(o, host, endpoint, boot) = (uint32_t)i + 1;
	return r;
}

/* --- opening --------------------------------------------------------------- */

static void
kernel_boot(char *buf)
{
	int fd = open(KERNEL_BOOT, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, KERNEL_BOOT_MAX - 1) : 0;

	buf[MAX(n, (ssize_t)0)] = '\0';
	if (fd >= 0)
		close(fd);
}

static uint64_t
random_number(void)
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		n = (now_ns() ^ (uint64_t)getpid() << 48) * 0x9e3779b97f4a7c15;
	return n;
}

/* Restarts the sequences of this host at 1, unless they are those of this boot. */
static void
begin_boot(struct origins *o)
{
	struct head *head = o->head;
	char kernel[KERNEL_BOOT_MAX] = { 0 };
	struct record *r;

	kernel_boot(kernel);
	if (memcmp(head->magic, MAGIC, MAGIC_LEN) == 0 &&
	    memcmp(head->kernel, kernel, sizeof(kernel)) == 0 &&
	    *kernel != '\0')
		return;
	if (memcmp(head->magic, MAGIC, MAGIC_LEN) != 0)
		memset(head, 0, memory_size(o->size));
	for (size_t i = 0; i < o->size; i++)
		if ((r = record_at(o, i))->host[0] == '\0')
			memset(r, 0, sizeof(*r));
	head->boot = random_number();
	memcpy(head->kernel, kernel, sizeof(kernel));
	memcpy(head->magic, MAGIC, MAGIC_LEN);
}

static struct origins *
origins_new(int fd, const char *path, struct head *head, size_t size)
{
	struct origins *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->users = 1;
	o->fd = fd;
	o->head = head;
	o->size = size;
	o->seed = random_number() | 1;
	begin_boot(o);
	for (size_t i = 0; i < size; i++)
		if (is_used(record_at(o, i)))
			o->n = i + 1;
	if (make_index(o) < 0 ||
	    (path != NULL && (o->path = strdup(path)) == NULL)) {
		free(o->index);
		free(o);
		return NULL;
	}
	if (path != NULL)
		LIST_INSERT_HEAD(&opened, o, entry);
	return o;
}

static int
open_file(const char *dir, const char *path, struct error *err)
{
	int fd;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_fail(
		    err, -errno, "cannot create %s: %s", dir, strerror(errno));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_fail(
		    err, -errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	close(fd);
	return error_fail(err, -EBUSY, "another daemon uses %s", path);
}

/* The number of records that the file is mapped with: at least those that it has. */
static size_t
records_in(int fd)
{
	struct stat st;
	size_t n = RECORDS_MIN;

	if (fstat(fd, &st) < 0)
		return RECORDS_MIN;
	while (n < RECORDS_MAX && memory_size(n) < (size_t)st.st_size)
		n *= 2;
	return n;
}

static int
open_in(
    const char *dir, const char *name, struct origins **ret, struct error *err)
{
	char path[512];
	struct origins *o;
	struct head *head;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	LIST_FOREACH(o, &opened, entry)
	if (strcmp(o->path, path) == 0) {
		o->users++;
		*ret = o;
		return 0;
	}
	if ((fd = open_file(dir, path, err)) < 0)
		return fd;
	if ((head = map_file(fd, records_in(fd))) == NULL) {
		error_set(err, "cannot write %s: %s", path, strerror(errno));
		close(fd);
		return -EIO;
	}
	if ((*ret = origins_new(fd, path, head, records_in(fd))) != NULL)
		return 0;
	munmap(head, memory_size(records_in(fd)));
	close(fd);
	return -ENOMEM;
}

int
origins_open(
    const char *dir, const char *name, struct origins **ret, struct error *err)
{
	struct head *head;
	int r = -ENOENT;

	error_clear(err);
	if (dir != NULL)
		r = open_in(dir, name, ret, err);
	if (r == 0 || r == -EBUSY || r == -ENOMEM)
		return r;
	if ((head = calloc(1, memory_size(RECORDS_MIN))) == NULL)
		return -ENOMEM;
	if ((*ret = origins_new(-1, NULL, head, RECORDS_MIN)) != NULL)
		return 0;
	free(head);
	return -ENOMEM;
}

void
origins_close(struct origins *o)
{
	if (o == NULL || --o->users > 0)
		return;
	unmap(o);
	if (o->path != NULL)
		LIST_REMOVE(o, entry);
	if (o->fd >= 0)
		close(o->fd);
	free(o->path);
	free(o->index);
	free(o);
}

/* --- sequences -------------------------------------------------------------- */

static uint64_t
realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void
origins_next(struct origins *o, const char *endpoint, struct origin *ret)
{
	struct record *r;
	unsigned boots;
	bool created;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->endpoint, endpoint,
	    strnlen(endpoint, sizeof(ret->endpoint) - 1));
	ret->boot = o->head->boot;
	ret->time_ns = realtime_ns();
	r = find(o, "", endpoint, ret->boot, &created, &boots);
	r->used = ret->time_ns / NSEC_PER_SEC;
	__atomic_store_n(&r->sequence, r->sequence + 1, __ATOMIC_RELAXED);
	ret->sequence = r->sequence;
}

enum origin_verdict
origins_received(struct origins *o, const struct origin_name *name, bool gaps)
{
	struct head *head = o->head;
	uint64_t last;
	struct record *r;
	unsigned boots;
	bool created;

	if (name->boot == head->boot && strcmp(name->host, site_host()) == 0)
		return ORIGIN_OWN;
	r = find(o, name->host, name->endpoint, name->boot, &created, &boots);
	head = o->head;
	last = r->sequence;
	if (!created && name->sequence <= last) {
		head->duplicate++;
		return ORIGIN_REPEATED;
	}
	/* What was sent before the first frame that is heard was not for this host. */
	if (created && boots == 0)
		last = name->sequence - 1;
	if (!gaps && name->sequence > last && name->sequence - last <= GAP_MAX)
		head->missing += name->sequence - last - 1;
	r->used = realtime_ns() / NSEC_PER_SEC - (created ? ONCE_S : 0);
	__atomic_store_n(&r->sequence, name->sequence, __ATOMIC_RELAXED);
	return ORIGIN_NEW;
}

uint64_t
origins_duplicate(const struct origins *o)
{
	return o->head->duplicate;
}

uint64_t
origins_missing(const struct origins *o)
{
	return o->head->missing;
}

uint64_t
origins_note(const struct origins *o)
{
	return o->head->note;
}

void
origins_set_note(struct origins *o, uint64_t note)
{
	o->head->note = note;
}
