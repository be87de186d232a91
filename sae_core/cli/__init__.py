"""The command line: every stage, the whole run, and the care of the cache. `--help` on each command says the rest.

Standard output holds the result (with `--json` exactly one JSON object); everything else goes to standard error. Exit codes: 0
done, 2 bad input (one line), 130 cancelled, 1 anything else; a traceback only with `--debug`.
"""

from sae_core.cli.entry import main as main
