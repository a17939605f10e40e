"""Before anything is imported: libraries are as quiet as the command line makes them, whichever test comes first."""

import os

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
