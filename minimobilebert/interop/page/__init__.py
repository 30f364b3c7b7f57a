"""Export to a web page (extra `interop`): a folder of static files that runs a model in a browser.

folder.py    what is written: graphs, vocabulary, settings, and the files of files/
runtime.py   ONNX Runtime Web, which computes in the browser; it is fetched
files/       the page itself: HTML, CSS and JavaScript, to be read as they are; page.js is where to begin
"""
