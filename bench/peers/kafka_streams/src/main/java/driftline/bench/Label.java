package driftline.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;

/** The fields of a label that the job needs. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Label(@JsonProperty("timestamp_ms") long timestampMs, int label) {}
