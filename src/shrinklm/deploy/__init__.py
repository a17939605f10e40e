"""A trained student at work: in Python, on whole files, on a server, in the formats of other runtimes."""
