from pipeline.config import Config
from pipeline.config_quality import GainsConfig, QualityConfig
from pipeline.processors.monitor_config import monitor_settings


def test_gains_are_by_predicted_and_true_class() -> None:
    gains = GainsConfig(model="m", gains={"yes": {"yes": 1, "no": -5}, "no": {"yes": -2}})
    quality = monitor_settings(Config(quality=QualityConfig(betas=(2.0,), gains=(gains,)))).quality
    assert quality.gains == {"m": {("yes", "yes"): 1.0, ("yes", "no"): -5.0, ("no", "yes"): -2.0}}
    assert (quality.betas, quality.interval_level, quality.class_intervals) == ((2.0,), 0.95, False)
