#!/usr/bin/env python3
"""Whether DuckDB, Polars and Spark read the rows of a Gleaner table that Gleaner itself reads.

    python3 -m venv .venv && .venv/bin/pip install -r tests/readers/requirements.txt
    gleaner sql --warehouse W --json "SELECT * FROM benign ORDER BY day, hash" > expected.ndjson
    .venv/bin/python tests/readers/readers.py W expected.ndjson [TABLE]

TABLE is `benign` unless given; any table of the warehouse will do, with expected.ndjson made of it. Every column of
every row is compared, so expected.ndjson must be of all columns; the order of the rows does not matter. One line a
reader goes to standard output ("duckdb: 27 rows, the same"), or what differs; the exit code is 0 when all are the
same, 1 when one differs or fails, 2 when the call itself is wrong. Spark needs a `java` (Debian:
openjdk-17-jre-headless). Nothing is fetched from the network, and nothing is written but a temporary directory.
"""

import importlib.metadata
import json
import os
import shutil
import struct
import sys
import tempfile
import time
from collections import Counter
from datetime import date, datetime, timezone
from pathlib import Path
from urllib.parse import unquote

SHOWN = 10  # differences printed a reader


# --- The readers. Each returns its column names and its rows, as tuples of Python values.


def read_duckdb(table, _delta):
    import duckdb

    # The wheel has the extension's file only and no loader: LOAD takes the path. It is DuckDB's own signed build, so
    # no `allow_unsigned_extensions`. Autoinstall is off: it would go to DuckDB's server for what is missing.
    files = importlib.metadata.files("duckdb-ext-delta") or []
    extension = [str(f.locate()) for f in files if f.name == "delta.duckdb_extension"]
    if not extension:
        raise RuntimeError("the package duckdb-ext-delta has no delta.duckdb_extension")
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("LOAD " + sql_string(extension[0]))
    result = connection.execute(f"SELECT * FROM delta_scan({sql_string(table)})")
    return [column[0] for column in result.description], result.fetchall()


def sql_string(text):
    return "'" + text.replace("'", "''") + "'"


def read_polars(table, _delta):
    import polars

    frame = polars.scan_delta(table).collect()
    return frame.columns, frame.rows()


def read_spark(_table, delta):
    # Spark reads Delta tables through delta-spark, whose jars are on Maven Central and not on PyPI; with PyPI alone
    # they cannot be had. So the `deltalake` package says from the log which files make up the table, and Spark reads
    # those as Parquet. This shows that Spark understands the files, `day` within them included, and finds in them the
    # schema of the log (Delta's JSON of it is Spark's own); it does not show that delta-spark understands the log.
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    if not shutil.which(java):
        raise RuntimeError(f"no {java}; Debian: apt-get install openjdk-17-jre-headless")
    os.environ.pop("SPARK_HOME", None)  # the pinned Spark, not one that is on the machine
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    with tempfile.TemporaryDirectory(prefix="gleaner-readers-") as scratch:
        log4j = Path(scratch, "log4j2.properties")
        log4j.write_text(  # what goes wrong comes as an exception too
            # With no appender of its own Spark would take the file for no configuration, and log its warnings.
            "rootLogger.level = fatal\nrootLogger.appenderRef.e.ref = e\n"
            "appender.e.type = Console\nappender.e.name = e\nappender.e.target = SYSTEM_ERR\n"
            # Spark takes PySpark for a shell, and says so unless the shell's logger has the root's level.
            "logger.g.name = org.apache.spark.api.python.PythonGatewayServer\nlogger.g.level = fatal\n"
        )
        settings = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": "1g",
            "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log4j} -Duser.timezone=UTC",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.warehouse.dir": scratch,
            "spark.local.dir": scratch,
        }
        builder = SparkSession.builder.master("local[1]").appName("gleaner-readers")
        for name, value in settings.items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        try:
            schema = StructType.fromJson(json.loads(delta.schema().to_json()))
            files = [unquote(uri) for uri in delta.file_uris()]  # a space in the path comes as %20
            if files:
                frame = spark.read.option("mergeSchema", "true").parquet(*files)
            else:
                frame = spark.createDataFrame([], schema)
            logged, inside = ({f.name: f.dataType.simpleString() for f in s.fields} for s in (schema, frame.schema))
            names = [name for name in {**logged, **inside} if logged.get(name) != inside.get(name)]
            if names:
                other = "; ".join(f"{name}: {inside.get(name)}, not {logged.get(name)}" for name in names)
                raise RuntimeError(f"the files have other columns than the log says: {other}")
            # A Spark timestamp is an instant; collect() gives it without a zone in the process's local time: UTC here.
            rows = [tuple(map(spark_value, row)) for row in frame.collect()]
            return frame.columns, rows
        finally:
            spark.stop()


