/*
 * handover_file: the file with the state that a bridge has in memory.
 *
 * The file contains a header (magic, length and checksum of the rest), the names and
 * numbers of descriptors, and the output of bridge_save().  It is a sealed memory file,
 * so that its contents cannot change after they were checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checksum.h"
#include "fdstore.h"
#include "handover_file.h"

/* The digit at the end is the version of the format. */
#define MAGIC "ttybho08"
#define MAGIC_LEN 8
#define HEAD_LEN (MAGIC_LEN + 2 * sizeof(uint64_t))
#define FILE_MAX ((size_t)1 << 31)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* The version of the format; 0: it is not a state file of a known version. */
static int
version_of(const uint8_t *data)
{
	int version = data[MAGIC_LEN - 1] - '0';

	if (memcmp(data, MAGIC, MAGIC_LEN - 1) != 0 || version < 1 ||
	    version > PACK_VERSION)
		return 0;
	return version;
}

int
handover_read(const uint8_t *data, size_t len, struct snapshot **ret,
    void (*descriptor)(const char *name, int fd))
{
	struct unpack u = { .at = data, .left = len };
	char name[KEEP_NAME_MAX];
	size_t n;
	int fd, version;

	if (len < HEAD_LEN || (version = version_of(data)) == 0)
		return -EINVAL;
	u.at += MAGIC_LEN;
	u.left -= MAGIC_LEN;
	if (unpack_number(&u) != len - HEAD_LEN ||
	    unpack_number(&u) != crc32_ieee(0, data + HEAD_LEN, len - HEAD_LEN))
		return -EINVAL;
	n = unpack_count(&u, 2 * sizeof(uint64_t));
	for (size_t i = 0; i < n; i++) {
		unpack_string(&u, name, sizeof(name));
		fd = (int)unpack_number_to(&u, INT32_MAX);
		if (!u.failed && descriptor != NULL)
			descriptor(name, fd);
	}
	return u.failed ? -EINVAL : snapshot_read(u.at, u.left, version, ret);
}

int
handover_load(int fd, uint8_t **ret, size_t *ret_len)
{
	uint8_t *data;
	struct stat st;
	size_t done = 0, size;
	ssize_t n;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    st.st_size <= 0 || (size_t)st.st_size > FILE_MAX)
		return -EINVAL;
	size = (size_t)st.st_size;
	if ((data = malloc(size)) == NULL)
		return -ENOMEM;
	while (done < size) {
		n = pread(fd, data + done, size - done, (off_t)done);
		if (n <= 0) {
			free(data);
			return n < 0 ? -errno : -EINVAL;
		}
		done += (size_t)n;
	}
	*ret = data;
	*ret_len = size;
	return 0;
}

static void
save_descriptors(struct pack *p)
{
	const struct kept *k;
	const struct left *l;
	uint64_t n = 0;

	TAILQ_FOREACH(k, keep_all(), entry)
		n++;
	TAILQ_FOREACH(l, left_all(), entry)
		n++;
	pack_number(p, n);
	TAILQ_FOREACH(k, keep_all(), entry) {
		pack_string(p, k->name);
		pack_number(p, (uint64_t)k->fd);
	}
	TAILQ_FOREACH(l, left_all(), entry) {
		pack_string(p, l->name);
		pack_number(p, (uint64_t)l->fd);
	}
}

static int
pack_file(const struct bridge *b, bool descriptors, struct pack *p)
{
	uint64_t head[2];

	pack_room(p, HEAD_LEN);
	if (descriptors)
		save_descriptors(p);
	else
		pack_number(p, 0);
	bridge_save(b, p);
	if (p->failed)
		return -ENOMEM;
	head[0] = p->len - HEAD_LEN;
	head[1] = crc32_ieee(0, p->data + HEAD_LEN, p->len - HEAD_LEN);
	memcpy(p->data, MAGIC, MAGIC_LEN);
	memcpy(p->data + MAGIC_LEN, head, sizeof(head));
	return 0;
}

static int
write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int
handover_make(const struct bridge *b, bool descriptors)
{
	struct pack p = { .data = NULL };
	int fd = -1, r = pack_file(b, descriptors, &p);

	if (r == 0) {
		fd = memfd_create("ttybridge", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		r = fd < 0 ? -errno : write_all(fd, p.data, p.len);
	}
	if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
		r = -errno;
	pack_free(&p);
	if (r == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return r;
}
