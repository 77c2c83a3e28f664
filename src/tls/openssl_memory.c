/*
 * openssl_memory: OpenSSL's allocations, counted for the session in whose call they are
 * made.
 */
#include <malloc.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "openssl_parts.h"

__thread
    __attribute__((tls_model("initial-exec"))) struct session *openssl_current;

static void
count(void *p, bool freed)
{
	size_t size = malloc_usable_size(p);

	if (openssl_current == NULL)
		return;
	if (!freed)
		openssl_current->common.memory += size;
	else
		openssl_current->common.memory -=
		    MIN(size, openssl_current->common.memory);
}

static void *
get_memory(size_t size, const char *file, int line)
{
	void *p = malloc(size);

	(void)file, (void)line;
	count(p, false);
	return p;
}

static void *
resize_memory(void *old, size_t size, const char *file, int line)
{
	void *p;

	(void)file, (void)line;
	count(old, true);
	p = realloc(old, size);
	count(p != NULL ? p : old, false);
	return p;
}

static void
free_memory(void *p, const char *file, int line)
{
	(void)file, (void)line;
	count(p, true);
	free(p);
}

void
openssl_memory_start(void)
{
	CRYPTO_set_mem_functions(get_memory, resize_memory, free_memory);
}
