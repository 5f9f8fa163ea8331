"""The web page: its server (`server`), the sounds of a session (`sounds`), the jobs on the model (`jobs`).

The page itself is in `static`: plain HTML, CSS and JavaScript, all of it served from here.
"""
