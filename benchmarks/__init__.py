"""`make bench`: the service measured beside an earlier build, its peers and plain floors, all in one run."""
