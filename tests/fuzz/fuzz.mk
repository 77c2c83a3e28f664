# The fuzz targets.  Included by the Makefile; with libFuzzer they go to build/fuzz/fuzzer,
# with a main() that replays files, for any compiler, to build/FLAVOUR/replay.

FUZZ = $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZED = $(LIBOBJ)

fuzzers: $(FUZZ:%=build/fuzz/fuzzer/%)
replays: $(FUZZ:%=$(B)/replay/%)

build/fuzz/fuzzer/%: tests/fuzz/%.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)clang $(ALL_CFLAGS) -fsanitize=fuzzer $(SAN) -o $@ $< \
	    $(FUZZED) $(LIBS)

$(B)/replay/%: tests/fuzz/%.c tests/fuzz/replay.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< \
	    tests/fuzz/replay.c $(FUZZED) $(LIBS)

# For fuzz_work the framings are compiled so that they count what they do.  The function that
# the compiler calls is renamed, as libFuzzer defines one of that name.
WORK = $(patsubst src/%.c,$(B)/work/%.o,$(wildcard src/framing/*.c) src/base/checksum.c)
$(B)/work/%.o: src/%.c tests/fuzz/work.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) -fsanitize-coverage=trace-pc \
	    -include tests/fuzz/work.h -MMD -MP -c -o $@ $<
	$(Q)objcopy --redefine-sym __sanitizer_cov_trace_pc=work_block $@
$(B)/replay/fuzz_work build/fuzz/fuzzer/fuzz_work: $(WORK)
$(B)/replay/fuzz_work build/fuzz/fuzzer/fuzz_work: private FUZZED = $(WORK) \
	$(filter-out $(WORK:$(B)/work/%=$(B)/%),$(LIBOBJ))

# fuzz_exchange is linked without the rest of the path, whose links it fakes.
$(B)/replay/fuzz_exchange build/fuzz/fuzzer/fuzz_exchange: private FUZZED = $(call parts, \
	route/% $(EXCHANGE))

# fuzz_packets is of the client.
PACKETS = $(filter-out $(B)/ctl/ctl_main.o,$(CTL_OBJ)) $(B)/common.a
$(B)/replay/fuzz_packets build/fuzz/fuzzer/fuzz_packets: $(PACKETS)
$(B)/replay/fuzz_packets build/fuzz/fuzzer/fuzz_packets: private FUZZED = $(PACKETS)
$(B)/replay/fuzz_packets build/fuzz/fuzzer/fuzz_packets: private LIBS = $(CTL_LIBS)

# T seconds for each target, and for `make soak`; FRAMING=NAME, or each.
T = 60
fuzz: deps
	$(MAKE) -j$(JOBS) FLAVOUR=fuzz fuzzers
	tests/fuzz.sh $(T)

.PHONY: fuzzers replays fuzz
