# Planted faults, and the tests that have to notice them (tests/mutants/run.py).  Included
# by the Makefile.  ONLY='WORD ...' selects faults, MUTANT_JOBS is how many at a time.

ONLY =
MUTANT_JOBS = 1

mutants: deps
	$(MAKE) -s boards
	tests/mutants/run.py --jobs $(MUTANT_JOBS) $(ONLY)

.PHONY: mutants
