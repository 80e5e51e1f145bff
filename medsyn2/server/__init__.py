"""The interactive page: a local server that opens CTs, takes masks and reports, makes volumes and hands them out.

    browser <-- HTTP, loopback --> server (asyncio; serves files, keeps the session, parses no file of a stranger)
                                     |-- worker process: the model and torch; one job at a time; can be killed
                                     `-- helper process: opens uploads, takes masks from the shelf, writes downloads

The server needs the extra ``medsyn2[page]``; no other room imports this one but its command.
"""
