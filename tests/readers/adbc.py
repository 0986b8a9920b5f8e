"""Reads through the SQL service of `gleaner serve` with ADBC's Flight SQL driver: adbc.py grpc://host:port"""

import sys

import adbc_driver_flightsql.dbapi

with adbc_driver_flightsql.dbapi.connect(sys.argv[1]) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT hash, command_line, events, first_seen FROM commands")
        table = cursor.fetch_arrow_table()
        print("commands", table.num_rows, table.schema.names)
        cursor.execute("SELECT count(*), sum(events) FROM commands")
        (count, _), = cursor.fetchall()
        assert count == table.num_rows, (count, table.num_rows)
        try:
            cursor.execute("DROP TABLE commands")
            cursor.fetchall()
        except Exception as error:
            assert "DDL" in str(error), error
        else:
            raise AssertionError("a table was dropped")
    catalogs = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
    tables = {
        table["table_name"]
        for catalog in catalogs
        for schema in catalog["catalog_db_schemas"]
        for table in schema["db_schema_tables"]
    }
    assert {"commands", "benign", "runs"} <= tables, tables
