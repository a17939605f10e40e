"""A trained student behind an address: its own requests, those of OpenAI's clients, and a page to try it."""
