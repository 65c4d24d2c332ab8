"""What the documentation takes from the code when it is built.

``pages`` is mkdocs' hook: it adds the pages that ``PAGES`` names to the site. Each of the other modules writes one or two of
them as Markdown, from the objects that the program itself uses, so that a page cannot say something else than the code.
``reading`` counts the lines of the path that a newcomer reads.
"""
