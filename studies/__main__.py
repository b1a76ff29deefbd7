"""`python -m studies`: the command `g2g` of a checkout that is not installed."""

from studies.cli import main

raise SystemExit(main())
