"""Run the script named next as `__main__`, with the text that `verify` has for it."""

import sys

sys.modules["_clipcheck_verify.observing.overlay"].run_main()
