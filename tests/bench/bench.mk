# The benchmark and the regression guard.  Included by the Makefile; all of it goes to
# build/bench.  The limit is built for this very machine: it is what can be had here.

SUITES =
ROUNDS = 5
BENCH = build/bench
BENCH_COMMON = options.c result.c ports.c subject.c
BENCH_LOAD = $(addprefix tests/bench/,load.c traffic.c pattern.c wire.c \
	$(BENCH_COMMON))
BENCH_MASTERS = $(addprefix tests/bench/,masters.c crowd.c slave.c model.c \
	message.c $(BENCH_COMMON))
BENCH_LIMIT = $(addprefix tests/bench/,limit.c limit_ports.c limit_tls.c)
BENCH_TLS = -lssl -lcrypto
BENCH_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) -g

bench-tools: $(BENCH)/load $(BENCH)/masters $(BENCH)/limit $(BENCH)/codec $(BENCH)/spool_loop

$(BENCH)/load: $(BENCH_LOAD) $(wildcard tests/bench/*.h)
	@mkdir -p $(@D)
	$(CC) -O2 $(BENCH_CFLAGS) -o $@ $(BENCH_LOAD) $(BENCH_TLS)

$(BENCH)/masters: $(BENCH_MASTERS) $(wildcard tests/bench/*.h)
	@mkdir -p $(@D)
	$(CC) -O2 $(BENCH_CFLAGS) -o $@ $(BENCH_MASTERS)

$(BENCH)/limit: $(BENCH_LIMIT) tests/bench/limit.h
	@mkdir -p $(@D)
	$(CC) -O3 -march=native $(BENCH_CFLAGS) -o $@ $(BENCH_LIMIT) $(BENCH_TLS)

$(BENCH)/spool_loop: tests/bench/spool_loop.c src/base/checksum.c
	@mkdir -p $(@D)
	$(CC) -O2 $(BENCH_CFLAGS) -iquote src/base -o $@ $^

$(BENCH)/codec: tests/bench/codec.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(COMPILER) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(LIBOBJ) $(LIBS)

bench: deps-build
	$(MAKE) -j$(JOBS) all bench-tools
	@tests/bench/bench.py --rounds $(ROUNDS) $(if $(SUITES),--suites $(SUITES)) \
	    $(if $(JSON),--json $(JSON))
	@tests/bench/spool.py --rounds $(ROUNDS)

bench-clients: deps-build
	$(MAKE) -j$(JOBS) all bench-tools
	@tests/bench/clients.py --rounds $(ROUNDS)

bench-mqtt: deps
	$(MAKE) -j$(JOBS) all
	@tests/bench/mqtt.py --rounds $(ROUNDS)

.PHONY: bench bench-clients bench-mqtt bench-tools
