# The client of the SE5's document, in the same calls; its address and its cameras are arguments.
# Usage: se5_client.py ws://HOST:PORT DEVICE_ID...
import json
import sys

import websocket

box = websocket.WebSocket()
box.connect(sys.argv[1])
config = {'need_face': True, 'need_register': True, 'event_list': sys.argv[2:]}
box.send(json.dumps(config))
while True:
    info = box.recv_data(4096)
    event = json.loads(str(info[1], encoding='utf8'))
    print("{} {}".format(event['video_id'], event['event_id']))
