"""What a test asks of RabbitMQ through somebody else's client library (pika), as a consumer would.

rabbitmq.py PORT drain QUEUE            takes every message off the queue; one JSON line each
rabbitmq.py PORT declare JSON           {"exchange", "type", "queue", "bind", "arguments"}, each optional
"""

import json
import sys

import pika


def main():
    port, command, argument = sys.argv[1:4]
    parameters = pika.ConnectionParameters("127.0.0.1", int(port), heartbeat=0)
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    if command == "drain":
        drain(channel, argument)
    else:
        declare(channel, json.loads(argument))
    connection.close()


def drain(channel, queue):
    for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=1):
        if method is None:
            if channel.queue_declare(queue, passive=True).method.message_count == 0:
                break
            continue
        print(json.dumps({
            "exchange": method.exchange,
            "routing_key": method.routing_key,
            "message_id": properties.message_id,
            "type": properties.type,
            "content_type": properties.content_type,
            "delivery_mode": properties.delivery_mode,
            "timestamp": properties.timestamp,
            "app_id": properties.app_id,
            "headers": properties.headers,
            "body": body.decode(),
        }))


def declare(channel, what):
    exchange, queue = what.get("exchange"), what.get("queue")
    if exchange:
        channel.exchange_declare(exchange, what["type"], durable=True)
    if queue:
        channel.queue_declare(queue, durable=True, arguments=what.get("arguments"))
    if exchange and queue:
        channel.queue_bind(queue, exchange, what.get("bind", "#"))


main()
