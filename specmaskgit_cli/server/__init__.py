"""The tasks for clients: a model with its queue (`service`, `jobs`, `sounds`), and over it the HTTP API (`app`, `api`,
`bodies`, `openapi`, `guard`) and the tools for agents (`agents`, `folder`).

The web page is a client of the API. It is in `static`: plain HTML, CSS and JavaScript, all of it served from here.
"""
