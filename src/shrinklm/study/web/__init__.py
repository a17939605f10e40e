"""The web pages of a study: participants' and the researcher's. Needs the extra `study`."""
