"""The course and the reference as a web site, and each walkthrough as a notebook (extra `docs`)."""
