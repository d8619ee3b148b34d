"""Creates the tables once PostgreSQL accepts connections."""

import os
import time

import psycopg2

for attempt in range(60):
    try:
        connection = psycopg2.connect(
            host=os.environ["DB_HOST"], user=os.environ["DB_USER"], dbname=os.environ["DB_USER"],
            password=os.environ["DB_PASSWORD"], connect_timeout=2,
        )
        break
    except psycopg2.OperationalError as error:
        print(f"waiting: {error}", flush=True)
        time.sleep(0.5)
with connection, connection.cursor() as cursor:
    # The Job may be retried.
    cursor.execute("CREATE TABLE IF NOT EXISTS items (id serial PRIMARY KEY, name text NOT NULL)")
print("the tables are there")
