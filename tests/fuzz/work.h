/* work: what the framings call in fuzz_work, which counts what it costs. */
#ifndef WORK_H
#define WORK_H

#include <stddef.h>
#include <string.h>

void *work_memchr(const void *p, int c, size_t len);
void *work_memrchr(const void *p, int c, size_t len);
void *work_memcpy(void *to, const void *from, size_t len);
void *work_memmove(void *to, const void *from, size_t len);
int work_memcmp(const void *a, const void *b, size_t len);

#ifndef WORK_ITSELF
#define memchr work_memchr
#define memrchr work_memrchr
#define memcpy work_memcpy
#define memmove work_memmove
#define memcmp work_memcmp
#endif

#endif
