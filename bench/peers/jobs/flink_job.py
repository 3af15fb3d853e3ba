"""The job in Flink SQL, run by Python in the peers' own environment, where ``pyflink`` is.

python flink_job.py '{"jars": […], "bootstrap_servers": …, "predictions": …, "labels": …, "windows": …, "group": …,
"horizon_ms": …, "directory": …}'
"""

import json
import sys

from pyflink.table import EnvironmentSettings, TableEnvironment

# Checkpoints as in the documentation's first example, one a second; transactions of the sink end with them. Starts of
# windows are told as text and must not depend on where the machine stands.
_SETTINGS = {
    "execution.checkpointing.interval": "1s",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "table.local-time-zone": "UTC",
}
_SOURCE = """
CREATE TABLE {name} (
  prediction_id STRING,
  timestamp_ms BIGINT,
  {fields},
  event_time AS TO_TIMESTAMP_LTZ(timestamp_ms, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = '{topic}',
  'properties.bootstrap.servers' = '{bootstrap_servers}',
  'properties.group.id' = '{group}',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
)
"""
_SINK = """
CREATE TABLE windows (
  window_start_ms BIGINT,
  `model` STRING,
  model_version STRING,
  predictions BIGINT,
  labelled BIGINT,
  correct BIGINT
) WITH (
  'connector' = 'kafka',
  'topic' = '{topic}',
  'properties.bootstrap.servers' = '{bootstrap_servers}',
  'properties.transaction.timeout.ms' = '600000',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '{group}',
  'format' = 'json'
)
"""
_JOINED = """
CREATE TEMPORARY VIEW joined AS
SELECT p.event_time AS event_time, p.`model`, p.model_version, p.prediction, l.label
FROM predictions p LEFT JOIN labels l
ON p.prediction_id = l.prediction_id
AND l.event_time BETWEEN p.event_time AND p.event_time + INTERVAL '{horizon_s}' SECOND({digits})
"""
_JOB = """
INSERT INTO windows
SELECT 1000 * UNIX_TIMESTAMP(CAST(window_start AS STRING)), `model`, model_version,
  COUNT(*), COUNT(label), COUNT(*) FILTER (WHERE label = prediction)
FROM TABLE(TUMBLE(TABLE joined, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, `model`, model_version
"""


def main() -> None:
    given = json.loads(sys.argv[1])
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    tables.get_config().set("pipeline.jars", ";".join(f"file://{jar}" for jar in given["jars"]))
    # By default they may have 5 MB in the memory of the job manager.
    tables.get_config().set("execution.checkpointing.dir", f"file://{given['directory']}")
    for name, value in _SETTINGS.items():
        tables.get_config().set(name, value)
    common = {"bootstrap_servers": given["bootstrap_servers"], "group": given["group"]}
    fields = {"predictions": "`model` STRING, model_version STRING, prediction INT", "labels": "label INT"}
    for name, columns in fields.items():
        tables.execute_sql(_SOURCE.format(name=name, fields=columns, topic=given[name], **common))
    tables.execute_sql(_SINK.format(topic=given["windows"], **common))
    horizon_s = str(given["horizon_ms"] // 1_000)
    tables.execute_sql(_JOINED.format(horizon_s=horizon_s, digits=len(horizon_s)))
    tables.execute_sql(_JOB).wait()


if __name__ == "__main__":
    main()
