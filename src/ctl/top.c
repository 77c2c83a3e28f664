/*
 * top: the endpoints, routes and tasks of a daemon on the whole screen.
 *
 * Once a second each table is asked for; in between, keys are read.  The overview shows
 * the beginning of each table, and each view one of them, with all its rows.
 */
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The functions instead of macros, some of which have common names. */
#define NCURSES_NOMACROS
#include <curses.h>

#include "terminal.h"
#include "top.h"
#include "top_views.h"

#define USAGE "top [-d SECONDS]"
#define OVERVIEW NVIEWS
#define TIMEOUT_MS 5000
/* The last column is not shown in less, and others do not grow at its expense below. */
#define LAST_MIN 8
#define LAST_GOOD 16
#define COLUMNS_MAX 16
/* So many characters of it are left out, or shown again, by an arrow. */
#define SHIFT 16
/* The escape key is not the beginning of a sequence after so many milliseconds. */
#define ESCAPE_MS 50

static struct {
	struct ctl *ctl;
	struct connection *connection; /* NULL: lost */
	uint64_t interval_ns, next_ns; /* of the samples */
	size_t view;
	size_t shift; /* characters of the last column that are left out */
	bool utf8, paused, help, typing; /* typing: the filter */
	char lost[ERROR_MAX];		 /* why the connection was lost */
} top;

static const char *const help_lines[] = {
	"0, Tab      the overview; the next view",
	"1 2 3 4     endpoints, routes, tasks, warnings",
	"s, r        sort by the next column; reverse the order",
	"/           filter: rows with this text; Esc ends it",
	"space, p    pause",
	"+ -         sample less often, more often",
	"up, down, Page Up, Page Down, Home",
	"left, right the rest of a long last column",
	"            B/S: bytes a second, QUEUED: bytes; K is 1024",
	"q           quit",
	NULL,
};

/* --- drawing --------------------------------------------------------------- */

static void
put(int y, int x, int attributes, const char *text)
{
	if (y >= LINES || x >= COLS)
		return;
	attron(attributes);
	mvaddstr(y, x, text);
	attroff(attributes);
}

