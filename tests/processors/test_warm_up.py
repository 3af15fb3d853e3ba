"""After the warm-up no kernel has to be loaded any more: ordinary traffic finds them all."""

import subprocess
import sys

_SCRIPT = """
import importlib, pkgutil
from pipeline.config import Config
from pipeline.processors.warm_up import warm_joiner, warm_monitor
import pipeline.core.kernels as kernels
from tests.processors.loop import Loop

def loaded():
    names = [one.name for one in pkgutil.iter_modules(kernels.__path__)]
    modules = [importlib.import_module(f"pipeline.core.kernels.{name}") for name in names]
    found = {(module.__name__, name): kernel for module in modules for name, kernel in vars(module).items()}
    return {(place, str(signature)) for place, kernel in found.items()
            for signature in getattr(kernel, "nopython_signatures", ())}

windows = {"sizes": ["2s"], "label_horizon": "10s", "allowed_lateness": "1s"}
config = Config(windows=windows, reference={"learn_rows": 10}, quality={"calibration_rows": 10})
warm_joiner(config)
warm_monitor(config)
warm = loaded()
loop, start = Loop(config), 1_700_000_000_000
COLUMNS = [("layout", b"columns")]
for number in range(200):
    row = {"prediction_id": f"p{number % 150}", "model": "m", "timestamp_ms": start + 100 * number}
    loop.put("predictions", number % 2, {**row, "model_version": "1", "task": "binary", "prediction": number % 2,
             "score": 0.5, "latency_ms": 2, "features": {"a": number, "b": "x"}, "segments": {"s": number % 3}})
    loop.put("labels", number % 2, {**row, "label": 1})
    n = number % 3 + 1
    many = {**row, "n": n, "prediction_id": [f"c{number}-{i}" for i in range(n)]}
    wide = {f"f{i}": [1.5] * n for i in range(40)}
    several = {**many, "model": "several"}
    loop.put("predictions", number % 2, {"n": n, **many, "model_version": "1", "task": "binary", "score": 0.5,
             "prediction": [1] * n, "features": {"a": [1] * n, "b": "x", **wide},
             "segments": {"s": ["v"] * n}}, COLUMNS)
    loop.put("predictions", number % 2, {"n": n, **several, "model_version": "1", "task": "multiclass",
             "prediction": ["cat"] * n, "scores": [{"cat": 0.5, "dog": 0.5}] * n}, COLUMNS)
    loop.put("labels", number % 2, {"n": n, **many, "label": [0] * n}, COLUMNS)
    price = {**many, "model": "price"}
    loop.put("predictions", number % 2, {"n": n, **price, "model_version": "1", "task": "regression",
             "prediction": [1.5] * n}, COLUMNS)
    loop.put("labels", number % 2, {"n": n, **price, "label": [2.5] * n}, COLUMNS)
    loop.put("labels", number % 2, {"n": n, **several, "label": ["dog"] * n}, COLUMNS)
    loop.put("resources", number % 2, {"host": "h", "timestamp_ms": row["timestamp_ms"], "metrics": {"x": 1}})
loop.drain(start + 20_000)
loop.start()
loop.drain(start + 80_000)
assert loop.events("window-metrics")
assert len(warm) > 10, warm
assert any(event["estimated"].get("mae") for event in loop.events("window-metrics"))
print(*sorted(loaded() - warm), sep="\\n")
"""


def test_ordinary_traffic_after_the_warm_up_loads_no_kernel() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