def spark_value(value):
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value


READERS = {"duckdb": read_duckdb, "polars": read_polars, "spark": read_spark}


# --- The comparison. A row becomes one JSON text, of the same form for each reader and for `gleaner sql --json`.


def plain(value, kind):
    """A value of a Delta type (`kind`) as JSON has it; a value of another type than the column's stays different."""
    if value is None:
        return None
    if isinstance(kind, dict) and kind["type"] == "array" and isinstance(value, (list, tuple)):
        return [plain(item, kind["elementType"]) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if kind == "timestamp":
        if isinstance(value, str):  # of Gleaner's JSON
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, datetime):
            # Of a reader that lost the zone, the text has none either, and differs.
            return (value.astimezone(timezone.utc) if value.tzinfo else value).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if kind == "float":
            return struct.unpack("f", struct.pack("f", value))[0]
        if kind == "double":
            return float(value)
    return value


def row_text(row, kinds):
    """One row, a dict, as JSON in the order of the table's columns; a column it lacks is null, as in Gleaner's JSON."""
    columns = {name: plain(row.get(name), kind) for name, kind in kinds.items()}
    return json.dumps(columns, ensure_ascii=False, default=repr)


def expected_rows(path, kinds):
    rows = []
    with open(path, encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            unknown = [name for name in row if name not in kinds]
            if unknown:
                raise ValueError(f"line {number}: the table has no column {', '.join(unknown)}")
            rows.append(row_text(row, kinds))
    return rows


def key(row):
    return (row["day"], row["hash"]) if row.get("hash") is not None and "day" in row else None


def differences(expected, found):
    """The rows that only one side has; two of one day and hash are told column by column."""
    missing = [json.loads(text) for text in sorted((Counter(expected) - Counter(found)).elements())]
    extra = [json.loads(text) for text in sorted((Counter(found) - Counter(expected)).elements())]
    partners = {key(row): row for row in extra if key(row)}
    for row in missing:
        partner = partners.pop(key(row), None)
        if partner is None:
            yield f"missing: {describe(row)}"
            continue
        extra.remove(partner)
        for name in row:
            if row[name] != partner[name]:
                yield (
                    f"{row['day']} {row['hash']}: {name}: expected {show(row[name])}, found {show(partner[name])}"
                )
    for row in extra:
        yield f"not expected: {describe(row)}"


def describe(row):
    return show({name: value for name, value in row.items() if value is not None})


def show(value, limit=300):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit] + "…"


def told(error):
    """An error in a line: the first of its text, and of a Java error the last cause, without the stack."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("\t")] or [""]
    causes = [line for line in lines[1:] if line.startswith("Caused by: ")]
    return " … ".join(line[:500] for line in (lines[0], *causes[-1:]))


def check(reader, table, delta, kinds, expected):
    """What to print of a reader, and whether its rows are the same."""
    try:
        names, rows = READERS[reader](table, delta)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a finding (a panic in Polars is no Exception); the other readers are still asked
        return [f"{reader}: failed: {type(error).__name__}: {told(error)}"], False
    names = list(names)
    if names != list(kinds):
        return [f"{reader}: other columns", f"  expected {list(kinds)}", f"  found    {names}"], False
    found = [row_text(dict(zip(names, row)), kinds) for row in rows]
    lines = list(differences(expected, found))
    if not lines:
        return [f"{reader}: {len(found)} rows, the same"], True
    head = f"{reader}: {len(found)} rows, {len(expected)} expected; {len(lines)} differences"
    rest = [f"  … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [head, *("  " + line for line in lines[:SHOWN]), *rest], False


def main(arguments):
    if len(arguments) not in (2, 3):
        print("usage: readers.py WAREHOUSE EXPECTED.ndjson [TABLE]", file=sys.stderr)
        return 2
    os.environ["TZ"] = "UTC"
    time.tzset()
    table = str(Path(arguments[0], arguments[2] if len(arguments) == 3 else "benign").resolve())
    from deltalake import DeltaTable

    try:
        delta = DeltaTable(table)
        kinds = {field["name"]: field["type"] for field in json.loads(delta.schema().to_json())["fields"]}
    except Exception as error:
        print(f"readers.py: {table}: {error}", file=sys.stderr)
        return 2
    try:
        expected = expected_rows(arguments[1], kinds)
    except (OSError, ValueError) as error:
        print(f"readers.py: {arguments[1]}: {error}", file=sys.stderr)
        return 2
    same = True
    for reader in READERS:
        lines, ok = check(reader, table, delta, kinds, expected)
        print("\n".join(lines), flush=True)
        same = same and ok
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