/* A line of at most the width of the screen, which is not left of the cursor. */
static void put_line(int y, int attributes, const char *fmt, ...) PRINTF(3, 4);
static void
put_line(int y, int attributes, const char *fmt, ...)
{
	char text[1024], shown[1024], fitted[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printable(text, shown, sizeof(shown));
	fit_text(shown, (size_t)COLS, false, fitted, sizeof(fitted));
	put(y, 0, attributes, fitted);
}

/* Nothing may be known of a column, as of warnings in an older daemon. */
static bool
is_hidden(const struct samples *s, const struct column *column)
{
	return COLS < column->from ||
	    (s->nrows > 0 &&
		json_object_get(s->rows[0].now, column->member) == NULL);
}

/* Columns of text grow in their order, as long as there is room. */
static void
set_widths(const struct samples *s, int widths[COLUMNS_MAX])
{
	int room = COLS, grown;

	for (int i = 0; s->columns[i].title != NULL; i++) {
		const struct column *c = &s->columns[i];

		widths[i] = is_hidden(s, c) ? -1 : c->width;
		if (widths[i] > 0)
			room -= c->width + 1;
	}
	if (room >= LAST_MIN)
		room -= LAST_GOOD;
	for (int i = 0; s->columns[i].title != NULL; i++) {
		const struct column *c = &s->columns[i];

		if (widths[i] <= 0 || c->most == 0 || room <= 0)
			continue;
		grown = MIN((int)samples_longest(s, c), c->most) - c->width;
		grown = MAX(MIN(grown, room), 0);
		widths[i] += grown;
		room -= grown;
	}
}

static int
state_attributes(const json_t *row)
{
	const char *state = json_string_value(json_object_get(row, "state"));

	if (state == NULL)
		return 0;
	if (strcmp(state, "lost") == 0)
		return COLOR_PAIR(1) | A_BOLD;
	return strcmp(state, "up") == 0 ? COLOR_PAIR(2) : 0;
}

/* Draws a row, or without one the titles. */
static void
draw_cells(
    const struct samples *s, const int *widths, int y, const struct row *row)
{
	char cell[SAMPLES_CELL_MAX], fitted[2 * SAMPLES_CELL_MAX];
	int x = 0, width, attributes;
	const char *text;

	for (int i = 0; s->columns[i].title != NULL && x < COLS; i++) {
		const struct column *c = &s->columns[i];

		if (widths[i] < 0 || (widths[i] == 0 && COLS - x < LAST_MIN))
			continue;
		width = widths[i] > 0 ? MIN(widths[i], COLS - x) : COLS - x;
		if (row != NULL)
			samples_cell(row, c, top.utf8, cell, sizeof(cell));
		else
			snprintf(cell, sizeof(cell), "%s", c->title);
		text = row != NULL && c->width == 0
		    ? skip_characters(cell, top.shift)
		    : cell;
		fit_text(text, (size_t)width,
		    c->kind != CELL_TEXT && c->kind != CELL_HISTORY, fitted,
		    sizeof(fitted));
		attributes = row == NULL ? A_REVERSE : 0;
		if (row == NULL && i == s->sort)
			attributes |= A_BOLD | A_UNDERLINE;
		if (row != NULL && strcmp(c->member, "state") == 0)
			attributes = state_attributes(row->now);
		if (row != NULL && strcmp(c->member, "warn") == 0 &&
		    json_is_string(json_object_get(row->now, c->member)))
			attributes = COLOR_PAIR(1) | A_BOLD;
		put(y, x, attributes, fitted);
		x += width + 1;
	}
}

/* Draws the heading, and the rows from view->top on, in so many lines. */
static void
draw_view(struct view *view, int y, int lines)
{
	struct samples *s = &view->samples;
	size_t room = lines > 1 ? (size_t)lines - 1 : 0, i;
	int widths[COLUMNS_MAX];

	if (lines < 2)
		return;
	if (view->top + room > s->nshown)
		view->top = s->nshown > room ? s->nshown - room : 0;
	set_widths(s, widths);
	put_line(y, A_REVERSE, "%s", "");
	draw_cells(s, widths, y++, NULL);
	for (i = view->top; i < s->nshown && room > 0; i++, room--)
		draw_cells(s, widths, y++, &s->rows[s->shown[i]]);
	if (i < s->nshown)
		put_line(y - 1, A_DIM, "(%zu more)", s->nshown - i + 1);
	else if (view->missing)
		put(y, 0, A_DIM, "the daemon is of a version without these");
	else if (s->nshown == 0)
		put(y, 0, A_DIM,
		    s->nrows > 0 ? "none passes the filter" : "none");
}

/*
 * The lines of each table in the overview: what they need, if there is room, otherwise
 * half of what is left for the first ones.
 */
static void
draw_overview(int y, int lines)
{
	for (int i = 0; i < VIEW_WARNINGS && lines > 1; i++) {
		size_t need = MAX(views[i].samples.nshown, (size_t)1) + 1;
		int left = VIEW_WARNINGS - 1 - i;
		int share = left > 0 ? MAX(lines * 2 / (left + 3), 3) : lines;

		share = MIN((int)MIN(need, (size_t)lines), share);
		views[i].top = 0;
		draw_view(&views[i], y, share);
		y += share;
		lines -= share;
	}
}

static void
draw_summary(void)
{
	char rx[24], tx[24], warnings[32] = "";

	if (summary.warnings > 0)
		snprintf(warnings, sizeof(warnings), ", %zu warning%s",
		    summary.warnings, summary.warnings == 1 ? "" : "s");
	put_line(0, A_BOLD, "%s, up %s, %zu of %zu endpoints up%s%s",
	    summary.daemon, summary.uptime, summary.up, summary.endpoints,
	    warnings, top.paused ? "  [paused]" : "");
	format_size(whole_part(summary.rx), rx, sizeof(rx));
	format_size(whole_part(summary.tx), tx, sizeof(tx));
	put_line(1, 0,
	    "in %sB/s, out %sB/s, dropped %.0f frames (%.1f a second)", rx, tx,
	    summary.dropped, summary.dropping);
	if (top.connection == NULL)
		put_line(
		    1, COLOR_PAIR(1) | A_BOLD, "tries again: %s", top.lost);
}

static void
draw_bottom(void)
{
	const struct view *view =
	    &views[top.view == OVERVIEW ? VIEW_ENDPOINTS : top.view];
	const struct samples *s = &view->samples;

	if (top.typing)
		put_line(LINES - 1, A_REVERSE, "filter: %s_", s->filter);
	else
		put_line(LINES - 1, A_REVERSE,
		    "%s | q quit  h help  Tab next  s sort%s%s%s  / filter%s%s"
		    "  space pause",
		    top.view == OVERVIEW ? "overview" : view->name,
		    s->sort >= 0 ? ": " : "",
		    s->sort >= 0 ? s->columns[s->sort].title : "",
		    s->reverse ? " reversed" : "",
		    s->filter[0] != '\0' ? ": " : "", s->filter);
}

static void
draw(void)
{
	int lines = LINES - 3;

	erase();
	draw_summary();
	if (top.help)
		for (int i = 0; help_lines[i] != NULL; i++)
			put(3 + i, 2, 0, help_lines[i]);
	else if (top.view == OVERVIEW)
		draw_overview(2, lines);
	else
		draw_view(&views[top.view], 2, lines);
	draw_bottom();
	refresh();
}

/* --- samples --------------------------------------------------------------- */

static void
lose(const struct error *err)
{
	connection_close(top.connection);
	top.connection = NULL;
	snprintf(top.lost, sizeof(top.lost), "%s", err->text);
}

static void
sample(void)
{
	struct error err;

	if (top.connection == NULL) {
		if (connection_open(&top.ctl->target, TIMEOUT_MS,
			&top.connection, &err) < 0) {
			lose(&err);
			return;
		}
		/* Of another process perhaps, with other counters and commands. */
		for (size_t i = 0; i < NVIEWS; i++)
			views[i].missing = false;
	}
	top.connection->timeout_ms = TIMEOUT_MS;
	if (views_take(top.connection, &err) < 0)
		lose(&err);
}

/* --- keys ------------------------------------------------------------------ */

/* In the overview, order and filter are those of all tables. */
static void
arrange(void (*change)(struct samples *))
{
	for (size_t i = 0; i < NVIEWS; i++) {
		if (top.view != OVERVIEW && top.view != i)
			continue;
		change(&views[i].samples);
		samples_arrange(&views[i].samples);
		views[i].top = 0;
	}
}

static void
reverse(struct samples *s)
{
	s->reverse = !s->reverse;
}

static void
clear_filter(struct samples *s)
{
	s->filter[0] = '\0';
}

static int typed;
static void
type_filter(struct samples *s)
{
	size_t len = strlen(s->filter);

	if (typed != 0 && len + 1 < sizeof(s->filter)) {
		s->filter[len] = (char)typed;
		s->filter[len + 1] = '\0';
	} else if (typed == 0 && len > 0)
		s->filter[len - 1] = '\0';
}

static void
filter_key(int key)
{
	if (key == 27) {
		arrange(clear_filter);
		top.typing = false;
	} else if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		top.typing = false;
	} else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
		typed = 0;
		arrange(type_filter);
	} else if (key >= ' ' && key < 256) {
		typed = key;
		arrange(type_filter);
	}
}

