"""Maps over HTTP: uploads, a queue, results and a page (extra `serve`)."""
