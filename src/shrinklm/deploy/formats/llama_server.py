"""llama.cpp's server in a process of its own, started as a script: FILE CONTEXT THREADS.

It writes its address, and ends when its input does. A process of its own, since llama.cpp ends the whole process where
an assertion of it fails, and its server does not always come back from being closed.
"""

import os
import sys


def main() -> None:
    """Serves the file until the input ends."""
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = sys.argv[1]
    options.hostnames, options.port = ["127.0.0.1"], 0
    # One place: a text's neighbours in a batch would change its rounding.
    options.n_parallel, options.n_ctx = 1, int(sys.argv[2])
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = int(sys.argv[3])
    options.verbosity = 0
    options.warmup = False
    try:
        server = xllamacpp.Server(options)
    except RuntimeError as error:
        print(f"error: {error}", flush=True)
        os._exit(1)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
