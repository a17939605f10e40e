"""Where the works of a run are done: in this process, in several side by side, or on a cluster."""
