"""A shop: PostgreSQL stores the items, and Redis counts their views."""

import os

import psycopg2
import redis
from flask import Flask, jsonify, request

app = Flask(__name__)
views = redis.Redis(os.environ["REDIS_HOST"], socket_timeout=1, socket_connect_timeout=1)


def query(text, *values):
    connection = psycopg2.connect(
        host=os.environ["DB_HOST"], user=os.environ["DB_USER"], dbname=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"], connect_timeout=2,
    )
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall()
    finally:
        connection.close()


@app.get("/livez")
def live():
    return "OK"


@app.get("/readyz")
def ready():
    # Fails until the migration is done.
    query("SELECT 1 FROM items LIMIT 1")
    views.ping()
    return "OK"


@app.post("/items")
def add():
    [[number]] = query("INSERT INTO items (name) VALUES (%s) RETURNING id", request.get_json()["name"])
    return jsonify(id=number), 201


@app.get("/items/<int:number>")
def item(number):
    found = query("SELECT name FROM items WHERE id = %s", number)
    if not found:
        return jsonify(error="no such item"), 404
    return jsonify(name=found[0][0], views=views.incr(f"views:{number}"))
