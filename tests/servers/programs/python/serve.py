"""One Python server by name, in the ways it finds files and routes.

Arguments: the server, the folder with the files.
"""

import asyncio
import logging
import os
import sys
import threading
from importlib.metadata import version

SECRET = os.environ["SECRET"]
logging.disable(logging.CRITICAL)


def listening(name, port, release):
    print(f"listening|{name}|127.0.0.1:{port}|{release}", flush=True)


def in_background(serve):
    threading.Thread(target=serve, daemon=True).start()


def http_server(root):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root))
    listening("Python http.server", server.server_port, sys.version.split()[0])
    in_background(server.serve_forever)


def wsgi(name, app, release):
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_):
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    listening(name, server.server_port, release)
    in_background(server.serve_forever)


def flask(root):
    from flask import Flask, send_from_directory

    routes = Flask("routes", static_folder=None)
    for prefix in ["/admin", "/api/admin"]:
        routes.add_url_rule(f"{prefix}/", f"{prefix}/", lambda: SECRET)
        routes.add_url_rule(f"{prefix}/<path:rest>", prefix, lambda rest: SECRET)
    wsgi("Flask routes", routes, version("flask"))

    files = Flask("files", static_folder=None)
    files.add_url_rule("/<path:path>", "files", lambda path: send_from_directory(root, path))
    wsgi("Flask files", files, version("flask"))


def django(root):
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path, re_path
    from django.views.static import serve

    def guarded(request, rest=""):
        return HttpResponse(SECRET)

    # One process has one set of settings: the first segment of the files' patterns
    # tells the two servers apart, put there by a wrapper below.
    urls = type(sys)("urls")
    urls.urlpatterns = [
        path("admin/", guarded),
        path("admin/<path:rest>", guarded),
        re_path(r"(?i)^api/admin/", guarded),
    ]
    file_urls = type(sys)("file_urls")
    file_urls.urlpatterns = [path("<path:path>", serve, {"document_root": root})]
    sys.modules["urls"] = urls
    sys.modules["file_urls"] = file_urls

    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="urls",
        SECRET_KEY=SECRET,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "files.Middleware"],
    )
    middleware = type(sys)("files")

    class Middleware:
        def __init__(self, next):
            self.next = next

        def __call__(self, request):
            request.urlconf = request.META["meshpack.urls"]
            return self.next(request)

    middleware.Middleware = Middleware
    sys.modules["files"] = middleware
    app = get_wsgi_application()

    def with_urls(name):
        def wrapped(environ, start_response):
            environ["meshpack.urls"] = name
            return app(environ, start_response)

        return wrapped

    wsgi("Django routes", with_urls("urls"), version("django"))
    wsgi("Django files", with_urls("file_urls"), version("django"))


def asgi(name, app, release):
    import socket

    import uvicorn

    # asyncio turns Nagle's algorithm off only where the protocol is said.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", loop="asyncio")
    )
    listening(name, listener.getsockname()[1], release)
    in_background(lambda: asyncio.run(server.serve(sockets=[listener])))


def starlette(root):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    async def guarded(request):
        return PlainTextResponse(SECRET)

    release = version("starlette")
    routes = [
        Route("/admin/{rest:path}", guarded),
        Mount("/api/admin", routes=[Route("/{rest:path}", guarded)]),
    ]
    asgi("Starlette routes", Starlette(routes=routes), release)
    files = [Mount("/", StaticFiles(directory=root, html=True))]
    asgi("Starlette StaticFiles", Starlette(routes=files), release)


def aiohttp(root):
    from aiohttp import web

    async def guarded(request):
        return web.Response(text=SECRET)

    routes = web.Application()
    routes.router.add_get("/admin/{rest:.*}", guarded)
    api = web.Application()
    api.router.add_get("/{rest:.*}", guarded)
    routes.add_subapp("/api/admin", api)
    files = web.Application()
    files.router.add_static("/", root, follow_symlinks=False)

    async def start():
        for name, app in [("aiohttp routes", routes), ("aiohttp static", files)]:
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            listening(name, runner.addresses[0][1], version("aiohttp"))
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(start())


def tornado(root):
    from tornado import web
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets

    class Guarded(web.RequestHandler):
        def get(self):
            self.write(SECRET)

    async def start():
        routes = web.Application([(r"/admin/.*", Guarded), (r"/api/admin/.*", Guarded)], log_function=lambda _: None)
        files = web.Application(
            [(r"/(.*)", web.StaticFileHandler, {"path": root, "default_filename": "index.html"})],
            log_function=lambda _: None,
        )
        for name, app in [("Tornado routes", routes), ("Tornado static", files)]:
            sockets = bind_sockets(0, "127.0.0.1")
            HTTPServer(app).add_sockets(sockets)
            listening(name, sockets[0].getsockname()[1], version("tornado"))
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(start())


name, root = sys.argv[1:]
{
    "http.server": http_server,
    "flask": flask,
    "django": django,
    "starlette": starlette,
    "aiohttp": aiohttp,
    "tornado": tornado,
}[name](root)
print("ready", flush=True)
threading.Event().wait()
