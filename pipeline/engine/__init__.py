"""The transactional shell: consume, process, produce, commit. The only place that owns a Kafka transaction."""
