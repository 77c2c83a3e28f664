/*
 * handover_file: the file with what a bridge has in memory, written by one process and
 * read by the next.
 */
#ifndef HANDOVER_FILE_H
#define HANDOVER_FILE_H

#include "restore.h"

/*
 * Writes the file, with the numbers of the open descriptors if they are to stay open
 * through exec().  Returns its descriptor, or -errno.
 */
int handover_make(const struct bridge *b, bool descriptors);
/* All of such a file, to be freed.  -EINVAL: it is not one, or not sealed; -errno. */
int handover_load(int fd, uint8_t **ret, size_t *ret_len);
/*
 * Reads what was loaded, which must stay valid as long as the snapshot.  descriptor, which
 * may be NULL, is told of each descriptor in it.  As snapshot_read().
 */
int handover_read(const uint8_t *data, size_t len, struct snapshot **ret,
    void (*descriptor)(const char *name, int fd));

#endif