static void
scroll_key(int key)
{
	struct view *view;
	size_t page = LINES > 5 ? (size_t)LINES - 5 : 1;

	if (top.view == OVERVIEW)
		top.view = VIEW_ENDPOINTS;
	view = &views[top.view];
	switch (key) {
	case KEY_DOWN:
		view->top++;
		break;
	case KEY_UP:
		view->top -= MIN(view->top, (size_t)1);
		break;
	case KEY_NPAGE:
		view->top += page;
		break;
	case KEY_PPAGE:
		view->top -= MIN(view->top, page);
		break;
	default:
		view->top = 0;
	}
}

static void
change_interval(bool more)
{
	if (more && top.interval_ns < 60 * NSEC_PER_SEC)
		top.interval_ns *= 2;
	if (!more && top.interval_ns > NSEC_PER_SEC / 4)
		top.interval_ns /= 2;
	top.next_ns = now_ns() + top.interval_ns;
}

/* Returns false when the user leaves. */
static bool
take_key(int key)
{
	if (top.typing) {
		filter_key(key);
		return true;
	}
	if (top.help && key != 'q') {
		top.help = false;
		return true;
	}
	if (key >= '0' && key <= '0' + NVIEWS) {
		top.view = key == '0' ? OVERVIEW : (size_t)(key - '1');
		return true;
	}
	switch (key) {
	case 'q':
		return false;
	case 'h':
	case '?':
		top.help = true;
		break;
	case '\t':
		top.view = (top.view + 1) % (NVIEWS + 1);
		break;
	case 's':
		arrange(samples_next_sort);
		break;
	case 'r':
		arrange(reverse);
		break;
	case '/':
		top.typing = true;
		break;
	case 27:
		arrange(clear_filter);
		break;
	case ' ':
	case 'p':
		top.paused = !top.paused;
		break;
	case '+':
	case '-':
		change_interval(key == '+');
		break;
	case KEY_RIGHT:
		top.shift += SHIFT;
		break;
	case KEY_LEFT:
		top.shift -= MIN(top.shift, (size_t)SHIFT);
		break;
	case KEY_UP:
	case KEY_DOWN:
	case KEY_NPAGE:
	case KEY_PPAGE:
	case KEY_HOME:
		scroll_key(key);
		break;
	default:
		break;
	}
	return true;
}

