# Planted faults, and the tests that have to notice them (tests/mutants/run.py).  Included
# by the Makefile.  ONLY='WORD ...' selects faults, JOBS_MUTANTS is how many at a time.

ONLY =
JOBS_MUTANTS = 1

mutants: deps
	$(MAKE) -s boards
	tests/mutants/run.py --jobs $(JOBS_MUTANTS) $(ONLY)

.PHONY: mutants
