# The receiver of FindFace's pages, with the same route and answer. It takes a free port instead of theirs, and prints it
# in its first line.
import socket
from pprint import pprint

from aiohttp import web


async def handle(request):
    pprint(await request.json())
    return web.Response(status=200)


app = web.Application()
app.router.add_post('/', handle)
place = socket.socket()
place.bind(('127.0.0.1', 0))
web.run_app(app, sock=place)
