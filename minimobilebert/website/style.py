"""What the theme leaves open: wide tables, equations and sources, and figures in the dark."""

STYLE = """\
/* Room for lines of 100 characters. */
.content {
  width: 54em;
}

article pre {
  font-size: 0.8rem;
}

/* A command in a table stays on its line; on a phone it may break between words and names of folders. */
td code {
  white-space: nowrap;
}

@media (max-width: 46em) {
  td code {
    white-space: normal;
  }

  table.docutils td,
  table.docutils th {
    padding: 0.25rem 0.35rem;
  }

  article h1 {
    font-size: 1.9em;
  }

  article h2 {
    font-size: 1.5em;
  }
}

/* Figures have dark ink: they keep white paper. */
article img {
  background: white;
  border-radius: 0.25rem;
  padding: 0.5rem;
}

/* A source file is one block, in which answers are folded. */
.source {
  border-radius: 0.25rem;
  font-size: 0.8rem;
  overflow: hidden;
}

.source .highlight pre {
  border-radius: 0;
  line-height: 1.45;
  margin: 0;
  overflow-x: auto;
  padding: 0 0.875rem;
}

.source > :first-child pre {
  padding-top: 0.625rem;
}

.source > :last-child pre {
  padding-bottom: 0.625rem;
}

.source details {
  background: var(--color-background-hover);
}

.source summary {
  cursor: pointer;
  padding: 0.25rem 0.875rem;
}

.source span[id] {
  scroll-margin-top: 4rem;
}
"""
