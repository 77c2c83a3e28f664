/*
 * block: a part of a draft, which can be left out as a whole.
 */
#include <stdlib.h>
#include <string.h>

#include "block.h"

struct block *
block_new(int line)
{
	struct block *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->line = line;
	b->f = open_memstream(&b->text, &b->len);
	if (b->f == NULL) {
		free(b);
		return NULL;
	}
	return b;
}

void
block_free(struct block *b)
{
	if (b == NULL)
		return;
	if (b->owns)
		block_free(b->shared);
	fclose(b->f);
	free(b->text);
	free(b);
}

/* Writes the lines of a block that is left out. */
static void
write_off(FILE *f, const char *text)
{
	size_t len;

	for (; *text != '\0'; text += len) {
		len = strcspn(text, "\n");
		fprintf(f, "%s%.*s\n", *text == '#' || len == 0 ? "" : "#",
		    (int)len, text);
		len += text[len] == '\n';
	}
}

static int
count_lines(const char *text)
{
	int n = 0;

	while ((text = strchr(text, '\n')) != NULL)
		text++, n++;
	return n;
}

int
block_write(struct block *b, FILE *f)
{
	struct block *s = b->shared;
	int n = count_lines(b->text);

	if (b->off)
		write_off(f, b->text);
	else
		fwrite(b->text, 1, b->len, f);
	if (s == NULL || (b->off ? !b->owns : s->written))
		return n;
	fputc('\n', f);
	if (b->off)
		write_off(f, s->text);
	else
		fwrite(s->text, 1, s->len, f);
	s->written = !b->off;
	return n + 1 + count_lines(s->text);
}
