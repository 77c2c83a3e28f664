# ttybridge: make help says what there is.
#
# Each set of flags builds in its own tree, build/$(FLAVOUR):
#   plain (as installed), san (ASan and UBSan), cov (gcov), fuzz (libFuzzer, clang)

VERSION = 0.1.0
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
FLAVOUR ?= plain
B = build/$(FLAVOUR)

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wformat=2 $(if $(WERROR),-Werror)
HARDEN = -fPIE -fstack-protector-strong -fstack-clash-protection \
	-D_FORTIFY_SOURCE=2
LIBS = -levent_core -levent_extra -lserialport -linih -lsystemd -ljansson

CFLAGS_plain = -O2 -g $(HARDEN)
LDFLAGS_plain = -pie -Wl,-z,relro,-z,now
CFLAGS_san = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
LDFLAGS_san = -fsanitize=address,undefined
CFLAGS_cov = -O0 -g --coverage
LDFLAGS_cov = --coverage
CFLAGS_fuzz = -O1 -g -fsanitize=fuzzer-no-link,address,undefined
LDFLAGS_fuzz = -fsanitize=fuzzer,address,undefined

ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS_$(FLAVOUR)) -D_GNU_SOURCE \
	-DVERSION='"$(VERSION)"' -DSYSCONFDIR='"$(SYSCONFDIR)"' \
	-ffile-prefix-map=$(CURDIR)/= $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS)

SRC = $(sort $(wildcard src/*.c))
OBJ = $(SRC:src/%.c=$(B)/%.o)
LIBOBJ = $(filter-out $(B)/main.o,$(OBJ))

all: $(B)/ttybridged

$(B)/ttybridged: $(OBJ)
	$(CC) $(ALL_LDFLAGS) -o $@ $(OBJ) $(LIBS)

$(B)/%.o: src/%.c | $(B)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B):
	mkdir -p $@

-include $(wildcard build/*/*.d)

clean:
	rm -rf build

.PHONY: all clean