static void
loop(void)
{
	uint64_t now;
	int key = ERR;

	do {
		now = now_ns();
		if (!top.paused && now >= top.next_ns) {
			sample();
			top.next_ns = now_ns() + top.interval_ns;
		}
		draw();
		now = now_ns();
		/* Not longer, as a signal may come before the wait. */
		timeout(top.next_ns > now && !top.paused
			? (int)MIN((top.next_ns - now) / NSEC_PER_MSEC + 1,
			      (uint64_t)250)
			: 250);
		key = getch();
	} while (connection_stop == 0 && (key == ERR || take_key(key)));
}

/* --- start ----------------------------------------------------------------- */

static int
start_screen(void)
{
	SCREEN *screen;

	setlocale(LC_ALL, "");
	top.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	if ((screen = newterm(NULL, stdout, stdin)) == NULL)
		return ctl_fail("the terminal '%s' is not known; set TERM to "
				"its type, such as xterm",
		    getenv("TERM") != NULL ? getenv("TERM") : "");
	set_term(screen);
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	set_escdelay(ESCAPE_MS);
	curs_set(0);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_RED, -1);
		init_pair(2, COLOR_GREEN, -1);
	}
	return EXIT_SUCCESS;
}

static int
read_arguments(int argc, char **argv)
{
	uint64_t ns;
	int c;

	top.interval_ns = NSEC_PER_SEC;
	opterr = 0;
	while ((c = getopt(argc, argv, "d:")) != -1) {
		if (c != 'd')
			return ctl_usage(USAGE, "wrong option '-%c'", optopt);
		if (parse_time(optarg, &ns) < 0 || ns < NSEC_PER_SEC / 10 ||
		    ns > 3600 * NSEC_PER_SEC)
			return ctl_usage(USAGE,
			    "'%s' is not a time from 0.1 to 3600 seconds",
			    optarg);
		top.interval_ns = ns;
	}
	if (optind != argc)
		return ctl_usage(
		    USAGE, "too many arguments, from '%s' on", argv[optind]);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return ctl_usage(USAGE,
		    "this is not a terminal; endpoints, routes and ps are for"
		    " scripts");
	return EXIT_SUCCESS;
}

int
top_main(struct ctl *ctl, int argc, char **argv)
{
	int r = read_arguments(argc, argv);

	if (r != EXIT_SUCCESS)
		return r;
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	top.ctl = ctl;
	top.connection = ctl->connection;
	ctl->connection = NULL;
	top.view = OVERVIEW;
	if ((r = start_screen()) == EXIT_SUCCESS) {
		/* After ncurses, which has handlers of its own. */
		terminal_signals();
		loop();
		endwin();
	}
	connection_close(top.connection);
	views_free();
	terminal_raise();
	return r;
}
