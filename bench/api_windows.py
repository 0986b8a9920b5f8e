"""The windows of `gleaner run --kind api --through windows` in PySpark, over the same table of requests.

    python bench/api_windows.py WAREHOUSE/requests WAREHOUSE/windows [ROWS]

Reads the Parquet files of the table `requests`, computes what the table `windows` holds (but for the hash of the last three calls, whose
formula is Gleaner's), writes it as Parquet and says how long that took. The endpoint of a request is taken from the table `windows`, so that
templates are no part of the time on this side. Windows here are Spark's own: rows of one microsecond see each other, which Gleaner's do not; with
ROWS given, so many rows are compared and the share that agrees is said.
"""
import sys
import tempfile
import time

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

requests, windows = sys.argv[1:3]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.driver.memory", "12g")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.driver.host", "127.0.0.1")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
made = spark.read.option("recursiveFileLookup", "true").parquet(windows).select("hash", "endpoint")
rows = spark.read.option("recursiveFileLookup", "true").parquet(requests).join(made, "hash")
# Both tables are read once before the clock starts: the join is no part of what is compared.
ready = tempfile.mkdtemp()
rows.select(
    "hash", "actor", "event_time", "endpoint", "response_bytes", "user_agent", "client_ip",
    ((F.coalesce("status", F.lit(0)) >= 400) | (F.coalesce("error_code", F.lit("")) != "")).cast("int").alias("failed"),
    F.unix_micros("event_time").alias("micros"),
).write.mode("overwrite").parquet(ready)
count = spark.read.parquet(ready).count()

started = time.perf_counter()
r = spark.read.parquet(ready)
MINUTE = 60_000_000


def last(key, micros):
    return Window.partitionBy(key).orderBy("micros").rangeBetween(-micros + 1, 0)


actor = Window.partitionBy("actor").orderBy("micros", "hash")


def before(*keys):
    """How often it came before."""
    w = Window.partitionBy("actor", *keys).orderBy("micros", "hash").rowsBetween(Window.unboundedPreceding, -1)
    return F.count(F.lit(1)).over(w)


r = (
    r.withColumn("requests_1min", F.count(F.lit(1)).over(last("actor", MINUTE)))
    .withColumn("requests_5min", F.count(F.lit(1)).over(last("actor", 5 * MINUTE)))
    .withColumn("requests_10min", F.count(F.lit(1)).over(last("actor", 10 * MINUTE)))
    .withColumn("failed_5min", F.sum("failed").over(last("actor", 5 * MINUTE)))
    .withColumn("endpoints_10min", F.size(F.collect_set("endpoint").over(last("actor", 10 * MINUTE))))
    .withColumn("bytes_out_10min", F.sum(F.coalesce("response_bytes", F.lit(0))).over(last("actor", 10 * MINUTE)))
    .withColumn("first_10min", F.min("micros").over(last("actor", 10 * MINUTE)))
    .withColumn("gap_micros", F.col("micros") - F.lag("micros").over(actor))
    .withColumn("previous_endpoint", F.lag("endpoint").over(actor))
    .withColumn("before_previous", F.lag("endpoint", 2).over(actor))
    .withColumn("requests_before", F.row_number().over(actor) - 1)
    .withColumn("endpoint_before", before("endpoint"))
    .withColumn("agent_before", before("user_agent"))
    .withColumn("network_before", before("client_ip"))
    .withColumn("step_before", before("previous_endpoint", "endpoint"))
    .withColumn("sequence_before", before("before_previous", "previous_endpoint", "endpoint"))
    .withColumn("endpoint_requests_1min", F.count(F.lit(1)).over(last("endpoint", MINUTE)))
    .withColumn("endpoint_requests_5min", F.count(F.lit(1)).over(last("endpoint", 5 * MINUTE)))
    .withColumn("endpoint_failed_5min", F.sum("failed").over(last("endpoint", 5 * MINUTE)))
    .withColumn("endpoint_actors_10min", F.size(F.collect_set("actor").over(last("endpoint", 10 * MINUTE))))
    .withColumn("mean_gap_micros", (F.col("micros") - F.col("first_10min")) / F.greatest(F.col("requests_10min") - 1, F.lit(1)))
)
out = tempfile.mkdtemp()
r.write.mode("overwrite").parquet(out)
secs = time.perf_counter() - started
print(f"PySpark: {count} requests, all windows, {secs:.1f} s, {count / secs:.0f} a second", flush=True)

if len(sys.argv) > 3:
    ours = spark.read.option("recursiveFileLookup", "true").parquet(windows)
    names = ["requests_1min", "requests_10min", "failed_5min", "endpoints_10min", "bytes_out_10min", "endpoint_requests_1min", "endpoint_actors_10min"]
    both = spark.read.parquet(out).alias("s").join(ours.alias("g"), "hash").limit(int(sys.argv[3]))
    for name in names:
        alike, all_rows = both.select(F.sum((F.col(f"s.{name}") == F.col(f"g.{name}")).cast("int")), F.count(F.lit(1))).first()
        print(f"  {name}: {alike} of {all_rows} agree")
